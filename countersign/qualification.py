"""The checks of installation qualification, each a real attempt on this home; named as the protocols name them.

Nothing here judges what the outcome means: the runner records what was found. What must be attacked is attacked in a
copy, in a transaction that is rolled back, or where the design refuses it anyway.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from audit import store, verifier
from audit.entry import Entry
from audit.vocabulary import registry
from core import ledger_schema
from core.access.queries import everybody
from core.access.roles import CATALOGUE
from core.clock import in_words
from core.errors import CountersignError, RecordDamaged, Refused
from core.ledger_exports import Wish, export
from core.ledger_queries import SessionReader
from core.policy import table
from core.policy.decide import decide, permit
from core.policy.state import Actor, Facts, Stage
from core.work import release
from countersign import rehearsal
from countersign.backup import make_backup, verified_size
from countersign.database import INSUFFICIENT_PRIVILEGE
from countersign.export_rehearsal import changed_bundle, exports_hold, one_digit_off
from countersign.house import House, open_copy
from countersign.network_wall import StatedWall, worker_network_wall
from validation.ports import Check, Found
from validation.traceability import PACKAGES, code_digest

ROOT = Path(__file__).resolve().parents[1]
FONTS = {b"\x00\x01\x00\x00", b"OTTO", b"wOF2"}
NEVER = ("ai.select_subject", "ai.enter_result", "ai.accept_all", "ai.break_tie", "ai.write_eligibility")
SERVICE = Actor.of_service("validation")


def checks_of(house: House, tester: str, stated: StatedWall | None = None) -> dict[str, Check]:
    """Every named check, bound to this home and the person on whose behalf it is made; `stated` is the one thing that
    a person may have to show by hand."""
    made: dict[str, Check] = {
        "versions_as_locked": versions_as_locked, "python_as_stated": python_as_stated, "code_is_ours": code_is_ours,
        "worker_network_wall": partial(worker_network_wall, tester, stated),
    }
    made |= {
        "session_and_proof": rehearsal.session_and_proof, "clock_step": rehearsal.clock_step,
        "two_writers": rehearsal.two_writers, "restore_drill": rehearsal.restore_drill,
        "exports_hold": exports_hold,
        "live_record_kept": partial(rehearsal.live_record_kept, house, rehearsal.standing_of(house)),
    }
    of_house: dict[str, Callable[[House], Found]] = {
        "database_settings": database_settings, "database_protected": database_protected,
        "policy_as_adopted": policy_as_adopted, "words_as_adopted": words_as_adopted,
        "keys_owner_only": keys_owner_only, "clock_believable": clock_believable,
        "entries_cannot_be_changed": partial(_refused_by_database, "UPDATE entry SET ts = ts + 1 WHERE seq = 1"),
        "entries_cannot_be_deleted": partial(_refused_by_database, "DELETE FROM entry WHERE seq = 1"),
        "backup_verifies": backup_verifies, "tables_equal_record": tables_equal_record,
        "ai_never_decides": lambda house: ai_never_decides(), "nobody_signs_for_another": nobody_signs_for_another,
        "time_never_runs_back": time_never_runs_back, "fonts_usable": lambda house: fonts_usable(),
    }
    of_tester: dict[str, Callable[[House, str], Found]] = {
        "record_verifies": record_verifies, "tamper_is_found": tamper_is_found,
        "refusal_is_recorded": refusal_is_recorded,
    }
    made |= {name: partial(check, house) for name, check in of_house.items()}
    return made | {name: partial(check, house, tester) for name, check in of_tester.items()}


def environment(house: House) -> dict[str, str]:
    """The machine and software of a run, as its evidence."""
    return {
        "release": release(), "code_sha256": code_digest(), "python": platform.python_version(),
        "system": platform.platform(), "machine": platform.machine(),
        "processors": str(os.cpu_count()), "database": house.engine.dialect.name,
        "origin": house.origin,
        **{f"package {name}": version for name, version in sorted(_installed().items())},
    }


# -- Software ------------------------------------------------------------------------------------------------------


def _installed() -> dict[str, str]:
    return {
        re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): one.version
        for one in importlib.metadata.distributions() if one.metadata["Name"]
    }


def versions_as_locked() -> Found:
    """Every line of the common lock, and torch (which may be built for the processor alone), against what is there."""
    lock = ROOT / "requirements" / "common.lock"
    if not lock.is_file():
        return Found(False, "The lock does not lie beside this installation.", executed=False)
    texts = [lock.with_name(name).read_text("utf-8") for name in ("common.lock", "torch-cpu.lock")]
    lines = "".join(texts).splitlines()
    locked = dict(line.split(" ")[0].split("==") for line in lines if line and not line.startswith("#"))
    installed = _installed()
    other = {
        name: f"{version} locked, {installed.get(name, 'none')} installed" for name, version in locked.items()
        if installed.get(name, "none").split("+")[0] != version.split("+")[0]
    }
    says = f"{len(locked) - len(other)} of {len(locked)} packages are in their locked version"
    return Found(not other, says + (f"; not: {', '.join(sorted(other))}." if other else "."), {"differing": other})


def python_as_stated() -> Found:
    """The interpreter for which the locks were made."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    found = f"{python} on {platform.system()} {platform.machine()}"
    fits = sys.version_info[:2] == (3, 11) and sys.maxsize > 2**32 and platform.system() == "Linux"
    return Found(fits, f"{found}.")


