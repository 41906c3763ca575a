#!/usr/bin/env python3
"""Checks a bundle of a Countersign ledger without trusting whoever made it.

    python verify.py BUNDLE.zip [--trust CARD.json] [--require-trust] [--jobs N] [--json]

One file, the standard library and `cryptography`; it imports nothing of Countersign. The rules are those of the
record format (suite 1). Each step has its number at the line that does it.

     1  Container    a whole ZIP, known members only, each once; bundle.json says which entries it holds
     2  Checkpoint   the note is well formed, of this origin, and names a size and a root
     3  Form         each entry: size, parse, re-encoded byte for byte, profile, exact members, base64, text
     4  Order        seq, time never back, stream recomputed, stream_seq without a gap, no id twice; signed for the
                     origin in force, which only a pair of ledger.continued changes: two persons and the root key
     5  Words        each action is a word of the newest vocabulary adopted before it
     6  Keys         enrolled before use, in force, of a class the word allows, held by the actor; a further key of
                     one holder is proved by the one in force, or comes after its revocation; so is a further passkey
     7  Signatures   Ed25519 over the body, every further proof, and the passkey's assertion where there is one: made
                     for this very body, by a passkey of its actor in force, with user verification, its count risen;
                     who signs with passkeys alone signs nothing without
     8  Heads        what each signer had seen is a root of this very tree; signing time near to the ledger's
     9  Tree         leaves, leaves.bin and proofs lead to the root of the checkpoint; what ledger.rehashed says of the
                     entries under a second hash is recomputed
    10  Log key      each checkpoint is signed by a log key in force at its size; so are lines of ML-DSA-44
    11  Completeness export.made counts what the bundle must hold; what is withheld is proven to exist
    12  Objects      every object has the digest it is named by
    13  Origin       trust card: origin, first entry, root key; cosignatures of its witnesses and time stamps under its
                     root, on this checkpoint or an earlier one (anchors/<size>.note, <size>-<n>.tsr), whose root must
                     be one of this tree and its origin the one in force at its size; a card of an earlier origin counts

Verdicts: VERIFIED (with a trust card), SELF-CONSISTENT, ORIGIN NOT VERIFIED (without), WRONG.
Exit: 0 verified or self-consistent; 2 wrong, or no card under --require-trust; 1 wrong use.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import io
import json
import os
import re
import sys
import tempfile
import unicodedata
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

mldsa: Any = None
with suppress(ImportError):  # an older library: what needs ML-DSA is then named as not checked
    from cryptography.hazmat.primitives.asymmetric import mldsa

ENTRY_TYPE = b"application/vnd.countersign.entry.v1+json"
PROOF_TYPE = b"application/vnd.countersign.proof.v1+json"
BUNDLE_FORMAT = "countersign-bundle/1"
MAX_ENTRY_BYTES = 65_535
MAX_LAG = 65_536
MAX_SKEW_US = 15 * 60 * 1_000_000
MAX_NOTE_LINES, MAX_NOTE_BYTES = 16, 64_000
MAX_JSON_BYTES = 4_000_000

OUTER = {"body", "kid", "seq", "sig", "stream", "stream_seq", "ts"}
BODY_ALWAYS = {"action", "version", "type", "actor", "at", "head", "id", "log", "role", "rule", "fields"}
BODY_SOMETIMES = {"reason", "trial", "on_behalf_of", "caused_by", "manifest", "assertion", "proofs"}
ASSERTION = {"credential", "authenticator_data", "client_data", "signature"}
ES256, ES256_PUBLIC = "es256", 65  # COSE -7: ECDSA on P-256 with SHA-256; the point uncompressed (SEC 1, 2.3.3)
USER_PRESENT, USER_VERIFIED, MORE_DATA = 0x01, 0x04, 0xC0  # flags of authenticator data (WebAuthn 6.1)
CLASSES = {"root", "log", "person", "service", "witness"}
ML_DSA_44, ML_DSA_PUBLIC, ML_DSA_SIGNATURE = "ml-dsa-44", 1312, 2420  # FIPS 204
SECOND_HASH = "sha3-512"
MAX_REHASHES = 4096
KEY_NOUNS = ("key.", "policy.", "vocabulary.", "ledger.")
# Before a vocabulary exists only the root key speaks, and only these words.
FOUNDING_WORDS = {"ledger.founded", "key.enrolled", "vocabulary.adopted", "policy.adopted"}
FIXED_MEMBERS = {"bundle.json", "entries.jsonl", "checkpoint.txt", "leaves.bin", "withheld.jsonl", "index.html",
                 "verify.py"}
STEP_NAMES = {1: "Container", 2: "Checkpoint", 3: "Form", 4: "Order", 5: "Words", 6: "Keys", 7: "Signatures",
              8: "Heads", 9: "Tree", 10: "Log key", 11: "Completeness", 12: "Objects", 13: "Origin"}

VERIFIED = "VERIFIED"
SELF_CONSISTENT = "SELF-CONSISTENT, ORIGIN NOT VERIFIED"
WRONG = "WRONG"


class Wrong(Exception):
    """One thing that is not as the rules demand: the step that saw it, the entry if there is one, plain words."""

    def __init__(self, step: int, reason: str, seq: int | None = None) -> None:
        super().__init__(reason)
        self.step, self.reason, self.seq = step, reason, seq


class WrongUse(Exception):
    """The verifier was called with something that is no bundle or card at all."""


@dataclass(frozen=True)
class Finding:
    """A `Wrong` as it stands in the report."""

    step: int
    seq: int | None
    reason: str

    def in_words(self) -> str:
        where = f"entry {self.seq}" if self.seq is not None else "bundle"
        return f"{where}: {self.reason} (step {self.step}, {STEP_NAMES[self.step]})"


@dataclass
class Report:
    """What was found, and what could not be looked at."""

    verdict: str = WRONG
    origin: str = ""
    size: int = 0
    root: str = ""
    genesis_leaf: str = ""
    root_key: str = ""
    scope: str = ""
    entries: int = 0
    withheld: int = 0
    signatures: int = 0
    keys: int = 0
    assertions: int = 0
    objects: int = 0
    witnessed_size: int = 0
    cosignatures: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.verdict != WRONG

    @property
    def first_bad(self) -> Finding | None:
        """The finding with the lowest entry number; one about the whole bundle only when no entry is named."""
        named = [finding for finding in self.findings if finding.seq is not None]
        return min(named, key=lambda finding: finding.seq or 0) if named else next(iter(self.findings), None)

    def as_json(self) -> dict[str, Any]:
        first = self.first_bad
        return {**asdict(self), "first_bad": asdict(first) if first else None}

    def in_words(self) -> str:
        lines = [self.verdict]
        if self.size:
            lines.append(f"{self.entries} entries ({self.scope}) of a ledger of {self.size}, origin {self.origin}")
            lines.append(f"root {self.root}")
            lines.append(f"first entry's leaf {self.genesis_leaf or 'unknown'}")
        if self.ok:
            lines.append(f"{self.signatures} signatures and proofs by {self.keys} keys are good; "
                         f"{self.withheld} entries withheld, {self.objects} objects compared")
        if self.ok and self.assertions:
            lines.append(f"{self.assertions} entries carry a passkey's assertion, each made for its very body by a "
                         "passkey of its actor that was in force")
        first = self.first_bad
        if first:
            lines.append(f"First bad: {first.in_words()}")
            lines += [f"also: {finding.in_words()}" for finding in self.findings if finding is not first][:20]
        lines += [f"cosigned: {text}" for text in self.cosignatures]
        lines += [f"note: {text}" for text in self.remarks]
        lines += [f"not checked: {text}" for text in self.not_checked]
        return "\n".join(lines)


# ---------------------------------------------------------------- bytes and text


def decode_b64(text: object, size: int | None = None) -> bytes:
    """RFC 4648 section 4, padded, spare bits zero; ValueError otherwise."""
    if not isinstance(text, str):
        raise ValueError("is not text")
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as problem:
        raise ValueError("is not base64") from problem
    # The decoder ignores spare bits: two spellings of one signature would be two leaves.
    if binascii.b2a_base64(raw, newline=False) != text.encode():
        raise ValueError("is base64 with spare bits or padding that RFC 4648 does not allow")
    if size is not None and len(raw) != size:
        raise ValueError(f"has {len(raw)} bytes instead of {size}")
    return raw


def pae(kind: bytes, payload: bytes) -> bytes:
    """DSSEv1 pre-authentication encoding: the type is signed with the bytes."""
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


_ENTRY_PAE = b"DSSEv1 %d %b " % (len(ENTRY_TYPE), ENTRY_TYPE)


_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False,
                           check_circular=False).encode


def canonical(value: object) -> bytes:
    """RFC 8785 for values of the profile: member names are ASCII and numbers whole, so sorted keys suffice."""
    return _encode(value).encode()


def _no_float(text: str) -> None:
    raise ValueError(f"{text[:40]!r} is not a whole number; decimals travel as text")


_decoder: Any = json.JSONDecoder(parse_float=_no_float, parse_constant=_no_float)
_decode, _scan = _decoder.decode, _decoder.scan_once
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_known_names: set[str] = set()


def _check_text(text: str) -> None:
    if text.isascii() and text.isprintable():
        return
    for char in text:
        kind = unicodedata.category(char)
        if (kind == "Cc" and char != "\n") or kind in ("Cs", "Cn") or char in _BIDI:
            raise ValueError(f"text holds U+{ord(char):04X}, which the profile does not allow")
    if not unicodedata.is_normalized("NFC", text):
        raise ValueError(f"text {text[:40]!r} is not in normal form C")


def _check_profile(value: Any) -> None:
    """Types, names and characters; ValueError says which is not of the profile."""
    kind = type(value)
    if kind is dict:
        for name, inner in value.items():
            if name not in _known_names:
                if not _NAME.match(name):
                    raise ValueError(f"member name {name[:40]!r} is not of the form a-z, 0-9, _")
                if len(_known_names) < 4096:
                    _known_names.add(name)
            if type(inner) is not str:
                _check_profile(inner)
            elif not (inner.isascii() and inner.isprintable()):
                _check_text(inner)
    elif kind is str:
        _check_text(value)
    elif kind is int:
        if not -(2**53) < value < 2**53:
            raise ValueError("a number is beyond 2^53")
    elif kind is list:
        for inner in value:
            _check_profile(inner)
    elif kind is not bool:
        raise ValueError("null is not allowed; what is absent is left out")


def parse_canonical(raw: bytes) -> dict[str, Any]:
    """An object whose stored bytes are the canonical ones; ValueError says what is not."""
    try:
        text = raw.decode("utf-8")
        value = _decode(text)
        _check_profile(value)
        again = canonical(value)
    except UnicodeError as problem:
        raise ValueError("is not UTF-8 text") from problem
    except RecursionError as problem:
        raise ValueError("is nested too deeply") from problem
    except json.JSONDecodeError as problem:
        raise ValueError(f"is not JSON: {problem.msg} at character {problem.pos}") from problem
    if not isinstance(value, dict):
        raise ValueError("is not an object")
    if again != raw:
        raise ValueError("its bytes are not the canonical form of what they say")
    return value


def micros(at: object) -> int:
    """`2026-11-24T10:00:00.000000Z` as microseconds since 1970."""
    if not isinstance(at, str):
        raise ValueError("at is not a UTC time with six decimals and Z")
    second, rest = at[:20], at[20:26]
    start = _seconds.get(second)
    if start is None or len(at) != 27 or at[26] != "Z" or not (rest.isdigit() and rest.isascii()):
        if not _AT.match(at):
            raise ValueError("at is not a UTC time with six decimals and Z")
        start = (datetime.fromisoformat(at[:19] + "+00:00") - _EPOCH) // timedelta(microseconds=1)
        if len(_seconds) >= 64:  # entries come in the order of time
            _seconds.clear()
        _seconds[second] = start
    return start + int(rest)


_AT = re.compile(r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):\d\d:[0-5]\d\.\d{6}Z\Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_seconds: dict[str, int] = {}  # up to the decimal point


# ---------------------------------------------------------------- tree (RFC 6962)


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


EMPTY_ROOT = hashlib.sha256(b"").digest()
_sha256 = hashlib.sha256


class Tree:
    """Grows by leaves; knows the roots of the last 65,537 sizes, which is as far back as a head may look.

    Of each level the newest complete subtrees are kept, as many as those roots are made of.
    """

    def __init__(self) -> None:
        self.size = 0
        self._levels: list[tuple[int, list[bytes]]] = []
        self._asked = (0, EMPTY_ROOT)

    def append(self, leaf: bytes) -> None:
        index, node, level = self.size, leaf, 0
        self.size = index + 1
        while True:
            if level == len(self._levels):
                self._levels.append(((MAX_LAG >> level) + 2, []))
            kept, ring = self._levels[level]
            spot = index % kept
            if spot == len(ring):
                ring.append(node)
            else:
                ring[spot] = node
            if not index & 1:
                return
            node = _sha256(b"\x01" + ring[(index - 1) % kept] + node).digest()  # a pair closes the subtree above
            index, level = index >> 1, level + 1

    def root(self) -> bytes:
        return self.root_at(self.size)

    def root_at(self, size: int) -> bytes:
        """Root of the first `size` leaves; the caller has checked 0 <= self.size - size <= 65,536."""
        if size != self._asked[0]:
            node = b""
            for level, (kept, ring) in enumerate(self._levels):
                if size >> level & 1:
                    left = ring[((size >> level) - 1) % kept]
                    node = _sha256(b"\x01" + left + node).digest() if node else left
            self._asked = (size, node or EMPTY_ROOT)
        return self._asked[1]


def root_of_path(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes:
    """Root that an inclusion path leads to (RFC 9162, 2.1.3.2); ValueError when the path cannot be one."""
    if not 0 <= index < size:
        raise ValueError("index lies outside the tree")
    here, last, node = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ValueError("path is too long")
        if here & 1 or here == last:
            node = node_hash(sibling, node)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        here, last = here >> 1, last >> 1
    if last != 0:
        raise ValueError("path is too short")
    return node


# ---------------------------------------------------------------- notes (C2SP signed-note, tlog-checkpoint)


@dataclass(frozen=True)
class Note:
    """A checkpoint: `text` is what is signed, `lines` are (name, key id with signature)."""

    text: str
    origin: str
    size: int
    root: bytes
    lines: tuple[tuple[str, bytes], ...]


def parse_note(raw: bytes) -> Note:
    """ValueError says what the note lacks. No extension lines: nobody reads what they would claim."""
    if len(raw) > MAX_NOTE_BYTES:
        raise ValueError("is larger than 64 kB")
    try:
        whole = raw.decode("utf-8")
    except UnicodeError as problem:
        raise ValueError("is not UTF-8") from problem
    head, gap, tail = whole.partition("\n\n")
    if not gap or not tail.endswith("\n") or "\r" in whole:
        raise ValueError("is not a signed note")
    parts = head.split("\n")
    if len(parts) != 3:
        raise ValueError("does not have the three lines origin, size, root")
    if not re.fullmatch(r"0|[1-9][0-9]{0,17}", parts[1], re.ASCII):
        raise ValueError("its size is not a decimal number")
    root = decode_b64(parts[2], 32)
    lines: list[tuple[str, bytes]] = []
    for line in tail[:-1].split("\n"):
        mark, _, rest = line.partition(" ")
        name, _, blob = rest.partition(" ")
        if mark != "—" or not name or "+" in name or any(char.isspace() for char in name) or not blob:
            raise ValueError("has a line that is no signature")
        signature = decode_b64(blob)
        if len(signature) < 5:
            raise ValueError("has a signature line that is too short")
        lines.append((name, signature))
    if not lines or len(lines) > MAX_NOTE_LINES:
        raise ValueError(f"has {len(lines)} signature lines; 1 to {MAX_NOTE_LINES} are allowed")
    return Note(head + "\n", parts[0], int(parts[1]), root, tuple(lines))


def note_key_id(name: str, public: bytes, kind: int = 1) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def note_signed_by(note: Note, name: str, public: bytes) -> bool:
    """Whether the note carries a good Ed25519 line of this key under this name."""
    wanted = note_key_id(name, public)
    for line_name, blob in note.lines:
        if line_name == name and blob[:4] == wanted and good_signature(public, blob[4:], note.text.encode()):
            return True
    return False


def note_cosigned_by(note: Note, name: str, public: bytes) -> int | None:
    """Time (seconds since 1970) of a good cosignature/v1 line of this witness."""
    wanted = note_key_id(name, public, 4)
    for line_name, blob in note.lines:
        if line_name == name and blob[:4] == wanted and len(blob) == 4 + 8 + 64:
            stamp = int.from_bytes(blob[4:12], "big")
            if good_signature(public, blob[12:], f"cosignature/v1\ntime {stamp}\n{note.text}".encode()):
                return stamp
    return None


def ml_dsa_message(origin: str, size: int, root: bytes, stamp: int) -> bytes:
    """What an ML-DSA-44 line signs (C2SP tlog-cosignature, `cosigned_message`), the log being its own cosigner."""
    name = origin.encode()
    named = bytes([len(name)]) + name
    return (b"subtree/v1\n\x00" + named + stamp.to_bytes(8, "big") + named + (0).to_bytes(8, "big")
            + size.to_bytes(8, "big") + root)


def ml_dsa_line_of(note: Note, public: bytes) -> bytes | None:
    """Time and signature of the line that names this ML-DSA-44 key of the log; not yet verified."""
    wanted = note_key_id(note.origin, public, 6)
    return next((blob[4:] for name, blob in note.lines if name == note.origin and blob[:4] == wanted), None)


def parse_proof(raw: bytes) -> tuple[int, list[bytes], Note]:
    """A c2sp.org/tlog-proof@v1 file: index, path, checkpoint. Its `extra` line is unauthenticated and ignored."""
    if len(raw) > 2 * MAX_NOTE_BYTES:
        raise ValueError("is too large")
    head, gap, note = raw.partition(b"\n\n")
    if not gap:
        raise ValueError("holds no checkpoint")
    lines = head.decode("ascii", "replace").split("\n")
    if lines[0] != "c2sp.org/tlog-proof@v1":
        raise ValueError("is not a tlog-proof of version 1")
    rest = lines[2:] if len(lines) > 1 and lines[1].startswith("extra ") else lines[1:]
    if not rest or not re.fullmatch(r"index (0|[1-9][0-9]{0,17})", rest[0], re.ASCII):
        raise ValueError("does not name its index")
    return int(rest[0][6:]), [decode_b64(line, 32) for line in rest[1:]], parse_note(note)


# ---------------------------------------------------------------- signatures


_public_keys: dict[bytes, Ed25519PublicKey] = {}


def good_signature(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        (_public_keys.get(public) or _public_key(public)).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _public_key(public: bytes) -> Ed25519PublicKey:
    key = Ed25519PublicKey.from_public_bytes(public)
    if len(_public_keys) < 4096:
        _public_keys[public] = key
    return key


def has_ml_dsa() -> bool:
    """Whether this `cryptography` and the library beneath it can check ML-DSA-44."""
    if mldsa is None:
        return False
    try:
        mldsa.MLDSA44PublicKey.from_public_bytes(bytes(ML_DSA_PUBLIC))
    except UnsupportedAlgorithm:
        return False
    except ValueError:
        return True
    return True


def good_ml_dsa_signature(public: bytes, signature: bytes, message: bytes) -> bool:
    """FIPS 204 with an empty context; only called where `has_ml_dsa` says yes."""
    try:
        mldsa.MLDSA44PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def good_es256_signature(public: bytes, signature: bytes, message: bytes) -> bool:
    """ECDSA on P-256 over SHA-256, the signature in DER, as a passkey of COSE algorithm -7 makes it."""
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


# seq, what ("signature", "proof" or "passkey's assertion"), holder, public key, signature, message
Claim = tuple[int, str, str, bytes, bytes, bytes]


_BY_LENGTH = {ML_DSA_PUBLIC: good_ml_dsa_signature, ES256_PUBLIC: good_es256_signature}


def failed_claim(claims: list[Claim]) -> tuple[int, str] | None:
    """Entry and words of the first claim that is not true."""
    known = _public_keys.get
    for seq, what, holder, public, signature, message in claims:
        key = known(public)
        if key is not None:  # nearly always; the other way says the same
            try:
                key.verify(signature, message)
            except InvalidSignature:
                pass
            else:
                continue
        good = _BY_LENGTH.get(len(public), good_signature)
        if not good(public, signature, message):
            return seq, f"the {what} of {holder} ({hashlib.sha256(public).hexdigest()[:16]}…) is not of these bytes"
    return None


class Signatures:
    """Checks claims in batches, here or on other cores; keeps the failure with the lowest seq.

    Here, too: a core that turns from one entry to the next between any two signatures takes a tenth longer.
    """

    def __init__(self, jobs: int) -> None:
        self.count = 0
        self.first: tuple[int, str] | None = None
        self._pool = ProcessPoolExecutor(jobs) if jobs > 1 else None
        self._limit = 4 * jobs
        self._batch: list[Claim] = []
        self._waiting: deque[Future[tuple[int, str] | None]] = deque()

    def take(self, claim: Claim) -> None:
        self.count += 1
        batch = self._batch
        batch.append(claim)
        if len(batch) >= 512:
            self._send()
            while len(self._waiting) > self._limit:  # keeps memory flat when the cores are behind
                self._note(self._waiting.popleft().result())

    def finish(self) -> None:
        self._send()
        while self._waiting:
            self._note(self._waiting.popleft().result())
        if self._pool is not None:
            self._pool.shutdown()

    def _send(self) -> None:
        batch, self._batch = self._batch, []
        if self._pool is None:
            self._note(failed_claim(batch))
        elif batch:
            self._waiting.append(self._pool.submit(failed_claim, batch))

    def _note(self, failure: tuple[int, str] | None) -> None:
        if failure and (self.first is None or failure[0] < self.first[0]):
            self.first = failure


class Ids:
    """Finds an id that occurs twice, in memory that does not grow with the ledger: buckets spill to a file.

    The bucket is the id's last byte: the first ones of a UUID 7 are time and would all fall together.
    """

    BUCKETS, SPILL, WIDTH = 256, 170, 24

    def __init__(self) -> None:
        self._buckets = [bytearray() for _ in range(self.BUCKETS)]
        self._spilled: list[list[tuple[int, int]]] = [[] for _ in range(self.BUCKETS)]
        self._file: IO[bytes] | None = None

    def add(self, identity: bytes, seq: int) -> None:
        bucket = self._buckets[identity[-1]]
        bucket += identity + seq.to_bytes(8, "big")
        if len(bucket) >= self.SPILL * self.WIDTH:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the check
            offset = self._file.seek(0, os.SEEK_END)
            self._file.write(bucket)
            self._spilled[identity[-1]].append((offset, len(bucket)))
            bucket.clear()

    def first_repeat(self) -> tuple[int, int] | None:
        """(seq of the repetition, seq of the first use) with the lowest repetition."""
        best: tuple[int, int] | None = None
        for number, bucket in enumerate(self._buckets):
            seen: dict[bytes, int] = {}
            for offset, length in [*self._spilled[number], (-1, len(bucket))]:
                raw = bytes(bucket)
                if offset >= 0 and self._file is not None:
                    self._file.seek(offset)
                    raw = self._file.read(length)
                for start in range(0, length, self.WIDTH):
                    identity, seq = raw[start:start + 16], int.from_bytes(raw[start + 16:start + 24], "big")
                    earlier = seen.setdefault(identity, seq)
                    if earlier != seq and (best is None or seq < best[0]):
                        best = (seq, earlier)
        if self._file is not None:
            self._file.close()
        return best


# ---------------------------------------------------------------- time stamps (RFC 3161, in CMS of RFC 5652)


_OID_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_OID_TST_INFO = bytes.fromhex("2a864886f70d0109100104")
_OID_CONTENT_TYPE = bytes.fromhex("2a864886f70d010903")
_OID_MESSAGE_DIGEST = bytes.fromhex("2a864886f70d010904")
_TIME_STAMPING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.8")
_HASHES: dict[bytes, hashes.HashAlgorithm] = {
    bytes.fromhex("608648016503040201"): hashes.SHA256(), bytes.fromhex("608648016503040202"): hashes.SHA384(),
    bytes.fromhex("608648016503040203"): hashes.SHA512(),
}
MAX_TOKEN_BYTES = 64_000

Der = tuple[int, bytes, bytes]  # tag, content, whole


def der_items(raw: bytes) -> list[Der]:
    """The DER elements that follow one another in `raw`; ValueError where they do not."""
    items: list[Der] = []
    at = 0
    while at < len(raw):
        start, tag = at, raw[at]
        if at + 2 > len(raw) or tag & 31 == 31:
            raise ValueError("is cut off or uses long tags")
        length, at = raw[at + 1], at + 2
        if length & 128:
            size = length & 127
            length, at = int.from_bytes(raw[at:at + size], "big"), at + size
            if not 1 <= size <= 4:
                raise ValueError("has a length that DER does not allow")
        if at + length > len(raw):
            raise ValueError("is cut off")
        items.append((tag, raw[at:at + length], raw[start:at + length]))
        at += length
    return items


def _inside(item: Der, tag: int) -> list[Der]:
    if item[0] != tag:
        raise ValueError(f"has an element of tag {item[0]:#x} where {tag:#x} is due")
    return der_items(item[1])


def _digest(algorithm: Der, data: bytes) -> tuple[hashes.HashAlgorithm, bytes]:
    kind = _HASHES.get(_inside(algorithm, 0x30)[0][1])
    if kind is None:
        raise ValueError("uses a digest that this verifier does not know")
    return kind, hashlib.new(kind.name, data).digest()


def time_stamped(token: bytes, message: bytes, roots: list[x509.Certificate]) -> datetime:
    """The time at which an authority under one of `roots` saw `message`; ValueError says why the token proves none."""
    try:
        return _time_stamped(token, message, roots)
    except ValueError:
        raise
    except Exception as error:  # hostile bytes may raise anything in a parser; all of it means the same
        raise ValueError(f"is damaged ({type(error).__name__})") from error


def _time_stamped(token: bytes, message: bytes, roots: list[x509.Certificate]) -> datetime:
    response = _inside(der_items(token)[0], 0x30)
    if len(response) == 2 and response[0][0] == 0x30 and _inside(response[0], 0x30)[0][1] not in (b"\x00", b"\x01"):
        raise ValueError("is the authority's refusal")
    content = _inside(response[1], 0x30) if response[0][0] == 0x30 else response
    if content[0][1] != _OID_SIGNED_DATA:
        raise ValueError("is no signed data")
    signed = _inside(_inside(content[1], 0xA0)[0], 0x30)
    wrapped = _inside(signed[2], 0x30)
    if wrapped[0][1] != _OID_TST_INFO:
        raise ValueError("holds no time-stamp information")
    info = _inside(_inside(wrapped[1], 0xA0)[0], 0x04)[0][2]
    said = _inside(der_items(info)[0], 0x30)
    imprint = _inside(said[2], 0x30)
    if _digest(imprint[0], message)[1] != imprint[1][1]:
        raise ValueError("is of another message")
    at = _general_time(said[4])
    certificates = [x509.load_der_x509_certificate(whole) for item in signed[3:] if item[0] == 0xA0
                    for tag, _, whole in der_items(item[1]) if tag == 0x30]
    signer = _signer_of(_inside(_inside(signed[-1], 0x31)[0], 0x30), info, certificates)
    _check_chain(signer, certificates, roots, at)
    return at


def _general_time(item: Der) -> datetime:
    text = item[1].decode("ascii", "replace")
    found = re.fullmatch(r"(\d{14})(?:\.\d{1,6})?Z", text, re.ASCII)
    if item[0] != 0x18 or not found:
        raise ValueError("tells no time")
    return datetime.strptime(found.group(1), "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _signer_of(signer_info: list[Der], info: bytes, certificates: list[x509.Certificate]) -> x509.Certificate:
    """The certificate, made for time stamping, whose key signed the attributes that name the information's digest."""
    kind, digest = _digest(signer_info[2], info)
    attributes = signer_info[3]
    values: dict[bytes, bytes] = {}
    for attribute in _inside(attributes, 0xA0):
        name, value = _inside(attribute, 0x30)
        values[name[1]] = _inside(value, 0x31)[0][1]
    if values.get(_OID_MESSAGE_DIGEST) != digest or values.get(_OID_CONTENT_TYPE) != _OID_TST_INFO:
        raise ValueError("signs attributes of something else")
    message, signature = b"\x31" + attributes[2][1:], next(item[1] for item in signer_info[4:] if item[0] == 0x04)
    for certificate in certificates:
        try:
            usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except x509.ExtensionNotFound:
            continue
        if _TIME_STAMPING in usage and _signed_with(certificate, signature, message, kind):
            return certificate
    raise ValueError("is not signed by a time-stamping certificate that it carries")


