"""The verifier takes a change of origin at a true pair of ledger.continued and nowhere else: each rule is attacked."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit import verifier
from tests import bundles
from tests.audit.test_key_rotation import Beside
from tests.bundles import INTAKE, LOG, ORIGIN, READERS, ROOT, SERVICE, Ledger, Pen, b64, note, tree_root, write
from tests.req import req
from tests.second_verifier import opinion

NEW = "countersign.example/two"
OWNER, QA = READERS
Change = Callable[["Lost"], None]


class Lost:
    """A ledger that lost three entries, with everything that its continuation says; tests change one thing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bundles, "WORDS", (*bundles.WORDS, ("ledger.continued", ("person", "service")),
                                               ("ledger.anchored", ("service",))))
        self.ledger = Ledger()
        self.ledger.some_deeds(6, random.Random(7))
        self.size = self.ledger.size
        self.restored_note = self.ledger.note()
        full = Ledger()
        full.some_deeds(9, random.Random(7))
        self.fields: dict[str, Any] = {
            "old_origin": ORIGIN, "origin": NEW, "known_size": full.size, "known_root": b64(tree_root(full.leaves)),
            "known_note": full.note(), "restored_size": self.size, "restored_root": b64(tree_root(self.ledger.leaves)),
            "because": "the disk was lost",
        }
        self.second: dict[str, Any] = {}
        self.by: tuple[Pen, Pen] = (OWNER, QA)
        self.provers: tuple[tuple[Pen, ...], tuple[Pen, ...]] = ((ROOT,), (ROOT,))
        self.log = (NEW, NEW)
        self.between: Callable[[Ledger], Any] | None = None
        self.after = NEW
        self.notes: dict[str, bytes] = {}

    def continued(self) -> None:
        ledger, first_id = self.ledger, ""
        for number in (0, 1):
            extra: dict[str, Any] = {"first": first_id, **self.second} if number else {}
            fields = {name: value for name, value in (self.fields | extra).items() if value is not None}
            ledger.origin = self.log[number]
            # Both heads are the last checkpoint before the pair: one commit.
            seq = ledger.add("ledger.continued", fields, by=self.by[number], proofs=self.provers[number],
                             seen=self.size)
            first_id = first_id or ledger.parsed(seq)["body"]["id"]
            if number == 0 and self.between is not None:
                self.between(ledger)
        ledger.origin = self.after

    def bundle(self, path: Path) -> Path:
        self.ledger.some_deeds(4, random.Random(8))
        self.ledger.export()
        return write(path, self.ledger.whole() | self.notes)


def judged(path: Path, card: dict[str, Any] | None = None) -> verifier.Report:
    """What the verifier says; the second one must say the same, at the same entry."""
    report, other = verifier.verify_bundle(path, card), opinion(path, card)
    first = report.first_bad
    assert other.good is report.ok, (report.in_words(), other)
    assert (first.seq if first else None) == other.seq, (report.in_words(), other)
    return report


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> Lost:
    return Lost(monkeypatch)


@req("REC-04", "OPS-02")
def test_a_true_continuation_verifies_and_its_loss_is_told(lost: Lost, tmp_path: Path) -> None:
    card = lost.ledger.card()
    lost.notes = {f"anchors/{lost.size}.note": lost.restored_note.encode()}
    lost.continued()
    report = judged(lost.bundle(tmp_path / "b.zip"), card)

    assert report.verdict == verifier.VERIFIED, report.in_words()
    assert report.origin == NEW
    told = " ".join(report.remarks)
    assert f"Receipts of {ORIGIN} for sizes beyond {lost.size}" in told
    assert "lost, not forged" in told
    assert "by no log key" not in told


@req("REC-04", "OPS-02")
def test_a_trust_card_counts_by_the_new_origin_an_old_one_or_one_that_came_later(lost: Lost, tmp_path: Path) -> None:
    """A card of a later origin says up to which size it takes a bundle of this one; beyond it stands what was lost."""
    lost.continued()
    path = lost.bundle(tmp_path / "b.zip")
    card, size = lost.ledger.card(), lost.ledger.size
    cards = {"new": card, "old": card | {"origin": ORIGIN}, "strange": card | {"origin": "else.example/log"},
             "another genesis": card | {"origin": ORIGIN, "genesis_leaf": "0" * 64}}
    for name, former, limit in (("later", NEW, size), ("beyond", NEW, size - 1), ("others", "else.example/log", size)):
        cards[name] = card | {"origin": "three.example/log", "former_origins": [{"origin": former, "size": limit}]}

    assert {name for name, one in cards.items() if judged(path, one).ok} == {"new", "old", "later"}


