"""The check of exports, in a home founded for it with a trial of its own: an answer as CSV, JSON and PDF, and a bundle,
each held against the record it came from, and the bundle checked as an inspector would, by the verifier inside it."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import secrets
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from audit import store
from audit.query import parse
from audit.vocabulary.access import RoleGranted
from audit.vocabulary.trials import TrialCreated
from core.ledger_exports import Wish, card, export
from core.ledger_queries import SessionReader
from core.ledger_words import evidence_code
from core.policy.decide import permit
from core.policy.state import Actor, Decision, Facts
from core.work import Draft, Proof, View
from countersign.house import House
from countersign.rehearsal import ORIGIN, enrolled, scratch_home
from reports.query_export import FORMS, Exported, export_query
from validation.ports import Found

TRIAL, PERSON, GRANTS = "REHEARSAL-1", "rehearsal-1", 3
HOUSE = Actor.of_service("house")


def exports_hold() -> Found:
    """Each form of an answer holds exactly the entries asked for, its entry names the file by its digest; the bundle
    passes its own verifier with the trust card, and fails it once a digit is changed."""
    answers: dict[str, Any] = {}
    with scratch_home() as house, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _scratch_trial(house)
        with house.desk.reading() as session:
            asked = [(entry.seq, evidence_code(entry.leaf)) for entry in store.read_entries(session)
                     if entry.body.get("trial") == TRIAL]
        for form in FORMS:
            made = export_query(house.desk, parse(f"trial:{TRIAL}"), folder / f"answer.{form}", person=None,
                                through="console", origin=ORIGIN)
            answers[form] = _answer_holds(house, made, asked)
        answers |= _bundle_holds(house, folder)
    wrong = [what for what, said in answers.items() if said != "holds"]
    says = (f"{len(asked)} entries of a trial as {', '.join(FORMS).upper()}: "
            + ("each holds them and is named by its entry." if not set(FORMS) & set(wrong) else "NOT as in the record.")
            + (" Bundle: its own verifier accepts it with the trust card and refuses it changed."
               if answers["bundle"] == answers["changed bundle"] == "holds" else " Bundle: NOT as it should be."))
    return Found(not wrong and len(asked) == GRANTS + 1, says, {"answers": answers, "entries": len(asked)})


def _scratch_trial(house: House) -> None:
    """A trial with a few entries in its own stream, by a person with a key of their own."""
    password = secrets.token_urlsafe(18)
    codes = enrolled(house, PERSON, password)
    draft = Draft(
        TrialCreated(title="A rehearsal of exports", demonstration=True), meaning="responsibility", trial=TRIAL,
        under=Decision(True, "rehearsal", "a home founded for a check", "none"),
        view=View("A rehearsal of exports", "rehearsal", ()),
    )
    house.desk.sign(Actor(PERSON), lambda session, occasion: draft, Proof(password, codes.at(0)))
    for number in range(GRANTS):
        granted = RoleGranted(user=PERSON, role="monitor", because=f"rehearsal {number}", at_init=True)
        house.desk.record_as_root([(granted, ())], trial=TRIAL)


def _answer_holds(house: House, made: Exported, asked: list[tuple[int, str]]) -> str:
    """`holds`, or what is not as in the record."""
    data = made.path.read_bytes()
    with house.desk.reading() as session:
        entry = store.entry_at(session, made.entry)
    assert entry is not None  # its number was just given
    fields = entry.body["fields"]
    told = (entry.body["action"], fields["form"], fields["sha256"], fields["bytes"], fields["entries"])
    if told != ("query.exported", made.form, hashlib.sha256(data).hexdigest(), len(data), len(asked)):
        return "its entry tells of another file"
    if made.form == "csv":
        with made.path.open(encoding="utf-8", newline="") as file:
            there = sorted(int(row["seq"]) for row in csv.DictReader(file))
        return "holds" if there == [seq for seq, _ in asked] else f"it has the entries {there}"
    if made.form == "json":
        there = sorted(int(row["seq"]) for row in json.loads(data)["rows"])
        return "holds" if there == [seq for seq, _ in asked] else f"it has the entries {there}"
    printed = _printed(made.path)
    lacking = [seq for seq, code in asked if code.removeprefix("EV-") not in printed]
    return "holds" if not lacking else f"its pages lack the entries {lacking}"


def _printed(path: Path) -> str:
    import pikepdf

    from reports import textlayer

    with pikepdf.open(path) as pdf:
        return "".join("".join("".join(parts).split()) for parts in textlayer.pages(pdf))


def _bundle_holds(house: House, folder: Path) -> dict[str, str]:
    decision = permit(HOUSE, "ledger.export", Facts(trial=TRIAL))
    written = export(house.desk, Wish(trial=TRIAL), folder / "bundle.zip", under=decision, on_behalf_of=PERSON)
    with house.desk.reading() as session:
        newest = store.head(session)[0] - 1
        entry = store.entry_at(session, newest)
        (folder / "card.json").write_bytes(card(SessionReader(session), ORIGIN))
    named = entry is not None and (entry.body["action"], entry.body["on_behalf_of"]) == ("export.made", PERSON)
    with zipfile.ZipFile(written.path) as archive:
        archive.extract("verify.py", folder)
    code, said = _as_inspector(folder, "bundle.zip")
    whole = "holds" if code == 0 and "VERIFIED" in said and "NOT VERIFIED" not in said else f"ended with {code}: {said}"
    if not named:
        whole = "its entry is not on record"
    middle, _ = changed_bundle(written.path, folder / "changed.zip")
    code, said = _as_inspector(folder, "changed.zip")
    found = "holds" if code == 2 and re.search(rf"entry {middle}\b", said) else f"ended with {code}: {said}"
    return {"bundle": whole, "changed bundle": found}


def _as_inspector(folder: Path, bundle: str) -> tuple[int, str]:
    """The verifier that lies in the bundle, in a process that imports nothing of ours."""
    done = subprocess.run(
        [sys.executable, "-I", "verify.py", bundle, "--trust", "card.json"], cwd=folder, capture_output=True,
        text=True, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split())[:400]


def changed_bundle(bundle: Path, out: Path) -> tuple[int, Path]:
    """A copy at `out` with one digit of the middle entry changed; the number of that entry."""
    with zipfile.ZipFile(bundle) as given, zipfile.ZipFile(out, "w") as made:
        lines = given.read("entries.jsonl").split(b"\n")
        middle = len([line for line in lines if line]) // 2
        seq = int(json.loads(lines[middle])["seq"])
        lines[middle] = one_digit_off(lines[middle])
        for item in given.infolist():
            changed = item.filename == "entries.jsonl"
            made.writestr(item.filename, b"\n".join(lines) if changed else given.read(item))
    return seq, out


def one_digit_off(entry: bytes) -> bytes:
    """The same entry with another last digit in its body's time: still canonical, one byte different."""
    at = entry.index(b'"at":"') + len(b'"at":"2026-11-24T10:00:00.00000')
    return entry[:at] + (b"1" if entry[at : at + 1] != b"1" else b"2") + entry[at + 1 :]