def _signed_with(
    certificate: x509.Certificate, signature: bytes, message: bytes, kind: hashes.HashAlgorithm
) -> bool:
    try:
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), kind)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(kind))
        elif isinstance(key, Ed25519PublicKey):
            key.verify(signature, message)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _check_chain(
    signer: x509.Certificate, others: list[x509.Certificate], roots: list[x509.Certificate], at: datetime
) -> None:
    """From the signer to a trusted root, each valid at that time."""
    current = signer
    for _ in range(6):
        if not current.not_valid_before_utc <= at <= current.not_valid_after_utc:
            raise ValueError("rests on a certificate that was not valid at its time")
        if current in roots or any(_issued(current, root) for root in roots):
            return
        issuer = next((one for one in others if one != current and _is_authority(one) and _issued(current, one)), None)
        if issuer is None:
            break
        current = issuer
    raise ValueError("does not lead to the time-stamp root of the trust card")


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


# ---------------------------------------------------------------- keys and words


@dataclass
class Key:
    """One enrolled key. `ended` is the seq of its rotation or revocation: later entries by it do not count."""

    kid: str
    klass: str
    holder: str
    public: bytes
    enrolled: int
    ended: int | None = None
    ended_how: str = ""
    suspect_from: int | None = None
    recovered: int | None = None  # the entry that enrolled it, or the key it came from, after an earlier was lost
    algorithm: str = "ed25519"

    def signs_size(self, size: int) -> bool:
        """Whether a log key is in force for the checkpoint over so many entries.

        The checkpoint that covers the entry of a rotation is the first that the new key signs.
        """
        return self.enrolled < size and (self.ended is None or size <= self.ended)


