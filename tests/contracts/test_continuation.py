"""A house that lost entries goes on only under a new origin, by owner and QA with the root key; all can see it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from audit import proofs, store, verifier
from audit.entry import Entry, body_to_sign
from core.errors import AppendingStopped, NotAuthenticated, RecordDamaged, Refused, Stale, UnusableInput
from core.ledger_check import Check, check_store
from core.ledger_evidence import examine
from core.ledger_exports import Wish, card, export
from core.ledger_queries import SessionReader, line_at
from core.policy.state import Actor, Decision
from core.work import Proof
from countersign import outside_proof
from countersign.cli import app
from countersign.house import open_house
from countersign.settings import read_settings
from countersign.standstill import follow_origin, prepare_continuation, resume
from countersign.witness import Witness, serve
from tests.conftest import need
from tests.house import ORIGIN, HouseUnderTest, a_house, checked
from tests.req import req

NEW = "countersign.example/two"
SERVICE = Decision(True, "P-03", "for a test", "service")
OWNER, QA = Actor("owner-0"), Actor("qa-0")


class Story:
    """A house, the old copy of it that was restored, and a witness that saw the house go on after the copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.house = HouseUnderTest(folder)
        self.house.grant("owner-0", "system_owner")
        self.house.grant("qa-0", "qa_auditor")
        self.restored_size = len(self.house.words())
        self.twin = self.house.copied(folder / "restored")
        self.house.person("reader-1", "reader", trial="T1")
        self.known_size = len(self.house.words())
        self.witness = Witness(folder / "witness", ORIGIN, self.house.house.signer.public_key("log"))
        self.witnessed(self.house, self.witness)

    def witnessed(self, house: HouseUnderTest, witness: Witness) -> str:
        server = serve(witness, 0)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}"
            return outside_proof.ask_witness(house.house, url, witness.name, witness.public_key)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def stop(self) -> None:
        with pytest.raises(AppendingStopped):
            self.witnessed(self.twin, self.witness)

    def prepared(self, owner: Actor = OWNER, qa: Actor = QA, *, origin: str = NEW, note: str | None = None) -> Any:
        return prepare_continuation(self.twin.house, owner, qa, origin=origin, note=note, because="disk was lost")

    def go_on(self) -> None:
        self.stop()
        self.prepared().commit(self.twin.proof("owner-0"), self.twin.proof("qa-0"))
        follow_origin(self.twin.house)

    def close(self) -> None:
        self.house.house.close()
        self.twin.house.close()


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    made = Story(tmp_path)
    yield made
    made.close()


def check(house: HouseUnderTest, origin: str) -> Check:
    with house.desk.reading() as session:
        return check_store(SessionReader(session), origin)


def bundle(house: HouseUnderTest, out: Path, wish: Wish | None = None) -> Path:
    return export(house.desk, wish or Wish(), out, under=SERVICE, on_behalf_of="console").path


def card_of(house: HouseUnderTest) -> dict[str, Any]:
    with house.desk.reading() as session:
        return dict(json.loads(card(SessionReader(session), house.house.origin)))


@req("OPS-02", "REC-04")
def test_a_restored_house_stops_and_two_people_continue_it_under_a_new_origin(story: Story) -> None:
    """RECORD 8: nothing is appended until both signed; then both entries, everything after and each note bear the new
    name, and the stop itself is on record."""
    story.stop()
    with pytest.raises(AppendingStopped, match=str(story.known_size)) as told:
        story.twin.grant("qa-0", "monitor")
    assert "doctor" in told.value.in_words()
    before = story.twin.entries()

    story.prepared().commit(story.twin.proof("owner-0"), story.twin.proof("qa-0"))
    follow_origin(story.twin.house)
    story.twin.person("reader-2", "reader", trial="T1")

    made = story.twin.entries()[len(before):]
    first, second, stopped = made[:3]
    assert [one.body["action"] for one in (first, second, stopped)] == [
        "ledger.continued", "ledger.continued", "ledger.stopped"]
    assert (first.body["actor"], second.body["actor"]) == ("owner-0", "qa-0")
    assert second.body["fields"] == {**first.body["fields"], "first": first.body["id"]}
    fields = first.body["fields"]
    assert (fields["old_origin"], fields["known_size"], fields["restored_size"]) == (
        ORIGIN, story.known_size, story.restored_size)
    assert str(story.known_size) in stopped.body["fields"]["because"]
    assert {one.body["log"] for one in before} == {ORIGIN}
    assert {one.body["log"] for one in made} == {NEW}
    with story.twin.desk.reading() as session:
        notes = [proofs.Checkpoint.parse(row.note) for row in session.execute(store.checkpoints.select())]
    assert all((note.origin == NEW) == (note.size > story.restored_size) for note in notes)
    assert story.restored_size + 1 not in {note.size for note in notes}
    assert read_settings(story.twin.home).origin == NEW
    assert not (story.twin.home / "STOPPED").exists()
    found = check(story.twin, NEW)
    assert found.ok, found.in_words()
    assert "lost, not forged" in found.in_words()
    assert not check(story.twin, ORIGIN).ok
    story.twin.check()