@req("REC-04")
def test_a_known_note_that_no_log_key_signed_is_said_so(lost: Lost, tmp_path: Path) -> None:
    """It may be of a log key enrolled after the copy, so it is told and not refused."""
    text = lost.fields["known_note"].partition("\n\n")[0].split("\n")
    lost.fields["known_note"] = note(text[0], int(text[1]), verifier.decode_b64(text[2]), Pen.of("log", "another"))
    lost.continued()
    report = judged(lost.bundle(tmp_path / "b.zip"))
    assert report.verdict == verifier.SELF_CONSISTENT
    assert "by no log key" in " ".join(report.remarks)


def _set(**fields: Any) -> Change:
    def change(lost: Lost) -> None:
        lost.fields |= fields

    return change


def _second(**fields: Any) -> Change:
    def change(lost: Lost) -> None:
        lost.second = fields

    return change


def _with(**members: Any) -> Change:
    def change(lost: Lost) -> None:
        for name, value in members.items():
            setattr(lost, name, value)

    return change


def _one_and_true(lost: Lost) -> None:
    lost.fields["copies"], lost.second = 1, {"copies": True}


def _nothing_lost(lost: Lost) -> None:
    lost.fields |= {"known_size": lost.size, "known_root": lost.fields["restored_root"],
                    "known_note": lost.restored_note}


def _old_note_beyond(lost: Lost) -> None:
    size = lost.size + 1
    lost.notes = {f"anchors/{size}.note": note(ORIGIN, size, b"\x07" * 32, LOG).encode()}


def _old_note_after(lost: Lost) -> None:
    """The log key signs the true root of the continued ledger under the old name."""
    continued = lost.continued

    def also() -> None:
        continued()
        size = lost.ledger.size
        lost.notes = {f"anchors/{size}.note": note(ORIGIN, size, tree_root(lost.ledger.leaves), LOG).encode()}

    lost.continued = also  # type: ignore[method-assign]


def _new_note_before(lost: Lost) -> None:
    lost.notes = {f"anchors/{lost.size}.note": note(
        NEW, lost.size, tree_root(lost.ledger.leaves), LOG).encode()}


def _note_of_half(lost: Lost) -> None:
    continued = lost.continued

    def also() -> None:
        continued()
        size = lost.size + 1
        lost.notes = {f"anchors/{size}.note": note(NEW, size, tree_root(lost.ledger.leaves[:size]), LOG).encode()}

    lost.continued = also  # type: ignore[method-assign]


ATTACKS: dict[str, tuple[Change, str]] = {
    "one person alone": (_with(by=(OWNER, OWNER)), "two persons"),
    "a service signs": (_with(by=(SERVICE, INTAKE)), "signed by a person"),
    "no root proof first": (_with(provers=((LOG,), (ROOT,))), "root key"),
    "no root proof second": (_with(provers=((ROOT,), ())), "root key"),
    "another old origin": (_set(old_origin="else.example/log"), "this ledger is"),
    "an origin borne before": (_with(log=(ORIGIN, ORIGIN)), "fresh origin"),
    "signed for the old origin": (_with(log=(ORIGIN, NEW)), "fresh origin"),
    "more restored than stands": (_set(restored_size=99), "restored"),
    "less restored than stands": (_set(restored_size=5), "restored"),
    "another restored root": (_set(restored_root=b64(b"\x07" * 32)), "restored_root"),
    "known size not of the note": (_set(known_size=77), "known outside"),
    "known root not of the note": (_set(known_root=b64(b"\x07" * 32)), "known outside"),
    "no known note": (_set(known_note=None), "known outside"),
    "nothing was lost": (_nothing_lost, "nothing was lost"),
    "the second names another first": (_second(first="0" * 36), "names the first"),
    "the second names none": (_second(first=None), "names the first"),
    "the second says another reason": (_second(because="something else"), "names the first"),
    "the second says true for one": (_one_and_true, "names the first"),
    "the second names another origin": (_with(log=(NEW, "three.example/log")), "fresh origin"),
    "the first names an earlier one": (_set(first="0" * 36), "does not stand before"),
    "a deed between the two": (
        _with(between=lambda ledger: ledger.add("series.received", {"series": "1.2"}, by=SERVICE)), "second signature"),
    "entries of the old name after it": (_with(after=ORIGIN), "not for"),
    "an old note beyond the restored size": (_old_note_beyond, "root|middle"),
    "an old note over the continued tree": (_old_note_after, "a checkpoint of"),
    "a new note before the continuation": (_new_note_before, "a checkpoint of"),
    "a note between the two": (_note_of_half, "in the middle"),
}


@req("REC-04", "OPS-02", "REC-08")
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_false_continuation_is_refused(attack: str, lost: Lost, tmp_path: Path) -> None:
    change, says = ATTACKS[attack]
    change(lost)
    lost.continued()
    report = judged(lost.bundle(tmp_path / "b.zip"))
    assert report.verdict == verifier.WRONG
    assert any(word in report.in_words() for word in says.split("|")), report.in_words()