@dataclass(frozen=True)
class Order:
    """A person's signature for the rotation of a key of the house; the second names the first."""

    actor: str
    kid: str
    first: str | None


class Registry:
    """Keys and vocabulary as the entries themselves make them, from the first on."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}
        self.words: dict[tuple[str, int], frozenset[str]] | None = None
        self.enrolled_by_root_alone: list[int] = []
        self.orders: dict[str, Order] = {}
        self.rotated_without_two: list[int] = []
        self.passkeys = Passkeys()

    def log_key_of(self, note: Note) -> Key | None:
        """The log key in force at the note's size, if it signed this note."""
        for key in self.keys.values():
            if key.klass == "log" and key.algorithm == "ed25519" and key.signs_size(note.size) and note_signed_by(
                    note, note.origin, key.public):
                return key
        return None

    def check_ml_dsa_line(self, note: Note) -> bool | None:
        """None where the note has no ML-DSA-44 line of this log, False where it cannot be checked here, True if good.

        Raises Wrong where a line names a key of the log that did not make it, or was not in force at this size.
        """
        found: bool | None = None
        for key in self.keys.values():
            blob = ml_dsa_line_of(note, key.public) if key.algorithm == ML_DSA_44 else None
            if blob is None:
                continue
            if not key.signs_size(note.size):
                raise Wrong(10, f"the ML-DSA-44 line on the checkpoint of {note.size} entries is by a key that was not "
                                "in force at this size")
            if not has_ml_dsa():
                found = False
                continue
            message = ml_dsa_message(note.origin, note.size, note.root, int.from_bytes(blob[:8], "big"))
            if not good_ml_dsa_signature(key.public, blob[8:], message):
                raise Wrong(10, f"the ML-DSA-44 line on the checkpoint of {note.size} entries is not of this root")
            found = True if found is None else found
        return found

    def check_word(self, body: dict[str, Any], key: Key) -> None:
        action, version, seq_class = body["action"], body["version"], key.klass
        if self.words is None:
            if action not in FOUNDING_WORDS:
                raise Wrong(5, f"no vocabulary was adopted before the word {action}")
            allowed = frozenset({"root"})
        else:
            declared = self.words.get((action, version))
            if declared is None:
                raise Wrong(5, f"the vocabulary in force does not declare {action} version {version}")
            allowed = declared
        if seq_class not in allowed:
            raise Wrong(6, f"{action} is signed by a {seq_class} key; the word allows {', '.join(sorted(allowed))}")

    def signer(self, kid: str, seq: int, what: str) -> Key:
        key = self.keys.get(kid)
        if key is None:
            raise Wrong(6, f"{what} key {kid[:16]}… was not enrolled before this entry")
        if key.ended is not None and seq > key.ended:
            raise Wrong(6, f"{what} key {kid[:16]}… of {key.holder} was {key.ended_how} by entry {key.ended}")
        if key.algorithm != "ed25519" and what == "the signing":
            raise Wrong(6, f"{what} key {kid[:16]}… is of {key.algorithm}, which signs checkpoints only")
        return key

    def new_key(self, fields: dict[str, Any], seq: int) -> Key:
        """The key that an enrolment or rotation brings; not yet in force."""
        klass, holder = fields.get("class"), fields.get("holder")
        algorithm = fields.get("algorithm", "ed25519")
        if algorithm != "ed25519" and (algorithm, klass) != (ML_DSA_44, "log"):
            raise Wrong(6, f"a {klass} key of algorithm {algorithm!r} has no place here")
        try:
            public = decode_b64(fields.get("public_key"), ML_DSA_PUBLIC if algorithm == ML_DSA_44 else 32)
        except ValueError as problem:
            raise Wrong(6, f"public_key {problem}") from problem
        if klass not in CLASSES or not isinstance(holder, str) or not holder:
            raise Wrong(6, "the new key lacks a class (root, log, person, service, witness) or a holder")
        kid = hashlib.sha256(public).hexdigest()
        if kid in self.keys:
            raise Wrong(6, f"key {kid[:16]}… was enrolled before, by entry {self.keys[kid].enrolled}")
        return Key(kid, str(klass), holder, public, seq, algorithm=algorithm)

    def apply(self, body: dict[str, Any], kid: str, seq: int, fresh: Key | None, proofs: set[str]) -> None:
        """What this entry changes for the entries after it."""
        action, fields = body["action"], body["fields"]
        if action == "ledger.founded" and fresh:
            self.keys[fresh.kid] = fresh
        elif action == "key.enrolled" and fresh:
            self._enrol(fresh, kid, seq, proofs)
        elif action == "key.rotated" and fresh:
            self._rotate(body, fresh, kid, seq, proofs)
        elif action == "key.rotation_signed":
            self.orders[body["id"]] = Order(body["actor"], str(fields.get("kid")), fields.get("first"))
        elif action == "key.revoked":
            self._revoke(fields, seq)
        elif action == "key.passkey_enrolled":
            self.passkeys.enrol(body, seq)
        elif action == "key.passkey_revoked":
            self.passkeys.revoke(fields, seq)
        elif action == "vocabulary.adopted":
            self.words = read_words(fields)

    def _enrol(self, fresh: Key, kid: str, seq: int, proofs: set[str]) -> None:
        if fresh.klass == "root":
            raise Wrong(6, "a second root key can only come by rotation of the first")
        if fresh.kid not in proofs:
            raise Wrong(6, "the enrolment carries no proof by the new key itself")
        earlier = [other for other in self.keys.values() if (other.klass, other.holder, other.algorithm) ==
                   (fresh.klass, fresh.holder, fresh.algorithm)]
        in_force = {other.kid for other in earlier if other.ended is None}
        # Whoever enrols a further key beside the holder's own could sign in the holder's name.
        if in_force and not in_force & (proofs | {kid}):
            raise Wrong(6, f"{fresh.holder} has a {fresh.klass} key in force; a further one carries no proof by it")
        if any(other.holder == fresh.holder and (other.klass == "person") != (fresh.klass == "person")
               for other in self.keys.values()):
            raise Wrong(6, f"{fresh.holder} would be the name of a person and of a key of the house")
        persons = {self.keys[other].holder for other in proofs | {kid}
                   if other in self.keys and self.keys[other].klass == "person"}
        if fresh.klass == "person" and len(persons - {fresh.holder}) < 2:
            if self.keys[kid].klass == "person":
                raise Wrong(6, "the enrolment of a personal key rests on two other persons; it carries "
                               f"{len(persons - {fresh.holder})}")
            self.enrolled_by_root_alone.append(seq)
        if fresh.klass == "person" and earlier and not in_force:
            fresh.recovered = seq
        self.keys[fresh.kid] = fresh

    def _rotate(self, body: dict[str, Any], fresh: Key, kid: str, seq: int, proofs: set[str]) -> None:
        fields = body["fields"]
        named, signer = str(fields.get("kid", fields.get("replaces"))), self.keys[kid]
        old = self.keys.get(named)
        # A key of ML-DSA-44 signs no entries; the log key beside it speaks for it.
        beside = old is not None and old.algorithm != "ed25519" and (old.klass, old.holder) == (
            signer.klass, signer.holder)
        if old is None or (named != kid and not beside):
            raise Wrong(6, "a rotation is signed by the key that it replaces")
        if old.ended is not None:
            raise Wrong(6, f"it replaces a key that was {old.ended_how} by entry {old.ended}")
        if (fresh.klass, fresh.holder, fresh.algorithm) != (old.klass, old.holder, old.algorithm):
            raise Wrong(6, "a rotation keeps class and holder of the key")
        if fresh.kid not in proofs:
            raise Wrong(6, "the rotation carries no proof by the new key itself")
        if old.klass != "person" and not self._ordered_by_two(body.get("caused_by"), kid):
            self.rotated_without_two.append(seq)
        old.ended, old.ended_how = seq, "replaced"
        # What came from a recovered key stays listed; else one rotation would hide it.
        fresh.recovered = old.recovered
        self.keys[fresh.kid] = fresh

    def _ordered_by_two(self, second_id: str | None, kid: str) -> bool:
        second = self.orders.get(second_id or "")
        first = self.orders.get(second.first or "") if second else None
        return bool(second and first and second.kid == first.kid == kid and second.actor != first.actor)

    def _revoke(self, fields: dict[str, Any], seq: int) -> None:
        target, since = self.keys.get(str(fields.get("kid"))), fields.get("suspect_from")
        if target is None:
            raise Wrong(6, "it revokes a key that was never enrolled")
        if since is not None and (type(since) is not int or not 0 <= since <= seq):
            raise Wrong(6, "suspect_from is not the number of an earlier entry")
        if target.klass == "person":  # it vouched for the holder's passkeys
            self.passkeys.end_of(target.holder, seq)
        if target.ended is None:
            target.ended, target.ended_how = seq, "revoked"
        # A later revocation can widen a suspicion, never take it back.
        if since is not None and (target.suspect_from is None or since < target.suspect_from):
            target.suspect_from = since


