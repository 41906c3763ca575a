"""Every tampering of the research list (section 5): found, where and by which check, or shown from outside.

Numbers are those of the list; A1 to A9 are its "Add". Each is done to a copy of one ledger of 600 entries and 30
checkpoints (tests/tampering.py), in the database file and in the exported bundle, as far as it exists there.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import proofs
from audit.verifier import VERIFIED, Report, verify_bundle
from audit.vocabulary import registry
from core.errors import CountersignError, RecordDamaged
from core.ledger_check import Check, check_store
from core.ledger_exports import Wish, export
from core.ledger_queries import SqliteReader
from countersign.house import House, open_house
from countersign.outside_proof import ask_witness
from countersign.witness import NotAnExtension
from tests.bundles import b64, jcs, leaf_of, pae, tree_root, write
from tests.house import ORIGIN
from tests.req import req
from tests.second_verifier import opinion
from tests.tampering import (
    ANCHORED,
    SIZE,
    Entry,
    Scene,
    a_scene,
    bundled,
    note_by,
    renumbered,
    replaced,
    rewrite,
    signed_by,
    without_triggers,
)
from tests.writers import YES

ROOT = Path(__file__).resolve().parents[2]
L = 2**252 + 27742317777372353535851937790883648493  # order of the group of Ed25519 (RFC 8032, 5.1)
STRANGER = Ed25519PrivateKey.from_private_bytes(b"a thief's own key, 32 bytes long")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = a_scene(tmp_path_factory.mktemp("scene"))
    yield made
    made.house.house.close()


@dataclass
class Theft:
    """One try: a copy of the database, the bundle, and what came of it."""

    scene: Scene
    folder: Path
    path: Path = field(init=False)
    members: dict[str, bytes] | None = None

    def __post_init__(self) -> None:
        self.path = self.folder / "ledger.db"
        self.path.write_bytes(self.scene.database)

    def sql(self, *statements: str, parameters: Sequence[Any] = ()) -> None:
        """As the owner of the file."""
        connection = sqlite3.connect(self.path)
        without_triggers(connection, lambda: [connection.execute(one, parameters) for one in statements])
        connection.close()

    def entries(self, made: Sequence[bytes], key: Ed25519PrivateKey | None, **how: bool) -> None:
        """The same change in file and bundle; with a key everything above it is built anew."""
        connection = sqlite3.connect(self.path)
        rewrite(connection, made, key, sorted(self.scene.notes), **how)
        connection.close()
        self.members = bundled(self.scene, made, key, leaves=how.get("leaves", True))

    def store(self) -> Check:
        reader = SqliteReader(self.path)
        try:
            return check_store(reader, ORIGIN)
        finally:
            reader.close()

    def bundle(self, **more: bytes) -> Report:
        """The verifier with the trust card; the second verifier says the same."""
        assert self.members is not None
        path = write(self.folder / "b.zip", self.members | more)
        report = verify_bundle(path, self.scene.card)
        if not any(name.endswith(".tsr") for name in self.members | more):
            other = opinion(path, self.scene.card)
            assert other.good is report.ok, (report.in_words(), other)
        return report


Change = Callable[[Theft], object]


@dataclass(frozen=True)
class Case:
    """`store`: place and entry that the check of the live ledger names; `bundle`: step and entry of the verifier.

    An entry may be a word of the scene ("service", "person", "second", "end", or "anywhere"); None: nothing is named.
    A bundle of None means that the tampering has no place in a bundle. `outside`: seen by witness and time stamp alone.
    """

    number: str
    what: str
    change: Change
    store: tuple[str, str | int | None] | None = None
    bundle: tuple[int, str | int | None] | None = None
    outside: bool = False


def seq_of(scene: Scene, where: str | int | None) -> int | None:
    if not isinstance(where, str):
        return where
    return {"service": scene.service, "person": scene.person, "second": scene.second_person, "end": SIZE}[where]


def with_one(scene: Scene, seq: int, raw: bytes) -> list[bytes]:
    return [*scene.entries[:seq], raw, *scene.entries[seq + 1:]]


def edited(scene: Scene, seq: int, **fields: Any) -> bytes:
    entry = scene.parsed(seq)
    entry["body"]["fields"] |= fields
    return jcs(entry)


def edit(key: str | None = None, **how: bool) -> Change:
    """A changed field of a service's entry; with the key of somebody everything above it is built anew."""
    def change(theft: Theft) -> None:
        scene = theft.scene
        made = with_one(scene, scene.service, edited(scene, scene.service, because="never happened"))
        theft.entries(made, scene.keys["log"] if key == "log" else STRANGER if key else None, **how)

    return change


