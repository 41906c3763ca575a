"""The exact bytes of an entry: canonical form, profile, DSSE encoding, body and envelope (RECORD 1)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from audit.vocabulary.registry import KEYS_STREAM_PREFIXES

SUITE = 1
ENTRY_TYPE = "application/vnd.countersign.entry.v1+json"
PROOF_TYPE = "application/vnd.countersign.proof.v1+json"
LARGEST_ENTRY = 65_535
LARGEST_INTEGER = 2**53 - 1
OUTER = frozenset({"body", "kid", "seq", "sig", "stream", "stream_seq", "ts"})
BODY_ALWAYS = frozenset(
    {"action", "version", "type", "actor", "at", "head", "id", "log", "role", "rule", "fields"}
)
BODY_SOMETIMES = frozenset({"reason", "trial", "on_behalf_of", "caused_by", "manifest", "assertion", "proofs"})
#: Members of a passkey's assertion, each base64 of what the browser gave (W3C WebAuthn 5.2.2).
ASSERTION = frozenset({"credential", "authenticator_data", "client_data", "signature"})
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class MalformedEntry(ValueError):
    """Bytes that are not an entry of this suite; the text says which rule they break."""


# Member names that passed once; there are few, and each entry names about twenty.
_NAMES: set[str] = set()


def _is_plain(value: Any) -> bool:
    """Quickly, whether a value is of the exact types and names of the profile, its texts aside.

    False says nothing: `check_profile` then decides, and names the place.
    """
    kind = type(value)
    if kind is dict:
        for key, item in value.items():
            if key not in _NAMES and not _is_name(key):
                return False
            kind = type(item)
            if kind is str or kind is bool:
                continue
            if kind is int:
                if not -LARGEST_INTEGER <= item <= LARGEST_INTEGER:
                    return False
            elif not _is_plain(item):
                return False
        return True
    if kind is int:
        return bool(-LARGEST_INTEGER <= value <= LARGEST_INTEGER)
    if kind is list or kind is tuple:
        return all(_is_plain(item) for item in value)
    return kind is str or kind is bool


def _is_name(key: Any) -> bool:
    if not isinstance(key, str) or not _NAME.match(key):
        return False
    if len(_NAMES) < 4096:
        _NAMES.add(key)
    return True


def check_profile(value: Any, where: str = "entry") -> None:
    """The restricted profile of RECORD 1. Raises MalformedEntry naming the place."""
    if isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, bool):
        return
    elif isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise MalformedEntry(f"{where}: a whole number beyond 2^53 - 1.")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str) or not _NAME.match(key):
                raise MalformedEntry(f"{where}: member name {key!r} is not [a-z][a-z0-9_]*.")
            check_profile(item, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_profile(item, f"{where}[{index}]")
    else:
        raise MalformedEntry(f"{where}: {type(value).__name__} has no place in an entry.")


def _check_text(text: str, where: str) -> None:
    if text.isascii() and text.isprintable():
        return
    if not unicodedata.is_normalized("NFC", text):
        raise MalformedEntry(f"{where}: text is not in Unicode form NFC.")
    for sign in text:
        category = unicodedata.category(sign)
        if (category in ("Cc", "Cs", "Cn") and sign != "\n") or sign in _BIDI:
            raise MalformedEntry(f"{where}: character U+{ord(sign):04X} is not allowed.")


def canonical(value: Any, where: str = "entry") -> bytes:
    """RFC 8785 bytes of a value in the profile (byte-equal to rfc8785 there: research/ledger.md 0.2)."""
    if _is_plain(value):
        try:
            raw = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        except orjson.JSONEncodeError:
            raw = b"\\"
        # Texts without anything beyond ASCII, control or escape are in the profile, and most entries have no others.
        if raw.isascii() and b"\\" not in raw and b"\x7f" not in raw:
            return raw
    check_profile(value, where)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE v1 pre-authentication encoding: what an Ed25519 key signs."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def base64_text(raw: bytes) -> str:
    """RFC 4648 section 4, padded."""
    return base64.b64encode(raw).decode()


def from_base64(text: str) -> bytes:
    """Strict reverse of base64_text: padding and spare bits are checked. Raises MalformedEntry."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedEntry("base64 text is damaged.") from error
    if base64_text(raw) != text:
        raise MalformedEntry("base64 text has stray bits.")
    return raw


def kid_of(public_key: bytes) -> str:
    """Lower-case hex SHA-256 of the 32 raw public-key bytes."""
    return hashlib.sha256(public_key).hexdigest()


def stream_of(action: str, trial: str | None) -> str:
    """Which stream an entry belongs to; the verifier recomputes it."""
    if action.startswith(KEYS_STREAM_PREFIXES):
        return "keys"
    return f"trial/{trial}" if trial else "house"