# ---------------------------------------------------------------- passkeys (W3C Web Authentication, 6.1 and 7.2)


@dataclass
class Passkey:
    """A credential that its holder enrolled. `count` is the last sign count seen; `alone`: while it is in force, its
    holder signs no entry without a passkey."""

    credential: str
    holder: str
    public: bytes
    rp: str
    enrolled: int
    count: int
    alone: bool
    ended: int | None = None


def read_passkey(fields: dict[str, Any], holder: str, seq: int) -> Passkey:
    """What key.passkey_enrolled brings; not yet in force."""
    algorithm, rp = fields.get("algorithm"), fields.get("rp")
    count, alone = fields.get("sign_count"), fields.get("alone", False)
    try:
        if not 1 <= len(decode_b64(fields.get("credential"))) <= 1023:
            raise ValueError("has a length that no credential id has")
        public = decode_b64(fields.get("public_key"), ES256_PUBLIC if algorithm == ES256 else 32)
        if algorithm == ES256:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    except ValueError as problem:
        raise Wrong(6, f"the credential or public key of the passkey {problem}") from problem
    if algorithm not in (ES256, "ed25519"):
        raise Wrong(6, f"a passkey of algorithm {algorithm!r} has no place here")
    if not isinstance(rp, str) or not _RP.match(rp) or type(count) is not int or not 0 <= count < 2**32 or (
            type(alone) is not bool):
        raise Wrong(6, "the passkey lacks its relying party, its sign count, or says `alone` in other words")
    return Passkey(str(fields["credential"]), holder, public, rp, seq, count, alone)


class Passkeys:
    """Those of all people, as the entries themselves make and end them."""

    def __init__(self) -> None:
        self.known: dict[str, Passkey] = {}
        self._of: dict[str, list[Passkey]] = {}

    def enrol(self, body: dict[str, Any], seq: int) -> None:
        """After `claim` found its assertion good; one that vouched for itself has counted already."""
        fresh, assertion = read_passkey(body["fields"], body["actor"], seq), body["assertion"]
        earlier = self.known.get(fresh.credential)
        if earlier is not None:
            raise Wrong(6, f"the passkey was enrolled before, by entry {earlier.enrolled}")
        if assertion["credential"] == fresh.credential:
            fresh.count = _sign_count(decode_b64(assertion["authenticator_data"]))
        self.known[fresh.credential] = fresh
        self._of.setdefault(fresh.holder, []).append(fresh)

    def revoke(self, fields: dict[str, Any], seq: int) -> None:
        passkey = self.known.get(str(fields.get("credential")))
        if passkey is None or passkey.holder != fields.get("holder"):
            raise Wrong(6, "it revokes a passkey that this person never enrolled")
        if passkey.ended is not None:
            raise Wrong(6, f"it revokes a passkey that ended with entry {passkey.ended}")
        passkey.ended = seq

    def end_of(self, holder: str, seq: int) -> None:
        for passkey in self.in_force(holder):
            passkey.ended = seq

    def in_force(self, holder: str) -> list[Passkey]:
        return [one for one in self._of.get(holder, ()) if one.ended is None]

    def claim(self, body: dict[str, Any], klass: str, seq: int) -> Claim | None:
        """The signature that a passkey made for this body, everything else about it checked; None where there is none
        and none is due."""
        holder, assertion = body["actor"], body.get("assertion")
        if klass != "person" and assertion is None and "manifest" not in body and (
                body["action"] != "key.passkey_enrolled"):
            return None
        in_force = self.in_force(holder)
        fresh = read_passkey(body["fields"], holder, seq) if body["action"] == "key.passkey_enrolled" else None
        if (assertion is not None) is not _names_passkey(body):
            raise Wrong(7, "its manifest names a passkey and it carries no assertion" if assertion is None else
                        "it carries an assertion that its manifest does not name among the factors")
        if assertion is None:
            if fresh is not None:
                raise Wrong(6, "the enrolment of a passkey carries no assertion")
            demanding = next((one for one in in_force if one.alone), None) if klass == "person" else None
            if demanding is not None:
                raise Wrong(7, f"{holder} signs with passkeys alone since entry {demanding.enrolled}, and it carries "
                               "no assertion")
            return None
        if klass != "person":
            raise Wrong(6, f"a passkey's assertion stands beside the signature of a {klass} key")
        # The first passkey speaks for itself; a further one is vouched for by one in force, as a further key is.
        passkey = fresh if fresh is not None and not in_force else self.known.get(assertion["credential"])
        if passkey is None or passkey.credential != assertion["credential"]:
            raise Wrong(6, "its assertion is by a passkey that was not enrolled before this entry")
        if passkey.holder != holder:
            raise Wrong(6, f"its assertion is by a passkey of {passkey.holder}, but {holder} is named as the actor")
        if passkey.ended is not None:
            raise Wrong(6, f"its assertion is by a passkey that ended with entry {passkey.ended}")
        data, client = decode_b64(assertion["authenticator_data"]), decode_b64(assertion["client_data"])
        try:
            _check_client_data(client, passkey.rp, body)
            passkey.count = _check_authenticator_data(data, passkey)
        except ValueError as problem:
            raise Wrong(7, f"the passkey's assertion {problem}") from problem
        return (seq, "passkey's assertion", holder, passkey.public, decode_b64(assertion["signature"]),
                data + hashlib.sha256(client).digest())


def _names_passkey(body: dict[str, Any]) -> bool:
    """Whether the manifest lists a passkey among the factors of this signature."""
    auth = body.get("manifest", {}).get("auth")
    factors = auth.get("factors") if isinstance(auth, dict) else None
    return isinstance(factors, list) and "passkey" in factors


def _check_client_data(raw: bytes, rp: str, body: dict[str, Any]) -> None:
    """ValueError unless a browser says: an assertion, for this body, asked for by a page of the relying party."""
    try:
        said = json.loads(raw.decode("utf-8"))
    except RecursionError as problem:
        raise ValueError("has client data that are nested too deeply") from problem
    except ValueError as problem:
        raise ValueError("has client data that are not JSON") from problem
    if not isinstance(said, dict) or said.get("type") != "webauthn.get":
        raise ValueError("is of another kind than webauthn.get")
    bare = canonical({name: value for name, value in body.items() if name != "assertion"})
    challenge = base64.urlsafe_b64encode(hashlib.sha256(bare).digest()).decode().rstrip("=")
    if said.get("challenge") != challenge:
        raise ValueError("was made for another body")
    origin = said.get("origin")
    found = _WEB_ORIGIN.match(origin) if isinstance(origin, str) else None
    if found is None or not (found["host"] == rp or found["host"].endswith(f".{rp}")) or (
            found["scheme"] == "http" and found["host"] != "localhost"):
        raise ValueError(f"was asked for by {origin!r}, which is no page of {rp}")
    if said.get("crossOrigin", False) is not False:
        raise ValueError("was asked for inside a page of somebody else")


def _check_authenticator_data(data: bytes, passkey: Passkey) -> int:
    """The sign count; ValueError unless the authenticator says: this relying party, user present and verified."""
    if len(data) < 37 or (len(data) > 37 and not data[32] & MORE_DATA):
        raise ValueError(f"has authenticator data of {len(data)} bytes")
    if data[:32] != hashlib.sha256(passkey.rp.encode()).digest():
        raise ValueError(f"is for another relying party than {passkey.rp}")
    if not data[32] & USER_PRESENT or not data[32] & USER_VERIFIED:
        raise ValueError("was made without verifying the user")
    count = _sign_count(data)
    if (count or passkey.count) and count <= passkey.count:
        raise ValueError(f"counts {count} after {passkey.count}: it was used before, or the passkey was copied")
    return count


def _sign_count(data: bytes) -> int:
    return int.from_bytes(data[33:37], "big")


_RP = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\Z")
_WEB_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+)(:[0-9]{1,5})?\Z", re.ASCII)


def read_words(fields: dict[str, Any]) -> dict[tuple[str, int], frozenset[str]]:
    """(name, version) -> classes of keys that may sign it."""
    words: dict[tuple[str, int], frozenset[str]] = {}
    declared = fields.get("words")
    if not isinstance(declared, list) or not declared:
        raise Wrong(5, "the vocabulary declares no words")
    for word in declared:
        if not isinstance(word, dict):
            raise Wrong(5, "a declared word is not an object")
        name, version, signed_by = word.get("name"), word.get("version"), word.get("signed_by")
        if not isinstance(name, str) or type(version) is not int or not isinstance(signed_by, list):
            raise Wrong(5, "a declared word lacks name, version or signed_by")
        if not signed_by or not set(signed_by) <= CLASSES or (name, version) in words:
            raise Wrong(5, f"the declaration of {name} version {version} is empty, unknown or double")
        words[name, version] = frozenset(signed_by)
    return words


def stream_of(body: dict[str, Any]) -> str:
    """The stream that follows from the body."""
    if body["action"].startswith(KEY_NOUNS):
        return "keys"
    return f"trial/{body['trial']}" if "trial" in body else "house"


# ---------------------------------------------------------------- origins: a ledger continued after a loss


CONTINUED = "ledger.continued"


@dataclass(frozen=True)
class Continuation:
    """The ledger bears another origin from entry `restored_size` on; what stood beyond it under the old one is lost.

    `shown` is True when the note that shows the loss is signed by a log key of this ledger.
    """

    old_origin: str
    origin: str
    known_size: int
    restored_size: int
    persons: tuple[str, str]
    shown: bool

    def in_words(self) -> str:
        first, second = self.persons
        lost = (f"{self.known_size} entries were known outside and {self.restored_size} were left"
                if self.known_size > self.restored_size else
                f"another history of {self.known_size} entries was known outside, while {self.restored_size} were here")
        proof = ("" if self.shown else "; the note that shows it is by no log key of this ledger: its key came later, "
                 "or the note was made up")
        return (f"the ledger {self.old_origin} goes on as {self.origin} from entry {self.restored_size}, by {first} "
                f"and {second} with the root key: {lost}{proof}. Receipts of {self.old_origin} for sizes beyond "
                f"{self.restored_size}, or of another history, are lost, not forged; a note of {self.old_origin} "
                f"beyond {self.restored_size} is not of this ledger")


