"""Small valid ledgers with real keys, and bundles of them, written without any code of the product.

`rfc8785` writes the bytes and the tree is the recursive definition of RFC 6962, so that a mistake of the product's own
writer cannot hide in its tests.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.passkeys import Authenticator

ORIGIN = "countersign.example/tests"
START_US = 1_795_600_000_000_000
WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("key.enrolled", ("root", "person")), ("key.rotated", ("person", "service", "log")),
    ("key.revoked", ("root", "person")), ("vocabulary.adopted", ("root",)), ("policy.adopted", ("root",)),
    ("series.received", ("service",)), ("read.signed", ("person",)), ("action.refused", ("service",)),
    ("export.made", ("service",)), ("key.passkey_enrolled", ("person",)), ("key.passkey_revoked", ("person",)),
)


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def jcs(value: Any) -> bytes:
    return rfc8785.dumps(value)


def pae(kind: str, payload: bytes) -> bytes:
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)


def in_words(us: int) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def leaf_of(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, word for word."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + tree_root(leaves[:k]) + tree_root(leaves[k:])).digest()


def path_of(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962, 2.1.1."""
    if len(leaves) <= 1:
        return []
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if index < k:
        return [*path_of(index, leaves[:k]), tree_root(leaves[k:])]
    return [*path_of(index - k, leaves[k:]), tree_root(leaves[:k])]


@dataclass(frozen=True)
class Pen:
    """A private key with the class and holder it is enrolled for."""

    klass: str
    holder: str
    private: Ed25519PrivateKey

    @classmethod
    def of(cls, klass: str, holder: str, seed: str | None = None) -> Pen:
        secret = hashlib.sha256(f"pen {klass} {seed or holder}".encode()).digest()
        return cls(klass, holder, Ed25519PrivateKey.from_private_bytes(secret))

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    @property
    def kid(self) -> str:
        return hashlib.sha256(self.public).hexdigest()

    @property
    def fields(self) -> dict[str, Any]:
        return {"class": self.klass, "holder": self.holder, "public_key": b64(self.public)}


ROOT, LOG = Pen.of("root", "installation"), Pen.of("log", "installation")
SERVICE, INTAKE = Pen.of("service", "house"), Pen.of("service", "intake")
READERS = (Pen.of("person", "reader-1"), Pen.of("person", "reader-2"))