def code_is_ours() -> Found:
    """All packages from one folder, and the version that signatures name."""
    places = {}
    for name in PACKAGES:
        module = importlib.import_module(name)
        places[name] = str(Path(module.__file__ or "nowhere").resolve().parent.parent)
    same = set(places.values()) == {str(ROOT)}
    version = _installed().get("countersign", "none")
    says = f"{len(PACKAGES)} packages from {len(set(places.values()))} folder(s); version {version}."
    return Found(same and version == release(), says, {"version": version, "release": release()})


def fonts_usable() -> Found:
    """The fonts that papers embed."""
    import reports

    folder = Path(reports.__file__).parent / "fonts"
    found = {path.name: path.read_bytes()[:4] in FONTS for path in sorted(folder.glob("*.[ot]tf"))}
    bad = [name for name, usable in found.items() if not usable]
    return Found(bool(found) and not bad, f"{len(found) - len(bad)} of {len(found)} font files are fonts.",
                 {"fonts": sorted(found)})


# -- Database ------------------------------------------------------------------------------------------------------


def database_settings(house: House) -> Found:
    """What makes a commit durable, as the open connection has it."""
    with house.desk.reading() as session:
        if house.engine.dialect.name == "sqlite":
            wanted = {"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"}
            found = {name: str(session.exec_driver_sql(f"PRAGMA {name}").scalar()) for name in wanted}
        else:
            wanted = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
            found = {name: str(session.execute(text(f"SHOW {name}")).scalar()) for name in wanted}
    said = ", ".join(f"{name} {value}" for name, value in found.items())
    return Found(found == wanted, f"{house.engine.dialect.name}: {said}.", {"found": found, "wanted": wanted})


def database_protected(house: House) -> Found:
    """The schema of the record, triggers included, against that of a fresh one."""
    with house.desk.reading() as session:
        reader = SessionReader(session)
        problems = ledger_schema.deviations(reader)
        digest = ledger_schema.schema_digest(ledger_schema.record_objects(reader))
    says = "; ".join(problems) or "Tables, indexes and triggers are those of a fresh record."
    return Found(not problems, says, {"differences": problems, "schema": digest})


def _refused_by_database(statement: str, house: House) -> Found:
    """Try to change the live record past the program, in a transaction that is rolled back whatever happens."""
    connection = house.engine.connect().execution_options(countersign_write=True)
    try:
        change = connection.begin()
        try:
            touched = connection.exec_driver_sql(statement).rowcount
        except DBAPIError as refusal:
            said = str(refusal.orig).splitlines()[0]
            # The house's role on PostgreSQL is refused by its rights already, before any trigger is asked (RECORD 8).
            lacks = getattr(refusal.orig, "sqlstate", None) == INSUFFICIENT_PRIVILEGE
            return Found("append-only" in said or lacks, f"The database answered: {said}.", {"statement": statement})
        finally:
            change.rollback()
    finally:
        connection.close()
    return Found(False, f"The database let it happen to {touched} rows (undone).", {"statement": statement})