class Origins:
    """Which origin entries and notes must bear; it changes by a pair of ledger.continued and in no other way."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.past: list[Continuation] = []
        self._half: dict[str, Any] | None = None

    @property
    def now(self) -> str:
        return self.names[-1] if self.names else ""

    def of_note(self, size: int) -> str | None:
        """The origin of a note over `size` entries; None inside a pair, which one commit holds."""
        for number, one in enumerate(self.past):
            if size <= one.restored_size:
                return self.names[number]
            if size == one.restored_size + 1:
                return None
        return self.now

    def check_log(self, seq: int, body: dict[str, Any]) -> None:
        """4 Order: an entry is signed for the origin in force; only ledger.continued names the next one."""
        log, fields = body["log"], body["fields"]
        if seq == 0:
            self.names = [log]
        if body["action"] == CONTINUED:
            if fields.get("old_origin") != self.now:
                raise Wrong(4, f"it continues {fields.get('old_origin')!r}; this ledger is {self.now!r}", seq)
            if log != fields.get("origin") or log in self.names:
                raise Wrong(4, f"it was signed for {log!r}, which is not the fresh origin that it names", seq)
        elif self._half is not None:
            raise Wrong(4, f"entry {self._half['fields']['restored_size']} begins a continuation that lacks its second "
                           "signature", seq)
        elif log != self.now:
            raise Wrong(4, f"it was signed for the ledger {log!r}, not for {self.now!r}", seq)

    def apply(self, seq: int, body: dict[str, Any], key: Key, proofs: set[str], checker: Checker) -> None:
        """6 Keys: two persons and the root key; what it says was restored and known must be so."""
        if body["action"] != CONTINUED:
            return
        fields, registry, half = body["fields"], checker.registry, self._half
        if key.klass != "person" or not any(registry.keys[kid].klass == "root" for kid in proofs
                                            if kid in registry.keys):
            raise Wrong(6, "a continuation is signed by a person and proven by the root key")
        known = self._known_note(fields, checker)
        if fields.get("restored_size") != seq - (half is not None):
            raise Wrong(4, f"it says {fields.get('restored_size')} entries were restored; it stands as entry {seq}")
        if checker.heads and fields.get("restored_root") != base64.b64encode(
                checker.tree.root_at(fields["restored_size"])).decode():
            raise Wrong(8, "restored_root is not the root of the entries before it")
        if half is None:
            if "first" in fields:
                raise Wrong(4, "it names a first signature that does not stand before it")
            self._half = body
            return
        # By their bytes: in Python 1 and true are equal.
        if canonical(fields) != canonical({**half["fields"], "first": half["id"]}):
            raise Wrong(4, "the second signature of a continuation names the first and says the same")
        if body["actor"] == half["actor"]:
            raise Wrong(6, "a continuation is signed by two persons")
        shown = any(one.klass == "log" and note_signed_by(known, known.origin, one.public)
                    for one in registry.keys.values())
        self.past.append(Continuation(self.now, fields["origin"], known.size, fields["restored_size"],
                                      (half["actor"], body["actor"]), shown))
        self.names.append(fields["origin"])
        self._half = None

    def _known_note(self, fields: dict[str, Any], checker: Checker) -> Note:
        """The note known outside: it must go beyond what was restored, or be of another history."""
        try:
            note = parse_note(str(fields.get("known_note")).encode())
        except ValueError as problem:
            raise Wrong(8, f"the note that it says was known outside {problem}") from problem
        size, restored = fields.get("known_size"), fields.get("restored_size")
        if type(size) is not int or type(restored) is not int or restored < 1 or (
                note.origin, note.size, note.root) != (self.now, size, self._root(fields)):
            raise Wrong(8, "its fields say something else than the note that was known outside")
        within = checker.heads and 0 <= checker.tree.size - size <= MAX_LAG
        if size <= restored and within and checker.tree.root_at(size) == note.root:
            raise Wrong(8, "what was known outside is the beginning of this ledger; nothing was lost")
        return note

    @staticmethod
    def _root(fields: dict[str, Any]) -> bytes:
        try:
            return decode_b64(fields.get("known_root"), 32)
        except ValueError as problem:
            raise Wrong(3, f"known_root {problem}") from problem

    def finish(self, origin: str) -> None:
        """At the end the ledger bears the origin that its checkpoint names."""
        if self._half is not None:
            raise Wrong(4, "a continuation lacks its second signature", self._half["fields"]["restored_size"])
        if self.names and self.now != origin:
            raise Wrong(4, f"it was signed for the ledger {self.names[0]!r}, not for {origin!r}" + (
                f"; it goes on as {self.now!r}" if self.past else ""), 0)


# ---------------------------------------------------------------- entries


_ACTION = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+\Z")
_HEX64 = re.compile(r"[0-9a-f]{64}\Z")
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")


_KINDS: dict[str, type] = dict.fromkeys(("actor", "role", "rule", "log", "trial", "on_behalf_of", "reason"), str) | (
    dict.fromkeys(("fields", "manifest", "assertion", "head"), dict))


def check_members(entry: dict[str, Any]) -> None:
    """Exact member sets and their types; ValueError names the member."""
    if entry.keys() != OUTER:
        raise ValueError(f"its members are {', '.join(sorted(entry))}")
    body = entry["body"]
    if not isinstance(body, dict):
        raise ValueError("body is not an object")
    missing, extra = BODY_ALWAYS - body.keys(), body.keys() - BODY_ALWAYS - BODY_SOMETIMES
    if missing or extra:
        raise ValueError(f"body lacks {sorted(missing)}" if missing else f"body has unknown members {sorted(extra)}")
    for name, value in body.items():
        kind = _KINDS.get(name)
        if kind is not None and (type(value) is not kind or (kind is str and not value)):
            raise ValueError(f"{name} is not {'text' if kind is str else 'an object'}")
    if type(body["action"]) is not str or not _ACTION.match(body["action"]):
        raise ValueError("action is not of the form noun.participle")
    if type(body["version"]) is not int or body["version"] < 1:
        raise ValueError("version is not a whole number from 1")
    if type(body["type"]) is not int or body["type"] != 1:
        raise ValueError("type is not 1, the only suite that this verifier knows")
    if type(body["id"]) is not str or not _UUID7.match(body["id"]):
        raise ValueError("id is not a UUID of version 7")
    if body["head"].keys() != {"root", "size"} or type(body["head"]["size"]) is not int or body["head"]["size"] < 0:
        raise ValueError("head is not {size, root}")
    if type(entry["kid"]) is not str or not _HEX64.match(entry["kid"]):
        raise ValueError("kid is not a lower-case hex SHA-256")
    for name in ("seq", "stream_seq", "ts"):
        if type(entry[name]) is not int or entry[name] < 0:
            raise ValueError(f"{name} is not a whole number from 0")
    if "assertion" in body:
        given = body["assertion"]
        if given.keys() != ASSERTION or not all(decode_b64(text) for text in given.values()):
            raise ValueError(f"assertion is not {{{', '.join(sorted(ASSERTION))}}}")
    if "proofs" in body:
        proofs = body["proofs"]
        if type(proofs) is not list or not proofs:
            raise ValueError("proofs is not a filled list")
        for proof in proofs:
            if type(proof) is not dict or proof.keys() != {"kid", "sig"} or type(proof["kid"]) is not str:
                raise ValueError("a proof is not {kid, sig}")
            if len(decode_b64(proof["sig"])) not in (64, ML_DSA_SIGNATURE):
                raise ValueError("the signature of a proof has a length that no algorithm here gives")
        if len({proof["kid"] for proof in proofs}) != len(proofs):
            raise ValueError("two proofs are by one key")


# What an entry looks like with other texts and numbers, learnt from one that was fully checked. Whatever matches has
# the same members of the same types in the same order, none of its texts is empty, its id and key read as those did,
# and its numbers are written as whole numbers are; without an escape or a sign beyond ASCII its bytes are canonical
# and of the profile as those were. Few shapes make up a ledger; what is unusual in any way goes the long way.
_SHAPES: dict[bytes, list[re.Pattern[bytes]]] = {}  # by the bytes up to the end of the action
_PIECE = re.compile(rb'"([^"]*)"(:?)|(-?)[0-9]+(\}\Z)?|true|false|.', re.DOTALL)
_LIKE = tuple((known, b'"%b"' % known.pattern.removesuffix("\\Z").encode()) for known in (_UUID7, _HEX64))
MOST_SHAPES, SHAPES_OF_ACTION, LONGEST_SHAPE = 1024, 16, 8192
LEARN_EVERY = 16  # a shape costs as much as thirty entries the long way; one of so many that went it is learnt
_long_ways = 0


def _shape_of(raw: bytes) -> re.Pattern[bytes]:
    """Of the bytes of a good entry without escapes."""
    made = []
    for piece in _PIECE.finditer(raw):
        text, name, minus, last = piece.groups()
        if text is not None and not name:
            said = text.decode()
            made.append(next((like for known, like in _LIKE if known.match(said)), rb'"[^"]+"'))
        elif minus is not None:  # 2^53 has 16 digits, and so has the entry's `ts`, which stands last
            made.append(b"-[1-9][0-9]{0,14}" if minus else b"(?:0|[1-9][0-9]{0,%d})" % (15 if last else 14))
            made.append(last or b"")
        else:
            made.append(b"(?:true|false)" if piece[0] in (b"true", b"false") else re.escape(piece[0]))
    return re.compile(b"".join(made))


def parse_entry(raw: bytes) -> dict[str, Any]:
    """An entry whose stored bytes are the canonical ones, with exact members; ValueError says what is not."""
    start = raw[:raw.find(b'"', _ACTION_AT)]
    for shape in _SHAPES.get(start, ()):
        if shape.fullmatch(raw):
            break
    else:
        return _parse_and_learn(raw, start)
    if b"\\" in raw or b"\x7f" in raw or not raw.isascii():
        return _parse_slowly(raw)
    try:
        entry, _ = _scan(raw.decode("ascii"), 0)  # refuses other control characters inside a text
    except (ValueError, StopIteration):
        return _parse_slowly(raw)
    # Of the shape follow all names and types, action, id and key; of check_members remain these.
    body = entry["body"]
    if entry["ts"] >= 2**53 or body["type"] != 1 or body["version"] < 1:
        return _parse_slowly(raw)
    return entry  # type: ignore[no-any-return]


_ACTION_AT = len(b'{"body":{"action":"')


def _parse_and_learn(raw: bytes, start: bytes) -> dict[str, Any]:
    global _long_ways
    entry = _parse_slowly(raw)
    _long_ways += 1
    if _long_ways % LEARN_EVERY == 0 and b"\\" not in raw and b'""' not in raw and len(raw) <= LONGEST_SHAPE and (
            entry["body"].keys().isdisjoint(("proofs", "assertion"))):
        shapes = _SHAPES.setdefault(start, [])
        if len(shapes) < SHAPES_OF_ACTION and sum(map(len, _SHAPES.values())) < MOST_SHAPES:
            shapes.append(_shape_of(raw))
    return entry


def _parse_slowly(raw: bytes) -> dict[str, Any]:
    entry = parse_canonical(raw)
    check_members(entry)
    return entry


# `body` is an entry's first member and `kid` the next. A quotation mark inside a text is escaped, so the last place
# that reads like the member `kid` is that member: after it come only numbers and texts.
_KID = b',"kid":"'


class Checker:
    """Takes entries in order of seq and raises `Wrong` at the first that breaks a rule.

    Also used on a live ledger, row by row; it knows nothing of files. `tree` must hold the leaves before an entry
    when its head is judged: the caller appends each leaf, or `catch_up(seq)` does for entries that are not there.
    `heads` is False when these leaves are not to be had, `gaps` True when entries were chosen one by one. `streams` are
    those of a bundle of streams; beside them only entry `export` may stand, without the rest of its own.
    """

    def __init__(self, origin: str, jobs: int = 1, *, heads: bool = True, gaps: bool = False,
                 catch_up: Callable[[int], None] | None = None, streams: frozenset[str] | None = None,
                 export: int = -1) -> None:
        self.origin, self.heads, self.gaps, self.catch_up = origin, heads, gaps, catch_up
        self.streams, self.export = streams, export
        self.tree = Tree()
        self.registry = Registry()
        self.origins = Origins()
        self.signatures = Signatures(jobs)
        self.ids = Ids()
        self.count = self.assertions = self.ml_dsa_skipped = 0
        self.rehashes: list[Rehash] = []
        self.next_of: dict[str, int] = {}
        self.genesis_leaf = b""
        self.genesis_key: Key | None = None
        self._last_seq, self._last_ts = -1, -1
        self._ended = False
        self._repeat: tuple[int, int] | None = None
        self._last_root: tuple[object, bytes] = (None, b"")
        self._head_of: dict[str, int] = {}

    def take(self, raw: bytes) -> tuple[dict[str, Any], bytes]:
        """Check one entry; returns it parsed, and its leaf."""
        expected = self._last_seq + 1
        try:
            return self._take(raw)
        except Wrong as wrong:
            if wrong.seq is None and self.catch_up is None:
                wrong.seq = expected
            raise

    def skip(self, seq: int, stream: str, stream_seq: int) -> None:
        """Count an entry that is withheld; its stream must go on without a gap all the same."""
        if stream == "keys":
            raise Wrong(11, "an entry of the stream keys is withheld; then no signature can be judged", seq)
        if seq <= self._last_seq:
            raise Wrong(4, f"seq {seq} follows seq {self._last_seq}", seq)
        self._in_stream(seq, stream, stream_seq)
        self._last_seq = seq

    def _in_stream(self, seq: int, stream: str, stream_seq: int) -> None:
        expected = self.next_of.get(stream, 0)
        if self.streams is not None and stream not in self.streams:
            if seq != self.export:
                raise Wrong(11, f"it is of the stream {stream}, which was not exported", seq)
        elif self.gaps and stream != "keys":
            if stream_seq < expected:
                raise Wrong(4, f"stream_seq {stream_seq} of {stream} follows {expected - 1}", seq)
        elif stream_seq != expected:
            raise Wrong(4, f"stream_seq of {stream} is {stream_seq} where {expected} is due: "
                           "an entry is missing, doubled or moved", seq)
        self.next_of[stream] = stream_seq + 1

    def _take(self, raw: bytes) -> tuple[dict[str, Any], bytes]:
        # 3 Form
        if len(raw) > MAX_ENTRY_BYTES:
            raise Wrong(3, f"the entry has more than {MAX_ENTRY_BYTES} bytes")
        try:
            entry = parse_entry(raw)
            signature = decode_b64(entry["sig"], 64)
            seen, at_us = self._root_of(entry["body"]["head"]["root"]), micros(entry["body"]["at"])
        except ValueError as problem:
            raise Wrong(3, str(problem)) from problem
        body, kid, seq, ts = entry["body"], entry["kid"], entry["seq"], entry["ts"]
        action, fields = body["action"], body["fields"]

        # 4 Order
        if self.catch_up is not None:
            self.catch_up(seq)
        if seq <= self._last_seq or (self.catch_up is None and seq != self._last_seq + 1):
            raise Wrong(4, f"the entry says seq {seq} where {self._last_seq + 1} is due")
        if ts <= self._last_ts:
            raise Wrong(4, "its time is not after the time of the entry before", seq)
        self.origins.check_log(seq, body)
        stream = stream_of(body)
        if entry["stream"] != stream:
            raise Wrong(4, f"it stands in the stream {entry['stream']!r}; its body belongs to {stream!r}", seq)
        self._in_stream(seq, stream, entry["stream_seq"])

        # 6 Keys: who may speak
        fresh: Key | None = None
        try:
            if (action == "ledger.founded") != (seq == 0):
                raise Wrong(6, "ledger.founded is the first entry and nothing else is")
            if action in ("ledger.founded", "key.enrolled", "key.rotated"):
                fresh = self.registry.new_key(fields, seq)
            if seq == 0 and fresh is not None:
                if fresh.klass != "root" or fresh.kid != kid:
                    raise Wrong(6, "the first entry is not signed by the root key that it founds")
                key = self.genesis_key = fresh
            else:
                key = self.registry.signer(kid, seq, "the signing")
            # 5 Words
            self.registry.check_word(body, key)
            # Of persons and services alike: a service that signs under a person's name would pass for them.
            if key.holder != body["actor"]:
                raise Wrong(6, f"the key belongs to {key.holder}, but {body['actor']} is named as the actor")

            # 7 Signatures
            payload = raw[len(b'{"body":'):raw.rindex(_KID)]
            self.signatures.take((seq, "signature", body["actor"], key.public, signature,
                                  _ENTRY_PAE + b"%d " % len(payload) + payload))
            proofs: set[str] = set()
            bare = canonical({name: value for name, value in body.items() if name not in ("proofs", "assertion")}
                             ) if "proofs" in body else b""
            for proof in body.get("proofs", ()):
                other = fresh if fresh is not None and proof["kid"] == fresh.kid else self.registry.signer(
                    proof["kid"], seq, "a proving")
                proofs.add(other.kid)
                if other.algorithm == ML_DSA_44 and not has_ml_dsa():
                    self.ml_dsa_skipped += 1
                    continue
                self.signatures.take((seq, "proof", other.holder, other.public, decode_b64(proof["sig"]),
                                      pae(PROOF_TYPE, bare)))
            asserted = self.registry.passkeys.claim(body, key.klass, seq)
            if asserted is not None:
                self.signatures.take(asserted)
                self.assertions += 1
            if stream == "keys":
                self.registry.apply(body, kid, seq, fresh, proofs)
                self.origins.apply(seq, body, key, proofs, self)
        except Wrong as wrong:
            wrong.seq = seq
            raise
        if self.signatures.first:
            raise Wrong(7, self.signatures.first[1], self.signatures.first[0])

        # 8 Heads
        self._check_head(seq, kid, body["head"]["size"], seen, ts - at_us, body.get("reason", ""))
        if action == "ledger.rehashed":
            self.rehashes.append(read_rehash(fields, seq, len(self.rehashes)))
        elif action == "ledger.anchored" and "log_signature" in fields:
            self._check_anchored_line(fields, seq)

        self.ids.add(bytes.fromhex(body["id"].replace("-", "")), seq)
        self._last_seq, self._last_ts = seq, ts
        self.count += 1
        leaf = leaf_hash(raw)
        if seq == 0:
            self.genesis_leaf = leaf
        return entry, leaf

    def _root_of(self, text: object) -> bytes:
        """The entries of one commit name one root; it is decoded once."""
        if text != self._last_root[0]:
            self._last_root = (text, decode_b64(text, 32))
        return self._last_root[1]

    def _check_head(self, seq: int, kid: str, size: int, root: bytes, skew: int, reason: str) -> None:
        if size > seq:
            raise Wrong(8, f"its signer claims to have seen {size} entries before entry {seq} existed", seq)
        if seq - size > MAX_LAG:
            raise Wrong(8, f"its signer had seen {size} entries only; more than {MAX_LAG} have come since", seq)
        if size < self._head_of.get(kid, 0):
            raise Wrong(8, f"this key had already seen {self._head_of[kid]} entries, now it says {size}", seq)
        if self.heads and root != self.tree.root_at(size):
            raise Wrong(8, f"the head that its signer saw ({size} entries) is not a root of this ledger", seq)
        if size == 0 and root != EMPTY_ROOT:
            raise Wrong(8, "a head of size 0 must be the root of the empty tree", seq)
        self._head_of[kid] = size
        if abs(skew) > MAX_SKEW_US and reason.split("-")[0].split(".")[0] != "late":
            raise Wrong(8, f"signed {abs(skew) // 1_000_000} s away from the time it was recorded, "
                           "and not marked as late", seq)

    def _check_anchored_line(self, fields: dict[str, Any], seq: int) -> None:
        """10 Log key: the ML-DSA-44 line under the note that was time-stamped, over the root of this very tree."""
        size = fields.get("size")
        try:
            blob = decode_b64(fields["log_signature"], 4 + 8 + ML_DSA_SIGNATURE)
        except ValueError as problem:
            raise Wrong(10, f"log_signature {problem}", seq) from problem
        if type(size) is not int or not 0 < size <= seq:
            raise Wrong(10, "it anchors a checkpoint that was not there yet", seq)
        if not self.heads or seq - size > MAX_LAG:
            self.ml_dsa_skipped += 1
            return
        origin = self.origins.of_note(size)  # that of the stamped note, which may be older than the bundle's
        if origin is None:
            raise Wrong(10, "it anchors a checkpoint in the middle of a continuation, where none stands", seq)
        note = Note("", origin, size, self.tree.root_at(size), ((origin, blob),))
        try:
            checked = self.registry.check_ml_dsa_line(note)
        except Wrong as wrong:
            wrong.seq = seq
            raise
        if checked is None:
            raise Wrong(10, "its ML-DSA-44 line names a key that is no key of this log", seq)
        self.signatures.count += checked
        self.ml_dsa_skipped += not checked

    def outstanding(self) -> list[Wrong]:
        """What is known only at the end: signatures checked on other cores, ids used twice."""
        self.signatures.finish()
        if not self._ended:
            self._ended, self._repeat = True, self.ids.first_repeat()
        found = [Wrong(7, self.signatures.first[1], self.signatures.first[0])] if self.signatures.first else []
        if self._repeat:
            found.append(Wrong(4, f"it repeats the id of entry {self._repeat[1]}", self._repeat[0]))
        return found

    def first_of(self, wrong: Wrong) -> Wrong:
        """The lowest entry of `wrong` and what was outstanding when it showed: the same one for any number of jobs."""
        return min([wrong, *self.outstanding()], key=_place)

    def finish(self) -> None:
        """After the last entry."""
        found = self.outstanding()
        try:
            self.origins.finish(self.origin)
        except Wrong as wrong:
            found.append(wrong)
        if found:
            raise min(found, key=_place)


def _place(wrong: Wrong) -> tuple[bool, int, int]:
    return wrong.seq is None, wrong.seq or 0, wrong.step


# ---------------------------------------------------------------- the second hash


@dataclass(frozen=True)
class Rehash:
    """What an entry says of the first `size` entries: the root of their tree under another hash."""

    seq: int
    size: int
    root: bytes


def read_rehash(fields: dict[str, Any], seq: int, before: int) -> Rehash:
    """The statement of a ledger.rehashed entry. Raises Wrong."""
    size = fields.get("size")
    try:
        root = decode_b64(fields.get("root"), 64)
    except ValueError as problem:
        raise Wrong(9, f"its root {problem}", seq) from problem
    if fields.get("algorithm") != SECOND_HASH:
        raise Wrong(9, f"it uses the hash {fields.get('algorithm')!r}; this verifier knows {SECOND_HASH}", seq)
    if type(size) is not int or not 0 < size <= seq:
        raise Wrong(9, "it speaks of entries that were not there yet", seq)
    if before >= MAX_REHASHES:
        raise Wrong(9, f"more than {MAX_REHASHES} entries state a second hash", seq)
    return Rehash(seq, size, root)


class SecondTree:
    """The tree of RFC 6962 over the exact bytes of entries, with SHA3-512 in place of SHA-256."""

    def __init__(self) -> None:
        self.size = 0
        self._stack: list[bytes] = []

    def append(self, entry: bytes) -> None:
        node = hashlib.sha3_512(b"\x00" + entry).digest()
        self.size = size = self.size + 1
        while not size & 1:
            node = hashlib.sha3_512(b"\x01" + self._stack.pop() + node).digest()
            size >>= 1
        self._stack.append(node)

    def root(self) -> bytes:
        if not self._stack:
            return hashlib.sha3_512(b"").digest()
        node = self._stack[-1]
        for left in self._stack[-2::-1]:
            node = hashlib.sha3_512(b"\x01" + left + node).digest()
        return node


def check_rehashes(stated: list[Rehash], entries: Iterator[bytes]) -> int:
    """9 Tree: recompute every stated root in one pass over the exact bytes of all entries; how many were.

    Raises Wrong at the first entry whose statement is not true of the entries before it.
    """
    waiting = sorted(stated, key=lambda one: (one.size, one.seq), reverse=True)
    tree, false = SecondTree(), set[int]()
    for raw in entries:
        if not waiting:
            break
        tree.append(raw)
        while waiting and waiting[-1].size == tree.size:
            one = waiting.pop()
            if one.root != tree.root():
                false.add(one.seq)
    if false:
        raise Wrong(9, f"the root under {SECOND_HASH} that it states is not of the entries that it names", min(false))
    return len(stated) - len(waiting)


# ---------------------------------------------------------------- the bundle


@dataclass(frozen=True)
class Scope:
    """What bundle.json says the bundle holds."""

    kind: str  # whole | streams | entries
    streams: dict[str, int]
    first: int
    last: int
    export: int

    def in_words(self) -> str:
        if self.kind == "whole":
            return "the whole ledger"
        return "streams " + ", ".join(self.streams) if self.kind == "streams" else "chosen entries"


class Bundle:
    """The members of a ZIP, read as streams."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        names = [info.filename for info in archive.infolist()]
        self.names = set(names)
        if len(self.names) != len(names):
            raise Wrong(1, "two members of the ZIP have one name")
        # A file no rule names could be shown to people as evidence that nobody checked.
        for name in sorted(self.names - FIXED_MEMBERS):
            if not (re.fullmatch(r"proofs/(0|[1-9][0-9]*)\.tlog-proof", name, re.ASCII)
                    or re.fullmatch(r"objects/[0-9a-f]{64}", name) or re.fullmatch(r"anchors/[0-9a-z._-]+", name)):
                raise Wrong(1, f"no rule names the member {name[:80]!r}")
        for name in ("bundle.json", "entries.jsonl", "checkpoint.txt"):
            if name not in self.names:
                raise Wrong(1, f"{name} is missing")

    def small(self, name: str, step: int, limit: int = MAX_JSON_BYTES) -> bytes:
        with self.archive.open(name) as source:
            raw = source.read(limit + 1)
        if len(raw) > limit:
            raise Wrong(step, f"{name} is larger than {limit} bytes")
        return raw

    def lines(self, name: str, step: int) -> Iterator[bytes]:
        with self.archive.open(name) as source:
            rest = b""
            while piece := source.read(1 << 18):
                *lines, rest = (rest + piece).split(b"\n")
                yield from lines
                if len(rest) > MAX_ENTRY_BYTES:
                    yield rest  # too long for an entry: whoever reads it names its place
            if rest:
                raise Wrong(step, f"the last line of {name} has no end")

    def objects(self) -> Iterator[str]:
        return (name for name in sorted(self.names) if name.startswith("objects/"))