@req("OPS-02", "REC-08")
def test_bundles_of_a_continued_record_verify_by_the_old_card_and_by_the_new(story: Story, tmp_path: Path) -> None:
    """Whoever has the old card is told of the change; who has the new one is told what an old bundle is worth."""
    old_card = card_of(story.twin)
    lost = bundle(story.house, tmp_path / "lost.zip")
    story.go_on()
    story.twin.person("reader-2", "reader", trial="T1")
    whole, part = bundle(story.twin, tmp_path / "whole.zip"), bundle(story.twin, tmp_path / "t.zip", Wish(trial="T1"))
    new_card = card_of(story.twin)

    assert new_card["former_origins"] == [{"origin": ORIGIN, "size": story.restored_size}]
    for path in (whole, part):
        by_old, by_new = verifier.verify_bundle(path, old_card), verifier.verify_bundle(path, new_card)
        assert by_old.verdict == by_new.verdict == verifier.VERIFIED, by_old.in_words()
        assert "lost, not forged" in by_new.in_words()
        assert "ask for a new card" in by_old.in_words()
        assert "ask for a new card" not in by_new.in_words()
    refused = verifier.verify_bundle(lost, new_card)
    assert refused.verdict == verifier.WRONG
    assert "not forged" in refused.in_words()
    assert verifier.verify_bundle(lost, old_card).verdict == verifier.VERIFIED  # without news of the loss


@req("OPS-02", "REC-08")
def test_a_bundle_from_before_the_copy_stays_good_under_the_new_card(tmp_path: Path) -> None:
    """What both histories share is not lost."""
    with a_house(tmp_path / "a") as first:
        first.grant("owner-0", "system_owner")
        first.grant("qa-0", "qa_auditor")
        early = bundle(first, tmp_path / "early.zip")
        twin = first.copied(tmp_path / "b")
        first.person("reader-1", "reader", trial="T1")
        with first.desk.reading() as session:
            known = store.last_checkpoint(session)
    with checked(twin):
        assert known is not None
        shown = prepare_continuation(twin.house, OWNER, QA, origin=NEW, note=known.note, because="lost")
        shown.commit(twin.proof("owner-0"), twin.proof("qa-0"))
        report = verifier.verify_bundle(early, card_of(twin))
    assert report.verdict == verifier.VERIFIED
    assert "part of it" in report.in_words()


@req("OPS-02")
def test_one_person_a_wrong_order_or_a_wrong_role_continues_nothing(story: Story) -> None:
    """Owner and QA, in this order, two people; a refusal leaves no half of a continuation."""
    story.stop()
    size = len(story.twin.words())
    for owner, qa in ((OWNER, OWNER), (QA, OWNER), (QA, QA), (OWNER, Actor("nobody"))):
        with pytest.raises(Refused):
            story.prepared(owner, qa)
    shown = story.prepared()
    with pytest.raises(NotAuthenticated):
        shown.commit(story.twin.proof("owner-0"), Proof("not the password", story.twin.proof("qa-0").code))
    assert len(story.twin.words()) == size
    assert story.twin.house.standstill.because() is not None


@req("OPS-02")
def test_a_loss_must_be_shown_by_a_checkpoint_and_the_origin_must_be_new(story: Story) -> None:
    """No checkpoint, one that this record leads to, one of another record, a used or unusable name: nothing changes."""
    with story.twin.desk.reading() as session:
        own = store.last_checkpoint(session)
    assert own is not None
    for note, says in ((None, "No checkpoint"), (own.note, "Nothing is lost"), ("no note", "is not a signed note"),
                       (own.note.replace(ORIGIN, "else.example/log"), "else.example/log")):
        with pytest.raises(UnusableInput, match=says):
            story.prepared(note=note)
    story.stop()
    for origin in (ORIGIN, "two words", "a+b.example", ""):
        with pytest.raises(UnusableInput):
            story.prepared(origin=origin)


