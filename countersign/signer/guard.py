"""What a signer in its own process signs for a house that may have been taken over (RECORD 3 and 4).

It signs entries and proofs of this record alone, each by the key of the one who acts in it, and only on top of what
is committed. So a captured house can write nothing in a person's name who is not signing through it at that moment,
use no root key after the opening, and build on no history but the committed one. What is left to it stands in
ARCHITECTURE.md, threat model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from sqlalchemy import Engine, select

from audit import store
from audit.entry import (
    ENTRY_TYPE,
    LARGEST_INTEGER,
    PROOF_TYPE,
    MalformedEntry,
    base64_text,
    canonical,
    from_base64,
    kid_of,
)
from audit.proofs import EMPTY_ROOT, Checkpoint
from core.errors import Refused

RULE = "F-09"
ROOT_ACTOR = "installation"
#: Words to which root and log keys add a proof after the opening; everything else of theirs ends with it.
PROVED_LATER = frozenset({"ledger.continued", "key.rotated", "key.enrolled"})
CONTINUING = frozenset({"ledger.continued", "ledger.stopped"})
_PAE = re.compile(rb"DSSEv1 (\d{1,3}) ([a-z0-9.+/-]+) (\d{1,7}) ")


class Guard:
    """Says no by raising Refused, rule F-09; the house records that as any refusal."""

    def __init__(self, origin_after: Callable[[Checkpoint | None], str], engine: Engine) -> None:
        """`origin_after`: of the record whose last committed note is given, as the signer knows it."""
        self._origin_after = origin_after
        self._engine = engine
        self._heads = store.lookout_for_heads(engine)

    def service(self, holder: str, messages: Sequence[bytes]) -> None:
        """Entries or proofs by root, log or a service key; what they build on is looked up once for each head."""
        read = [_read(message) for message in messages]
        self._check_heads([body for _, body in read])
        opened = holder in ("root", "log") and self._opened()
        expected = ROOT_ACTOR if holder == "root" else holder
        for kind, body in read:
            if opened:
                own_rotation = body["action"] == "key.rotated" and (
                    holder == "log" or body.get("fields", {}).get("class") == "root")
                if body["action"] not in PROVED_LATER or (kind != PROOF_TYPE and not own_rotation):
                    _refuse(f"The {holder} key signs no {body['action']} once the installation is open.")
            elif kind != PROOF_TYPE and body["actor"] != expected:
                _refuse(f"The key of {holder} signs no entry whose actor is {body['actor']}.")

    def person(self, user: str, messages: Sequence[bytes]) -> list[dict[str, Any]]:
        """The bodies of one page: entries by this person, or their proof on another's. Returns them."""
        read = [_read(message) for message in messages]
        self._check_heads([body for _, body in read])
        for kind, body in read:
            if (kind == ENTRY_TYPE) != (body["actor"] == user):
                _refuse(f"The key of {user} signs no such part of an entry of {body['actor']}.")
        return [body for _, body in read]

    def newcomer(self, user: str, message: bytes) -> None:
        """A new key's proof of itself: on its own enrolment, and on nothing else."""
        kind, body = self._read_of_this_record(message)
        fields = body.get("fields", {})
        if kind != PROOF_TYPE or body["action"] != "key.enrolled" or fields.get("holder") != user:
            _refuse(f"Without the second factor the key of {user} proves its own enrolment only.")

    def successor(self, holder: str, kid: str, message: bytes) -> None:
        """A key that is to replace another proves that rotation, and nothing else."""
        kind, body = self._read_of_this_record(message)
        public = body.get("fields", {}).get("public_key", "")
        if kind != PROOF_TYPE or body["action"] not in ("key.rotated", "key.enrolled") or _kid_of(public) != kid:
            _refuse(f"The next key of {holder} proves its own rotation only.")

    def unenrolled(self, user: str, kid: str | None) -> None:
        """That this key counts nowhere yet, so that it may be thrown away."""
        if kid is None:
            return
        entries = store.entries
        with self._engine.connect() as session, session.begin():
            rows = session.execute(
                select(entries.c.data).where(entries.c.action.in_(("key.enrolled", "key.rotated")))
            ).scalars()
            known = {kid_of(from_base64(orjson.loads(data)["body"]["fields"]["public_key"])) for data in rows}
        if kid in known:
            _refuse(f"The key of {user} is enrolled; the signer does not throw it away.")

    def _read_of_this_record(self, message: bytes) -> tuple[str, dict[str, Any]]:
        kind, body = _read(message)
        self._check_record(body, store.head_at(self._heads, 0)[1])
        return kind, body

    def _check_record(self, body: dict[str, Any], last: Checkpoint | None) -> None:
        # What continues a record after a loss is signed for its new origin; the note over it decides (RECORD 8).
        if body["log"] != self._origin_after(last) and body["action"] not in CONTINUING:
            _refuse(f"What is to be signed belongs to the record {body['log']}.")

    def _check_heads(self, bodies: Sequence[dict[str, Any]]) -> None:
        """The record must be this one, and the head that a body names a committed checkpoint, by number and root."""
        seen: dict[int, tuple[bytes | None, Checkpoint | None]] = {}
        for body in bodies:
            head = body["head"]
            size, root = (head.get("size"), head.get("root")) if isinstance(head, dict) else (None, None)
            if type(size) is not int or not 0 <= size <= LARGEST_INTEGER:
                _refuse("What is to be signed names no head of the record.")
                return
            if size not in seen:
                seen[size] = store.head_at(self._heads, size)
            committed, last = seen[size]
            self._check_record(body, last)
            if size == 0:
                if root != base64_text(EMPTY_ROOT):
                    _refuse("What is to be signed names a false beginning of the record.")
            elif committed is None or base64_text(committed) != root:
                _refuse(f"What is to be signed builds on {size} entries that are not the committed ones.")

    def _opened(self) -> bool:
        """Whether both founders have signed the opening."""
        entries = store.entries
        with self._engine.connect() as session, session.begin():
            rows = session.execute(select(entries.c.data).where(entries.c.action == "installation.opened")).scalars()
            return any("first" in orjson.loads(data)["body"]["fields"] for data in rows)


def _read(message: bytes) -> tuple[str, dict[str, Any]]:
    """Payload type and body of a DSSE pre-authentication encoding."""
    found = _PAE.match(message)
    kind = found.group(2).decode() if found else ""
    payload = message[found.end():] if found else b""
    try:
        body = orjson.loads(payload)
        sound = (
            found is not None and kind in (ENTRY_TYPE, PROOF_TYPE) and len(kind) == int(found.group(1))
            and len(payload) == int(found.group(3)) and isinstance(body, dict) and canonical(body) == payload
            and {"action", "actor", "head", "log"} <= set(body)
        )
    except (orjson.JSONDecodeError, MalformedEntry):
        sound, body = False, {}
    if not sound:
        _refuse("What is to be signed is no entry of this record.")
    return kind, body


def _kid_of(public_key: str) -> str:
    try:
        return kid_of(from_base64(public_key))
    except MalformedEntry:
        return ""


def _refuse(fact: str) -> None:
    raise Refused(fact, rule=RULE, next_step="Nothing was signed. Tell QA: the house asked for what it must not.")
