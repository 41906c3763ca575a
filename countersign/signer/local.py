"""The signer inside this process: for a single user and for tests. It reads committed rows by itself."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyotp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine

from audit import proofs, store
from audit.continuation import continued_origin
from audit.entry import MalformedEntry, base64_text, from_base64, kid_of, leaf_hash
from audit.signatures import NewKey, Proof, Signature, signature_is_valid
from core.access.rules import FAILURES_ALLOWED, Attempts, after_failure
from core.clock import Clock, in_words
from core.errors import AlreadyDone, NotAuthenticated, NotFound, RecordDamaged, UnusableInput
from core.reads.sealing import Sealed
from countersign.signer.certificates import Authority
from countersign.signer.keyfiles import KeyFolder, PasswordCost
from countersign.signer.seals import SealBox

SERVICES = ("house", "intake", "inference", "gates", "reads", "validation", "reports")
SHORTEST_PASSWORD = 12
STEP_SECONDS = 30
LOOK_AHEAD = 10


class LocalSigner:
    """Implements audit.signatures.Signer with key files in one folder."""

    def __init__(self, folder: Path, engine: Engine, origin: str, clock: Clock, cost: PasswordCost) -> None:
        self._origin = origin
        self._engine = engine
        self._clock = clock
        self._keys = KeyFolder(folder, cost)
        self._authority = Authority(self._keys, clock)
        self._seals = SealBox(self._keys, engine)
        self._frontier: proofs.Frontier | None = None
        self._private: dict[str, Ed25519PrivateKey] = {}
        self._guard = threading.RLock()

    # Keys of the house -----------------------------------------------------------------------------------

    def found(self) -> None:
        """Make root, log and service keys. Raises AlreadyDone where they exist."""
        if self._keys.path("house", "root").exists():
            raise AlreadyDone("This signer already holds the keys of an installation.")
        for holder in ("root", "log", *SERVICES):
            self._new_house_key(holder)
        self._authority.found(self._origin)

    def _new_house_key(self, holder: str) -> None:
        private = Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes_raw()
        sealed = self._keys.seal(f"house/{holder}", private.private_bytes_raw())
        self._keys.write("house", holder, {"public_key": base64_text(public), "private": sealed})

    def _house_key(self, holder: str) -> Ed25519PrivateKey:
        if holder not in self._private:
            record = self._keys.read("house", holder)
            raw = self._keys.unseal(f"house/{holder}", record["private"])
            self._private[holder] = Ed25519PrivateKey.from_private_bytes(raw)
        return self._private[holder]

    def public_key(self, holder: str) -> bytes:
        return from_base64(self._keys.read("house", holder)["public_key"])

    def attest(self, holder: str, message: bytes) -> Signature:
        key = self._house_key(holder)
        return Signature(kid_of(key.public_key().public_bytes_raw()), key.sign(message))

    # The tree --------------------------------------------------------------------------------------------

    def sign_checkpoint(self, old_size: int, leaves: Sequence[bytes]) -> str:
        with self._guard:
            frontier = self._committed_frontier()
            if frontier.size != old_size:
                raise RecordDamaged(
                    f"A checkpoint over {old_size} entries was asked for, but {frontier.size} are committed."
                )
            grown = frontier.copy()
            for leaf in leaves:
                grown.add(leaf)
            return self._note(self.origin, grown)

    def _note(self, origin: str, tree: proofs.Frontier) -> str:
        text = proofs.note_text(origin, tree.size, tree.root())
        key = self._house_key("log")
        return proofs.signed_note(text, origin, key.public_key().public_bytes_raw(), key.sign(text.encode()))

    @property
    def origin(self) -> str:
        """The origin of the last committed note. Raises RecordDamaged where another one than the known was not signed
        here: the database alone does not rename a record."""
        with self._engine.connect() as session, session.begin():
            last = store.last_checkpoint(session)
        if last is not None and last.origin != self._origin:
            public = self.public_key("log")
            signature = proofs.note_signature(last.note, last.origin, public)
            if signature is None or not signature_is_valid(public, proofs.signed_text(last.note).encode(), signature):
                raise RecordDamaged(f"The last checkpoint is of {last.origin!r}, which this signer never continued.")
            self._origin = last.origin
        return self._origin

    def sign_continuation(self, old_size: int, entries: Sequence[bytes]) -> str:
        with self._guard:
            frontier = self._committed_frontier()
            try:
                origin = continued_origin(
                    entries, origin=self.origin, size=frontier.size, root=frontier.root(),
                    root_key=self.public_key("root"),
                    person_key=lambda user: from_base64(self._keys.read("person", user)["public_key"]))
            except MalformedEntry as error:
                raise RecordDamaged(f"The signer does not rename the record: {error}") from error
            if frontier.size != old_size:
                raise RecordDamaged(f"{old_size} entries were to be continued, but {frontier.size} are committed.")
            grown = frontier.copy()
            for raw in entries:
                grown.add(leaf_hash(raw))
            return self._note(origin, grown)

    def _committed_frontier(self) -> proofs.Frontier:
        """The frontier of the committed tree, advanced by reading committed leaves; never taken from the asker."""
        with self._engine.connect() as session, session.begin():
            last = store.last_checkpoint(session)
            size = last.size if last else 0
            kept = self._frontier
            if kept is None or kept.size > size:
                frontier = proofs.frontier_at(store.StoredNodes(session), size)
            else:
                frontier = kept.copy()
                for leaf in store.tile_row(session, 0, kept.size, size - kept.size) if size > kept.size else ():
                    frontier.add(leaf)
            if last is not None and frontier.root() != last.root:
                raise RecordDamaged("The committed leaves do not lead to the root of the last checkpoint.")
        self._frontier = frontier
        return frontier

    # Seals of reads --------------------------------------------------------------------------------------

    def seal(self, occasion: str, plaintext: bytes) -> Sealed:
        """Implements core.reads.ports.SealKeeper."""
        with self._guard:
            return self._seals.seal(occasion, plaintext)

    def release(self, trial: str, subject: str, time_point: str, sealed: Sequence[str]) -> list[tuple[str, str, str]]:
        """Implements core.reads.ports.SealKeeper."""
        return self._seals.release(trial, subject, time_point, sealed)

    # Persons ---------------------------------------------------------------------------------------------

    def new_person(self, user: str, printed_name: str, password: str, *, one_time_kind: str = "time") -> NewKey:
        if self._keys.path("person", user).exists():
            step = "Rotate it, or recover it by two persons."
            raise AlreadyDone(f"{user} already has a personal key.", next_step=step)
        if len(password) < SHORTEST_PASSWORD:
            raise UnusableInput(f"A signing password has at least {SHORTEST_PASSWORD} characters.")
        if one_time_kind not in ("time", "counter"):
            raise UnusableInput("One-time codes are of kind `time` (RFC 6238) or `counter` (RFC 4226).")
        private = Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes_raw()
        salt, cost = os.urandom(16), self._keys.new_cost()
        stretched = self._keys.stretch(password, salt, cost)
        one_time = pyotp.random_base32()
        certificate, certificate_key = self._authority.issue(user, printed_name)
        self._keys.write("person", user, {
            "public_key": base64_text(public), "salt": base64_text(salt), "cost": cost,
            "private": self._keys.seal(f"person/{user}", private.private_bytes_raw(), stretched),
            "certificate": certificate,
            "certificate_key": self._keys.seal(f"certificate/{user}", certificate_key, stretched),
            "one_time": self._keys.seal(f"one-time/{user}", one_time.encode()), "one_time_kind": one_time_kind,
            "next_counter": 0, "failures": 0, "locked_until": 0, "enrolled_at": in_words(self._clock.now()),
        })
        digest = self._authority.digest(certificate)
        return NewKey(user, public, kid_of(public), digest, one_time, one_time_kind)

    def renew_password(self, user: str, proof: Proof, new_password: str) -> None:
        with self._guard:
            key, unlocked = self.prove_person(user, proof)
            certificate_key = self._keys.unseal(
                f"certificate/{user}", unlocked["certificate_key"], unlocked["stretched"]
            )
            salt, cost = os.urandom(16), self._keys.new_cost()
            stretched = self._keys.stretch(new_password, salt, cost)
            # One file, replaced at once: after a crash either the old or the new password opens the key.
            self._keys.write("person", user, self._keys.read("person", user) | {
                "salt": base64_text(salt), "cost": cost,
                "private": self._keys.seal(f"person/{user}", key.private_bytes_raw(), stretched),
                "certificate_key": self._keys.seal(f"certificate/{user}", certificate_key, stretched),
            })

    def forget_unenrolled(self, user: str) -> None:
        """Remove a key that never was enrolled, so that the enrolment can be tried again."""
        self._keys.path("person", user).unlink(missing_ok=True)

    def prove_new_person(self, user: str, password: str, message: bytes) -> Signature:
        record = self._keys.read("person", user)
        key, _ = self._unlock(user, record, password)
        return Signature(kid_of(key.public_key().public_bytes_raw()), key.sign(message))

    def kid_of_person(self, user: str) -> str:
        return kid_of(from_base64(self._keys.read("person", user)["public_key"]))

    def factors_of(self, user: str) -> tuple[str, ...]:
        kind = self._keys.read("person", user)["one_time_kind"]
        return ("password", "totp" if kind == "time" else "hotp")

    def certificate_of(self, user: str) -> str:
        """The person's certificate, PEM."""
        return str(self._keys.read("person", user)["certificate"])

    def certificate_of_authority(self) -> str:
        """The installation's own authority, PEM."""
        return self._authority.certificate()

    def sign_page(self, user: str, proof: Proof, messages: Sequence[bytes]) -> list[Signature]:
        with self._guard:
            key, _ = self.prove_person(user, proof)
            kid = kid_of(key.public_key().public_bytes_raw())
            return [Signature(kid, key.sign(message)) for message in messages]

    def prove_person(self, user: str, proof: Proof) -> tuple[Ed25519PrivateKey, dict[str, Any]]:
        """Check password and one-time code together; count failures; a code works once."""
        try:
            record = self._keys.read("person", user)
        except NotFound as error:
            raise NotAuthenticated("Unknown person or wrong password.") from error
        now = self._clock.now()
        if record["locked_until"] > now:
            raise NotAuthenticated(
                f"The account is locked until {in_words(record['locked_until'])} after repeated failures."
            )
        try:
            counter = self._code_position(user, record, proof.code, now)
            key, stretched = self._unlock(user, record, proof.password)
        except NotAuthenticated as failure:
            after = after_failure(Attempts(record["failures"], record["locked_until"]), now)
            record["failures"], record["locked_until"] = after.failures, after.locked_until_us
            self._keys.write("person", user, record)
            if after.locked(now):
                failure.locked_until_us, failure.failures = after.locked_until_us, FAILURES_ALLOWED
                failure.fact += f" Signing is closed until {in_words(after.locked_until_us)}."
            else:
                failure.fact += f" {after.left()} attempts left."
            raise
        record["next_counter"], record["failures"] = counter + 1, 0
        self._keys.write("person", user, record)
        return key, record | {"stretched": stretched}

    def _unlock(self, user: str, record: dict[str, Any], password: str) -> tuple[Ed25519PrivateKey, bytes]:
        stretched = self._keys.stretch(password, from_base64(record["salt"]), record["cost"])
        raw = self._keys.unseal(f"person/{user}", record["private"], stretched)
        return Ed25519PrivateKey.from_private_bytes(raw), stretched

    def _code_position(self, user: str, record: dict[str, Any], code: str, now: int) -> int:
        secret = self._keys.unseal(f"one-time/{user}", record["one_time"]).decode()
        first = record["next_counter"]
        if record["one_time_kind"] == "time":
            step = now // (STEP_SECONDS * 1_000_000)
            window = range(max(step - 1, first), step + 2)
        else:
            window = range(first, first + LOOK_AHEAD)
        generator = pyotp.HOTP(secret)
        for position in window:
            if secrets.compare_digest(generator.at(position), code.strip()):
                return position
        raise NotAuthenticated("The one-time code is wrong or was already used.")