def read_scope(bundle: Bundle) -> tuple[str, Scope]:
    """Origin and scope out of bundle.json."""
    try:
        said = parse_canonical(bundle.small("bundle.json", 1).removesuffix(b"\n"))
    except ValueError as problem:
        raise Wrong(1, f"bundle.json {problem}") from problem
    if said.get("format") != BUNDLE_FORMAT:
        raise Wrong(1, f"bundle.json is of format {said.get('format')!r}; this verifier knows {BUNDLE_FORMAT}")
    if said.keys() != {"format", "origin", "scope", "first", "last", "export"}:
        raise Wrong(1, f"bundle.json has the members {', '.join(sorted(said))}")
    scope, origin = said["scope"], said["origin"]
    numbers = [said[name] for name in ("first", "last", "export")]
    if not isinstance(origin, str) or not origin or any(type(n) is not int or n < 0 for n in numbers):
        raise Wrong(1, "bundle.json does not name origin, first, last and export")
    if not isinstance(scope, dict) or scope.keys() != {"kind", "streams"} or scope["kind"] not in (
            "whole", "streams", "entries") or not isinstance(scope["streams"], list):
        raise Wrong(1, "bundle.json does not say its scope")
    streams: dict[str, int] = {}
    for item in scope["streams"]:
        if not isinstance(item, dict) or item.keys() != {"stream", "next"} or type(item["next"]) is not int:
            raise Wrong(1, "a stream in bundle.json is not {stream, next}")
        if type(item["stream"]) is not str or item["stream"] in streams:
            raise Wrong(1, "bundle.json names a stream twice, or one that is not text")
        streams[item["stream"]] = item["next"]
    if "keys" not in streams:
        raise Wrong(1, "the bundle does not claim the stream keys; then no signature can be judged")
    return origin, Scope(scope["kind"], streams, *numbers)