class Ledger:
    """Entries as bytes. `add` signs and appends; nothing is checked, so that it can also make bad ones."""

    def __init__(self, origin: str = ORIGIN, *, founded: bool = True) -> None:
        self.origin = origin
        self.entries: list[bytes] = []
        self.now = START_US
        self._streams: dict[str, int] = {}
        self._ids = random.Random(7)
        self.log = LOG
        if founded:
            self.add("ledger.founded", ROOT.fields, by=ROOT)
            self.enrol(LOG)
            words = [{"name": name, "version": 1, "signed_by": list(by), "sentence": "{actor} did"}
                     for name, by in WORDS]
            self.add("vocabulary.adopted", {"digest": hashlib.sha256(jcs(words)).hexdigest(), "words": words}, by=ROOT)
            for pen in (SERVICE, INTAKE, *READERS):
                self.enrol(pen)

    @property
    def leaves(self) -> list[bytes]:
        return [leaf_of(entry) for entry in self.entries]

    @property
    def size(self) -> int:
        return len(self.entries)

    def parsed(self, seq: int) -> dict[str, Any]:
        return dict(json.loads(self.entries[seq]))

    def enrol(self, pen: Pen, *, by: Pen = ROOT, proof: bool = True) -> int:
        return self.add("key.enrolled", pen.fields, by=by, proofs=(pen,) if proof else ())

    def head(self, size: int | None = None) -> dict[str, Any]:
        size = self.size if size is None else size
        return {"size": size, "root": b64(tree_root(self.leaves[:size]))}

    def body(
        self, action: str, fields: dict[str, Any], *, by: Pen, actor: str | None = None, proofs: Sequence[Pen] = (),
        seen: int | None = None, at_us: int | None = None, passkey: Authenticator | None = None, **more: Any,
    ) -> dict[str, Any]:
        noise = f"{self._ids.getrandbits(64):016x}"
        stamp = f"{self.now // 1000:012x}"
        body = {
            "action": action, "version": 1, "type": 1, "actor": actor or by.holder, "at": in_words(at_us or self.now),
            "head": self.head(seen), "id": f"{stamp[:8]}-{stamp[8:]}-7{noise[:3]}-8{noise[3:6]}-{noise[4:]}",
            "log": self.origin, "role": "reader" if by.klass == "person" else "service", "rule": "P-01",
            "fields": fields, **more,
        }
        if passkey is not None:
            manifest = body.get("manifest", {"meaning": "review", "printed_name": by.holder})
            body["manifest"] = manifest | {"auth": {"factors": ["password", "passkey"]}}
        if proofs:
            message = pae("application/vnd.countersign.proof.v1+json", jcs(body))
            body["proofs"] = [{"kid": pen.kid, "sig": b64(pen.private.sign(message))} for pen in proofs]
        if passkey is not None:
            body["assertion"] = passkey.answer(body)
        return body

    def add(self, action: str, fields: dict[str, Any], *, by: Pen, **options: Any) -> int:
        """Sign a body and append it; returns its seq."""
        self.now += 1_000_000
        return self.append(self.body(action, fields, by=by, **options), by)

    def append(self, body: dict[str, Any], by: Pen, sig: bytes | None = None, **outer: Any) -> int:
        if body["action"].split(".")[0] in ("key", "policy", "vocabulary", "ledger"):
            stream = "keys"
        else:
            stream = f"trial/{body['trial']}" if "trial" in body else "house"
        signature = sig or by.private.sign(pae("application/vnd.countersign.entry.v1+json", jcs(body)))
        entry = {"body": body, "kid": by.kid, "seq": self.size, "sig": b64(signature), "stream": stream,
                 "stream_seq": self._streams.get(stream, 0), "ts": self.now + 250, **outer}
        self._streams[stream] = self._streams.get(stream, 0) + 1
        self.entries.append(jcs(entry))
        return self.size - 1

    def some_deeds(self, count: int, rng: random.Random) -> None:
        """Deeds of two trials and the house by different keys, with heads that lag a little."""
        seen: dict[str, int] = {}
        for _ in range(count):
            trial = rng.choice(("T1", "T2"))
            kind = rng.randrange(4)
            by = (SERVICE, INTAKE, *READERS)[kind]
            seen[by.kid] = head = rng.randint(max(seen.get(by.kid, 0), self.size - 3), self.size)
            if kind < 2:
                self.add("series.received", {"series": f"1.2.{self.size}", "subject": f"{trial}-{rng.randrange(9):03}",
                                             "note": rng.choice(("µm ≥ 30 %", "line\nbreak", "plain"))},
                         by=by, trial=trial, seen=head)
            else:
                self.add("read.signed", {"subject": f"{trial}-001", "sum": f"{rng.randrange(900) / 10} mm"}, by=by,
                         trial=trial, seen=head, manifest={"meaning": "authorship", "printed_name": by.holder})

    def streams(self, *names: str) -> list[dict[str, Any]]:
        chosen = names or tuple(self._streams)
        return [{"stream": name, "next": self._streams.get(name, 0)} for name in sorted(chosen)]

    def export(self, *names: str, scope: str = "the whole ledger") -> int:
        """Append export.made over these streams (all, when none is named)."""
        return self.add("export.made", {"scope": scope, "streams": self.streams(*names), "size": self.size}, by=SERVICE)

    def note(self, log: Pen | None = None, name: str | None = None, root: bytes | None = None) -> str:
        return note(self.origin, self.size, root or tree_root(self.leaves), log or self.log, name)

    def card(self) -> dict[str, Any]:
        return {"countersign_trust_card": 1, "origin": self.origin, "genesis_leaf": self.leaves[0].hex(),
                "root_key": b64(ROOT.public), "witnesses": []}

    def whole(self) -> dict[str, bytes]:
        """Members of a bundle of everything; the last entry is export.made."""
        export = self.parsed(self.size - 1)
        about = {"format": "countersign-bundle/1", "origin": self.origin, "first": 0, "last": self.size - 1,
                 "export": self.size - 1, "scope": {"kind": "whole", "streams": export["body"]["fields"]["streams"]}}
        return {"bundle.json": jcs(about) + b"\n", "entries.jsonl": b"".join(one + b"\n" for one in self.entries),
                "checkpoint.txt": self.note().encode(), "leaves.bin": b"".join(self.leaves)}

    def part(self, *streams: str, withhold: Sequence[int] = (), leaves: bool = True, kind: str = "streams",
             chosen: Sequence[int] = ()) -> dict[str, bytes]:
        """Members of a bundle of some streams, with a proof for each entry."""
        export = self.parsed(self.size - 1)
        held, hidden = [], []
        for seq, raw in enumerate(self.entries):
            entry = json.loads(raw)
            if seq in withhold:
                hidden.append({"seq": seq, "stream": entry["stream"], "stream_seq": entry["stream_seq"],
                               "leaf": leaf_of(raw).hex(), "rule": "F-90"})
            elif entry["stream"] in streams or seq in chosen or seq == self.size - 1:
                held.append(seq)
        about = {"format": "countersign-bundle/1", "origin": self.origin, "first": held[0], "last": held[-1],
                 "export": self.size - 1, "scope": {"kind": kind, "streams": export["body"]["fields"]["streams"]}}
        members = {"bundle.json": jcs(about) + b"\n", "checkpoint.txt": self.note().encode(),
                   "entries.jsonl": b"".join(self.entries[seq] + b"\n" for seq in held)}
        if leaves:
            members["leaves.bin"] = b"".join(self.leaves)
        if hidden:
            members["withheld.jsonl"] = b"".join(jcs(one) + b"\n" for one in hidden)
        for seq in [*held, *withhold]:
            lines = "".join(b64(one) + "\n" for one in path_of(seq, self.leaves))
            proof = f"c2sp.org/tlog-proof@v1\nindex {seq}\n{lines}\n{self.note()}"
            members[f"proofs/{seq}.tlog-proof"] = proof.encode()
        return members


def note(origin: str, size: int, root: bytes, log: Pen, name: str | None = None) -> str:
    text = f"{origin}\n{size}\n{b64(root)}\n"
    name = name or origin
    key_id = hashlib.sha256(name.encode() + b"\n\x01" + log.public).digest()[:4]
    return f"{text}\n— {name} {b64(key_id + log.private.sign(text.encode()))}\n"


def cosigned(note_text: str, name: str, witness: Pen, stamp: int) -> str:
    """The note with a cosignature/v1 line of a witness."""
    text = note_text.partition("\n\n")[0] + "\n"
    signature = witness.private.sign(f"cosignature/v1\ntime {stamp}\n{text}".encode())
    key_id = hashlib.sha256(name.encode() + b"\n\x04" + witness.public).digest()[:4]
    return f"{note_text}— {name} {b64(key_id + stamp.to_bytes(8, 'big') + signature)}\n"


def a_ledger(seed: int = 7, deeds: int = 12) -> Ledger:
    """A valid ledger whose last entry is export.made over everything."""
    ledger = Ledger()
    ledger.some_deeds(deeds, random.Random(seed))
    ledger.export()
    return ledger


def write(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path
