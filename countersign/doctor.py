"""What is wrong or missing in this installation, in words, with what to do."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import func, insert, select

from audit import proofs, store
from audit.entry import kid_of
from audit.signatures import LOG_BESIDE
from core import outbox, projection
from core.access.queries import everybody
from core.clock import in_words
from core.errors import ClockUntrusted, CountersignError, DiskFull, DiskReadOnly, NotFound
from core.ledger_queries import SessionReader
from core.ledger_rehash import rehash_is_due
from core.ledger_schema import deviations, record_objects, schema_digest
from core.objects import owner
from core.passkeys import all_passkeys
from core.persons import ED25519, ML_DSA_44, keys_in_force
from core.privacy.queries import subjects_of
from countersign import disk, schema
from countersign.adapters.subject_keys import FileSubjectKeys
from countersign.house import House, tracking_store
from countersign.signer.local import SERVICES
from countersign.signer.remote import RemoteSigner

LOW_DISK_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    what: str
    fine: bool = True
    remedy: str = ""
    damaged: bool = False

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


def examine(house: House) -> list[Finding]:
    """Look at everything; nothing is changed."""
    from countersign.readiness import people_findings
    from countersign.upkeep import standing_findings

    other = list(_shapes(house))
    if other:  # nothing else can be asked of tables that lack columns
        return other
    return [
        *_record(house), *_second_hash(house), *standing_findings(house), *_protections(house), *_server(house),
        *_keys(house), *_passkeys(house), *_key_pairs(house), *_seals(house), *_subjects(house), *_work(house),
        *_workers(house), *_shelf(house), *_disk(house), *people_findings(house),
    ]


def _shapes(house: House) -> Iterator[Finding]:
    """Read-models that another release made."""
    with house.desk.reading() as session:
        other = sorted(table.name for table in projection.misshapen(session))
    if other:
        yield Finding(
            f"{len(other)} tables are not those of this release: {', '.join(other)}. Nothing else was looked at.",
            fine=False, remedy="Run `countersign ledger rebuild`, or on PostgreSQL, by its owner, `countersign "
            "database prepare`: they are folded anew from the record, which stays as it is. Then run doctor again.")


def _record(house: House) -> Iterator[Finding]:
    with house.desk.reading() as session:
        size, ts = store.head(session)
        last = store.last_checkpoint(session)
        if last is None or last.size != size:
            yield Finding(
                f"{size} entries, but the newest checkpoint covers {last.size if last else 0}.",
                fine=False, damaged=True,
                remedy="Stop writing, keep the disk as it is and run `countersign ledger verify`.",
            )
        elif proofs.root_at(store.StoredNodes(session), size) != last.root:
            yield Finding(
                "The stored leaves do not lead to the newest checkpoint.", fine=False, damaged=True,
                remedy="Stop writing, keep the disk as it is and run `countersign ledger verify`.",
            )
        else:
            yield Finding(f"{size} entries, the newest of {in_words(ts)}, all covered by one checkpoint")
    difference = house.compare()
    yield Finding(
        difference.in_words(), fine=difference.none, damaged=not difference.none,
        remedy="Run `countersign ledger rebuild`; the record itself is not touched by it.",
    )


def _second_hash(house: House) -> Iterator[Finding]:
    with house.desk.reading() as session:
        try:
            now = house.desk.clock.now()
        except ClockUntrusted:  # has a finding of its own; the newest entry's time serves here
            now = store.head(session)[1]
        due = rehash_is_due(SessionReader(session), now)
    if due is not None:
        yield Finding(
            due, fine=False, remedy="Run `countersign ledger rehash`, then anchor or cosign the record: should SHA-256 "
            "weaken one day, the second hash still holds what is there now.",
        )


def _protections(house: House) -> Iterator[Finding]:
    with house.desk.reading() as session:
        reader = SessionReader(session)
        wrong, digest = deviations(reader), schema_digest(record_objects(reader))
    yield Finding(
        f"The record's tables and protections are those of this release (schema digest {digest[:16]}…)" if not wrong
        else f"The record's protections differ from this release: {'; '.join(wrong)}.",
        fine=not wrong, damaged=bool(wrong),
        remedy="Somebody with the owner's rights changed the schema: find out who, verify the record, restore it.",
    )


def _server(house: House) -> Iterator[Finding]:
    """On PostgreSQL: as whom the house connects, and whether an acknowledged entry is on the disk (RECORD 8)."""
    if house.engine.dialect.name != "postgresql":
        return
    with house.desk.reading() as session:
        stands = schema.standing(session)
    yield Finding(
        f"The house is {stands.user} to its database: it adds to the record and can change nothing that is there"
        if not stands.could_weaken else
        f"The house is {stands.user} to its database, which owns the record and could lift its protections.",
        fine=not stands.could_weaken,
        remedy="As the owner: `countersign database prepare --house ROLE` with a login role of the house's own; then "
        "let COUNTERSIGN_DATABASE_URL name that role.",
    )
    yield Finding(
        "The database keeps what it acknowledged: fsync, full_page_writes, synchronous_commit and data checksums are on"
        if not stands.settings else f"The database may lose what it acknowledged: {', '.join(stands.settings)}.",
        fine=not stands.settings,
        remedy="Set them in postgresql.conf; data checksums with `pg_checksums --enable` while the server is stopped.",
    )


def _keys(house: House) -> Iterator[Finding]:
    if isinstance(house.signer, RemoteSigner):
        yield _own_process(house.signer)
        return
    yield Finding(
        "The signer runs inside this process: whoever controls the process can ask it for signatures of the house. "
        "Personal keys still need the person's password and code. `countersign signer init` sets up one of its own."
    )
    for folder in (house.home / "signer", *house.settings.subject_key_folders):
        open_files = [
            path.name for path in folder.rglob("*")
            if path.is_file() and path.name != ".lock" and path.stat().st_mode & 0o077
        ]
        yield Finding(
            f"Key files are readable by their owner alone ({folder.name}/)" if not open_files
            else f"{len(open_files)} key files can be read by others.",
            fine=not open_files, remedy=f"chmod -R go= {folder}",
        )


def _passkeys(house: House) -> Iterator[Finding]:
    """Whether the passkeys that people hold are taken where the pages are."""
    with house.desk.reading() as session:
        held = [one for one in all_passkeys(session) if one.ended_by is None]
    try:
        party = house.signer.relying_party()
    except CountersignError:
        return  # a signer that does not answer was told already
    useless = [one for one in held if party is None or one.rp != party.id]
    if useless:
        where = ", ".join(sorted({one.rp for one in useless}))
        yield Finding(
            f"Passkeys in force for the pages of {where}: {len(useless)}; the signer takes none from there.",
            fine=False, remedy="Set passkey_origin (countersign.toml, or the signer's signer.toml) as people open the "
            "pages, or enrol the passkeys anew.",
        )
    elif party is not None:
        yield Finding(f"Passkeys are taken from the pages at {party.origin}; {len(held)} are in force.")


def _own_process(signer: RemoteSigner) -> Finding:
    try:
        origin, uid, pid, kid = signer.who()
    except CountersignError as error:
        return Finding(error.fact, fine=False, remedy=error.next_step)
    if origin != signer.stated:
        return Finding(
            f"The signer behind the socket signs for {origin}, not for {signer.stated}.", fine=False, damaged=True,
            remedy="Name the socket of this installation's own signer in countersign.toml.",
        )
    apart = uid != os.getuid()
    return Finding(
        f"The signer is a process of its own ({pid}, user {uid}, log key {kid[:16]}…)" if apart
        else f"The signer is a process of its own ({pid}), but of the same user as the house.",
        fine=apart, remedy="Run it as a user of its own, so that the house cannot read its keys.",
    )


def _seals(house: House) -> Iterator[Finding]:
    found = house.signer.state_of_seals()
    if found.recovery_key is None:
        yield Finding(
            "No recovery key of the seals is in force: nothing can be sealed.", fine=False,
            remedy="Owner and QA make one: countersign seals renew --as OWNER, then --as QA.",
        )
        return
    yield Finding(
        f"{found.secrets} secrets of seals, each with a copy under the recovery key" if not found.without_copy
        else f"{found.without_copy} of {found.secrets} secrets of seals have no copy under the recovery key.",
        fine=not found.without_copy,
        remedy="Look whether the folder of copies is there (`countersign seals state`); then renew the recovery key.",
    )
    if not house.settings.seal_backup:
        yield Finding("Copies of seal secrets lie on the same disk as the signer; `seal_backup` may name another one")


def _key_pairs(house: House) -> Iterator[Finding]:
    """A signer that is older or younger than the record (half a restore) signs what nobody can verify."""
    apart = []
    with house.desk.reading() as session:
        wanted = [("root", "installation", ED25519, "root"), ("log", "installation", ED25519, "log"),
                  ("log", "installation", ML_DSA_44, LOG_BESIDE), *(("service", one, ED25519, one) for one in SERVICES)]
        for klass, holder, algorithm, name in wanted:
            known = {key.kid for key in keys_in_force(session, klass, holder, algorithm)}
            held = {kid_of(house.signer.public_key(name))} if house.signer.has_house_key(name) else set()
            if known != held:
                apart.append(name)
        for person in everybody(session):
            known = {key.kid for key in keys_in_force(session, "person", person.user)}
            if known and not known & _held(house, person.user):
                apart.append(person.user)
    yield Finding(
        "The signer holds the keys that the record has in force" if not apart
        else f"The signer's key is not the one that the record has in force: {', '.join(apart)}.",
        fine=not apart, damaged=bool(apart),
        remedy="Signer and record are of different times. Restore both from one backup, or recover what is lost: "
        "`countersign user recover` for a person.",
    )


def _held(house: House, user: str) -> set[str]:
    try:
        return {house.signer.kid_of_person(user)}
    except NotFound:
        return set()


def _subjects(house: House) -> Iterator[Finding]:
    keys = house.desk.objects.keys
    with house.desk.reading() as session:
        ordered = [one for one in subjects_of(session) if one.erased is not None]
    due = sum(one.destroyed is None for one in ordered)
    yield Finding(
        f"{len(ordered)} subjects erased, every key destroyed" if not due
        else f"{due} erasures are committed and not carried out: the keys are not destroyed yet.",
        fine=not due, remedy="Run `countersign work`.",
    )
    back = [one for one in ordered if one.destroyed is not None and keys.is_there(owner(one.trial, one.subject))]
    known = {owner(one.trial, one.subject) for one in ordered}
    lost = [one for one in keys.marks() if one not in known]
    if back or lost:
        yield Finding(
            f"{len(back)} keys of erased subjects have come back, {len(lost)} erasures are unknown to this record.",
            fine=False, damaged=bool(back), remedy="A copy was restored: run `countersign work`, which erases again.",
        )
    if isinstance(keys, FileSubjectKeys):
        there, single = keys.without_copy()
        yield Finding(
            f"{there} keys of subjects, each with its copy" if not single
            else f"{single} of {there} keys of subjects have no copy; backups of the home hold none.",
            fine=not single, remedy="Bring the folder of copies back, then run `countersign work`.",
        )
    if not house.settings.subject_key_copies:
        yield Finding("Copies of subject keys lie on the same disk; `subject_key_copies` may name another one")


def _work(house: House) -> Iterator[Finding]:
    with house.desk.reading() as session:
        counted = session.execute(select(outbox.jobs.c.state, func.count().label("jobs")).group_by(outbox.jobs.c.state))
        rows: dict[str, int] = {row.state: row.jobs for row in counted}
    failed, waiting = rows.get("failed", 0), rows.get("waiting", 0)
    yield Finding(
        f"{waiting} jobs wait, {failed} failed for good", fine=not failed,
        remedy="Look at the column `problem` of table job, mend the cause and set the job to waiting again.",
    )


def _workers(house: House) -> Iterator[Finding]:
    """What keeps a model's worker process off the network here; where nothing does, no model starts."""
    from models_registry.isolation import NoNetworkWall, network_wall
    from models_registry.queries import wall_stated

    with house.desk.reading() as session:
        stated = wall_stated(session)
    if network_wall():
        yield Finding("Models run in a network namespace of their own, which the kernel gives")
    elif stated is not None:
        yield Finding(f"The kernel gives no network namespace; models run behind {stated.replace('_', ' ')} (IQ)")
    else:
        none = NoNetworkWall()
        yield Finding(f"No model starts here: {none.fact[0].lower()}{none.fact[1:]}", fine=False, remedy=none.next_step)