def read_earlier(bundle: Bundle, note: Note) -> dict[int, Note]:
    """Earlier checkpoints with cosignatures, by size; at most 16."""
    names = sorted(name for name in bundle.names if re.fullmatch(r"anchors/[0-9]+\.note", name, re.ASCII))
    if len(names) > 16:
        raise Wrong(1, "the bundle holds more than 16 earlier checkpoints")
    earlier: dict[int, Note] = {}
    for name in names:
        try:
            one = parse_note(bundle.small(name, 13, MAX_NOTE_BYTES))
            if not 0 < one.size <= note.size or one.size in earlier:
                raise ValueError("is of another size")
        except ValueError as problem:
            raise Wrong(13, f"{name} {problem}") from problem
        earlier[one.size] = one
    return earlier


class Walk:
    """One pass over entries, withheld entries and leaves, side by side."""

    def __init__(self, bundle: Bundle, scope: Scope, note: Note, jobs: int) -> None:
        self.bundle, self.scope, self.note = bundle, scope, note
        self.leaves: IO[bytes] | None = None
        self.export: dict[str, Any] | None = None
        self.withheld = 0
        self.proven = 0
        self.earlier = read_earlier(bundle, note)
        has_leaves = "leaves.bin" in bundle.names
        if has_leaves:
            self.leaves = io.BufferedReader(bundle.archive.open("leaves.bin"), 1 << 16)  # type: ignore[type-var]
        whole = scope.kind == "whole"
        self.checker = Checker(note.origin, jobs, heads=whole or has_leaves, gaps=scope.kind == "entries",
                               catch_up=None if whole else self._catch_up,
                               streams=frozenset(scope.streams) if scope.kind == "streams" else None,
                               export=scope.export)
        self._withheld_lines = bundle.lines("withheld.jsonl", 11) if "withheld.jsonl" in bundle.names else iter(())
        if whole and "withheld.jsonl" in bundle.names:
            raise Wrong(11, "a bundle of the whole ledger withholds nothing")
        self._next_withheld = self._read_withheld()

    def run(self) -> None:
        try:
            self._run()
        except Wrong as wrong:
            first = self.checker.first_of(wrong)
            raise first from (None if first is wrong else wrong)
        except Exception as broken:
            # Whatever ends the reading: a signature that was waiting for its check may be the first that is wrong.
            if late := self.checker.outstanding():
                raise min(late, key=_place) from broken
            raise

    def _run(self) -> None:
        line_number = 0
        for line_number, raw in enumerate(self.bundle.lines("entries.jsonl", 3), 1):
            try:
                entry, leaf = self.checker.take(raw)
            except Wrong as wrong:
                if wrong.seq is None:
                    wrong.reason = f"line {line_number} of entries.jsonl: {wrong.reason}"
                raise
            if self.export is not None:
                raise Wrong(11, "an entry stands after export.made, which is the last of a bundle", entry["seq"])
            seq = entry["seq"]
            self._grow(seq, leaf)
            if entry["body"]["action"] == "export.made" and seq == self.scope.export:
                self.export = entry["body"]["fields"]
        self._catch_up(self.note.size)
        if self._next_withheld is not None:
            raise Wrong(11, "withheld.jsonl goes on beyond the checkpoint, or not in the order of seq")
        self.checker.finish()
        if self.scope.kind == "whole" and self.checker.tree.size != self.note.size:
            raise Wrong(9, f"the checkpoint counts {self.note.size} entries, the bundle holds {self.checker.tree.size}")
        # 9 Tree
        if self.checker.heads and self.checker.tree.root() != self.note.root:
            raise Wrong(9, "the entries do not lead to the root of the checkpoint: some were changed, or it was")
        if self.leaves is not None and self.leaves.read(1):
            raise Wrong(9, "leaves.bin holds more leaves than the checkpoint counts")

    def _grow(self, seq: int, leaf: bytes) -> None:
        """9 Tree: put this leaf in its place, by leaves.bin, by its own proof, or as the next."""
        if self.leaves is not None:
            stored = self._read_leaf(seq)
            if stored != leaf:
                raise Wrong(9, "leaves.bin holds another leaf than this entry has", seq)
            self.checker.tree.append(stored)
            self._compare_earlier()
        elif self.scope.kind == "whole":
            self.checker.tree.append(leaf)
            self._compare_earlier()
        name = f"proofs/{seq}.tlog-proof"
        if name in self.bundle.names:
            self._check_proof(name, seq, leaf)
        elif self.leaves is None and self.scope.kind != "whole":
            raise Wrong(9, "neither leaves.bin nor a proof shows that it is in the ledger", seq)

    def _read_leaf(self, seq: int) -> bytes:
        assert self.leaves is not None
        leaf = self.leaves.read(32)
        if len(leaf) != 32:
            raise Wrong(9, f"leaves.bin ends before the leaf of entry {seq}", seq)
        return leaf

    def _check_proof(self, name: str, seq: int, leaf: bytes) -> None:
        try:
            index, path, note = parse_proof(self.bundle.small(name, 9, 2 * MAX_NOTE_BYTES))
            if index != seq:
                raise ValueError(f"is of entry {index}")
            if note.text != self.note.text:
                raise ValueError("leads to another checkpoint than the bundle's")
            if root_of_path(index, note.size, leaf, path) != note.root:
                raise ValueError("does not lead from this entry to the root")
        except ValueError as problem:
            raise Wrong(9, f"{name} {problem}", seq) from problem
        self.proven += 1

    def _catch_up(self, seq: int) -> None:
        """Account for everything before `seq` that is not among the entries."""
        tree = self.checker.tree
        while self._next_withheld is not None and self._next_withheld[0] < seq:
            number, stream, stream_seq, leaf = self._next_withheld
            self.checker.skip(number, stream, stream_seq)
            self._fill(number)
            self._grow(number, leaf)
            self.withheld += 1
            self._next_withheld = self._read_withheld()
        if self.leaves is not None and seq > tree.size:
            self._fill(min(seq, self.note.size))

    def _fill(self, seq: int) -> None:
        while self.leaves is not None and self.checker.tree.size < seq:
            self.checker.tree.append(self._read_leaf(self.checker.tree.size))
            self._compare_earlier()

    def _compare_earlier(self) -> None:
        """13 Origin: what a witness cosigned before must be the beginning of this tree."""
        earlier = self.earlier.get(self.checker.tree.size)
        if earlier is not None and earlier.root != self.checker.tree.root():
            raise Wrong(13, f"an earlier checkpoint of {earlier.size} entries, kept for its cosignatures, has another "
                            "root: one of the two histories was made up", earlier.size - 1)

    def _read_withheld(self) -> tuple[int, str, int, bytes] | None:
        raw = next(self._withheld_lines, None)
        if raw is None:
            return None
        try:
            said = parse_canonical(raw)
            if said.keys() != {"seq", "stream", "stream_seq", "leaf", "rule"} or type(said["seq"]) is not int or type(
                    said["stream_seq"]) is not int or not _HEX64.match(str(said["leaf"])) or not all(
                    type(said[name]) is str for name in ("stream", "leaf", "rule")):
                raise ValueError("is not {seq, stream, stream_seq, leaf, rule}")
        except ValueError as problem:
            raise Wrong(11, f"a line of withheld.jsonl {problem}") from problem
        return said["seq"], str(said["stream"]), said["stream_seq"], bytes.fromhex(said["leaf"])

    def check_complete(self) -> None:
        """11 Completeness: what the signed export.made counts is here."""
        if self.export is None:
            raise Wrong(11, f"entry {self.scope.export}, the export.made of this bundle, is not in it")
        declared = {str(item["stream"]): item["next"] for item in self.export.get("streams", ())
                    if isinstance(item, dict) and item.keys() == {"stream", "next"}}
        if declared != self.scope.streams:
            raise Wrong(11, "bundle.json claims other streams than its export.made", self.scope.export)
        size = self.export.get("size")
        if type(size) is not int or size > self.scope.export:
            raise Wrong(11, "export.made claims to know entries that came after it", self.scope.export)
        for stream, due in declared.items():
            held = self.checker.next_of.get(stream, 0)
            if held < due and (self.scope.kind != "entries" or stream == "keys"):
                raise Wrong(11, f"of stream {stream} {due} entries were exported, the bundle ends after {held}")
        if self.scope.first != 0 or self.scope.last != self.scope.export:
            raise Wrong(1, "bundle.json misstates the range of its entries")
        # A file that nobody compared could be shown to people as evidence.
        if sum(name.startswith("proofs/") for name in self.bundle.names) != self.proven:
            raise Wrong(9, "a proof is of an entry that is not in the bundle")


# ---------------------------------------------------------------- trust


@dataclass(frozen=True)
class Card:
    """What somebody outside knows of the ledger."""

    origin: str
    genesis_leaf: str
    root_key: str
    witnesses: tuple[tuple[str, bytes], ...]
    timestamp_roots: tuple[x509.Certificate, ...]
    former_origins: tuple[tuple[str, int], ...] = ()


def read_card(source: str | os.PathLike[str] | dict[str, Any] | None) -> Card | None:
    """A trust card from its file or its content. Raises WrongUse."""
    if source is None:
        return None
    try:
        card = source if isinstance(source, dict) else json.loads(Path(source).read_text(encoding="utf-8"))
        if not isinstance(card, dict) or card.get("countersign_trust_card") != 1:
            raise ValueError("is not a trust card of version 1")
        witnesses = tuple((str(one["name"]), decode_b64(one["public_key"], 32)) for one in card.get("witnesses", []))
        decode_b64(card["root_key"], 32)
        if not _HEX64.match(str(card["genesis_leaf"])) or not isinstance(card["origin"], str):
            raise ValueError("names no origin or no first leaf")
        roots = tuple(x509.load_pem_x509_certificates(str(card["timestamp_root"]).encode())
                      ) if card.get("timestamp_root") else ()
        former = tuple((str(one["origin"]), int(one["size"])) for one in card.get("former_origins", []))
        return Card(card["origin"], card["genesis_leaf"], card["root_key"], witnesses, roots, former)
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise WrongUse(f"The trust card cannot be used: {problem}") from problem


# ---------------------------------------------------------------- all of it


def verify_bundle(path: str | os.PathLike[str], trust: str | os.PathLike[str] | dict[str, Any] | None = None,
                  jobs: int = 1) -> Report:
    """Check the bundle at `path`, against a trust card where one is given.

    Raises:
        WrongUse: there is no such file, or the card is none. Whatever is wrong with a bundle is in the report.
    """
    card = read_card(trust)
    report = Report()
    if not Path(path).is_file():
        raise WrongUse(f"There is no file {os.fspath(path)}.")
    try:
        # 1 Container
        with zipfile.ZipFile(path) as archive:
            _verify(Bundle(archive), card, jobs, report)
    except Wrong as wrong:
        report.findings.append(Finding(wrong.step, wrong.seq, wrong.reason))
    except Exception as problem:  # noqa: BLE001  whatever foreign bytes do to a reader is a verdict on them, no crash
        report.findings.append(Finding(1, None, f"the file cannot be read to its end as a bundle: "
                                                f"{type(problem).__name__}: {problem}"))
    if not report.findings:
        report.verdict = VERIFIED if card else SELF_CONSISTENT
    return report


