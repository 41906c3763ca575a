"""Which key may sign which word: asked of every entry under the lock, before it is appended (RECORD 4).

The verifier asks the same of a finished ledger and shares no line with this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select

from audit import store
from audit.entry import SignedBody, from_base64, kid_of
from audit.turn import Fixed
from audit.vocabulary.registry import REGISTRY
from core.errors import Refused
from core.passkeys import check_assertion
from core.persons import ED25519, KEY_COLUMNS, KeyRow, key_row, keys, keys_in_force, name_is_shared

UNKNOWN, ENDED, WRONG_CLASS, NOT_THE_HOLDER, FURTHER_KEY, ROTATION = (
    "F-120", "F-121", "F-122", "F-123", "F-124", "F-125")
FOUNDING = "ledger.founded"
_STANDING_AND_KEYS = Fixed(
    select(*store.STANDING, *KEY_COLUMNS)
    .select_from(store.STANDING_FROM.outerjoin(
        keys, (keys.c.holder == bindparam("of_holder")) & keys.c.revoked_by.is_(None)))
)


def standing_and_keys(session: Connection, stream: str, holder: str) -> tuple[store.Standing, list[KeyRow]]:
    """What an append asks first, together with the keys in force of the one who acts: one question for both."""
    rows = _STANDING_AND_KEYS.ask(session, {"of_stream": stream, "of_holder": holder})
    many = len(store.STANDING)
    return store.standing_of(rows[0][:many]), [KeyRow(*row[many:]) for row in rows if row[many] is not None]


class Keyring:
    """The keys as one page of entries finds and changes them, before any of its folds has run."""

    def __init__(self, session: Connection, known: Iterable[KeyRow] = ()) -> None:
        """`known`: keys in force, read under this lock; any other is asked for."""
        self._session = session
        self._known = {one.kid: one for one in known}
        self._passed: set[tuple[str, str, int, str]] = set()
        self._ending: set[str] = set()
        self._ending_passkeys: set[str] = set()

    def check(self, signed: SignedBody) -> None:
        """Raises Refused where this key may not sign this body now; the attempt is on record."""
        body = signed.body
        # Of the entries that a service records at once, one says it for all that are alike.
        alike = (signed.kid, body["action"], body["version"], body["actor"])
        if alike in self._passed and "assertion" not in body and "manifest" not in body:
            return
        if body["action"] == FOUNDING:
            if store.head(self._session)[0]:
                raise Refused("A record is founded once, by its first entry.", rule=FURTHER_KEY)
            return
        key = self._in_force(signed.kid, "signs this")
        word = REGISTRY[body["action"], body["version"]]
        if key.klass not in word.signed_by or key.algorithm != ED25519:
            raise Refused(f"{word.name} is not signed by a {key.klass} key; the word allows "
                          f"{', '.join(word.signed_by)}.", rule=WRONG_CLASS)
        if key.holder != body["actor"]:
            raise Refused(f"The key belongs to {key.holder}, but {body['actor']} is named as the actor.",
                          rule=NOT_THE_HOLDER)
        check_assertion(self._session, body, key.klass, frozenset(self._ending_passkeys))
        if word.name in ("key.enrolled", "key.rotated", "key.revoked"):
            self._check_key_entry(body, signed.kid)
        elif word.name == "key.passkey_revoked":
            self._ending_passkeys.add(body["fields"]["credential"])
        elif key.klass == "service":
            self._passed.add(alike)

    def _in_force(self, kid: str, what: str) -> KeyRow:
        key = self._known.get(kid) or key_row(self._session, kid)
        if key is None:
            raise Refused(f"The key {kid[:16]}… that {what} is not enrolled.", rule=UNKNOWN)
        if key.revoked_by is not None or kid in self._ending:
            by = f"by entry {key.revoked_by}" if key.revoked_by is not None else "by an entry of this very page"
            raise Refused(f"The key {kid[:16]}… of {key.holder} that {what} was ended {by}.", rule=ENDED)
        self._known[kid] = key
        return key

    def _check_key_entry(self, body: Mapping[str, Any], kid: str) -> None:
        fields = body["fields"]
        if body["action"] == "key.revoked":
            size, _ = store.head(self._session)
            if key_row(self._session, fields["kid"]) is None:
                raise Refused(f"No key {fields['kid'][:16]}… is enrolled; nothing can be revoked.", rule=UNKNOWN)
            if not 0 <= fields.get("suspect_from", 0) <= size:
                raise Refused(f"{fields['suspect_from']} is no entry of this record; it holds {size}.", rule=UNKNOWN)
            self._ending.add(fields["kid"])
            return
        fresh = kid_of(from_base64(fields["public_key"]))
        if key_row(self._session, fresh) is not None:
            raise Refused(f"The key {fresh[:16]}… was enrolled before.", rule=FURTHER_KEY)
        provers = {proof["kid"] for proof in body.get("proofs", ())}
        if fresh not in provers:
            raise Refused("The new key gives no proof of itself.", rule=FURTHER_KEY)
        others = [self._in_force(one, "proves this") for one in sorted(provers - {fresh})]
        if body["action"] == "key.rotated":
            self._check_rotation(fields, kid)
        else:
            self._check_enrolment(fields, [*others, self._in_force(kid, "signs this")])

    def _check_enrolment(self, fields: Mapping[str, Any], speaking: Sequence[KeyRow]) -> None:
        klass, holder = fields["class"], fields["holder"]
        if klass == "root":
            raise Refused("A second root key can only come by rotation of the first.", rule=FURTHER_KEY)
        if name_is_shared(self._session, klass, holder):
            raise Refused(f"{holder} is the name of a person and of a key of the house.", rule=FURTHER_KEY)
        held = keys_in_force(self._session, klass, holder, fields.get("algorithm", ED25519))
        if held and not {one.kid for one in held} & {one.kid for one in speaking}:
            raise Refused(
                f"{holder} has a {klass} key in force; a further one needs its proof.", rule=FURTHER_KEY,
                next_step="Its holder rotates it, or it is revoked and recovered by two persons.")
        persons = {one.holder for one in speaking if one.klass == "person"} - {holder}
        if klass == "person" and len(persons) < 2 and speaking[-1].klass == "person":
            raise Refused("The enrolment of a personal key rests on two other persons.", rule=FURTHER_KEY)

    def _check_rotation(self, fields: Mapping[str, Any], kid: str) -> None:
        old, signer = self._in_force(fields["kid"], "is replaced"), self._in_force(kid, "signs this")
        beside = old.algorithm != ED25519 and (old.klass, old.holder) == (signer.klass, signer.holder)
        if old.kid != kid and not beside:
            raise Refused("A rotation is signed by the key that it replaces.", rule=ROTATION)
        if (old.klass, old.holder, old.algorithm) != (
                fields["class"], fields["holder"], fields.get("algorithm", ED25519)):
            raise Refused("A rotation keeps class, holder and algorithm of the key.", rule=ROTATION)
        self._ending.add(old.kid)
