"""Passkeys at the signer: it alone decides whether one answered for the very bodies that it is asked to sign.

A passkey counts here when this signer itself signed its enrolment, that entry is committed, and nothing committed has
ended it since. What a writer of the database puts there is not believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Engine, select

from audit import store
from audit.entry import ENTRY_TYPE, MalformedEntry, body_to_sign, challenge_of, from_base64, kid_of, pae
from audit.signatures import NewPasskey, RelyingParty
from core.clock import from_words
from core.errors import NotAuthenticated, UnusableInput

DRAFT_LIFE_US = 15 * 60 * 1_000_000
ENROLLED, REVOKED = "key.passkey_enrolled", "key.passkey_revoked"
KEY_WORDS = (ENROLLED, REVOKED, "key.enrolled", "key.rotated", "key.revoked")
_HEADER = b"DSSEv1 %d %s " % (len(ENTRY_TYPE), ENTRY_TYPE.encode())


@dataclass(frozen=True, slots=True)
class Asked:
    """The bodies of one page, those of entries; `proofs` where the page also proves somebody else's entry."""

    bodies: tuple[dict[str, Any], ...]
    proofs: bool

    @property
    def answered(self) -> bool:
        return any("assertion" in body for body in self.bodies)


@dataclass(frozen=True, slots=True)
class Answered:
    """What the passkeys of one page leave to remember, and whether the one-time code is due beside them."""

    enrolled: dict[str, dict[str, Any]]
    used: dict[str, int]
    code_due: bool

    def kept(self) -> dict[str, Any]:
        """The members of the person's file."""
        return {"passkeys": self.enrolled, "answered": self.used}


def asked_of(messages: Sequence[bytes]) -> Asked:
    """The bodies in messages that are entries to sign. Raises UnusableInput where only some of them are answered."""
    bodies = []
    for message in messages:
        payload = message[message.index(b"{"):] if message.startswith(_HEADER) and b"{" in message else b""
        if payload and pae(ENTRY_TYPE, payload) == message:
            bodies.append(orjson.loads(payload))
    asked = Asked(tuple(bodies), proofs=len(bodies) < len(messages))
    if asked.answered and (asked.proofs or not all("assertion" in body for body in bodies)):
        raise UnusableInput("A passkey answers for every part of a page, or for none.", next_step="Nothing was signed.")
    return asked


class Passkeys:
    """What this signer takes from passkeys; `party` is None where no page of the house is named in its settings."""

    def __init__(self, engine: Engine, party: RelyingParty | None) -> None:
        self._engine = engine
        self.party = party

    def relying_party(self) -> RelyingParty | None:
        """Implements audit.signatures.Signer, as `read` does `read_passkey`."""
        return self.party

    def read(self, challenge: bytes, client_data: bytes, attestation_object: bytes) -> NewPasskey:
        """A passkey that a browser made for a page of ours. Raises UnusableInput."""
        # Loaded at the first passkey: most commands need none, and would wait for it.
        from countersign.signer.webauthn import read_registration

        return read_registration(self._named_party(), challenge, client_data, attestation_object)

    def check(self, user: str, record: dict[str, Any], asked: Asked, now: int) -> Answered | None:
        """Each body against the passkey that answered for it; None for a page without answers.

        Raises NotAuthenticated, which counts as any failed proof does.
        """
        enrolled: dict[str, dict[str, Any]] = {
            name: dict(one) for name, one in record.get("passkeys", {}).items()}
        in_force = self._in_force(user, enrolled)
        if not asked.answered:
            if any(fields.get("alone") for fields in in_force.values()):
                raise NotAuthenticated(f"{user} signs with passkeys alone.", next_step=(
                    "Sign on the pages, with a passkey. Where none is left, owner or QA revokes the lost one."))
            if any(body["action"] == ENROLLED for body in asked.bodies):
                raise NotAuthenticated("The enrolment of a passkey is answered for by a passkey.")
            return None
        from countersign.signer.webauthn import verified_count

        used = {name: until for name, until in record.get("answered", {}).items() if until >= now}
        code_due = False
        for body in asked.bodies:
            fields = body["fields"] if body["action"] == ENROLLED else None
            credential = _credential(body)
            if fields is not None and not in_force:
                code_due = True
                known, count = fields if fields["credential"] == credential else None, fields["sign_count"]
            else:
                known, count = in_force.get(credential), enrolled.get(credential, {}).get("count", 0)
            if known is None:
                raise NotAuthenticated("The passkey that answered is not one of yours in force.")
            challenge = challenge_of(body)
            if challenge.hex() in used:
                raise NotAuthenticated("The passkey answered for this page before; an answer counts once.")
            if not _is_fresh(body["at"], now):
                raise NotAuthenticated("The passkey answered for a page that is older than 15 minutes.")
            counted = verified_count(self._named_party(), challenge, known, body["assertion"])
            if (counted or count) and counted <= count:
                raise NotAuthenticated("The passkey's counter went back: it answered before, or somebody copied it.",
                                       next_step="Tell QA at once, and revoke the passkey.")
            used[challenge.hex()] = now + 2 * DRAFT_LIFE_US
            if credential in enrolled:
                enrolled[credential]["count"] = counted
            if fields is not None:
                enrolled[fields["credential"]] = {
                    "enrolled": _digest(body), "count": counted if known is fields else fields["sign_count"]}
        return Answered(enrolled, used, code_due)

    def _in_force(self, user: str, enrolled: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Fields of the enrolments that this signer signed, that are committed, and that nothing ended since."""
        if not enrolled:
            return {}
        entries = store.entries
        found: dict[str, dict[str, Any]] = {}
        kids: set[str] = set()
        with self._engine.connect() as session, session.begin():
            rows = session.execute(
                select(entries.c.data).where(entries.c.action.in_(KEY_WORDS)).order_by(entries.c.seq))
            for row in rows:
                body = orjson.loads(bytes(row.data))["body"]
                action, fields = body["action"], body["fields"]
                if action in ("key.enrolled", "key.rotated"):
                    if (fields["class"], fields["holder"]) == ("person", user):
                        kids.add(kid_of(from_base64(fields["public_key"])))
                elif action == ENROLLED and body["actor"] == user:
                    known = enrolled.get(fields["credential"])
                    if known is not None and known["enrolled"] == _digest(body):
                        found[fields["credential"]] = fields
                elif action == REVOKED:
                    found.pop(fields["credential"], None)
                elif action == "key.revoked" and fields["kid"] in kids:
                    found.clear()
        return found

    def _named_party(self) -> RelyingParty:
        if self.party is None:
            raise NotAuthenticated("This installation takes no passkeys.", next_step=(
                "Name the address of its pages: `passkey_origin` in countersign.toml, or in the signer's signer.toml."))
        return self.party


def _is_fresh(at: str, now: int) -> bool:
    try:
        return abs(now - from_words(at)) <= DRAFT_LIFE_US
    except ValueError:
        return False


def _credential(body: dict[str, Any]) -> str:
    assertion = body["assertion"]
    return str(assertion.get("credential")) if isinstance(assertion, dict) else ""


def _digest(body: dict[str, Any]) -> str:
    """Of everything that was signed, so that no other entry passes for this enrolment."""
    try:
        return hashlib.sha256(body_to_sign(body)).hexdigest()
    except MalformedEntry:
        return ""