def _shelf(house: House) -> Iterator[Finding]:
    """Where models are loaded from a tracking store: of which locks the marks of their copy are compared, too."""
    from models_registry.queries import locks_known

    if house.settings.models_from != "tracking":
        return
    with house.desk.reading() as session:
        locks = [one for one in locks_known(session, running_only=True) if one.fields.store_hint]
    bare = [one.lock for one in locks if not one.fields.store_marks]
    yield Finding(
        f"Models are loaded from {tracking_store(house.settings).where}, their bytes held against the lock; so are the "
        f"marks of {len(locks) - len(bare)} of {len(locks)} locks"
        + (f", while {', '.join(bare)} state none" if bare else ""))


def _disk(house: House) -> Iterator[Finding]:
    free = shutil.disk_usage(house.home).free
    yield Finding(
        f"{free / 1024**3:.1f} GiB free where the home lies", fine=free > LOW_DISK_BYTES,
        remedy="Make room before the next arrival; a full disk refuses new entries and harms none.",
    )
    refusal = _cannot_write(house)
    yield Finding(
        "Home and database can be written" if refusal is None else refusal.fact, fine=refusal is None,
        remedy=refusal.next_step if refusal else "",
    )


def _cannot_write(house: House) -> CountersignError | None:
    """Try it, as permissions alone do not tell of a disk that is mounted read-only; nothing stays of the trial."""
    try:
        with disk.in_words(house.home), tempfile.TemporaryFile(dir=house.home):
            pass
        with house.desk.working_tables() as session:
            # A lock alone does not touch the disk; rows that are added and taken back do, and need no owner's rights.
            session.execute(insert(outbox.jobs), [
                {"seq": -number, "effect": "doctor", "state": "done", "attempts": 0, "not_before": 0, "lease_until": 0,
                 "fence": 0, "problem": "x" * 4_000} for number in range(1, 17)])
            session.rollback()
    except (DiskFull, DiskReadOnly) as refusal:
        return refusal
    return None