def anew(where: str, make: Callable[[Scene, int], Sequence[bytes] | bytes]) -> Change:
    """With the log key: one entry exchanged, or a whole list, and everything above it built anew."""
    def change(theft: Theft) -> None:
        scene = theft.scene
        seq = seq_of(scene, where)
        assert seq is not None
        made = make(scene, seq)
        theft.entries(with_one(scene, seq, made) if isinstance(made, bytes) else made, scene.keys["log"])

    return change


def spelled(old: str, new: bytes, where: str = "service") -> Change:
    return anew(where, lambda scene, seq: replaced(scene.entries[seq], old, new))


def member(change: Callable[[Entry], object], where: str = "service") -> Change:
    def make(scene: Scene, seq: int) -> bytes:
        entry = scene.parsed(seq)
        change(entry)
        return jcs(entry)

    return anew(where, make)


def body(name: str, value: Any) -> Callable[[Entry], object]:
    return lambda entry: entry["body"].update({name: value})


def list_of(change: Callable[[Scene, list[Entry]], None]) -> Callable[[Scene, int], list[bytes]]:
    """A change of the list of entries, renumbered inside as well."""
    def make(scene: Scene, seq: int) -> list[bytes]:
        entries = [json.loads(raw) for raw in scene.entries]
        change(scene, entries)
        return renumbered(entries)

    return make


def drop(scene: Scene, entries: list[Entry]) -> None:
    del entries[scene.service]


def swap(scene: Scene, entries: list[Entry]) -> None:
    at = scene.service
    entries[at], entries[at + 1] = entries[at + 1], entries[at]


def replay(scene: Scene, entries: list[Entry]) -> None:
    entries.append(entries[scene.service])


def swapped_bytes(theft: Theft) -> None:
    at, raw = theft.scene.service, theft.scene.entries
    theft.entries([*raw[:at], raw[at + 1], raw[at], *raw[at + 2:]], None, leaves=True)


def deleted_rows(low: str, high: str) -> Change:
    def change(theft: Theft) -> None:
        theft.sql(f"DELETE FROM entry WHERE seq BETWEEN {low} AND {high}")
        kept = [raw for seq, raw in enumerate(theft.scene.entries) if not int(low) <= seq <= int(high)]
        theft.members = bundled(theft.scene, kept, None)

    return change


def deleted_middle(theft: Theft) -> None:
    deleted_rows(str(theft.scene.service), str(theft.scene.service))(theft)


def doubled_row(theft: Theft) -> None:
    theft.entries([*theft.scene.entries, theft.scene.entries[theft.scene.service]], None)


def one_more(theft: Theft, key: Ed25519PrivateKey, tree: Ed25519PrivateKey | None, **changes: Any) -> None:
    """An entry after the last, well formed, by this key."""
    scene = theft.scene
    entry = scene.parsed(SIZE - 1)
    head = {"size": SIZE, "root": b64(tree_root([leaf_of(raw) for raw in scene.entries]))}
    entry["body"] |= {"id": entry["body"]["id"][:-4] + "0000", "head": head, **changes}
    entry |= {"seq": SIZE, "ts": entry["ts"] + 1, "stream_seq": entry["stream_seq"] + 1}
    theft.entries([*scene.entries, jcs(signed_by(entry, key))], tree)