@req("REC-04", "OPS-02")
def test_the_signer_never_signs_under_another_name_for_a_false_pair(story: Story) -> None:
    """Asked directly, with entries that no two people signed or that are about another record, it refuses."""
    story.stop()
    shown = story.prepared()
    signer = story.twin.house.signer
    size = story.restored_size
    forged = [
        Entry(b"", body, signer.kid_of_person(body["actor"]), size + number, "", "keys", 99 + number, 1)
        for number, body in enumerate(page.bodies[0] for page in shown.pages)
    ]
    raws = [json.dumps({"body": one.body, "kid": one.kid, "seq": one.seq, "sig": "AA==", "stream": "keys",
                        "stream_seq": one.stream_seq, "ts": 1}, sort_keys=True, ensure_ascii=False,
                       separators=(",", ":")).encode() for one in forged]
    for entries in (raws, raws[:1], [raws[0], raws[0]], []):
        with pytest.raises(RecordDamaged, match="does not rename"):
            signer.sign_continuation(size, entries)
    assert signer.origin == ORIGIN


@req("REC-04")
def test_a_database_that_names_another_origin_does_not_rename_the_signer(house: HouseUnderTest) -> None:
    """A last note of a foreign name, written past the protections, closes signing."""
    with house.desk.reading() as session:
        last = store.last_checkpoint(session)
    assert last is not None
    other = house.copied(house.home.parent / "other")
    with other.desk.engine.begin() as session:
        session.exec_driver_sql("DROP TRIGGER checkpoint_no_update")
        session.exec_driver_sql("UPDATE checkpoint SET note = ? WHERE size = ?",
                                (last.note.replace(ORIGIN, "evil.example/log"), last.size))
    with pytest.raises(RecordDamaged, match="never continued"):
        other.grant("qa-0", "monitor")
    other.house.close()


@req("OPS-02")
def test_a_page_opened_before_the_continuation_cannot_be_signed_after_it(story: Story) -> None:
    """Its bodies were made for the old name."""
    story.stop()
    shown = story.prepared()
    again = story.prepared(origin="countersign.example/three")
    shown.commit(story.twin.proof("owner-0"), story.twin.proof("qa-0"))
    with pytest.raises((Stale, UnusableInput, RecordDamaged)):
        again.commit(story.twin.proof("owner-0"), story.twin.proof("qa-0"))
    follow_origin(story.twin.house)
    assert story.twin.words().count("ledger.continued") == 2


@req("OPS-02", "REC-04")
def test_a_new_witness_begins_where_the_record_was_restored_and_refuses_another_beginning(
    story: Story, tmp_path: Path
) -> None:
    """Its first cosignature says that the continued log extends the last checkpoint before the loss."""
    with story.twin.desk.reading() as session:
        restored = store.last_checkpoint(session)
    assert restored is not None
    story.go_on()
    log_key = story.twin.house.signer.public_key("log")
    second = Witness(tmp_path / "witness-2", NEW, log_key)
    second.follow(tmp_path / "witness", restored.note)

    assert second.known()["size"] == story.restored_size
    assert "cosigned" in story.witnessed(story.twin, second)
    statement = json.loads((tmp_path / "witness-2" / "continues.json").read_text())
    assert proofs.Checkpoint.parse(statement["known"]).size == story.known_size

    third = Witness(tmp_path / "witness-3", NEW, log_key)
    with pytest.raises(UnusableInput):
        third.follow(tmp_path / "nothing", restored.note)
    third.follow(tmp_path / "witness", story.witness.known()["note"])  # not the restored beginning
    story.twin.person("reader-3", "reader", trial="T1")
    with pytest.raises(AppendingStopped):
        story.witnessed(story.twin, third)


@req("REC-04", "OPS-02")
def test_a_fork_is_healed_by_a_continuation_too(story: Story) -> None:
    """The copy grew past what the witness knows, with other entries: both histories are named in the verdict."""
    for number in range(8):
        story.twin.person(f"writer-{number}", "monitor")
    assert len(story.twin.words()) > story.known_size
    restored = len(story.twin.words())
    story.stop()
    story.prepared().commit(story.twin.proof("owner-0"), story.twin.proof("qa-0"))
    follow_origin(story.twin.house)

    found = check(story.twin, NEW)
    assert found.ok, found.in_words()
    assert "another history" in found.in_words()
    assert story.twin.entries()[restored].body["fields"]["known_size"] == story.known_size
    story.twin.check()