def _verify(bundle: Bundle, card: Card | None, jobs: int, report: Report) -> None:
    origin, scope = read_scope(bundle)
    report.scope = scope.in_words()
    # 2 Checkpoint
    try:
        note = parse_note(bundle.small("checkpoint.txt", 2, MAX_NOTE_BYTES))
    except ValueError as problem:
        raise Wrong(2, f"checkpoint.txt {problem}") from problem
    if note.origin != origin:
        raise Wrong(2, f"the checkpoint is of {note.origin!r}, the bundle claims {origin!r}")
    if note.size <= scope.last:
        raise Wrong(2, f"the checkpoint covers {note.size} entries; the bundle goes to entry {scope.last}")
    report.origin, report.size, report.root = origin, note.size, note.root.hex()

    walk = Walk(bundle, scope, note, jobs)  # 3 to 9
    checker = walk.checker
    try:
        walk.run()
        walk.check_complete()  # 11
        # 10 Log key
        if checker.registry.log_key_of(note) is None:
            raise Wrong(10, "no log key in force signed this checkpoint")
        _check_earlier_log_keys(walk)
        _check_second_hash(bundle, walk, report)
        _check_ml_dsa_lines([note, *walk.earlier.values()], checker, report)
    finally:
        report.entries, report.withheld, report.keys = checker.count, walk.withheld, len(checker.registry.keys)
        report.assertions = checker.assertions
        report.signatures, report.genesis_leaf = checker.signatures.count, checker.genesis_leaf.hex()
        if checker.genesis_key:
            report.root_key = base64.b64encode(checker.genesis_key.public).decode()
    _check_objects(bundle, report)
    notes = [note, *(walk.earlier.values() if checker.heads else ())]
    _check_origin_of_notes(checker.origins, [note, *walk.earlier.values()])
    _check_card_origin(card, checker.origins, report)
    _check_origin(card, notes, report)
    _check_time_stamps(card, bundle, notes, report)
    _say_what_stays_open(bundle, walk, card, report)


def _check_earlier_log_keys(walk: Walk) -> None:
    """10 Log key: a checkpoint kept for its cosignatures was signed by the log key of its own time."""
    for size, earlier in sorted(walk.earlier.items()):
        if walk.checker.registry.log_key_of(earlier) is None:
            raise Wrong(10, f"the earlier checkpoint of {size} entries is not signed by the log key that was in force "
                            "at this size")


def _check_second_hash(bundle: Bundle, walk: Walk, report: Report) -> None:
    """9 Tree: a pass of its own, taken only where an entry states a second hash."""
    stated = walk.checker.rehashes
    if not stated:
        return
    if walk.scope.kind != "whole":
        report.not_checked.append(f"the second hash that entries {_list([one.seq for one in stated])} state: it covers "
                                  "entries that are not part of this bundle")
        return
    check_rehashes(stated, bundle.lines("entries.jsonl", 3))
    report.remarks.append(f"the entries were recomputed under {SECOND_HASH} as entries "
                          f"{_list([one.seq for one in stated])} state it; the newest covers "
                          f"{max(one.size for one in stated)} entries")


def _check_ml_dsa_lines(notes: list[Note], checker: Checker, report: Report) -> None:
    """10 Log key: lines of ML-DSA-44 on checkpoints that were time-stamped."""
    for note in notes:
        checked = checker.registry.check_ml_dsa_line(note)
        if checked:
            checker.signatures.count += 1
            report.remarks.append(f"the checkpoint over {note.size} entries also carries a good ML-DSA-44 signature of "
                                  "the log")
        elif checked is False:
            checker.ml_dsa_skipped += 1
    if checker.ml_dsa_skipped:
        why = ("this installation of `cryptography` has no ML-DSA-44" if not has_ml_dsa() else
               "their root is out of reach")
        report.not_checked.append(f"{checker.ml_dsa_skipped} signatures of ML-DSA-44: {why}; the Ed25519 signatures "
                                  "beside them were checked")


def _check_objects(bundle: Bundle, report: Report) -> None:
    """12 Objects."""
    for name in bundle.objects():
        digest = hashlib.sha256()
        with bundle.archive.open(name) as source:
            while piece := source.read(1 << 20):
                digest.update(piece)
        if digest.hexdigest() != name.removeprefix("objects/"):
            raise Wrong(12, f"{name} does not have the content it is named by")
        report.objects += 1


def _check_origin_of_notes(origins: Origins, notes: list[Note]) -> None:
    """13 Origin: each note bears the origin in force at its size."""
    for note in notes:
        due = origins.of_note(note.size)
        if note.origin != due:
            raise Wrong(13, f"a checkpoint of {note.size} entries is of {note.origin!r}; a ledger of that size is "
                            + (repr(due) if due else "in the middle of its continuation"))


def _check_card_origin(card: Card | None, origins: Origins, report: Report) -> None:
    """13 Origin: the card names this ledger by its origin or an earlier one, or a longer life of it by a former one."""
    if card is None or card.origin == report.origin:
        return
    if card.origin in origins.names:
        report.remarks.append(f"the trust card is of {card.origin}, which this ledger was called before it was "
                              f"continued as {report.origin}; ask for a new card")
        return
    limit = dict(card.former_origins).get(report.origin)
    if limit is None:
        raise Wrong(13, f"the trust card is of {card.origin!r}, the bundle of {report.origin!r}")
    if report.size > limit:
        raise Wrong(13, f"the ledger {report.origin!r} was continued as {card.origin!r} after {limit} entries; this "
                        f"bundle of {report.size} is of the part that was lost: not forged by that alone, but no "
                        "longer part of the ledger")
    report.remarks.append(f"since this bundle was made the ledger was continued as {card.origin}, after {limit} "
                          "entries; all that the bundle holds is part of it")


def _check_origin(card: Card | None, notes: list[Note], report: Report) -> None:
    """13 Origin."""
    if card is None:
        return
    if card.genesis_leaf != report.genesis_leaf or card.root_key != report.root_key:
        raise Wrong(13, "the first entry or the root key differs from the trust card: this is another ledger", 0)
    for name, public in card.witnesses:
        for note in notes:
            stamp = note_cosigned_by(note, name, public)
            if stamp is not None:
                at = f"{datetime.fromtimestamp(stamp, UTC):%Y-%m-%d %H:%M:%S} UTC"
                report.cosignatures.append(f"{name} at {at} over {note.size} entries")
                report.witnessed_size = max(report.witnessed_size, note.size)


def _check_time_stamps(card: Card | None, bundle: Bundle, notes: list[Note], report: Report) -> None:
    """13 Origin: tokens over this checkpoint or an earlier one, named by its size."""
    by_size = {note.size: note for note in notes}
    for name in sorted(name for name in bundle.names if name.endswith(".tsr")):
        found = re.fullmatch(r"anchors/([0-9]+)-[0-9]+\.tsr", name, re.ASCII)
        note = by_size.get(int(found.group(1))) if found else None
        if card is None or not card.timestamp_roots or note is None:
            why = "no trust card names a time-stamp root" if note else "its checkpoint is not among those compared"
            report.not_checked.append(f"the time stamp {name}: {why}")
            continue
        # What is stamped are the log's own lines; witnesses add theirs later.
        own = "".join(f"— {who} {base64.b64encode(blob).decode()}\n" for who, blob in note.lines if who == note.origin)
        try:
            at = time_stamped(bundle.small(name, 13, MAX_TOKEN_BYTES), f"{note.text}\n{own}".encode(),
                              list(card.timestamp_roots))
        except (ValueError, IndexError, StopIteration, x509.DuplicateExtension) as problem:
            raise Wrong(13, f"{name} {problem or 'is no time-stamp token'}") from problem
        report.cosignatures.append(f"time stamp of {at:%Y-%m-%d %H:%M:%S} UTC over {note.size} entries")
        report.witnessed_size = max(report.witnessed_size, note.size)


def _say_what_stays_open(bundle: Bundle, walk: Walk, card: Card | None, report: Report) -> None:
    """What a good verdict does not cover; a reader must not take silence for a check."""
    registry = walk.checker.registry
    tell, skip = report.remarks.append, report.not_checked.append
    if card is None:
        skip("the origin. Without a trust card whoever made the bundle could have made the whole ledger; "
             "compare the first entry's leaf with the card in the validation report")
    if not report.cosignatures:
        skip("loss of the newest entries, rollback, and a fork by a holder of all keys: "
             "no cosignature of a known witness and no time stamp is on a checkpoint, so these would not show")
    elif report.witnessed_size < report.size:
        skip(f"loss or fork after entry {report.witnessed_size - 1}, the last that a witness or time stamp covers")
    if not walk.checker.heads:
        skip("heads: without leaves.bin the roots that the signers saw cannot be recomputed")
    if report.withheld:
        skip(f"the content of {report.withheld} withheld entries; that they exist is proven")
    if walk.scope.kind != "whole":
        skip(f"{report.size - report.entries - report.withheld} entries of the ledger that are not part of this bundle")
    if walk.scope.kind == "entries":
        skip("whether entries beside the chosen ones bear on them")
    if registry.passkeys.known:
        skip("the make of the passkeys, and who held them when they were enrolled: attestation is not asked for, so an "
             "assertion proves the enrolled passkey and nothing about its device")
    for name in sorted(bundle.names):
        if name.startswith("anchors/") and not name.endswith(".tsr") and not re.fullmatch(
                r"anchors/[0-9]+\.note", name, re.ASCII):
            skip(f"{name}, which no rule names")
    if "index.html" in bundle.names:
        skip("index.html, which is for reading only")
    for one in walk.checker.origins.past:
        tell(one.in_words())
    if registry.enrolled_by_root_alone:
        tell(f"personal keys enrolled without two other persons' proofs: entries "
             f"{_list(registry.enrolled_by_root_alone)}")
    if registry.rotated_without_two:
        tell(f"keys of the house replaced without the signatures of two persons: entries "
             f"{_list(registry.rotated_without_two)}")
    report.remarks += [one.in_words() for one in doubted_keys(registry, lambda: bundle.lines("entries.jsonl", 3))]


@dataclass
class Doubted:
    """A key to be looked at, and the entries it signed or proved: how many, and the first of them; memory does not grow
    with a key's diligence. `recovered`: the entry that enrolled it after an earlier one was lost, or its forerunner;
    else it was revoked as suspect from entry `suspect_from` on."""

    kid: str
    holder: str
    enrolled: int
    recovered: int | None = None
    suspect_from: int | None = None
    entries: int = 0
    first: list[int] = field(default_factory=list)

    def take(self, seq: int) -> None:
        """Count an entry of this key, if it is one of those."""
        if seq >= self.suspect_from if self.suspect_from is not None else seq != self.enrolled:
            self.entries += 1
            if len(self.first) < 20:
                self.first.append(seq)

    def in_words(self) -> str:
        """A remark of the report."""
        signed = f"{_list(self.first)} ({self.entries} in all)" if self.first else "none"
        if self.suspect_from is None:
            return (f"the key {self.kid[:16]}… of {self.holder} was enrolled by others after an earlier one was lost "
                    f"(entry {self.recovered}); it signed entries {signed}")
        return (f"the key {self.kid[:16]}… of {self.holder} was revoked as suspect from entry {self.suspect_from} on; "
                f"it signed entries {signed}; they are not invalid by this, what rests on them is to be looked at")


def doubted_keys(registry: Registry, entries: Callable[[], Iterable[bytes]]) -> list[Doubted]:
    """Recovered keys and suspect ones with what they signed. A second pass over the entries, made where there are any,
    as a revocation marks entries that were read before it."""
    found = []
    for key in registry.keys.values():
        if key.recovered is not None:
            found.append(Doubted(key.kid, key.holder, key.enrolled, recovered=key.recovered))
        if key.suspect_from is not None:
            found.append(Doubted(key.kid, key.holder, key.enrolled, suspect_from=key.suspect_from))
    kids = {one.kid for one in found}
    for raw in entries() if found else ():
        entry = json.loads(raw)
        # A proof counts as a signature: an enrolment may rest on it.
        touched = {entry["kid"], *(proof["kid"] for proof in entry["body"].get("proofs", ()))} & kids
        for one in found if touched else ():
            if one.kid in touched:
                one.take(entry["seq"])
    return found


def _list(numbers: list[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:20])
    return (shown or "none") + (f" and {len(numbers) - 20} more" if len(numbers) > 20 else "")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="verify.py", description="Check a Countersign bundle, offline.")
    parser.add_argument("bundle", help="the ZIP file")
    parser.add_argument("--trust", metavar="CARD", help="trust card (JSON) that you obtained outside the bundle")
    parser.add_argument("--require-trust", action="store_true", help="exit 2 when no trust card was given")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="check signatures on N cores")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    try:
        options = parser.parse_args(argv)
        report = verify_bundle(options.bundle, options.trust, max(1, options.jobs))
    except WrongUse as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    except SystemExit as leaving:  # argparse says 2 for wrong use; here 2 means that the record disagrees
        return 1 if leaving.code else 0
    said = json.dumps(report.as_json(), indent=2, ensure_ascii=False) if options.json else report.in_words()
    sys.stdout.write(said + "\n")
    if options.require_trust and not options.trust:
        sys.stderr.write("No trust card was given, and --require-trust demands one.\n")
        return 2
    return 0 if report.ok else 2


if __name__ == "__main__":
    sys.exit(main())
