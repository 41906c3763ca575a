"""A second opinion on any bundle, written from the record format alone, apart from audit/verifier.py.

It shares no code with the product nor with the makers of test ledgers, and works another way: everything in memory,
bytes by `rfc8785`, roots and paths by the recursive definitions of RFC 6962. What both accept or both refuse, at the
same entry, is what the format means. It is not for production: it holds the whole bundle and reads no time stamps.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from cryptography.hazmat.primitives.hashes import SHA256

ENTRY, PROOF = (f"application/vnd.countersign.{what}.v1+json" for what in ("entry", "proof"))
BODY = {"action", "version", "type", "actor", "at", "head", "id", "log", "role", "rule", "fields"}
MORE = {"reason", "trial", "on_behalf_of", "caused_by", "manifest", "assertion", "proofs"}
TEXTS = ("actor", "role", "rule", "log", "action", "reason", "trial", "on_behalf_of")
FOUNDING = ("ledger.founded", "key.enrolled", "vocabulary.adopted", "policy.adopted")
QUARTER_US = 15 * 60 * 10**6
BIDI = set("\u061c\u200e\u200f") | {chr(n) for n in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


class Bad(Exception):
    """What is wrong and, where one entry is to blame, its number."""

    def __init__(self, said: str, seq: int | None = None) -> None:
        super().__init__(said)
        self.said, self.seq = said, seq


@dataclass
class Opinion:
    """Good when `said` is empty; `seq` is the first bad entry where one can be named."""

    said: str = ""
    seq: int | None = None
    witnessed: int = 0
    withheld: int = 0

    @property
    def good(self) -> bool:
        return not self.said


def opinion(path: Path, card: dict[str, Any] | None = None) -> Opinion:
    """Judge a bundle, with a trust card where one is given."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(names) != len(set(names)):
                raise Bad("a member twice")
            return _Judge({name: archive.read(name) for name in names}, card).judge()
    except Bad as bad:
        return Opinion(bad.said, bad.seq)
    except Exception as problem:
        return Opinion(f"{type(problem).__name__} {problem}")


def complaints(path: Path) -> list[str]:
    """Empty when the bundle is good."""
    said = opinion(path).said
    return [said] if said else []


# ---------------------------------------------------------------- bytes


def must(condition: object, said: str, seq: int | None = None) -> None:
    if not condition:
        raise Bad(said, seq)


def unbase(text: Any, size: int | None = None) -> bytes:
    raw = base64.b64decode(text.encode("ascii"), validate=True)
    must(base64.standard_b64encode(raw).decode() == text and size in (None, len(raw)), "base64")
    return raw