@req("REC-04", "OPS-02")
def test_the_new_name_before_or_without_a_continuation_is_refused(lost: Lost, tmp_path: Path) -> None:
    """An entry that is signed for the new origin where nothing was continued, and a checkpoint of it alone."""
    lost.ledger.origin = NEW
    lost.ledger.add("series.received", {"series": "1.2"}, by=SERVICE)
    report = judged(lost.bundle(tmp_path / "b.zip"))
    assert report.verdict == verifier.WRONG
    assert report.first_bad is not None
    assert report.first_bad.seq == lost.size

    plain = bundles.a_ledger()
    plain.origin = NEW
    report = judged(write(tmp_path / "c.zip", plain.whole()))
    assert report.verdict == verifier.WRONG
    assert "signed for the ledger" in report.in_words()


@req("REC-04", "OPS-02")
def test_a_ledger_that_ends_with_half_a_continuation_is_refused(lost: Lost, tmp_path: Path) -> None:
    lost.ledger.origin = NEW
    lost.ledger.add("ledger.continued", lost.fields, by=OWNER, proofs=(ROOT,), seen=lost.size)
    checker = verifier.Checker(NEW)
    with pytest.raises(verifier.Wrong, match="second signature"):
        for raw in lost.ledger.entries:
            checker.tree.append(checker.take(raw)[1])
        checker.finish()


@req("REC-04", "OPS-02")
def test_a_record_may_be_continued_twice_and_never_back_to_an_old_name(lost: Lost, tmp_path: Path) -> None:
    """Each change is told; a card of the first name still knows the ledger."""
    card = lost.ledger.card()
    lost.continued()
    for third, good in (("three.example/log", True), (ORIGIN, False)):
        again = Lost.__new__(Lost)
        again.__dict__.update(lost.__dict__)
        again.ledger = Ledger.__new__(Ledger)
        again.ledger.__dict__.update(lost.ledger.__dict__)
        again.ledger.entries = list(lost.ledger.entries)
        again.ledger._streams = dict(lost.ledger._streams)
        again.size = again.ledger.size
        root = b"\x07" * 32
        again.fields = lost.fields | {
            "old_origin": NEW, "origin": third, "known_size": again.size + 5, "known_root": b64(root),
            "known_note": note(NEW, again.size + 5, root, LOG), "restored_size": again.size,
            "restored_root": b64(tree_root(again.ledger.leaves))}
        again.log, again.after = (third, third), third
        again.continued()
        report = judged(again.bundle(tmp_path / f"{good}.zip"), card)
        assert (report.verdict == verifier.VERIFIED) is good, report.in_words()
        assert len([one for one in report.remarks if "goes on as" in one]) == (2 if good else 0)


@req("REC-04", "REC-10")
def test_an_anchored_line_is_of_the_origin_in_force_at_its_size(lost: Lost, tmp_path: Path) -> None:
    """What was anchored before the loss bears the old name; a line of another name or range is no line of this log."""
    beside = Beside()
    lost.ledger.add("key.enrolled", beside.fields, by=ROOT, proofs=(beside,))
    lost.size, known = lost.ledger.size, note(ORIGIN, 99, b"\x07" * 32, LOG)
    root = tree_root(lost.ledger.leaves)
    lost.fields |= {"known_size": 99, "known_note": known, "known_root": b64(b"\x07" * 32),
                    "restored_size": lost.size + 1}
    before = lost.ledger.__dict__ | {"entries": list(lost.ledger.entries), "_streams": dict(lost.ledger._streams)}
    for early, late, back, bad in ((ORIGIN, NEW, 0, None), (NEW, NEW, 0, lost.size),
                                   (ORIGIN, ORIGIN, 0, lost.size + 3), (ORIGIN, NEW, 1, lost.size + 3)):
        ledger = lost.ledger = Ledger.__new__(Ledger)
        ledger.__dict__.update(before | {"entries": list(before["entries"]), "_streams": dict(before["_streams"])})
        ledger.add("ledger.anchored", {"size": lost.size, "authority": "a", "log_signature": b64(
            beside.line(lost.size, root, early))}, by=SERVICE)
        lost.fields["restored_root"] = b64(tree_root(ledger.leaves))
        lost.continued()
        size = ledger.size - back  # one less is the middle of the pair, of which no note stands
        ledger.add("ledger.anchored", {"size": size, "authority": "a", "log_signature": b64(
            beside.line(size, tree_root(ledger.leaves[:size]), late))}, by=SERVICE)
        ledger.export()
        report = judged(write(tmp_path / "b.zip", ledger.whole()))
        assert (report.first_bad.seq if report.first_bad else None) == bad, report.in_words()
