"""A ledger of 600 entries and 30 checkpoints, held by a witness and time stamps at 200, 400 and 600, and its thieves.

The ledger is a real house's. A thief has the database file, the exported bundle and, as the case says, keys; what he
makes of them is written here with the standard library, past the product's own writer.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert

from audit import proofs, store
from audit.vocabulary.access import AccountabilityStated
from audit.vocabulary.ledger import ClockStepped, KeyRevoked, LedgerAnchored
from audit.vocabulary.registry import ObjectRef
from core.ledger_exports import Wish, card, export
from core.ledger_queries import SessionReader
from countersign.witness import Witness
from tests.audit.test_time_stamps import KEYS, Authority
from tests.bundles import b64, jcs, leaf_of, pae, tree_root
from tests.house import ORIGIN, HouseUnderTest
from tests.writers import HOUSE, YES

SIZE, NOTES = 600, 30
ANCHORED = (200, 400, 600)
AUTHORITY = "https://tsa.example"
ENTRY = "application/vnd.countersign.entry.v1+json"
Entry = dict[str, Any]


@dataclass
class Scene:
    """What everybody had before the theft."""

    folder: Path
    house: HouseUnderTest
    database: bytes
    older: bytes
    members: dict[str, bytes]
    entries: list[bytes]
    notes: dict[int, str]
    card: dict[str, Any]
    tokens: dict[int, bytes]
    keys: dict[str, Ed25519PrivateKey]
    person: int
    second_person: int
    service: int
    witness_folder: Path = field(default_factory=Path)

    def parsed(self, seq: int) -> Entry:
        return dict(json.loads(self.entries[seq]))

    def witness(self, folder: Path) -> Witness:
        """A copy of the witness as it stands outside, with what it has seen."""
        shutil.copytree(self.witness_folder, folder)
        return Witness(folder, ORIGIN, self.house.house.signer.public_key("log"))


def a_scene(folder: Path) -> Scene:
    """Found a house, live in it, have it held from outside, and export it."""
    house = HouseUnderTest(folder)
    for user in ("reader-1", "reader-2"):
        house.person(user, "reader", trial="T1")
    _fill(house, len(house.words()) + 4, 1)
    person = len(house.words())
    house._signed("reader-1", AccountabilityStated(user="reader-1", statement="Läsionen geprüft, \u00b5m"))
    second = len(house.words())
    house._signed("reader-2", AccountabilityStated(user="reader-2", statement="as trained"))
    service = len(house.words()) + 3
    authority = Authority(folder / "authority", KEYS["p256"])
    tokens: dict[int, bytes] = {}
    older = b""
    for size, commits in ((200, 3), (400, 2)):
        _fill(house, size, commits)
        tokens[size] = authority.stamp(_note(house).encode())
        _anchor(house, size, tokens[size])
    older = file_of(house)
    kid = house.house.signer.kid_of_person("reader-2")
    house.desk.record_as_root([(KeyRevoked(kid=kid, because="token lost"), ())])
    _fill(house, SIZE - 1, NOTES - 1 - _number_of_notes(house))
    out = folder / "whole.zip"
    export(house.desk, Wish(), out, under=YES, on_behalf_of="qa-0")
    tokens[SIZE] = authority.stamp(_note(house).encode())
    with zipfile.ZipFile(out) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with house.desk.reading() as session:
        notes = {row.size: row.note for row in session.execute(store.checkpoints.select())}
        trust = json.loads(card(SessionReader(session), ORIGIN)) | {"timestamp_root": authority.pem}
        witness = Witness(folder / "witness", ORIGIN, house.house.signer.public_key("log"))
        known = 0
        for size in ANCHORED:
            path = proofs.consistency_path(store.StoredNodes(session), known, size) if known else []
            witness.add_checkpoint(known, path, notes[size])
            known = size
    trust["witnesses"] = [{"name": witness.name, "public_key": b64(witness.public_key)}]
    signer = house.house.signer
    keys = {name: Ed25519PrivateKey.from_private_bytes(signer._house_key(name).seed)
            for name in ("root", "log", "house")}
    for user in ("reader-1", "reader-2"):
        keys[user] = house.house.signer.prove_person(user, house.proof(user))[0]
    entries = [entry.raw for entry in house.entries()]
    return Scene(folder, house, file_of(house), older, members, entries, notes, trust, tokens, keys, person, second,
                 service, folder / "witness")


def _fill(house: HouseUnderTest, size: int, commits: int) -> None:
    for left in range(commits, 0, -1):
        have = len(house.words())
        with house.desk.open(HOUSE) as work:
            for number in range((size - have) // left):
                work.record(ClockStepped(microseconds=number, because="daily check"), under=YES)


def _note(house: HouseUnderTest) -> str:
    with house.desk.reading() as session:
        newest = store.last_checkpoint(session)
    assert newest is not None
    return newest.note


def _number_of_notes(house: HouseUnderTest) -> int:
    with house.desk.reading() as session:
        return len(session.execute(store.checkpoints.select()).all())


def _anchor(house: HouseUnderTest, size: int, token: bytes) -> None:
    """As `outside_proof.anchor` keeps a token, without the way over the network."""
    ref: ObjectRef = house.desk.objects.put(token, "application/timestamp-reply")
    with house.desk.open(HOUSE) as work:
        work.session.execute(insert(store.anchors).values(size=size, authority=AUTHORITY, token=token))
        work.record(LedgerAnchored(size=size, authority=AUTHORITY, token=ref), under=YES)


def file_of(house: HouseUnderTest) -> bytes:
    """One whole, settled file of the database."""
    copy = house.home / "copy.db"
    source = sqlite3.connect(house.home / "ledger.db")
    source.execute("VACUUM INTO ?", (str(copy),))
    source.close()
    raw = copy.read_bytes()
    copy.unlink()
    return raw


# ---------------------------------------------------------------- what a thief makes of it


def note_by(size: int, root: bytes, key: Ed25519PrivateKey) -> str:
    text = f"{ORIGIN}\n{size}\n{b64(root)}\n"
    key_id = hashlib.sha256(ORIGIN.encode() + b"\n\x01" + key.public_key().public_bytes_raw()).digest()[:4]
    return f"{text}\n— {ORIGIN} {b64(key_id + key.sign(text.encode()))}\n"


def signed_by(entry: Entry, key: Ed25519PrivateKey) -> Entry:
    kid = hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest()
    return entry | {"kid": kid, "sig": b64(key.sign(pae(ENTRY, jcs(entry["body"]))))}


def bundled(scene: Scene, entries: Sequence[bytes], key: Ed25519PrivateKey | None, *, leaves: bool = True
            ) -> dict[str, bytes]:
    """The bundle over changed entries: leaves made anew where the thief thinks of it, the note where he has a key."""
    members = dict(scene.members, **{"entries.jsonl": b"".join(one + b"\n" for one in entries)})
    members.pop("index.html", None)
    for name in [name for name in members if name.startswith("anchors/")]:
        del members[name]
    made = [leaf_of(one) for one in entries]
    if leaves:
        members["leaves.bin"] = b"".join(made)
    if key is not None:
        members["checkpoint.txt"] = note_by(len(entries), tree_root(made), key).encode()
        about = json.loads(members["bundle.json"]) | {"last": len(entries) - 1, "export": len(entries) - 1}
        members["bundle.json"] = jcs(about) + b"\n"
    return members


def without_triggers(connection: sqlite3.Connection, work: Callable[[], object]) -> None:
    """Whoever owns the file drops the triggers, works, and puts them back as if nothing had been."""
    made = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in made:
        connection.execute(f"DROP TRIGGER {name}")
    work()
    for _, statement in made:
        connection.execute(statement)
    connection.commit()


COLUMNS = ("ts", "eid", "stream", "stream_seq", "actor", "on_behalf_of", "action", "trial", "subject", "study", "model",
           "reason")


def _columns(seq: int, raw: bytes) -> dict[str, Any]:
    """Search columns as the entry says them; what cannot be read is taken from thin air."""
    try:
        entry = json.loads(raw)
        body, fields = entry["body"], entry["body"]["fields"]
    except (ValueError, KeyError, TypeError):
        entry, body, fields = {}, {}, {}
    said = {name: body.get(name) for name in ("actor", "on_behalf_of", "action", "trial", "reason")}
    said |= {"subject": fields.get("subject"), "study": fields.get("study"),
             "model": fields.get("lock", fields.get("model"))}
    said |= {"eid": body.get("id"), "ts": entry.get("ts"), "stream": entry.get("stream"),
             "stream_seq": entry.get("stream_seq")}
    due = _thin_air(seq) | {"ts": seq, "actor": "x", "action": "x"}
    return {name: value if isinstance(value, str | int) else due.get(name) for name, value in said.items()}


def _thin_air(seq: int) -> dict[str, Any]:
    return {"eid": f"eid-{seq}", "stream": "x", "stream_seq": seq}


def rewrite(connection: sqlite3.Connection, entries: Sequence[bytes], key: Ed25519PrivateKey | None,
            sizes: Sequence[int], *, leaves: bool = True, tiles: bool = True) -> None:
    """Rows, and as asked leaves, tiles and notes, over other entries."""
    def work() -> None:
        old = dict(connection.execute("SELECT seq, leaf FROM entry"))
        connection.execute("DELETE FROM entry")
        made = [leaf_of(raw) for raw in entries]
        names = ("seq", "data", "leaf", *COLUMNS)
        for seq, raw in enumerate(entries):
            leaf = made[seq] if leaves else old.get(seq, made[seq])
            row = _columns(seq, raw) | {"seq": seq, "data": raw, "leaf": leaf}
            put = f"INSERT INTO entry ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
            try:
                connection.execute(put, [row[name] for name in names])
            except sqlite3.IntegrityError:  # what an index demands once, the thief gives another value
                connection.execute(put, [(row | _thin_air(seq))[name] for name in names])
        if tiles:
            connection.execute("DELETE FROM tile")
            for index in range(len(made) // 256):
                row_of = made[index * 256:index * 256 + 256]
                connection.execute("INSERT INTO tile VALUES (0, ?, ?, ?)", (index, b"".join(row_of), tree_root(row_of)))
        if key is not None:
            connection.execute("DELETE FROM checkpoint")
            for size in sorted({size for size in sizes if size <= len(made)} | {len(made)}):
                root = tree_root(made[:size])
                connection.execute("INSERT INTO checkpoint VALUES (?, ?, ?)", (size, root, note_by(size, root, key)))

    without_triggers(connection, work)


def renumbered(entries: Sequence[Entry]) -> list[bytes]:
    """Outer numbers made whole again; signatures cover the body only and stay good."""
    streams: dict[str, int] = {}
    out = []
    last = -1
    for seq, entry in enumerate(entries):
        number = streams.get(entry["stream"], 0)
        streams[entry["stream"]] = number + 1
        last = max(entry["ts"], last + 1)
        out.append(jcs(entry | {"seq": seq, "stream_seq": number, "ts": last}))
    return out


def replaced(raw: bytes, old: str, new: bytes) -> bytes:
    """The first place that fits the pattern, as bytes."""
    made, number = re.subn(old.encode(), lambda found: new, raw, count=1)
    assert number
    return made
