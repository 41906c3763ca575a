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
from sqlalchemy import Connection, Engine, select

from audit import store
from audit.entry import ENTRY_TYPE, PROOF_TYPE, MalformedEntry, base64_text, canonical, from_base64, kid_of
from audit.proofs import EMPTY_ROOT
from core.errors import Refused

RULE = "F-09"
ROOT_ACTOR = "installation"
#: Words to which root and log keys add a proof after the opening; everything else of theirs ends with it.
PROVED_LATER = frozenset({"ledger.continued", "key.rotated", "key.enrolled"})
CONTINUING = frozenset({"ledger.continued", "ledger.stopped"})
_PAE = re.compile(rb"DSSEv1 (\d{1,3}) ([a-z0-9.+/-]+) (\d{1,7}) ")


class Guard:
    """Says no by raising Refused, rule F-09; the house records that as any refusal."""

    def __init__(self, origin: Callable[[], str], engine: Engine) -> None:
        """`origin`: of the record as the signer knows it now."""
        self._origin = origin
        self._engine = engine

    def service(self, holder: str, message: bytes) -> None:
        """An entry or proof by root, log or a service key."""
        kind, body = self._read(message)
        with self._engine.connect() as session, session.begin():
            self._check_head(session, body)
            if holder in ("root", "log") and _opened(session):
                own_rotation = body["action"] == "key.rotated" and (
                    holder == "log" or body.get("fields", {}).get("class") == "root")
                if body["action"] not in PROVED_LATER or (kind != PROOF_TYPE and not own_rotation):
                    _refuse(f"The {holder} key signs no {body['action']} once the installation is open.")
                return
        if kind == PROOF_TYPE:
            return
        expected = ROOT_ACTOR if holder == "root" else holder
        if body["actor"] != expected:
            _refuse(f"The key of {holder} signs no entry whose actor is {body['actor']}.")

    def person(self, user: str, messages: Sequence[bytes]) -> list[dict[str, Any]]:
        """The bodies of one page: entries by this person, or their proof on another's. Returns them."""
        bodies = []
        with self._engine.connect() as session, session.begin():
            for message in messages:
                kind, body = self._read(message)
                self._check_head(session, body)
                if (kind == ENTRY_TYPE) != (body["actor"] == user):
                    _refuse(f"The key of {user} signs no such part of an entry of {body['actor']}.")
                bodies.append(body)
        return bodies

    def newcomer(self, user: str, message: bytes) -> None:
        """A new key's proof of itself: on its own enrolment, and on nothing else."""
        kind, body = self._read(message)
        fields = body.get("fields", {})
        if kind != PROOF_TYPE or body["action"] != "key.enrolled" or fields.get("holder") != user:
            _refuse(f"Without the second factor the key of {user} proves its own enrolment only.")

    def successor(self, holder: str, kid: str, message: bytes) -> None:
        """A key that is to replace another proves that rotation, and nothing else."""
        kind, body = self._read(message)
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

    def _read(self, message: bytes) -> tuple[str, dict[str, Any]]:
        """Payload type and body of a DSSE pre-authentication encoding of this record."""
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
        # What continues a record after a loss is signed for its new origin; the note over it decides (RECORD 8).
        if body["log"] != self._origin() and body["action"] not in CONTINUING:
            _refuse(f"What is to be signed belongs to the record {body['log']}.")
        return kind, body

    def _check_head(self, session: Connection, body: dict[str, Any]) -> None:
        """The head that the body names must be a committed checkpoint, by number and root."""
        size, root = body["head"].get("size"), body["head"].get("root")
        if size == 0:
            if root != base64_text(EMPTY_ROOT):
                _refuse("What is to be signed names a false beginning of the record.")
            return
        table = store.checkpoints
        row = session.execute(select(table.c.root).where(table.c.size == size)).first()
        if row is None or base64_text(bytes(row.root)) != root:
            _refuse(f"What is to be signed builds on {size} entries that are not the committed ones.")


def _kid_of(public_key: str) -> str:
    try:
        return kid_of(from_base64(public_key))
    except MalformedEntry:
        return ""


def _opened(session: Connection) -> bool:
    """Whether both founders have signed the opening."""
    entries = store.entries
    rows = session.execute(select(entries.c.data).where(entries.c.action == "installation.opened")).scalars()
    return any("first" in orjson.loads(data)["body"]["fields"] for data in rows)


def _refuse(fact: str) -> None:
    raise Refused(fact, rule=RULE, next_step="Nothing was signed. Tell QA: the house asked for what it must not.")
