"""What an outsider does with record, bundle and paper, and attempts to tamper, each of which has to be found."""

from __future__ import annotations

import shutil
import sqlite3
import zipfile
from pathlib import Path

from sqlalchemy import create_engine

from audit.verifier import verify_bundle
from core.errors import CountersignError
from core.ledger_check import check_store
from core.ledger_exports import card
from core.ledger_queries import SessionReader
from countersign.demonstration.papers import BUNDLE
from countersign.demonstration.stage import Stage
from reports.recheck import check_pdf


def prove(stage: Stage, paper: Path) -> None:
    """What an inspector does, then what an attacker does; the demonstration fails if either goes wrong."""
    bundle, trust = stage.folder / BUNDLE, stage.folder / "trust-card.json"
    with stage.desk.reading() as session:
        trust.write_bytes(card(SessionReader(session), stage.desk.signer.origin))
    stage.note("trust card", trust)
    with stage.scene("Proof: the record, the bundle and the paper are checked; tampering is found"):
        with stage.desk.reading() as session:
            check = check_store(SessionReader(session), stage.desk.signer.origin)
        stage.must(check.ok, f"the record agrees: {check.first.in_words() if check.first else ''}")
        stage.note("record", f"{check.entries} entries, {check.signatures} signatures and proofs, "
                             f"{check.checkpoints} checkpoints")
        difference = stage.house.compare()
        stage.must(difference.none, difference.in_words())
        found = verify_bundle(bundle, trust)
        stage.must(found.ok and found.verdict == "VERIFIED", f"the bundle verifies: {found.in_words()}")
        printed = check_pdf(paper, trust=trust)
        stage.must(printed.ok, f"the paper agrees with its record: {printed.in_words()}")
        _attack(stage, bundle, trust, paper)


def _attack(stage: Stage, bundle: Path, trust: Path, paper: Path) -> None:
    scratch = stage.folder / "tampered"
    scratch.mkdir()
    changed = scratch / "bundle.zip"
    _change_member(bundle, changed, "entries.jsonl")
    result = verify_bundle(changed, trust)
    stage.must(not result.ok, "a changed entry in a bundle is found")
    stage.say("   found: one sign changed in the bundle's entries")
    _change_member(bundle, changed, "checkpoint.txt")
    stage.must(not verify_bundle(changed, trust).ok, "a changed checkpoint is found")
    stage.say("   found: one sign changed in the bundle's checkpoint")
    data = bytearray(paper.read_bytes())
    data[len(data) // 2] ^= 0x01
    (scratch / "paper.pdf").write_bytes(data)
    stage.must(_paper_is_refused(scratch / "paper.pdf", trust), "a changed byte in the paper is found")
    stage.say("   found: one bit changed in the paper")
    _attack_database(stage, scratch)
    shutil.rmtree(scratch)


def _paper_is_refused(path: Path, trust: Path) -> bool:
    try:
        return not check_pdf(path, trust=trust).ok
    except CountersignError:
        return True


def _change_member(bundle: Path, to: Path, name: str) -> None:
    with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as target:
        for member in source.namelist():
            data = source.read(member)
            if member == name:
                position = len(data) // 2
                other = b"A" if data[position : position + 1] != b"A" else b"B"
                data = data[:position] + other + data[position + 1 :]
            target.writestr(member, data)


def _attack_database(stage: Stage, scratch: Path) -> None:
    """Somebody with the disk and without the keys removes the protections and rewrites who rejected a series."""
    copy = scratch / "ledger.db"
    source, target = sqlite3.connect(stage.house.home / "ledger.db"), sqlite3.connect(copy)
    with source, target:
        source.backup(target)
    target.execute("DROP TRIGGER entry_no_update")
    target.execute(
        "UPDATE entry SET data = CAST(replace(CAST(data AS TEXT), '\"disposition\":\"rejected\"', "
        "'\"disposition\":\"accepted\"') AS BLOB) WHERE action = 'quality.disposed'"
    )
    target.commit()
    source.close()
    target.close()
    engine = create_engine(f"sqlite:///{copy}")
    with engine.connect() as session:
        check = check_store(SessionReader(session), stage.desk.signer.origin)
    engine.dispose()
    stage.must(not check.ok, "a rewritten disposition in the database is found")
    assert check.first is not None
    stage.say(f"   found in the tampered copy of the database: {check.first.in_words()}")
    stage.note("tampering", "bundle, checkpoint, paper and database: each found")