def column(name: str, value: str) -> Change:
    return lambda theft: theft.sql(f"UPDATE entry SET {name} = {value} WHERE seq = {theft.scene.service}")


def earlier_ts(theft: Theft) -> None:
    scene = theft.scene
    entry = scene.parsed(scene.service)
    theft.entries(with_one(scene, scene.service, jcs(entry | {"ts": entry["ts"] - 60_000_000})), None)


def cut_batch(theft: Theft) -> None:
    """The last commit, with its checkpoint; what is left is a good ledger of its own."""
    theft.sql(f"DELETE FROM entry WHERE seq >= {SIZE - 1}", f"DELETE FROM checkpoint WHERE size = {SIZE}")


def old_copy(theft: Theft) -> None:
    theft.path.write_bytes(theft.scene.older)


def foreign_line(theft: Theft) -> None:
    """A further signature line says nothing to whoever does not know its key (C2SP signed-note)."""
    scene = theft.scene
    line = note_by(SIZE, bytes(32), STRANGER).split("\n\n")[1].replace(ORIGIN, "somebody.example")
    theft.sql(f"UPDATE checkpoint SET note = note || ? WHERE size = {SIZE}", parameters=[line])
    theft.members = dict(scene.members, **{"checkpoint.txt": scene.members["checkpoint.txt"] + line.encode()})