def tables_equal_record(house: House) -> Found:
    """Every read-model folded anew."""
    difference = house.compare()
    return Found(difference.none, difference.in_words())


def time_never_runs_back(house: House) -> Found:
    """Log times over the whole record."""
    last, bad, count = -1, [], 0
    with house.desk.reading() as session:
        for entry in store.read_entries(session):
            if entry.ts <= last:
                bad.append(entry.seq)
            last, count = entry.ts, count + 1
    return Found(not bad, f"{count} entries; {len(bad)} do not come after the one before.", {"entries": bad[:50]})


def clock_believable(house: House) -> Found:
    """The clock moves, is not before the newest entry, and what the kernel says of its synchronisation."""
    first = house.desk.clock.now()
    time.sleep(0.02)
    second = house.desk.clock.now()
    with house.desk.reading() as session:
        _, newest = store.head(session)
    state = ctypes.CDLL(None).ntp_adjtime(ctypes.create_string_buffer(512))
    # TIME_ERROR = 5: the kernel's clock is not synchronised (man 3 ntp_adjtime).
    said = "synchronised" if 0 <= state < 5 else "not synchronised" if state == 5 else "unknown"
    fits = second >= first and second >= newest
    return Found(fits, f"{in_words(second)}, newest entry {in_words(newest)}; the kernel calls its clock {said}.",
                 {"kernel": said, "newest": in_words(newest)})


# -- The record ----------------------------------------------------------------------------------------------------


def _newest(house: House, action: str) -> Entry | None:
    wanted = select(store.entries.c.seq).where(store.entries.c.action == action)
    with house.desk.reading() as session:
        seq = session.execute(wanted.order_by(store.entries.c.seq.desc()).limit(1)).scalar()
        return None if seq is None else store.entry_at(session, seq)


def _adopted(house: House, action: str, running: str, what: str) -> Found:
    entry = _newest(house, action)
    adopted = entry.body["fields"]["digest"] if entry is not None else "none"
    same = adopted == running
    return Found(same, f"The {what} that runs {'is' if same else 'is not'} the adopted one ({adopted[:12]}…).",
                 {"adopted": adopted, "running": running})


def policy_as_adopted(house: House) -> Found:
    """The printed table's digest."""
    return _adopted(house, "policy.adopted", table.digest(), "policy table")


def words_as_adopted(house: House) -> Found:
    """The catalogue's digest."""
    return _adopted(house, "vocabulary.adopted", registry.catalogue_digest(), "vocabulary")


def keys_owner_only(house: House) -> Found:
    """Files of the signer, by their permissions."""
    files = [path for path in (house.home / "signer").rglob("*") if path.is_file()]
    wide = [path.name for path in files if path.stat().st_mode & 0o077]
    return Found(bool(files) and not wide, f"{len(files)} key files, {len(wide)} readable by others.", {"wide": wide})


def _bundle(house: House, tester: str, folder: Path) -> Path:
    decision = permit(Actor.of_service("house"), "ledger.export", Facts())
    return export(house.desk, Wish(), folder / "whole.zip", under=decision, on_behalf_of=tester).path