@req("OPS-02")
def test_a_crash_after_the_commit_is_made_good_at_the_next_opening(story: Story) -> None:
    """Settings and STOPPED are behind the record; opening the home lets them follow."""
    story.stop()
    story.prepared().commit(story.twin.proof("owner-0"), story.twin.proof("qa-0"))
    assert (story.twin.home / "STOPPED").exists()
    assert read_settings(story.twin.home).origin == ORIGIN

    again = open_house(story.twin.home, clock=story.twin.clock)

    assert again.settings.origin == read_settings(story.twin.home).origin == NEW
    assert again.standstill.because() is None
    again.close()


@req("REC-03", "OPS-02")
def test_entries_of_both_names_are_proven_under_the_new_checkpoint(story: Story) -> None:
    """Every step of the evidence holds for the last entry of the old name and the first of the new."""
    story.go_on()
    with story.twin.desk.reading() as session:
        reader = SessionReader(session)
        for seq in (0, story.restored_size - 1, story.restored_size, story.restored_size + 2):
            evidence = examine(reader, line_at(reader, seq))
            assert evidence.good, [step for step in evidence.steps if step.good is False]
            assert "Origin" in [step.name for step in evidence.steps]


@req("OPS-02")
def test_the_command_shows_both_pages_and_asks_both_people(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Meaning, password and code of each, in one command; afterwards the record verifies by its new name."""
    story.stop()
    twin = story.twin
    monkeypatch.setattr("countersign.house.SystemClock", lambda *_: twin.clock)
    answers = [line for user in ("owner-0", "qa-0")
               for proof in (twin.proof(user),) for line in ("approval", proof.password, proof.code)]
    asked = ["ledger", "continue", "--home", str(twin.home), "--origin", NEW, "--owner", "owner-0", "--qa", "qa-0",
             "--because", "the disk was lost"]

    done = CliRunner().invoke(app, asked, input="\n".join(answers) + "\n")

    assert done.exit_code == 0, done.output
    assert done.output.count("Continue the record under a new origin") == 2
    assert f"{story.known_size} entries" in done.output
    verified = CliRunner().invoke(app, ["ledger", "verify", "--home", str(twin.home)])
    assert verified.exit_code == 0, verified.output
    assert NEW in verified.output
    proven = CliRunner().invoke(app, ["ledger", "prove", str(story.restored_size - 1), "--home", str(twin.home)])
    assert proven.exit_code == 0, proven.output
    assert f"\n{NEW}\n" in proven.output  # an entry of the old name under the checkpoint of the new


@req("OPS-02")
def test_a_house_whose_witness_knows_no_more_resumes_and_a_newer_checkpoint_stops_it(story: Story) -> None:
    """`resume` compares: what this record leads to lets it go on, what goes beyond it stops it for good."""
    with story.twin.desk.reading() as session:
        own = store.last_checkpoint(session)
    assert own is not None
    (story.twin.home / "RESTORED").write_text("Restored for a test.")
    with pytest.raises(AppendingStopped, match="Restored for a test"):
        story.twin.grant("qa-0", "monitor")
    with pytest.raises(Refused):
        resume(story.twin.house, Actor("nobody"), "looked", [own.note])

    receipt = resume(story.twin.house, QA, "compared with the safe", [own.note])
    assert story.twin.entries()[receipt.seq].body["on_behalf_of"] == "qa-0"
    assert story.twin.words()[-1] == "ledger.stopped"

    (story.twin.home / "RESTORED").write_text("Restored for a test.")
    with pytest.raises(AppendingStopped, match=r"another history|missing"):
        resume(story.twin.house, QA, "compared", [story.witness.known()["note"]])
    with pytest.raises(AppendingStopped):
        resume(story.twin.house, QA, "try again without it", [])


@req("OPS-02", "REC-01")
def test_a_record_in_postgresql_is_continued_the_same_way(tmp_path: Path) -> None:
    """The same pair, note and verdict on the production store."""
    need("postgres")
    from tests.postgres import fresh_database

    with a_house(tmp_path, fresh_database()) as house:
        house.grant("owner-0", "system_owner")
        house.grant("qa-0", "qa_auditor")
        with house.desk.reading() as session:
            last = store.last_checkpoint(session)
        assert last is not None
        signer = house.house.signer
        text = proofs.note_text(ORIGIN, last.size + 7, b"\x07" * 32)
        known = proofs.signed_note(text, ORIGIN, signer.public_key("log"), signer.attest("log", text.encode()).sig)
        shown = prepare_continuation(house.house, OWNER, QA, origin=NEW, note=known, because="lost")
        shown.commit(house.proof("owner-0"), house.proof("qa-0"))
        follow_origin(house.house)
        house.person("reader-2", "reader", trial="T1")
        found = check(house, NEW)
        assert found.ok, found.in_words()
        assert body_to_sign(house.entries()[-1].body)
