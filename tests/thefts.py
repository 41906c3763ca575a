"""The thefts of the research list: what each does to a copy of the ledger of tests/tampering.py."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import proofs
from audit.verifier import Report, verify_bundle
from core.ledger_check import Check, check_store
from core.ledger_queries import SqliteReader
from tests.bundles import b64, jcs, leaf_of, pae, tree_root, write
from tests.house import ORIGIN
from tests.second_verifier import opinion
from tests.tampering import (
    SIZE,
    Entry,
    Scene,
    bundled,
    note_by,
    renumbered,
    replaced,
    rewrite,
    signed_by,
    without_triggers,
)

L = 2**252 + 27742317777372353535851937790883648493  # order of the group of Ed25519 (RFC 8032, 5.1)
STRANGER = Ed25519PrivateKey.from_private_bytes(b"a thief's own key, 32 bytes long")


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


def seq_of(scene: Scene, where: str | int | None) -> int | None:
    if not isinstance(where, str):
        return where
    word, _, further = where.partition("+")
    known = {"service": scene.service, "person": scene.person, "second": scene.second_person, "end": SIZE}
    return known[word] + int(further or 0)


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
    """One bit of one entry, in the file as it lies on the disk: of its signature, which still reads as base64."""
    raw = bytearray(theft.scene.database)
    mark = json.loads(theft.scene.entries[theft.scene.service])["sig"].encode()
    place = next(at for at, sign in enumerate(mark[:80]) if chr(sign ^ 1).isalnum())
    raw[raw.index(mark) + place] ^= 1
    theft.path.write_bytes(bytes(raw))
    theft.members = bundled(theft.scene, theft.scene.entries, None)
    lines = bytearray(theft.members["entries.jsonl"])
    lines[lines.index(mark) + place] ^= 1
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


def plain(theft: Theft, statement: str) -> None:
    connection = sqlite3.connect(theft.path)
    connection.execute(statement)
    connection.commit()
    connection.close()


class Leaves:
    """Complete subtrees over leaves in memory (proofs.Nodes)."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._leaves = leaves

    def node(self, level: int, index: int) -> bytes:
        return tree_root(self._leaves[index << level:(index + 1) << level])


def shown_to_witness(theft: Theft, entries: Sequence[bytes], log: Ed25519PrivateKey) -> str:
    witness = theft.scene.witness(theft.folder / "witness")
    known, leaves = witness.known()["size"], [leaf_of(raw) for raw in entries]
    path = proofs.consistency_path(Leaves(leaves), known, len(leaves)) if known < len(leaves) else []
    return witness.add_checkpoint(known, path, note_by(len(leaves), tree_root(leaves), log))


def exported(scene: Scene, entries: list[bytes]) -> dict[str, bytes]:
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