def is_number(value: Any, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def pae(kind: str, payload: bytes) -> bytes:
    return b" ".join([b"DSSEv1", str(len(kind)).encode(), kind.encode(), str(len(payload)).encode(), payload])


def signed(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        kind = Ed25519PublicKey if len(public) == 32 else MLDSA44PublicKey
        kind.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def signed_on_p256(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        x, y = (int.from_bytes(half, "big") for half in (public[1:33], public[33:]))
        EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key().verify(signature, message, ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def in_profile(value: Any) -> bool:
    """Types, names and characters that the format allows."""
    if isinstance(value, bool):
        return True
    if isinstance(value, int):
        return abs(value) < 2**53
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value) == value and not any(
            sign in BIDI or (unicodedata.category(sign) in ("Cc", "Cs", "Cn") and sign != "\n") for sign in value)
    if isinstance(value, list):
        return all(in_profile(one) for one in value)
    return isinstance(value, dict) and all(
        re.fullmatch("[a-z][a-z0-9_]*", name) and in_profile(one) for name, one in value.items())


def read_object(raw: bytes) -> dict[str, Any]:
    """An object of the profile whose bytes are its canonical ones."""
    value = json.loads(raw.decode("utf-8"))
    must(isinstance(value, dict) and in_profile(value), "profile")
    must(rfc8785.dumps(value) == raw, "not canonical")
    return dict(value)


def at_us(text: Any) -> int:
    must(isinstance(text, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}(:[0-9]{2}){2}\.[0-9]{6}Z", text),
         "time")
    at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return round((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 10**6)


# ---------------------------------------------------------------- RFC 6962, 2.1


def leaf_of(entry: bytes) -> bytes:
    return hashlib.sha256(b"\0" + entry).digest()


def parent(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1


class Hashes:
    """MTH over prefixes of given leaves; complete subtrees are remembered."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = leaves
        self._kept: dict[tuple[int, int], bytes] = {}

    def root(self, size: int, start: int = 0) -> bytes:
        if size == 0:
            return hashlib.sha256().digest()
        if size == 1:
            return self.leaves[start]
        kept = self._kept.get((start, size))
        if kept is None:
            k = split(size)
            kept = parent(self.root(k, start), self.root(size - k, start + k))
            if size & size - 1 == 0:
                self._kept[start, size] = kept
        return kept


def second_root(entries: list[bytes]) -> bytes:
    """MTH of 2.1 over the exact bytes, with SHA3-512."""
    if len(entries) <= 1:
        return hashlib.sha3_512(b"\0" + entries[0] if entries else b"").digest()
    k = split(len(entries))
    return hashlib.sha3_512(b"\x01" + second_root(entries[:k]) + second_root(entries[k:])).digest()


def climb(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes:
    """PATH of 2.1.1 read backwards."""
    must(0 <= index < size, "path")
    if size == 1:
        must(not path, "path")
        return leaf
    must(path, "path")
    k = split(size)
    if index < k:
        return parent(climb(index, k, leaf, path[:-1]), path[-1])
    return parent(path[-1], climb(index - k, size - k, leaf, path[:-1]))


# ---------------------------------------------------------------- notes (C2SP)


@dataclass
class Note:
    text: str
    origin: str
    size: int
    root: bytes
    lines: list[tuple[str, bytes]]

    def by(self, name: str, public: bytes, kind: int, message: Callable[[bytes], tuple[bytes, bytes]]) -> list[bytes]:
        """The blobs (after the key id) that are good signatures of this key under this name."""
        wanted = hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]
        return [blob[4:] for said, blob in self.lines if said == name and blob[:4] == wanted
                and signed(public, *message(blob[4:]))]

    def signed_by_log(self, public: bytes) -> bool:
        return bool(self.by(self.origin, public, 1, lambda blob: (blob, self.text.encode())))

    def cosigned_by(self, name: str, public: bytes) -> bool:
        def message(blob: bytes) -> tuple[bytes, bytes]:
            return blob[8:], f"cosignature/v1\ntime {int.from_bytes(blob[:8], 'big')}\n{self.text}".encode()

        return bool(self.by(name, public, 4, message))


def read_note(raw: bytes) -> Note:
    must(len(raw) <= 64_000, "note too large")
    text, gap, marks = raw.decode("utf-8").partition("\n\n")
    must(gap and marks[-1:] == "\n" and "\r" not in text + marks, "no note")
    origin, size, root = text.split("\n")
    must(re.fullmatch("0|[1-9][0-9]{0,17}", size), "size of the note")
    lines = []
    for mark in marks[:-1].split("\n"):
        dash, name, blob = mark.split(" ")
        must(dash == "—" and name and not re.search(r"[\s+]", name), "signature line")
        lines.append((name, unbase(blob)))
    must(len(lines) <= 16 and all(len(blob) > 4 for _, blob in lines), "signature lines")
    return Note(text + "\n", origin, int(size), unbase(root, 32), lines)


# ---------------------------------------------------------------- the judge


@dataclass
class Key:
    public: bytes
    klass: str
    holder: str
    born: int = 0
    ended: int | None = None

    def of_log_at(self, size: int) -> bool:
        """Whether this is the log's key over a checkpoint of `size` entries."""
        return self.klass == "log" and self.born < size and (self.ended is None or size <= self.ended)

    def twin_of(self, other: Key) -> bool:
        """In force for the same holder, of the same class and kind."""
        mine, its = ((one.klass, one.holder, len(one.public)) for one in (self, other))
        return self.ended is None and mine == its


def line_of_lattice(note: Note, origin: str, blob: bytes, keys: list[Key]) -> bool | None:
    """Whether an ML-DSA-44 line (C2SP tlog-cosignature) is the log's over this note; None for a key that is not its."""
    name = bytes([len(origin.encode())]) + origin.encode()
    message = b"subtree/v1\n\0" + name + blob[4:12] + name + bytes(8) + note.size.to_bytes(8, "big") + note.root
    named = [key for key in keys if key.klass == "log" and len(key.public) == 1312 and
             hashlib.sha256(origin.encode() + b"\n\x06" + key.public).digest()[:4] == blob[:4]]
    return any(key.of_log_at(note.size) and signed(key.public, blob[12:], message) for key in named) if named else None


@dataclass
class Passkey:
    """Of its holder, from the entry that enrols it until one that ends it."""

    holder: str
    public: bytes
    rp: str
    alone: bool
    used: int
    over: bool = False

    @classmethod
    def brought_by(cls, body: dict[str, Any]) -> Passkey:
        said = body["fields"]
        must(0 < len(unbase(said["credential"])) < 1024, "credential id")
        public = unbase(said["public_key"], {"es256": 65, "ed25519": 32}[said["algorithm"]])
        must(len(public) == 32 or public[0] == 4, "point")
        must(len(public) == 32 or EllipticCurvePublicNumbers(
            int.from_bytes(public[1:33], "big"), int.from_bytes(public[33:], "big"), SECP256R1()).public_key(), "point")
        must(re.fullmatch("[a-z0-9]|[a-z0-9][a-z0-9.-]{0,251}[a-z0-9]", said["rp"]), "relying party")
        must(is_number(said["sign_count"]) and said["sign_count"] < 1 << 32, "sign count")
        must(isinstance(said.get("alone", False), bool), "alone")
        return cls(body["actor"], public, said["rp"], said.get("alone", False), said["sign_count"])

    def answered(self, body: dict[str, Any]) -> None:
        """WebAuthn 7.2, over the body as it is without the answer; the count goes up or stays nothing."""
        answer = {name: unbase(text) for name, text in body["assertion"].items()}
        asked = rfc8785.dumps({name: value for name, value in body.items() if name != "assertion"})
        client = json.loads(answer["client_data"].decode("utf-8"))
        must(client["type"] == "webauthn.get" and client.get("crossOrigin", False) is False, "client data")
        due = base64.urlsafe_b64encode(hashlib.sha256(asked).digest()).rstrip(b"=").decode()
        must(client["challenge"] == due, "challenge")
        scheme, host = re.fullmatch(r"(https?)://([a-z0-9.-]+)(?::[0-9]{1,5})?", client["origin"]).groups()
        must(f".{host}".endswith(f".{self.rp}") and (scheme, host) in (("https", host), ("http", "localhost")), "page")
        data = answer["authenticator_data"]
        must(len(data) == 37 or (len(data) > 37 and data[32] >> 6), "authenticator data")
        must(data.startswith(hashlib.sha256(self.rp.encode()).digest()) and data[32] & 5 == 5, "flags or party")
        count = int.from_bytes(data[33:37], "big")
        must(count > self.used or count == self.used == 0, "sign count")
        check = signed if len(self.public) == 32 else signed_on_p256
        must(check(self.public, answer["signature"], data + hashlib.sha256(answer["client_data"]).digest()), "passkey")
        self.used = count


@dataclass
class _State:
    """What the entries so far have made true."""

    keys: dict[str, Key] = field(default_factory=dict)
    words: dict[tuple[str, int], list[str]] | None = None
    next_of: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    names: list[str] = field(default_factory=list)
    restored: list[int] = field(default_factory=list)
    half: dict[str, Any] | None = None
    passkeys: dict[str, Passkey] = field(default_factory=dict)
    last_seq: int = -1
    last_ts: int = -1

    def origin_of(self, size: int) -> str:
        """The origin of a note over `size` entries; none stands between the two entries of a continuation."""
        return "" if size - 1 in self.restored else self.names[sum(one < size for one in self.restored)]


class _Judge:
    def __init__(self, members: dict[str, bytes], card: dict[str, Any] | None) -> None:
        self.members, self.card = members, card
        self.state = _State()
        self.leaves: list[bytes] | None = None
        self.hashes = Hashes([])
        self.rehashed: list[tuple[int, int, bytes]] = []

    def judge(self) -> Opinion:
        for name in self.members:
            must(re.fullmatch(r"bundle\.json|entries\.jsonl|checkpoint\.txt|leaves\.bin|withheld\.jsonl|index\.html|"
                              r"verify\.py|proofs/(0|[1-9][0-9]*)\.tlog-proof|anchors/[0-9a-z._-]+|objects/[0-9a-f]{64}",
                              name), f"member {name}")
        self.about()
        self.note = read_note(self.members["checkpoint.txt"])
        must(self.note.origin == self.origin and self.note.size > self.last, "another checkpoint")
        self.earlier = [read_note(raw) for name, raw in self.members.items()
                        if re.fullmatch(r"anchors/\d+\.note", name)]
        must(all(0 < one.size <= self.note.size for one in self.earlier), "earlier note")
        must(len({one.size for one in self.earlier}) == len(self.earlier) <= 16, "earlier notes")
        entries = self.lines("entries.jsonl")
        withheld = self.withheld()
        if "leaves.bin" in self.members:
            raw = self.members["leaves.bin"]
            self.leaves = [raw[at:at + 32] for at in range(0, len(raw) - 31, 32)]
        elif self.kind == "whole":
            self.leaves = [leaf_of(one) for one in entries]
        self.hashes = Hashes(self.leaves or [])
        self.all_of(lambda: self.walk(entries, withheld), self.tree, lambda: self.proofs(entries, withheld))
        must(self.state.half is None, "half a continuation", (self.state.half or {}).get("seq"))
        must(self.state.names[-1] == self.origin, "another ledger", 0)
        self.end(entries)
        for name, content in self.members.items():
            must(not name.startswith("objects/") or hashlib.sha256(content).hexdigest() == name[8:], name)
        return Opinion(witnessed=self.outside(entries[0]), withheld=len(withheld))

    @staticmethod
    def all_of(*steps: Callable[[], None]) -> None:
        """Take every step; of what they find, the lowest entry is the first bad one."""
        found = []
        for step in steps:
            try:
                step()
            except Bad as bad:
                found.append(bad)
            except Exception as problem:
                found.append(Bad(f"{type(problem).__name__} {problem}"))
        if found:
            raise min(found, key=lambda bad: (bad.seq is None, bad.seq or 0))

    def lines(self, name: str) -> list[bytes]:
        raw = self.members[name]
        must(raw.endswith(b"\n") or not raw, f"{name} is cut")
        return raw[:-1].split(b"\n") if raw else []

    def about(self) -> None:
        said = read_object(self.members["bundle.json"].removesuffix(b"\n"))
        must(said.keys() == {"format", "origin", "scope", "first", "last", "export"}, "bundle.json")
        must(said["format"] == "countersign-bundle/1" and said["scope"].keys() == {"kind", "streams"}, "bundle.json")
        must(all(is_number(said[name]) for name in ("first", "last", "export")), "bundle.json")
        must(said["first"] == 0 and said["last"] == said["export"], "range")
        self.kind, self.origin, self.last = said["scope"]["kind"], said["origin"], said["last"]
        self.declared = stream_list(said["scope"]["streams"])
        must(self.kind in ("whole", "streams", "entries") and "keys" in self.declared, "scope")
        must(isinstance(self.origin, str) and self.origin, "origin")

    def withheld(self) -> list[dict[str, Any]]:
        if "withheld.jsonl" not in self.members:
            return []
        must(self.kind != "whole", "a whole bundle withholds")
        found = [read_object(line) for line in self.lines("withheld.jsonl")]
        for one in found:
            must(one.keys() == {"seq", "stream", "stream_seq", "leaf", "rule"}, "withheld line")
            must(is_number(one["seq"]) and is_number(one["stream_seq"]) and isinstance(one["stream"], str)
                 and isinstance(one["rule"], str) and isinstance(one["leaf"], str)
                 and re.fullmatch("[0-9a-f]{64}", one["leaf"]), "withheld line")
            must(one["seq"] < self.note.size, "withheld beyond the tree")
        return found

    def walk(self, entries: list[bytes], withheld: list[dict[str, Any]]) -> None:
        waiting = list(withheld)
        for line in entries:
            expected = self.state.last_seq + 1 if self.kind == "whole" else None
            try:
                entry = self.form(line)
            except Exception as problem:
                raise Bad(f"form: {problem}", expected) from problem
            while waiting and waiting[0]["seq"] < entry["seq"]:
                self.skip(waiting.pop(0))
            must(entry["seq"] == expected if expected is not None else entry["seq"] > self.state.last_seq, "seq",
                 expected)
            try:
                self.entry(entry, line)
            except Bad as bad:
                raise Bad(bad.said, entry["seq"]) from bad
            except Exception as problem:
                raise Bad(f"{type(problem).__name__} {problem}", entry["seq"]) from problem
            self.state.last_seq, self.state.last_ts = entry["seq"], entry["ts"]
            self.export = entry
        for one in waiting:
            self.skip(one)

    def skip(self, one: dict[str, Any]) -> None:
        seq, stream, number = one["seq"], one["stream"], one["stream_seq"]
        must(seq > self.state.last_seq and stream != "keys", "withheld", seq)
        self.in_stream(seq, stream, number)
        must(self.leaves is None or self.leaves[seq:seq + 1] == [bytes.fromhex(one["leaf"])], "withheld leaf", seq)
        self.state.last_seq = seq

    def in_stream(self, seq: int, stream: str, number: int) -> None:
        due = self.state.next_of.get(stream, 0)
        if self.kind == "entries" and stream != "keys":
            must(number >= due, "stream_seq falls", seq)
        elif seq == self.last and stream not in self.declared:
            pass  # the export's own entry where its stream was not exported
        else:
            must(number == due, "stream_seq", seq)
            must(self.kind != "streams" or stream in self.declared, "a stream that was not exported", seq)
        self.state.next_of[stream] = number + 1

    def form(self, line: bytes) -> dict[str, Any]:
        must(len(line) <= 65_535, "size")
        entry = read_object(line)
        must(entry.keys() == {"body", "kid", "seq", "sig", "stream", "stream_seq", "ts"}, "members")
        body = entry["body"]
        must(BODY <= body.keys() <= BODY | MORE, "members of the body")
        must(all(isinstance(body[name], str) and body[name] for name in TEXTS if name in body), "text")
        objects = [body[name] for name in ("fields", "manifest", "assertion") if name in body]
        must(all(isinstance(one, dict) for one in objects), "object")
        must(re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", body["action"]), "action")
        must(is_number(body["version"], 1) and is_number(body["type"]) and body["type"] == 1, "version or type")
        must(re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", body["id"]), "id")
        must(body["head"].keys() == {"size", "root"} and is_number(body["head"]["size"]), "head")
        unbase(body["head"]["root"], 32)
        at_us(body["at"])
        must(re.fullmatch("[0-9a-f]{64}", entry["kid"]), "kid")
        must(all(is_number(entry[name]) for name in ("seq", "stream_seq", "ts")), "numbers")
        unbase(entry["sig"], 64)
        if "assertion" in body:
            must(body["assertion"].keys() == {"authenticator_data", "client_data", "credential", "signature"} and all(
                unbase(text) for text in body["assertion"].values()), "assertion")
        if "proofs" in body:
            given = body["proofs"]
            must(isinstance(given, list) and given and all(one.keys() == {"kid", "sig"} for one in given), "proofs")
            must(all(isinstance(one["kid"], str) and len(unbase(one["sig"])) in (64, 2420) for one in given), "proofs")
            must(len({one["kid"] for one in given}) == len(given), "two proofs of one key")
        return entry

    def entry(self, entry: dict[str, Any], line: bytes) -> None:
        state, body, seq = self.state, entry["body"], entry["seq"]
        must(entry["ts"] > state.last_ts, "time")
        self.log(body, seq)
        noun = body["action"].split(".")[0]
        stream = "keys" if noun in ("key", "policy", "vocabulary", "ledger") else (
            "trial/" + body["trial"] if "trial" in body else "house")
        must(entry["stream"] == stream, "stream")
        self.in_stream(seq, stream, entry["stream_seq"])
        must(body["id"] not in state.ids, "id twice")
        state.ids.add(body["id"])
        key, born, born_kid = self.who(entry)
        must(key.ended is None, "the key has ended")
        allowed = (["root"] if body["action"] in FOUNDING else []) if state.words is None else state.words.get(
            (body["action"], body["version"]), [])
        must(key.klass in allowed, "class of the key")
        must(key.holder == body["actor"] and len(key.public) == 32, "holder")
        must(signed(key.public, unbase(entry["sig"]), pae(ENTRY, rfc8785.dumps(body))), "signature")
        bare = {name: value for name, value in body.items() if name not in ("proofs", "assertion")}
        for proof in body.get("proofs", []):
            other = born if born is not None and proof["kid"] == born_kid else state.keys[proof["kid"]]
            must(other.ended is None, "a proof by an ended key")
            must(signed(other.public, unbase(proof["sig"]), pae(PROOF, rfc8785.dumps(bare))), "proof")
        self.passkey(body, key)
        self.head(entry)
        must(self.leaves is None or self.leaves[seq:seq + 1] == [leaf_of(line)], "leaf")
        self.effect(body, entry["kid"], seq, born, born_kid)

    def passkey(self, body: dict[str, Any], by: Key) -> None:
        """Which passkey must answer for this body, and whether it did."""
        all_of_them, answer = self.state.passkeys, body.get("assertion")
        own = {name: one for name, one in all_of_them.items() if one.holder == body["actor"] and not one.over}
        auth = body.get("manifest", {}).get("auth", {})
        factors = auth.get("factors", []) if isinstance(auth, dict) else []
        must(bool(answer) == (isinstance(factors, list) and "passkey" in factors), "factors of the manifest")
        new = None
        if body["action"] == "key.passkey_enrolled":
            new, name = Passkey.brought_by(body), body["fields"]["credential"]
            must(name not in all_of_them, "a passkey twice")
            if not own:
                own = {name: new}
        if answer:
            must(by.klass == "person" and answer["credential"] in own, "another passkey")
            own[answer["credential"]].answered(body)
        else:
            must(new is None, "an enrolment without a passkey")
            must(by.klass != "person" or not any(one.alone for one in own.values()), "passkeys alone")
        if new is not None:
            all_of_them[body["fields"]["credential"]] = new

    def log(self, body: dict[str, Any], seq: int) -> None:
        """Every entry is signed for the origin in force; a continuation for the fresh one that it brings."""
        names = self.state.names
        if seq == 0:
            names.append(body["log"])
        if body["action"] == "ledger.continued":
            said = body["fields"]
            must(said["old_origin"] == names[-1] and said["origin"] == body["log"] not in names, "origins")
        else:
            must(self.state.half is None and body["log"] == names[-1], "log")

    def continued(self, body: dict[str, Any], seq: int, by: Key, provers: set[str]) -> None:
        """RECORD 8: two persons, the root key's proof on both, about this very record and a loss that shows."""
        state, said, half = self.state, body["fields"], self.state.half
        must(by.klass == "person" and any(state.keys[one].klass == "root" for one in provers), "person and root key")
        must(is_number(said["restored_size"], 1) and is_number(said["known_size"]), "sizes of a continuation")
        must(said["restored_size"] == seq - (half is not None), "restored_size")
        known = read_note(said["known_note"].encode())
        must((known.origin, known.size, known.root) == (state.names[-1], said["known_size"],
                                                        unbase(said["known_root"], 32)), "known outside")
        restored = unbase(said["restored_root"], 32)
        if self.leaves is not None:
            must(restored == self.hashes.root(said["restored_size"]), "restored_root")
            must(known.size > said["restored_size"] or known.root != self.hashes.root(known.size), "nothing was lost")
        if half is None:
            must("first" not in said, "a first one that is not there")
            state.half = body | {"seq": seq}
            return
        must(rfc8785.dumps(said) == rfc8785.dumps(half["fields"] | {"first": half["id"]}), "the two differ")
        must(body["actor"] != half["actor"], "one person twice")
        state.names.append(said["origin"])
        state.restored.append(said["restored_size"])
        state.half = None

    def who(self, entry: dict[str, Any]) -> tuple[Key, Key | None, str]:
        """The key that signs, and the one that this entry brings."""
        body, born, born_kid = entry["body"], None, ""
        must((body["action"] == "ledger.founded") == (entry["seq"] == 0), "founding")
        if body["action"] in ("ledger.founded", "key.enrolled", "key.rotated"):
            said = body["fields"]
            born = Key(unbase(said["public_key"]), said["class"], said["holder"], entry["seq"])
            algorithm = (said.get("algorithm", "ed25519"), len(born.public))
            must(algorithm in (("ed25519", 32), ("ml-dsa-44", 1312)), "algorithm")
            must(len(born.public) == 32 or born.klass == "log", "algorithm")
            born_kid = hashlib.sha256(born.public).hexdigest()
            must(born.klass in ("root", "log", "person", "service", "witness"), "class")
            must(isinstance(born.holder, str) and born.holder and born_kid not in self.state.keys, "new key")
        if entry["seq"] == 0:
            must(born is not None and born.klass == "root" and born_kid == entry["kid"], "root key")
            self.state.keys[born_kid] = born  # type: ignore[assignment]
        return self.state.keys[entry["kid"]], born, born_kid

    def head(self, entry: dict[str, Any]) -> None:
        body, seq, state = entry["body"], entry["seq"], self.state
        size, root = body["head"]["size"], unbase(body["head"]["root"])
        must(size <= seq <= size + 65_536 and size >= state.seen.get(entry["kid"], 0), "head")
        if self.leaves is not None or size == 0:
            must(root == self.hashes.root(size), "head of another tree")
        state.seen[entry["kid"]] = size
        late = re.split("[-.]", body.get("reason", ""))[0] == "late"
        must(late or abs(entry["ts"] - at_us(body["at"])) <= QUARTER_US, "time of signing")

    def effect(self, body: dict[str, Any], kid: str, seq: int, born: Key | None, born_kid: str) -> None:
        keys, fields = self.state.keys, body["fields"]
        provers = {proof["kid"] for proof in body.get("proofs", [])}
        if body["action"] in ("key.enrolled", "key.rotated"):
            assert born is not None
            must(born_kid in provers, "no proof by the new key")
            if body["action"] == "key.enrolled":
                must(born.klass != "root", "a second root")
                speakers = {keys[one].holder: keys[one] for one in (provers | {kid}) & keys.keys()}
                twins = [one for one in keys.values() if one.twin_of(born)]
                must(not twins or any(keys.get(one) in twins for one in provers | {kid}), "a further key")
                must(all((one.klass == "person") == (born.klass == "person") for one in keys.values()
                         if one.holder == born.holder), "one name for a person and a key of the house")
                persons = {name for name, one in speakers.items() if one.klass == "person"} - {born.holder}
                must(born.klass != "person" or keys[kid].klass == "root" or len(persons) >= 2, "two persons")
            else:
                old, by = keys[fields["kid"]], keys[kid]
                must(old.ended is None and (old is by or len(old.public) == 1312), "rotated by another key")
                must((old.klass, old.holder) == (born.klass, born.holder) == (by.klass, by.holder),
                     "rotation changes the key")
                must(len(old.public) == len(born.public), "rotation changes the algorithm")
                old.ended = seq
            keys[born_kid] = born
        elif body["action"] == "key.revoked":
            since = fields.get("suspect_from")
            must(since is None or (is_number(since) and since <= seq), "suspect_from")
            key = keys[fields["kid"]]
            key.ended = seq if key.ended is None else key.ended
            for one in self.state.passkeys.values():
                one.over = one.over or (key.klass == "person" and one.holder == key.holder)
        elif body["action"] == "key.passkey_revoked":
            gone = self.state.passkeys[fields["credential"]]
            must(gone.holder == fields["holder"] and not gone.over, "no such passkey in force")
            gone.over = True
        elif body["action"] == "ledger.continued":
            self.continued(body, seq, keys[kid], provers)
        elif body["action"] == "ledger.rehashed":
            size = fields["size"]
            must(fields["algorithm"] == "sha3-512" and is_number(size, 1) and size <= seq, "second hash")
            unbase(fields["root"], 64)
            self.rehashed.append((seq, size, unbase(fields["root"])))
        elif body["action"] == "ledger.anchored" and "log_signature" in fields:
            size, blob = fields["size"], unbase(fields["log_signature"], 2432)
            must(is_number(size, 1) and size <= seq, "anchored size")
            if self.leaves is not None:
                note = Note("", self.state.origin_of(size), size, self.hashes.root(size), [])
                must(note.origin and line_of_lattice(note, note.origin, blob, list(keys.values())), "line of ML-DSA-44")
        elif body["action"] == "vocabulary.adopted":
            words: dict[tuple[str, int], list[str]] = {}
            for one in fields["words"]:
                name, by = (one["name"], one["version"]), one["signed_by"]
                must(isinstance(name[0], str) and is_number(name[1], -2**53) and isinstance(by, list) and by, "word")
                must(name not in words and set(by) <= {"root", "log", "person", "service", "witness"}, "word")
                words[name] = by
            must(words, "no words")
            self.state.words = words

    def tree(self) -> None:
        size, leaves = self.note.size, self.leaves
        if leaves is None:
            return
        for one in sorted(self.earlier, key=lambda one: one.size):
            must(len(leaves) < one.size or self.hashes.root(one.size) == one.root, "earlier note", one.size - 1)
        must(len(leaves) == size, "number of leaves", len(leaves) if len(leaves) < size else None)
        must(len(self.members.get("leaves.bin", b"")) % 32 == 0, "leaves.bin")
        must(self.hashes.root(size) == self.note.root, "root")

    def end(self, entries: list[bytes]) -> None:
        """The signed export that every bundle ends with."""
        fields = self.export["body"]["fields"]
        must(self.export["body"]["action"] == "export.made" and self.export["seq"] == self.last, "export")
        must(stream_list(fields["streams"]) == self.declared and is_number(fields["size"], -2**53), "export's streams")
        must(fields["size"] <= self.last, "export's size")
        must(self.kind != "whole" or len(entries) == self.note.size, "number of entries")
        for name, due in self.declared.items():
            if self.kind != "entries" or name == "keys":
                must(self.state.next_of.get(name, 0) >= due, f"stream {name} is not complete")
        keys = list(self.state.keys.values())
        for note in (self.note, *self.earlier):
            must(note.origin == self.state.origin_of(note.size), "a note of another origin")
            must(any(note.signed_by_log(key.public) for key in keys if key.of_log_at(note.size)), "log key")
            for name, blob in note.lines:
                must(name != note.origin or line_of_lattice(note, name, blob, keys) is not False, "line of ML-DSA-44")
        for seq, size, root in sorted(self.rehashed):
            must(self.kind != "whole" or root == second_root(entries[:size]), "second hash", seq)

    def proofs(self, entries: list[bytes], withheld: list[dict[str, Any]]) -> None:
        leaves: dict[int, bytes] = {}
        before = -1
        for line in entries:
            try:
                seq = json.loads(line)["seq"]
            except (ValueError, TypeError, KeyError):
                continue  # the walk says so
            if is_number(seq):
                if seq <= before:
                    break  # the walk says so; what stands beyond it is in no order
                leaves[seq], before = leaf_of(line), seq
        leaves |= {one["seq"]: bytes.fromhex(one["leaf"]) for one in withheld}
        given = {int(name[7:-11]): (name, raw) for name, raw in self.members.items() if name.startswith("proofs/")}
        for seq in sorted(leaves):
            if seq not in given:
                must(self.leaves is not None, "neither leaves nor proof", seq)
                continue
            name, raw = given[seq]
            try:
                head, _, rest = raw.partition(b"\n\n")
                first, *lines = head.decode().split("\n")
                must(first == "c2sp.org/tlog-proof@v1", name)
                lines = lines[1:] if lines[0].startswith("extra ") else lines
                note = read_note(rest)
                must(lines[0] == f"index {seq}" and note.text == self.note.text, name)
                must(climb(seq, note.size, leaves[seq], [unbase(one, 32) for one in lines[1:]]) == note.root, name)
            except Exception as problem:
                raise Bad(f"{name}: {problem}", seq) from problem
        must(given.keys() <= leaves.keys(), "a proof of nothing")

    def outside(self, genesis: bytes) -> int:
        """Trust card; the largest checkpoint that a witness of it cosigned."""
        if self.card is None:
            return 0
        first = json.loads(genesis)["body"]["fields"]
        former = {one["origin"]: one["size"] for one in self.card.get("former_origins", [])}
        must(self.card["origin"] in self.state.names or self.note.size <= former.get(self.origin, -1), "another origin")
        must(self.card["genesis_leaf"] == leaf_of(genesis).hex()
             and self.card["root_key"] == first["public_key"], "another ledger", 0)
        notes = [self.note, *(self.earlier if self.leaves is not None else ())]
        return max((note.size for note in notes for one in self.card["witnesses"]
                    if note.cosigned_by(one["name"], unbase(one["public_key"], 32))), default=0)


def stream_list(streams: Any) -> dict[str, int]:
    must(isinstance(streams, list) and all(one.keys() == {"stream", "next"} for one in streams), "streams")
    must(all(isinstance(one["stream"], str) and is_number(one["next"]) for one in streams), "streams")
    found = {one["stream"]: one["next"] for one in streams}
    must(len(found) == len(streams), "a stream twice")
    return found
