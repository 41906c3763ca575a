"""Every tampering of the research list (section 5): found, where and by which check, or shown from outside.

Numbers are those of the list; A1 to A9 are its "Add". Each is done to a copy of one ledger of 600 entries and 30
checkpoints (tests/tampering.py, tests/thefts.py), in the database file and in the exported bundle, as far as it exists
there.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pytest

from audit.verifier import VERIFIED
from core.errors import CountersignError
from countersign.witness import NotAnExtension
from tests.req import req
from tests.tampering import (
    ANCHORED,
    SIZE,
    Scene,
)
from tests.thefts import (
    STRANGER,
    Change,
    Theft,
    anew,
    another_kid,
    body,
    column,
    cut_batch,
    decomposed,
    deleted_middle,
    deleted_rows,
    doubled_row,
    drop,
    earlier_ts,
    edit,
    exported,
    filtering_view,
    flipped,
    fork,
    inserted,
    list_of,
    malleable,
    member,
    old_copy,
    one_more,
    plain,
    replay,
    resigned,
    revoked_key,
    seq_column_only,
    seq_of,
    shown_to_witness,
    spare_bits,
    spelled,
    stale_note,
    swap,
    swapped_bytes,
    swapped_roots,
    swapped_signatures,
    token_of_another_note,
    truncated,
)

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Case:
    """`store`: place and entry that the check of the live ledger names; `bundle`: step and entry of the verifier.

    An entry may be a word of the scene ("service", "service+49", "person", "second", "end", or "anywhere"); None:
    nothing is named.
    A bundle of None means that the tampering has no place in a bundle. `outside`: seen by witness and time stamp alone.
    """

    number: str
    what: str
    change: Change
    store: tuple[str, str | int | None] | None = None
    bundle: tuple[int, str | int | None] | None = None
    outside: bool = False


CASES = (
    # No key stolen.
    Case("1", "an entry edited", edit(leaves=False, tiles=False), ("data", "service"), (7, "service")),
    Case("2", "and its leaf made good", edit(tiles=False), ("data", "service"), (7, "service")),
    Case("3", "and the tiles, with the old notes kept", edit(), ("data", "service"), (7, "service")),
    Case("4", "everything rebuilt under a log key of one's own", edit("own"), ("checkpoint", 11),
         (7, "service")),
    Case("5", "the last seven rows deleted", deleted_rows(str(SIZE - 7), str(SIZE - 1)), ("checkpoint", None),
         (9, SIZE - 7)),
    Case("6", "the last commit deleted with its checkpoint", cut_batch, outside=True),
    Case("7", "a row in the middle deleted", deleted_middle, ("data", "service"), (4, "service")),
    Case("8", "two entries exchanged", swapped_bytes, ("data", "service"), (4, "service")),
    Case("9", "a row doubled at the end", doubled_row, ("data", "end"), (4, "end")),
    Case("10", "an entry appended by an unknown key", lambda theft: one_more(theft, STRANGER, None), ("data", "end"),
         (6, "end")),
    Case("11", "an old copy of the whole database put back", old_copy, outside=True),
    Case("12", "the column of the time changed", column("ts", "ts + 1"), ("column ts", "service")),
    Case("13", "the time inside an entry changed", earlier_ts, ("data", "service"), (4, "service")),
    Case("14", "the column of the actor changed", column("actor", "'reader-1'"), ("column actor", "service")),
    Case("15", "the column of the leaf changed", column("leaf", "zeroblob(32)"), ("column leaf", "service")),
    Case("16", "a tile changed", lambda theft: theft.sql("UPDATE tile SET data = zeroblob(8192) WHERE idx = 1"),
         ("tile 0/1", 511)),
    Case("17", "a tile deleted", lambda theft: theft.sql("DELETE FROM tile WHERE idx = 0"), ("tile 0/0", 255)),
    Case("18", "a checkpoint deleted that a signer saw and a time stamp holds",
         lambda theft: theft.sql("DELETE FROM checkpoint WHERE size = 200"), ("checkpoint", 200)),
    Case("19", "a note exchanged for another", lambda theft: theft.sql(
        "UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE size = 400) WHERE size = 500"),
         ("checkpoint", 499)),
    Case("21", "text for bytes", column("data", "CAST(data AS TEXT)"), ("data", "service")),
    Case("22", "a trigger dropped", lambda theft: plain(theft, "DROP TRIGGER entry_no_update"), ("schema", None)),
    Case("23", "a column added", lambda theft: plain(theft, "ALTER TABLE entry ADD COLUMN note TEXT"),
         ("schema", None)),
    Case("24", "a view that filters", filtering_view, ("schema", None)),
    Case("25", "the file cut in half", truncated, ("file", "anywhere")),
    Case("26", "one bit of the file flipped", flipped, ("data", "service"), (7, "service")),
    Case("27", "rows vanish from an index", swapped_roots, ("file", None)),
    # The log key stolen, everything above the entries rebuilt.
    Case("28", "an entry edited", edit("log"), ("data", "service"), (7, "service")),
    Case("29", "a row deleted, the column renumbered", seq_column_only, ("data", "service"), (4, "service")),
    Case("30", "and renumbered inside", anew("service", list_of(drop)), ("data", "service+49"), (8, "service+49")),
    Case("31", "two entries exchanged and renumbered inside", anew("service", list_of(swap)),
         ("data", "service+50"), (8, "service+50")),
    Case("32", "an old entry replayed at the end", anew("service", list_of(replay)), ("data", "end"), (8, "end")),
    Case("33", "the time of signing changed", member(body("at", "2026-11-25T09:46:41.000000Z")), ("data", "service"),
         (7, "service")),
    Case("34", "a signature emptied", member(lambda entry: entry.update(sig="")), ("data", "service"), (3, "service")),
    Case("35", "a signature removed", member(lambda entry: entry.pop("sig")), ("data", "service"), (3, "service")),
    Case("36", "an algorithm named `none`", member(lambda entry: entry.update(alg="none")), ("data", "service"),
         (3, "service")),
    Case("37", "two signatures exchanged", anew("service", swapped_signatures), ("data", "service"), (7, "service")),
    Case("38", "the key of another person named", anew("person", another_kid), ("data", "person"), (6, "person")),
    Case("39", "the same signature plus the order of the group", anew("service", malleable), ("data", "service"),
         (7, "service")),
    Case("40", "spare bits of base64", anew("service", spare_bits), ("data", "service"), (3, "service")),
    Case("41", "letters taken apart (NFD)", anew("person", decomposed), ("data", "person"), (3, "person")),
    Case("42", "a Cyrillic letter in the actor", member(body("actor", "re\u0430der-1"), "person"), ("data", "person"),
         (6, "person")),
    Case("43", "1.0 for 1", spelled('"version":1', b'"version":1.0'), ("data", "service"), (3, "service")),
    Case("44", "an exponent", spelled('"microseconds":3', b'"microseconds":5.2e5'), ("data", "service"),
         (3, "service")),
    Case("45", "a member twice", spelled('"version":1', b'"version":1,"version":1'), ("data", "service"),
         (3, "service")),
    Case("46", "a space", spelled('"version":1', b'"version": 1'), ("data", "service"), (3, "service")),
    Case("47", "an escaped letter", spelled('"daily', b'"d\\u0061ily'), ("data", "service"), (3, "service")),
    Case("48", "thirty digits", spelled('"microseconds":3', b'"microseconds":1' + b"0" * 30), ("data", "service"),
         (3, "service")),
    Case("49", "a further member", member(body("note", "x")), ("data", "service"), (3, "service")),
    Case("50", "a NUL", member(lambda entry: entry["body"]["fields"].update(because="a\0b")), ("data", "service"),
         (3, "service")),
    # The log key and the key of one actor.
    Case("51", "a number beyond 2^53, signed", resigned("house", lambda entry: entry["body"]["fields"].update(
        microseconds=2**53 + 1), "service"), ("data", "service"), (3, "service")),
    Case("52", "an entry of another ledger, signed", resigned("house", body("log", "countersign.example/other"),
                                                              "service"), ("data", "service"), (4, "service")),
    Case("53", "an entry edited and signed anew", resigned("reader-1", lambda entry: entry["body"]["fields"].update(
        statement="I never did"), "person"), ("data", "second"), (8, "second")),
    Case("54", "a deed inserted with an old date", anew("service", list_of(inserted)),
         ("data", "service+51"), (8, "service+51")),
    # All keys.
    Case("55", "rolled back and grown anew", fork, outside=True),
    # The list's "Add".
    Case("A1", "two auditors are shown two histories", fork, outside=True),
    Case("A2", "an old checkpoint served with today's entries", stale_note, bundle=(2, None)),
    Case("A3", "a revoked key used", revoked_key, ("data", "end"), (6, "end")),
    Case("A4", "a time stamp of another note", token_of_another_note, ("anchor", 200), (13, None)),
)
# Shown by tests of their own.
ELSEWHERE = {
    "20": "tests/audit/test_tamperings_from_outside.py::"
          "test_a_foreign_signature_line_says_nothing_and_there_is_no_room_for_many",
    "A5": "tests/contracts/test_store_protection.py::"
          "test_on_postgresql_a_session_that_calls_itself_a_replica_is_refused_too",
    "A6": "tests/audit/test_tamperings_from_outside.py::test_a_log_of_writes_removed_or_from_another_copy_is_found",
    "A7": "tests/audit/test_tamperings_from_outside.py::"
          "test_an_attached_database_and_temporary_views_hide_and_change_nothing",
    "A8": "tests/privacy/test_erasure.py::test_a_backup_made_before_and_restored_afterwards_opens_nothing",
    "A9": "tests/audit/test_tamperings_from_outside.py::test_what_stands_in_extra_of_a_proof_is_believed_by_nobody",
}
ALL = {str(number) for number in range(1, 56)} | {f"A{number}" for number in range(1, 10)}


@req("REC-03", "REC-04")
def test_every_tampering_of_the_list_has_its_test() -> None:
    assert sorted({case.number for case in CASES} | ELSEWHERE.keys()) == sorted(ALL)
    assert len({case.number for case in CASES}) == len(CASES)
    for place in ELSEWHERE.values():
        path, _, name = place.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), place


@req("REC-03", "REC-04", "REC-08")
def test_the_ledger_under_attack_is_good_before(scene: Scene, tmp_path: Path) -> None:
    theft = Theft(scene, tmp_path)
    check = theft.store()
    assert check.ok, check.in_words()
    assert (check.entries, check.checkpoints, check.tiles) == (SIZE, 30, 2)
    theft.members = dict(scene.members)
    theft.members |= {f"anchors/{size}.note": scene.notes[size].encode() for size in ANCHORED}
    theft.members |= {f"anchors/{size}-0.tsr": scene.tokens[size] for size in ANCHORED}
    report = theft.bundle()
    assert report.verdict == VERIFIED, report.in_words()
    assert report.witnessed_size == SIZE


@pytest.mark.parametrize("case", [case for case in CASES if not case.outside],
                         ids=lambda case: f"{case.number} {case.what}")
@req("REC-03", "REC-04", "REC-08")
def test_a_tampering_is_found_and_placed(scene: Scene, tmp_path: Path, case: Case) -> None:
    """By the check of the live ledger and by the verifier of the bundle, each at the entry that was touched."""
    theft = Theft(scene, tmp_path)
    case.change(theft)
    if case.store is not None:
        check = theft.store()
        assert not check.ok, case.what
        place, where = case.store
        found = {(one.place, one.seq) for one in check.faults}
        if where == "anywhere":
            assert place in {one for one, _ in found}, check.in_words()
        else:
            assert (place, seq_of(scene, where)) in found, check.in_words()
            first = check.first
            assert first is not None
            assert first.seq == seq_of(scene, where), check.in_words()
    if case.bundle is not None:
        step, where = case.bundle
        first_bad = theft.bundle().first_bad
        assert first_bad is not None, case.what
        assert (first_bad.step, first_bad.seq) == (step, seq_of(scene, where)), first_bad.in_words()
    _witness_refuses_what_it_can_see(theft)


def _witness_refuses_what_it_can_see(theft: Theft) -> None:
    """A note over other entries than the witness saw is refused, or not of the log at all; an untouched one is not."""
    if theft.members is None:
        return
    scene = theft.scene
    made = theft.members["entries.jsonl"].split(b"\n")[:-1]
    if made[:SIZE] == scene.entries:
        return
    with pytest.raises(CountersignError):
        shown_to_witness(theft, made, scene.keys["log"])


@pytest.mark.parametrize("case", [case for case in CASES if case.outside],
                         ids=lambda case: f"{case.number} {case.what}")
@req("REC-04", "OPS-02")
def test_what_shows_only_from_outside_is_shown_there(scene: Scene, tmp_path: Path, case: Case) -> None:
    """Inside everything agrees, and it says so; the witness refuses, and a time stamp from outside makes it wrong."""
    theft = Theft(scene, tmp_path)
    case.change(theft)
    check = theft.store()
    assert check.ok, check.in_words()
    assert "Not visible from inside" in check.in_words()
    connection = sqlite3.connect(theft.path)
    entries = [bytes(row[0]) for row in connection.execute("SELECT data FROM entry ORDER BY seq")]
    connection.close()
    with pytest.raises(NotAnExtension):
        shown_to_witness(theft, entries, scene.keys["log"])
    assert list((tmp_path / "witness").glob("disagreement-*.json"))

    if theft.members is None:
        theft.members = exported(scene, entries)
    alone = theft.bundle()
    assert alone.verdict == VERIFIED, alone.in_words()
    assert any("loss of the newest entries, rollback, and a fork" in text for text in alone.not_checked)
    held = {f"anchors/{SIZE}.note": scene.notes[SIZE].encode(), f"anchors/{SIZE}-0.tsr": scene.tokens[SIZE]}
    seen = theft.bundle(**held).first_bad
    assert seen is not None
    assert seen.step == 13, seen.in_words()