def _verify_alone(bundle: Path) -> tuple[int, str]:
    """The stand-alone verifier in a process of its own, with nothing of ours to import."""
    alone = bundle.parent / "verifier.py"
    shutil.copy2(verifier.__file__, alone)
    done = subprocess.run(
        [sys.executable, "-I", str(alone), str(bundle)], cwd=bundle.parent, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def record_verifies(house: House, tester: str) -> Found:
    """The whole record as a bundle, checked outside this process by the file that auditors are given."""
    with tempfile.TemporaryDirectory() as name:
        code, said = _verify_alone(_bundle(house, tester, Path(name)))
    lines = said.splitlines()
    return Found(code == 0, "; ".join(lines[:2]) or "no answer", {"exit": code, "said": lines})


def tamper_is_found(house: House, tester: str) -> Found:
    """One digit changed in the middle of a bundle; and, where the store is a file, in a copy of the whole home."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = _bundle(house, tester, folder)
        middle, changed = changed_bundle(bundle, folder / "changed.zip")
        code, said = _verify_alone(changed)
        named = re.search(rf"entry {middle}\b", said) is not None
        did = "named" if named else "did not name"
        says = f"Bundle: entry {middle} changed, the verifier ended with {code} and {did} it."
        fits = code == 2 and named
        if house.engine.dialect.name == "sqlite":
            noticed = _changed_home_is_noticed(house, folder / "copy", middle)
            says += f" Copy of the home: the change was {'noticed' if noticed else 'NOT noticed'}."
            fits = fits and noticed
    return Found(fits, says, {"exit": code, "said": said.splitlines()[:10]})


def _changed_home_is_noticed(house: House, to: Path, seq: int) -> bool:
    make_backup(house, to)
    with sqlite3.connect(str(to / "ledger.db")) as copy:
        for (trigger,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            copy.execute(f'DROP TRIGGER "{trigger}"')
        data = copy.execute("SELECT data FROM entry WHERE seq = ?", (seq,)).fetchone()[0]
        copy.execute("UPDATE entry SET data = ? WHERE seq = ?", (one_digit_off(bytes(data)), seq))
    copy.close()
    try:
        verified_size(to)
    except RecordDamaged:
        return True
    return False


def backup_verifies(house: House) -> Found:
    """A backup into a scratch folder, from either store."""
    with tempfile.TemporaryDirectory() as name:
        said = make_backup(house, Path(name) / "copy")
        opened = open_copy(Path(name) / "copy")
        with opened.desk.reading() as session:
            last = store.last_checkpoint(session)
        opened.close()
    said = said.replace(f" to {name}/copy", "")
    return Found(last is not None, said, {"size": last.size if last else 0})


# -- People and policy ---------------------------------------------------------------------------------------------


def refusal_is_recorded(house: House, tester: str) -> Found:
    """Accepting all AI values at once is asked for, on the tester's behalf; it must fail, and stand on record."""
    try:
        with house.desk.open(SERVICE, on_behalf_of=tester, asked="ai.accept_all"):
            permit(SERVICE, "ai.accept_all", Facts())
    except Refused as refusal:
        entry, now = _newest(house, "action.refused"), house.desk.clock.now()
        # One entry tells of all such refusals of a minute; an older one tells of another attempt.
        on_record = (entry is not None and entry.body["rule"] == refusal.rule and entry.body["on_behalf_of"] == tester
                     and entry.ts >= now - 60_000_000)
        seq = entry.seq if entry is not None else -1
        return Found(on_record, f"Refused by {refusal.rule}; {'entry ' + str(seq) if on_record else 'not on record'}.",
                     {"rule": refusal.rule, "entry": seq})
    return Found(False, "It was allowed.")


def ai_never_decides() -> Found:
    """Each act, for each role and for a service, at each stage, with every AI use open."""
    everyone = frozenset({"qc", "cohort", "secondary", "primary"})
    allowed: list[str] = []
    asked = 0
    for action in NEVER:
        for stage in Stage:
            for role in CATALOGUE:
                asked += 1
                facts = Facts(stage=stage, roles=frozenset({role.name}), uses_open=everyone)
                if decide(Actor("anybody"), action, facts).allowed:
                    allowed.append(f"{action} by {role.name} in {stage}")
            asked += 1
            if decide(SERVICE, action, Facts(stage=stage, uses_open=everyone)).allowed:
                allowed.append(f"{action} by a service in {stage}")
    return Found(not allowed, f"{asked} questions, {len(allowed)} answered with yes.", {"allowed": allowed})


def nobody_signs_for_another(house: House) -> Found:
    """The house's own way to the signer, used for each person: it must have no key to sign with."""
    with house.desk.reading() as session:
        people = [person.user for person in everybody(session)]
    signed = []
    for user in people:
        try:
            house.signer.attest(user, b"not this person's deed")
        except CountersignError:
            continue
        signed.append(user)
    return Found(bool(people) and not signed, f"{len(people)} people; the signer signed as {len(signed)} of them.",
                 {"signed_as": signed})