def leaf_hash(entry: bytes) -> bytes:
    """RFC 6962, 2.1: SHA-256(0x00 ‖ entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def body_to_sign(body: Mapping[str, Any]) -> bytes:
    """The bytes the actor's key signs."""
    return pae(ENTRY_TYPE, canonical(body, "body"))


def payload_to_sign(payload: bytes) -> bytes:
    """The bytes the actor's key signs, from a body's canonical bytes."""
    return pae(ENTRY_TYPE, payload)


def body_to_prove(body: Mapping[str, Any]) -> bytes:
    """The bytes a further key signs for `proofs`: the body without proofs and assertion."""
    bare = {key: value for key, value in body.items() if key not in ("proofs", "assertion")}
    return pae(PROOF_TYPE, canonical(bare, "body"))


def challenge_of(body: Mapping[str, Any]) -> bytes:
    """What a passkey answers for: SHA-256 of the body without assertion (RECORD 4)."""
    bare = {key: value for key, value in body.items() if key != "assertion"}
    return hashlib.sha256(canonical(bare, "body")).digest()


@dataclass(frozen=True, slots=True)
class SignedBody:
    """A body with its signature, not yet in the ledger; `payload` are its canonical bytes where the signer of it has
    them."""

    body: dict[str, Any]
    kid: str
    sig: str
    payload: bytes | None = None


@dataclass(frozen=True)
class Entry:
    """One stored entry, parsed."""

    raw: bytes
    body: dict[str, Any]
    kid: str
    seq: int
    sig: str
    stream: str
    stream_seq: int
    ts: int

    @classmethod
    def made(cls, raw: bytes, body: dict[str, Any], kid: str, seq: int, sig: str, stream: str, stream_seq: int,
             ts: int) -> Entry:
        """As the constructor, for bytes that were put together just now: a frozen class sets its members dearly."""
        entry = object.__new__(cls)
        entry.__dict__.update(raw=raw, body=body, kid=kid, seq=seq, sig=sig, stream=stream, stream_seq=stream_seq,
                              ts=ts, _leaf=leaf_hash(raw))
        return entry

    @property
    def leaf(self) -> bytes:
        """RFC 6962 leaf hash of the stored bytes."""
        kept: bytes | None = self.__dict__.get("_leaf")
        if kept is None:  # not a cached_property: until Python 3.12 it takes a lock each time it is first asked
            kept = self.__dict__["_leaf"] = leaf_hash(self.raw)
        return kept

    @classmethod
    def parse(cls, raw: bytes) -> Entry:
        """Read stored bytes and check them against their own canonical form. Raises MalformedEntry."""
        if len(raw) > LARGEST_ENTRY:
            raise MalformedEntry(f"an entry of {len(raw)} bytes exceeds {LARGEST_ENTRY}.")
        try:
            outer = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise MalformedEntry("not JSON.") from error
        if not isinstance(outer, dict) or set(outer) != OUTER or not isinstance(outer["body"], dict):
            raise MalformedEntry("the outer members are not exactly those of an entry.")
        if canonical(outer) != raw:
            raise MalformedEntry("the bytes are not their own canonical form.")
        check_members(outer["body"])
        return cls(raw=raw, **outer)


def check_members(body: Mapping[str, Any]) -> None:
    """The member set of a body. Raises MalformedEntry."""
    members = set(body)
    if missing := BODY_ALWAYS - members:
        raise MalformedEntry(f"body lacks {sorted(missing)}.")
    if extra := members - BODY_ALWAYS - BODY_SOMETIMES:
        raise MalformedEntry(f"body has foreign members {sorted(extra)}.")
    if "assertion" in body and (not isinstance(body["assertion"], dict) or set(body["assertion"]) != ASSERTION):
        raise MalformedEntry(f"an assertion has the members {sorted(ASSERTION)}.")


def entry_bytes(
    signed: SignedBody, *, seq: int, stream: str, stream_seq: int, ts: int, body: bytes | None = None
) -> bytes:
    """The stored bytes. Raises MalformedEntry when the result is too large.

    `body`: its canonical bytes where the caller has them. `body` is the first member by name, so the envelope's other
    members follow it as they stand.
    """
    rest = orjson.dumps(
        {"kid": signed.kid, "seq": seq, "sig": signed.sig, "stream": stream, "stream_seq": stream_seq, "ts": ts},
        option=orjson.OPT_SORT_KEYS,
    )
    raw = b'{"body":' + (body or orjson.dumps(signed.body, option=orjson.OPT_SORT_KEYS)) + b"," + rest[1:]
    if len(raw) > LARGEST_ENTRY:
        raise MalformedEntry(f"an entry of {len(raw)} bytes exceeds {LARGEST_ENTRY}; keep big things as objects.")
    return raw