def truncated(theft: Theft) -> None:
    theft.path.write_bytes(theft.scene.database[:len(theft.scene.database) // 2])


def flipped(theft: Theft) -> None:
    """One bit of one entry, in the file as it lies on the disk."""
    raw = bytearray(theft.scene.database)
    mark = json.loads(theft.scene.entries[theft.scene.service])["sig"].encode()
    raw[raw.index(mark) + 10] ^= 1
    theft.path.write_bytes(bytes(raw))
    theft.members = bundled(theft.scene, theft.scene.entries, None)
    lines = bytearray(theft.members["entries.jsonl"])
    lines[lines.index(mark) + 10] ^= 1
    theft.members["entries.jsonl"] = bytes(lines)


def swapped_roots(theft: Theft) -> None:
    """Two indexes exchange their pages: questions by actor find nothing, a scan finds everything."""
    connection = sqlite3.connect(theft.path)
    connection.execute("PRAGMA writable_schema = ON")
    pages = dict(connection.execute("SELECT name, rootpage FROM sqlite_master WHERE name LIKE 'entry_act%'"))
    for name, other in (("entry_actor", "entry_action"), ("entry_action", "entry_actor")):
        connection.execute("UPDATE sqlite_master SET rootpage = ? WHERE name = ?", (pages[other], name))
    connection.commit()
    connection.close()


def filtering_view(theft: Theft) -> None:
    connection = sqlite3.connect(theft.path)
    connection.execute("PRAGMA legacy_alter_table = ON")
    connection.execute("ALTER TABLE entry RENAME TO entry_all")
    connection.execute("CREATE VIEW entry AS SELECT * FROM entry_all WHERE actor <> 'nobody'")
    connection.commit()
    connection.close()


def seq_column_only(theft: Theft) -> None:
    """The row is deleted and the seq column closed up; inside, the entries still say their old numbers."""
    scene = theft.scene
    theft.entries([raw for seq, raw in enumerate(scene.entries) if seq != scene.service], scene.keys["log"])


def swapped_signatures(scene: Scene, seq: int) -> list[bytes]:
    one, two = scene.parsed(seq), scene.parsed(seq + 1)
    one["sig"], two["sig"] = two["sig"], one["sig"]
    return [*scene.entries[:seq], jcs(one), jcs(two), *scene.entries[seq + 2:]]


def malleable(scene: Scene, seq: int) -> bytes:
    entry = scene.parsed(seq)
    raw = base64.b64decode(entry["sig"])
    s = (int.from_bytes(raw[32:], "little") + L).to_bytes(32, "little")
    return jcs(entry | {"sig": b64(raw[:32] + s)})


def spare_bits(scene: Scene, seq: int) -> bytes:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    entry = scene.parsed(seq)
    sig = entry["sig"]
    return jcs(entry | {"sig": sig[:-3] + alphabet[alphabet.index(sig[-3]) + 1] + "=="})


def decomposed(scene: Scene, seq: int) -> bytes:
    return scene.entries[seq].replace("ä".encode(), "a\u0308".encode())


def another_kid(scene: Scene, seq: int) -> bytes:
    return jcs(scene.parsed(seq) | {"kid": scene.parsed(scene.second_person)["kid"]})


def resigned(by: str, change: Callable[[Entry], object], where: str) -> Change:
    """With the log key and the key of one actor."""
    def make(scene: Scene, seq: int) -> bytes:
        entry = scene.parsed(seq)
        change(entry)
        entry["sig"] = b64(scene.keys[by].sign(_pae(entry["body"])))
        return json.dumps(entry, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()

    return anew(where, make)


def _pae(signed: dict[str, Any]) -> bytes:
    payload = json.dumps(signed, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    return pae("application/vnd.countersign.entry.v1+json", payload)


def inserted(scene: Scene, entries: list[Entry]) -> None:
    """A deed of the service, dated back, with the head that was true then."""
    made = json.loads(json.dumps(entries[scene.service]))
    made["body"] |= {"id": made["body"]["id"][:-4] + "0000"}
    made["body"]["fields"]["because"] = "back-dated"
    entries.insert(scene.service + 1, signed_by(made, scene.keys["house"]))


def regrown(scene: Scene) -> list[bytes]:
    """With all keys: the ledger up to entry 500 as it was, then another history, signed by everybody again."""
    out = list(scene.entries[:500])
    head: dict[str, Any] = {}
    for seq in range(500, SIZE):
        entry = scene.parsed(seq)
        # One commit of 99 and the export, as in the true ledger.
        if seq in (500, SIZE - 1):
            head = {"size": seq, "root": b64(tree_root([leaf_of(raw) for raw in out]))}
        entry["body"]["head"] = head
        if "because" in entry["body"]["fields"]:
            entry["body"]["fields"]["because"] = "as it should have been"
        out.append(jcs(signed_by(entry, scene.keys["house"])))
    return out


def fork(theft: Theft) -> None:
    theft.entries(regrown(theft.scene), theft.scene.keys["log"])


def revoked_key(theft: Theft) -> None:
    """The key of the second reader was revoked by entry 401; the thief signs with it afterwards."""
    changes = {"action": "accountability.stated", "actor": "reader-2", "fields": {"user": "reader-2", "statement": "x"}}
    one_more(theft, theft.scene.keys["reader-2"], theft.scene.keys["log"], **changes)


def token_of_another_note(theft: Theft) -> None:
    scene = theft.scene
    theft.sql("UPDATE anchor SET token = ? WHERE size = 200", parameters=[scene.tokens[400]])
    theft.members = dict(scene.members)
    theft.members["anchors/200.note"] = scene.notes[200].encode()
    theft.members["anchors/200-0.tsr"] = scene.tokens[400]


def stale_note(theft: Theft) -> None:
    theft.members = dict(theft.scene.members, **{"checkpoint.txt": theft.scene.notes[400].encode()})


CASES = (
    # No key stolen.
    Case("1", "an entry edited", edit(leaves=False, tiles=False), ("data", "service"), (7, "service")),
    Case("2", "and its leaf made good", edit(tiles=False), ("data", "service"), (7, "service")),
    Case("3", "and the tiles, with the old notes kept", edit(), ("data", "service"), (7, "service")),
    Case("4", "everything rebuilt under a log key of one's own", edit("own"), ("checkpoint", 10),
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
    Case("20", "a foreign signature line added", foreign_line),
    Case("21", "text for bytes", column("data", "CAST(data AS TEXT)"), ("data", "service")),
    Case("22", "a trigger dropped", lambda theft: _plain(theft, "DROP TRIGGER entry_no_update"), ("schema", None)),
    Case("23", "a column added", lambda theft: _plain(theft, "ALTER TABLE entry ADD COLUMN note TEXT"),
         ("schema", None)),
    Case("24", "a view that filters", filtering_view, ("schema", None)),
    Case("25", "the file cut in half", truncated, ("file", "anywhere")),
    Case("26", "one bit of the file flipped", flipped, ("data", "service"), (7, "service")),
    Case("27", "rows vanish from an index", swapped_roots, ("file", None)),
    # The log key stolen, everything above the entries rebuilt.
    Case("28", "an entry edited", edit("log"), ("data", "service"), (7, "service")),
    Case("29", "a row deleted, the column renumbered", seq_column_only, ("data", "service"), (4, "service")),
    Case("30", "and renumbered inside", anew("service", list_of(drop)), ("data", 91), (8, 91)),
    Case("31", "two entries exchanged and renumbered inside", anew("service", list_of(swap)), ("data", 92), (8, 92)),
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
    Case("54", "a deed inserted with an old date", anew("service", list_of(inserted)), ("data", 93), (8, 93)),
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
    "A5": "tests/contracts/test_store_protection.py::"
          "test_on_postgresql_a_session_that_calls_itself_a_replica_is_refused_too",
    "A6": "tests/audit/test_all_tamperings.py::test_a_log_of_writes_removed_or_from_another_copy_is_found",
    "A7": "tests/audit/test_all_tamperings.py::test_an_attached_database_and_temporary_views_hide_and_change_nothing",
    "A9": "tests/audit/test_all_tamperings.py::test_what_stands_in_extra_of_a_proof_is_believed_by_nobody",
}
# A8, an erased subject's key restored from a backup: the test belongs to erasure and restore, which do not exist yet.
WITH_ERASURE = {"A8"}
ALL = {str(number) for number in range(1, 56)} | {f"A{number}" for number in range(1, 10)}


def _plain(theft: Theft, statement: str) -> None:
    connection = sqlite3.connect(theft.path)
    connection.execute(statement)
    connection.commit()
    connection.close()


@req("REC-03", "REC-04")
def test_every_tampering_of_the_list_has_its_test() -> None:
    assert sorted({case.number for case in CASES} | ELSEWHERE.keys() | WITH_ERASURE) == sorted(ALL)
    assert len({case.number for case in CASES}) == len(CASES)
    for place in ELSEWHERE.values():
        path, _, name = place.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), place
    # Whoever adds the word takes A8 out of the exceptions, with a test.
    assert not any(word["name"].startswith("privacy.erased") for word in registry.catalogue())


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


@pytest.mark.parametrize("case", [case for case in CASES if not case.outside and (case.store or case.bundle)],
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
        _shown_to_witness(theft, made, scene.keys["log"])


class Leaves:
    """Complete subtrees over leaves in memory (proofs.Nodes)."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._leaves = leaves

    def node(self, level: int, index: int) -> bytes:
        return tree_root(self._leaves[index << level:(index + 1) << level])


def _shown_to_witness(theft: Theft, entries: Sequence[bytes], log: Ed25519PrivateKey) -> str:
    witness = theft.scene.witness(theft.folder / "witness")
    known, leaves = witness.known()["size"], [leaf_of(raw) for raw in entries]
    path = proofs.consistency_path(Leaves(leaves), known, len(leaves)) if known < len(leaves) else []
    return witness.add_checkpoint(known, path, note_by(len(leaves), tree_root(leaves), log))


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
        _shown_to_witness(theft, entries, scene.keys["log"])
    assert list((tmp_path / "witness").glob("disagreement-*.json"))

    if theft.members is None:
        theft.members = _exported(scene, entries)
    alone = theft.bundle()
    assert alone.verdict == VERIFIED, alone.in_words()
    assert any("loss of the newest entries, rollback, and a fork" in text for text in alone.not_checked)
    held = {f"anchors/{SIZE}.note": scene.notes[SIZE].encode(), f"anchors/{SIZE}-0.tsr": scene.tokens[SIZE]}
    seen = theft.bundle(**held).first_bad
    assert seen is not None
    assert seen.step == 13, seen.in_words()


def _exported(scene: Scene, entries: list[bytes]) -> dict[str, bytes]:
    """What is left, as the house exports it, which knows nothing yet."""
    last, now = json.loads(entries[-1]), scene.parsed(SIZE - 1)
    ends: dict[str, int] = {}
    for raw in entries:
        entry = json.loads(raw)
        ends[entry["stream"]] = entry["stream_seq"] + 1
    streams = [{"stream": name, "next": due} for name, due in sorted(ends.items())]
    head = {"size": len(entries), "root": b64(tree_root([leaf_of(raw) for raw in entries]))}
    now["body"] |= {"head": head, "at": last["body"]["at"], "id": now["body"]["id"][:-4] + "0000",
                    "fields": {"scope": "the whole ledger", "streams": streams, "size": len(entries)}}
    now |= {"seq": len(entries), "ts": last["ts"] + 1, "stream_seq": ends["house"]}
    members = bundled(scene, [*entries, jcs(signed_by(now, scene.keys["house"]))], scene.keys["log"])
    about = json.loads(members["bundle.json"]) | {"scope": {"kind": "whole", "streams": streams}}
    return members | {"bundle.json": jcs(about) + b"\n"}


@req("REC-03")
def test_a_foreign_signature_line_says_nothing_and_there_is_no_room_for_many(scene: Scene, tmp_path: Path) -> None:
    """20: the format says to ignore it; content and root are the same, and more than 16 lines are refused."""
    theft = Theft(scene, tmp_path)
    foreign_line(theft)
    assert theft.store().ok
    report = theft.bundle()
    assert report == Theft(scene, tmp_path, members=dict(scene.members)).bundle()
    assert report.verdict == VERIFIED
    theft = Theft(scene, tmp_path)
    foreign_line(theft)
    assert theft.members is not None
    line = theft.members["checkpoint.txt"].splitlines(keepends=True)[-1]
    theft.members["checkpoint.txt"] += line * 15
    crowded = theft.bundle().first_bad
    assert crowded is not None
    assert crowded.step == 2
    theft.sql(f"UPDATE checkpoint SET note = note || ? WHERE size = {SIZE}", parameters=[line.decode() * 15])
    assert {one.place for one in theft.store().faults} == {"checkpoint"}


@req("REC-04", "OPS-02")
def test_two_auditors_who_compare_their_notes_see_the_split_view(scene: Scene, tmp_path: Path) -> None:
    """A1: each bundle alone is good; the one's note beside the other's bundle is not, and one has no cosignature."""
    theft = Theft(scene, tmp_path)
    fork(theft)
    theirs = theft.bundle()
    witness = scene.witness(tmp_path / "witness-2")
    note = scene.notes[SIZE]
    cosigned = (note + witness.add_checkpoint(SIZE, [], note) + "\n").encode()
    ours = Theft(scene, tmp_path, members=dict(scene.members)).bundle(**{"checkpoint.txt": cosigned})

    assert theirs.verdict == ours.verdict == VERIFIED
    assert (theirs.size, theirs.cosignatures) == (ours.size, [])
    assert ours.witnessed_size == SIZE
    assert theirs.root != ours.root
    between = theft.bundle(**{f"anchors/{SIZE}.note": cosigned}).first_bad
    assert between is not None
    assert between.step == 13


@req("REC-04", "OPS-02")
def test_a_stale_bundle_is_good_for_its_time_and_the_witness_knows_more(scene: Scene, tmp_path: Path) -> None:
    """A2: an older export as a whole cannot be told from a new one, but for the witness."""
    theft = Theft(scene, tmp_path)
    entries = scene.entries[:400]
    theft.members = _exported(scene, entries)
    stale = theft.bundle()
    assert stale.verdict == VERIFIED, stale.in_words()
    assert any("rollback" in text for text in stale.not_checked)
    with pytest.raises(NotAnExtension, match="a rollback"):
        _shown_to_witness(theft, entries, scene.keys["log"])


@req("REC-04", "OPS-02")
@pytest.mark.parametrize("change", [cut_batch, old_copy])
def test_a_house_with_an_old_or_cut_database_is_stopped_by_the_witness_process(
    scene: Scene, tmp_path: Path, change: Change
) -> None:
    """6 and 11 as they happen: the file is exchanged, the house asks its witness for the next cosignature."""
    theft = Theft(scene, tmp_path)
    change(theft)
    home = tmp_path / "home"
    shutil.copytree(scene.house.home, home, ignore=shutil.ignore_patterns("ledger.db*"))
    shutil.copy(theft.path, home / "ledger.db")
    shutil.copytree(scene.witness_folder, tmp_path / "witness")
    log_key = b64(scene.keys["log"].public_key().public_bytes_raw())
    port = _free_port()
    watching = subprocess.Popen(
        [sys.executable, "-m", "countersign", "ledger", "witness", "--folder", str(tmp_path / "witness"), "--origin",
         ORIGIN, "--log-key", log_key, "--port", str(port)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    house = open_house(home, clock=scene.house.clock)
    try:
        assert watching.stdout is not None
        for line in watching.stdout:
            if line.startswith("Listening"):
                break
        _wait_for(port)
        witness = scene.card["witnesses"][0]
        with pytest.raises(RecordDamaged, match="stopped"):
            ask_witness(house, f"http://127.0.0.1:{port}", witness["name"], base64.b64decode(witness["public_key"]))
        with pytest.raises(RecordDamaged, match="stopped"), house.desk.writing():
            pass
    finally:
        house.close()
        watching.terminate()
        watching.communicate(timeout=30)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    pytest.fail("the witness does not listen")


@req("REC-03", "REC-04")
def test_a_log_of_writes_removed_or_from_another_copy_is_found(scene: Scene, tmp_path: Path) -> None:
    """A6: removed, the newest commits are gone, which the witness sees; a foreign one damages the file, which the check
    sees. A log of writes that never was checkpointed into the file is the newest part of the record."""
    theft = Theft(scene, tmp_path)
    theft.path.write_bytes(scene.older)
    _regrown_in(theft.path, scene.database)
    left = tmp_path / "ledger.db-wal"
    removed = Theft(scene, _folder(tmp_path / "removed"))
    removed.path.write_bytes(theft.path.read_bytes())
    check = removed.store()
    assert left.stat().st_size > 100_000
    assert (check.ok, check.entries) == (True, 401)
    with pytest.raises(NotAnExtension, match="a rollback"):
        _shown_to_witness(removed, scene.entries[:401], scene.keys["log"])

    kept = Theft(scene, _folder(tmp_path / "kept"))
    kept.path.write_bytes(theft.path.read_bytes())
    shutil.copy(left, kept.folder / "ledger.db-wal")
    assert kept.store().entries == SIZE

    foreign = Theft(scene, _folder(tmp_path / "foreign"))
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE entry (seq INTEGER PRIMARY KEY, data BLOB)")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executemany("INSERT INTO entry (data) VALUES (?)", [(raw,) for raw in scene.entries])
    connection.commit()
    shutil.copy(tmp_path / "other.db-wal", foreign.folder / "ledger.db-wal")
    connection.close()
    assert {one.place for one in foreign.store().faults} & {"file", "data", "schema"}


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _regrown_in(path: Path, whole_database: bytes) -> None:
    """Put the entries after 400 into the file's log of writes as the house would have, and leave them there."""
    script = (
        "import sqlite3, sys, os\n"
        "whole, path = sys.argv[1:]\n"
        "c = sqlite3.connect(path, isolation_level=None)\n"
        "c.execute('PRAGMA journal_mode=WAL'); c.execute('PRAGMA wal_autocheckpoint=0')\n"
        "c.execute('ATTACH ? AS whole', (whole,)); c.execute('BEGIN')\n"
        "for table in ('entry', 'checkpoint', 'tile', 'anchor'):\n"
        "    key = 'seq' if table == 'entry' else 'idx' if table == 'tile' else 'size'\n"
        "    c.execute(f'INSERT INTO main.{table} SELECT * FROM whole.{table} WHERE {key} > '\n"
        "              f'(SELECT coalesce(max({key}), -1) FROM main.{table}) ORDER BY 1')\n"
        "c.execute('COMMIT'); os._exit(0)\n"  # no close: it would move the log into the file
    )
    whole = path.with_name("whole.db")
    whole.write_bytes(whole_database)
    subprocess.run([sys.executable, "-c", script, str(whole), str(path)], check=True)


@req("REC-04", "REC-05")
def test_an_attached_database_and_temporary_views_hide_and_change_nothing(scene: Scene, tmp_path: Path) -> None:
    """A7: what somebody lays over the record in a session of his own ends with it; through an attachment the triggers
    hold as well."""
    theft = Theft(scene, tmp_path)
    session = sqlite3.connect(":memory:", isolation_level=None)
    session.execute("ATTACH ? AS record", (str(theft.path),))
    session.execute("CREATE TABLE main.entry (seq INTEGER)")
    session.execute("CREATE TEMP VIEW checkpoint AS SELECT * FROM record.checkpoint WHERE size < 100")
    for statement in ("UPDATE record.entry SET actor = 'x' WHERE seq = 40", "DELETE FROM record.entry WHERE seq = 40",
                      "INSERT OR REPLACE INTO record.checkpoint SELECT size, root, 'x' FROM record.checkpoint LIMIT 1"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            session.execute(statement)
    check = theft.store()
    session.close()

    assert check.ok, check.in_words()
    assert check.checkpoints == 30
    _plain(theft, "CREATE TRIGGER spy AFTER INSERT ON entry BEGIN SELECT 1; END")
    assert [one.reason for one in theft.store().faults] == ["trigger spy was added"]


@req("REC-03", "REC-08")
def test_what_stands_in_extra_of_a_proof_is_believed_by_nobody(scene: Scene, tmp_path: Path) -> None:
    """A9: the line `extra` of a tlog-proof is signed by nobody; whatever it claims, the report is the same."""
    out = tmp_path / "part.zip"
    with checked_copy(scene, tmp_path) as house:
        export(house.desk, Wish(trial="T1"), out, under=YES, on_behalf_of="qa-0")
    with zipfile.ZipFile(out) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    theft = Theft(scene, tmp_path, members=members)
    before = theft.bundle()
    assert before.verdict == VERIFIED, before.in_words()
    for name in [name for name in members if name.startswith("proofs/")]:
        members[name] = members[name].replace(b"\nindex", b"\nextra aW5kZXggOTk5\nindex", 1)
    assert theft.bundle() == before
    last = max(int(name[7:-11]) for name in members if name.startswith("proofs/"))
    members[f"proofs/{last}.tlog-proof"] = members[f"proofs/{last}.tlog-proof"].replace(
        f"index {last}".encode(), f"extra index {last}\nindex {last - 1}".encode(), 1).replace(
        b"extra aW5kZXggOTk5\n", b"", 1)
    moved = theft.bundle().first_bad
    assert moved is not None
    assert (moved.step, moved.seq) == (9, last)


@contextlib.contextmanager
def checked_copy(scene: Scene, folder: Path) -> Iterator[House]:
    """The house once more, beside the one under attack."""
    home = folder / "copy"
    shutil.copytree(scene.house.home, home, ignore=shutil.ignore_patterns("ledger.db*"))
    (home / "ledger.db").write_bytes(scene.database)
    house = open_house(home, clock=scene.house.clock)
    yield house
    house.close()
