"""The signer inside this process: for a single user and for tests. It reads committed rows by itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyotp
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key
from sqlalchemy import Engine

from audit import proofs, store
from audit.continuation import continued_origin
from audit.entry import Entry, MalformedEntry, base64_text, from_base64, kid_of, leaf_hash
from audit.lookout import Glance
from audit.signatures import LOG_BESIDE, NewKey, OpenedPage, Proof, RelyingParty, Signature, signature_is_valid
from core.access.rules import FAILURES_ALLOWED, Attempts, after_failure
from core.clock import Clock, in_words
from core.errors import AlreadyDone, NotAuthenticated, NotFound, RecordDamaged, UnusableInput
from core.reads.ports import Recovered, RecoveryKey, SealState
from core.reads.sealing import Sealed
from countersign.signer.certificates import Authority
from countersign.signer.codes import position_of
from countersign.signer.ed25519 import SigningKey
from countersign.signer.housekeys import HouseKey, ml_dsa_is_there, new_record, opened
from countersign.signer.keyfiles import KeyFolder, PasswordCost
from countersign.signer.memory import HeadMemory
from countersign.signer.nextkeys import KEPT_FACTOR, NextKeys
from countersign.signer.openpages import OpenPages
from countersign.signer.passkeys import Asked, Passkeys, asked_of
from countersign.signer.seal_backup import SealBackup
from countersign.signer.seal_recovery import SealRecovery
from countersign.signer.seals import SealBox
from countersign.signer.tree import CommittedTree

SERVICES = ("house", "intake", "inference", "gates", "reads", "validation", "reports")
SHORTEST_PASSWORD = 12


class LocalSigner:
    """Implements audit.signatures.Signer with key files in one folder."""

    def __init__(
        self, folder: Path, engine: Engine, origin: str, clock: Clock, cost: PasswordCost, *, seal_backup: Path,
        memory: HeadMemory | None = None, party: RelyingParty | None = None,
    ) -> None:
        """`seal_backup`: where copies of seal secrets go, best on another disk than `folder`. `memory`: of a signer
        that keeps its own files, apart from what is restored with a home. `party`: for whose pages passkeys count."""
        self._origin = origin
        self._engine = engine
        self._clock = clock
        self._keys = KeyFolder(folder, cost)
        self._authority = Authority(self._keys, clock)
        copies = SealBackup(seal_backup, self._keys)
        self._seals = SealBox(self._keys, engine, copies)
        self._recovery = SealRecovery(self._keys, engine, self._seals, copies, clock)
        self._next = NextKeys(self._keys, engine)
        self._open_pages = OpenPages()
        self._passkeys = Passkeys(engine, party)
        self.relying_party, self.read_passkey = self._passkeys.relying_party, self._passkeys.read
        self._tree = CommittedTree(engine, memory, self._follow)
        self._known_places: dict[str, tuple[str, str]] = {}
        self._private: dict[str, tuple[tuple[int, int], HouseKey]] = {}
        self._guard = threading.RLock()

    # Keys of the house -----------------------------------------------------------------------------------

    def found(self) -> None:
        """Make root, log and service keys. Raises AlreadyDone where they exist."""
        if self._keys.path("house", "root").exists():
            raise AlreadyDone("This signer already holds the keys of an installation.")
        # An attempt before this one may have left connections to a file that is gone.
        self._engine.dispose()
        for holder in ("root", "log", *((LOG_BESIDE,) if ml_dsa_is_there() else ()), *SERVICES):
            self._keys.write("house", holder, new_record(self._keys, holder))
        self._authority.found(self._origin)

    def _house_key(self, holder: str) -> HouseKey:
        file, candidates = self._places(holder)
        # Asked for every entry: two looks at the disk, and nothing more while no rotation is under way.
        if os.access(candidates, os.F_OK):
            self._next.settle("house", holder)
        try:
            status = os.stat(file)  # noqa: PTH116  a Path would cost more than the look
        except FileNotFoundError as error:
            raise NotFound(f"The signer holds no house key of {holder!r}.", next_step="Enrol it first.") from error
        # Another process may have replaced the key: its file tells.
        stamp = (status.st_mtime_ns, status.st_ino)
        kept = self._private.get(holder)
        if kept is None or kept[0] != stamp:
            kept = self._private[holder] = (stamp, opened(self._keys, holder, self._keys.read("house", holder)))
        return kept[1]

    def _places(self, holder: str) -> tuple[str, str]:
        """The file of a key of the house, and the folder of its candidates."""
        if holder not in self._known_places:
            self._known_places[holder] = (
                str(self._keys.path("house", holder)), str(self._next.folder("house", holder))
            )
        return self._known_places[holder]

    def public_key(self, holder: str) -> bytes:
        self._next.settle("house", holder)
        return from_base64(self._keys.read("house", holder)["public_key"])

    def has_house_key(self, holder: str) -> bool:
        return self._keys.path("house", holder).exists()

    def attest(self, holder: str, message: bytes) -> Signature:
        key = self._house_key(holder)
        if isinstance(key, SigningKey):
            return Signature(key.kid, key.sign(message))
        return Signature(kid_of(key.public_key().public_bytes_raw()), key.sign(message))

    def attest_all(self, holder: str, messages: Sequence[bytes]) -> list[Signature]:
        key = self._house_key(holder)
        if not isinstance(key, SigningKey):
            return [self.attest(holder, message) for message in messages]
        return [Signature(key.kid, sig) for sig in key.sign_all(messages)]

    def next_house_key(self, holder: str) -> bytes:
        with self._guard:
            self._keys.read("house", holder)
            record = new_record(self._keys, holder)
            self._next.stage("house", holder, record)
            return from_base64(record["public_key"])

    def attest_next(self, holder: str, kid: str, message: bytes) -> Signature:
        return Signature(kid, opened(self._keys, holder, self._next.staged("house", holder, kid)).sign(message))

    # The tree --------------------------------------------------------------------------------------------

    def look_ahead(self) -> Glance | None:
        return self._tree.look_ahead()

    def sign_checkpoint(
        self, old_size: int, leaves: Sequence[bytes], rotation: bytes | None = None, glance: Glance | None = None
    ) -> str:
        with self._guard:
            frontier = self._tree.committed(glance)
            if frontier.size != old_size:
                raise RecordDamaged(
                    f"A checkpoint over {old_size} entries was asked for, but {frontier.size} are committed."
                )
            grown = self._tree.with_offered(leaves)
            key = self._house_key("log") if rotation is None else self._log_key_after(rotation, leaves)
            return self._note(self._origin, grown, key)

    @staticmethod
    def _note(origin: str, tree: proofs.Frontier, key: HouseKey) -> str:
        assert isinstance(key, SigningKey)  # the log's second key signs beside it, never instead
        text = proofs.note_text(origin, tree.size, tree.root())
        return proofs.signed_note(text, origin, key.public, key.sign(text.encode()))

    def _log_key_after(self, rotation: bytes, leaves: Sequence[bytes]) -> HouseKey:
        """The new log key, for the very checkpoint that covers the entry by which the old one names it."""
        entry = Entry.parse(rotation)
        fields, current = entry.body["fields"], kid_of(self.public_key("log"))
        said = (entry.body["action"], fields.get("class"), fields.get("kid"), entry.kid)
        if entry.leaf not in leaves or said != ("key.rotated", "log", current, current):
            raise RecordDamaged("A checkpoint by a new log key was asked for without the entry that rotates it.")
        kid = kid_of(from_base64(fields["public_key"]))
        return opened(self._keys, "log", self._next.staged("house", "log", kid))

    def sign_anchored(self, size: int) -> bytes | None:
        if not self.has_house_key(LOG_BESIDE):
            return None
        with self._engine.connect() as session, session.begin():
            note = store.checkpoint_of(session, size)
            root = proofs.root_at(store.StoredNodes(session), size)
        if note is None or note.root != root:
            raise RecordDamaged(f"The committed leaves do not lead to the root of the checkpoint of {size} entries.")
        key = self._house_key(LOG_BESIDE)
        assert isinstance(key, MLDSA44PrivateKey)
        public = key.public_key().public_bytes_raw()
        return proofs.ml_dsa_line(self.origin, public, key.sign(proofs.ml_dsa_message(self.origin, size, root)))

    @property
    def origin(self) -> str:
        """The origin of the last committed note. Raises RecordDamaged as `origin_after`."""
        with self._engine.connect() as session, session.begin():
            return self.origin_after(store.last_checkpoint(session))

    def origin_after(self, last: proofs.Checkpoint | None) -> str:
        """The origin of the record whose last committed note this is. Raises RecordDamaged where another one than the
        known was not signed here: the database alone does not rename a record."""
        self._follow(last)
        return self._origin

    def _follow(self, last: proofs.Checkpoint | None) -> None:
        """Take the origin of the last committed note over, if this signer's log key signed it."""
        if last is None or last.origin == self._origin:
            return
        public = self.public_key("log")
        signature = proofs.note_signature(last.note, last.origin, public)
        if signature is None or not signature_is_valid(public, proofs.signed_text(last.note).encode(), signature):
            raise RecordDamaged(f"The last checkpoint is of {last.origin!r}, which this signer never continued.")
        self._origin = last.origin

    def sign_continuation(self, old_size: int, entries: Sequence[bytes]) -> str:
        with self._guard:
            frontier = self._tree.committed()
            try:
                origin = continued_origin(
                    entries, origin=self._origin, size=frontier.size, root=frontier.root(),
                    root_key=self.public_key("root"),
                    person_key=lambda user: from_base64(self._person(user)["public_key"]))
            except MalformedEntry as error:
                raise RecordDamaged(f"The signer does not rename the record: {error}") from error
            if frontier.size != old_size:
                raise RecordDamaged(f"{old_size} entries were to be continued, but {frontier.size} are committed.")
            grown = frontier.copy()
            for raw in entries:
                grown.add(leaf_hash(raw))
            return self._note(origin, grown, self._house_key("log"))

    # Seals of reads --------------------------------------------------------------------------------------

    def seal(self, occasion: str, plaintext: bytes) -> Sealed:
        """Implements core.reads.ports.SealKeeper."""
        with self._guard:
            return self._seals.seal(occasion, plaintext)

    def release(self, trial: str, subject: str, time_point: str, sealed: Sequence[str]) -> list[tuple[str, str, str]]:
        """Implements core.reads.ports.SealKeeper."""
        return self._seals.release(trial, subject, time_point, sealed)

    def enclose(self, commit: str, name: str, data: bytes) -> bytes:
        """Implements core.reads.ports.SealKeeper, as all below do."""
        return self._seals.enclose(commit, name, data)

    def levels_inside(self, job: bytes) -> tuple[bool, int, int]:
        return self._seals.levels_inside(job)

    def verdict_inside(self, job: bytes) -> str:
        return self._seals.verdict_inside(job)

    def new_recovery_key(self) -> RecoveryKey:
        return self._recovery.new_recovery_key()

    def second_share(self, public_key: bytes) -> str:
        return self._recovery.second_share(public_key)

    def put_in_force(self, public_key: bytes, entry: str) -> int:
        with self._guard:
            return self._recovery.put_in_force(public_key, entry)

    def offer_share(self, share: str) -> None:
        self._recovery.offer_share(share)

    def check_shares(self, share: str) -> None:
        self._recovery.check_shares(share)

    def recover(self, share: str, entry: str) -> Recovered:
        with self._guard:
            return self._recovery.recover(share, entry)

    def state_of_seals(self) -> SealState:
        return self._recovery.state_of_seals()

    # Persons ---------------------------------------------------------------------------------------------

    def new_person(self, user: str, printed_name: str, password: str, *, one_time_kind: str = "time") -> NewKey:
        if self._keys.path("person", user).exists():
            step = "Rotate it, or recover it by two persons."
            raise AlreadyDone(f"{user} already has a personal key.", next_step=step)
        key, record = self._new_personal_key(user, printed_name, password, one_time_kind)
        self._keys.write("person", user, record)
        return key

    def next_person(self, user: str, printed_name: str, password: str, *, one_time_kind: str | None = None) -> NewKey:
        with self._guard:
            kept = self.factors_of(user)[1]
            key, record = self._new_personal_key(user, printed_name, password, one_time_kind or "time")
            if one_time_kind is None:
                record = {name: value for name, value in record.items() if name not in KEPT_FACTOR}
                key = replace(key, one_time_secret="", one_time_kind="time" if kept == "totp" else "counter")
            self._next.stage("person", user, record)
            return key

    def prove_next_person(self, user: str, kid: str, password: str, message: bytes) -> Signature:
        key, _ = self._unlock(user, self._next.staged("person", user, kid), password)
        return Signature(kid, key.sign(message))

    def discard_replaced(self, klass: str, holder: str) -> None:
        for kind, name in (("person", holder),) if klass == "person" else (
                ("house", "log"), ("house", LOG_BESIDE)) if klass == "log" else (("house", holder),):
            self._next.settle(kind, name)

    def _new_personal_key(
        self, user: str, printed_name: str, password: str, one_time_kind: str
    ) -> tuple[NewKey, dict[str, Any]]:
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
        record = {
            "public_key": base64_text(public), "salt": base64_text(salt), "cost": cost,
            "private": self._keys.seal(f"person/{user}", private.private_bytes_raw(), stretched),
            "certificate": certificate,
            "certificate_key": self._keys.seal(f"certificate/{user}", certificate_key, stretched),
            "one_time": self._keys.seal(f"one-time/{user}", one_time.encode()), "one_time_kind": one_time_kind,
            "next_counter": 0, "failures": 0, "locked_until": 0, "enrolled_at": in_words(self._clock.now()),
        }
        digest = self._authority.digest(certificate)
        return NewKey(user, public, kid_of(public), digest, one_time, one_time_kind), record

    def renew_password(self, user: str, proof: Proof, new_password: str) -> None:
        with self._guard:
            key, unlocked = self.prove_person(user, proof)
            certificate_key = self._keys.unseal(
                f"certificate/{user}", unlocked["certificate_key"], unlocked["stretched"]
            )
            salt, cost = os.urandom(16), self._keys.new_cost()
            stretched = self._keys.stretch(new_password, salt, cost)
            # One file, replaced at once: after a crash either the old or the new password opens the key.
            self._keys.write("person", user, self._person(user) | {
                "salt": base64_text(salt), "cost": cost,
                "private": self._keys.seal(f"person/{user}", key.private_bytes_raw(), stretched),
                "certificate_key": self._keys.seal(f"certificate/{user}", certificate_key, stretched),
            })

    def forget_unenrolled(self, user: str) -> None:
        """Remove a key that never was enrolled, so that the enrolment can be tried again."""
        self._keys.path("person", user).unlink(missing_ok=True)
        self._next.forget("person", user)

    def prove_new_person(self, user: str, password: str, message: bytes) -> Signature:
        record = self._person(user)
        key, _ = self._unlock(user, record, password)
        return Signature(kid_of(key.public_key().public_bytes_raw()), key.sign(message))

    def kid_or_none(self, user: str) -> str | None:
        """Key id of a person; None where no key was made."""
        return self.kid_of_person(user) if self._keys.path("person", user).exists() else None

    def prove(self, user: str, proof: Proof) -> None:
        """Whether password and code are the person's. Raises NotAuthenticated."""
        with self._guard:
            self.prove_person(user, proof)

    def kid_of_person(self, user: str) -> str:
        return kid_of(from_base64(self._person(user)["public_key"]))

    def _person(self, user: str) -> dict[str, Any]:
        """The record of the key in use, once a committed rotation has taken its place."""
        self._next.settle("person", user)
        return self._keys.read("person", user)

    def factors_of(self, user: str) -> tuple[str, ...]:
        kind = self._person(user)["one_time_kind"]
        return ("password", "totp" if kind == "time" else "hotp")

    def certificate_of(self, user: str) -> str:
        """The person's certificate, PEM."""
        return str(self._person(user)["certificate"])

    def certificate_of_authority(self) -> str:
        """The installation's own authority, PEM."""
        return self._authority.certificate()

    def sign_page(self, user: str, proof: Proof, messages: Sequence[bytes]) -> list[Signature]:
        with self._guard:
            key, _ = self.prove_person(user, proof, asked_of(messages))
            kid = kid_of(key.public_key().public_bytes_raw())
            return [Signature(kid, key.sign(message)) for message in messages]

    def open_page(self, user: str, proof: Proof, documents: Sequence[bytes]) -> OpenedPage:
        with self._guard:
            key, unlocked = self.prove_person(user, proof, asked_of([]))
            raw = self._keys.unseal(f"certificate/{user}", unlocked["certificate_key"], unlocked["stretched"])
            private = load_der_private_key(raw, None)
            assert isinstance(private, EllipticCurvePrivateKey)  # made by our own authority
            signatures = tuple(private.sign(document, ECDSA(SHA256())) for document in documents)
            return OpenedPage(self._open_pages.open(user, key, self._clock.now()), signatures)

    def close_page(self, user: str, ticket: str, messages: Sequence[bytes]) -> list[Signature]:
        if asked_of(messages).answered:
            raise UnusableInput("A page with a document takes no passkey.", next_step="Sign it with the one-time code.")
        key = self._open_pages.close(user, ticket, self._clock.now())
        kid = kid_of(key.public_key().public_bytes_raw())
        return [Signature(kid, key.sign(message)) for message in messages]

    def prove_person(
        self, user: str, proof: Proof, asked: Asked | None = None
    ) -> tuple[Ed25519PrivateKey, dict[str, Any]]:
        """Check the password together with the one-time code, or with the passkey that answered for the bodies `asked`;
        count failures; code and answer work once."""
        try:
            record = self._person(user)
        except NotFound as error:
            raise NotAuthenticated("Unknown person or wrong password.") from error
        now = self._clock.now()
        if record["locked_until"] > now:
            raise NotAuthenticated(
                f"The account is locked until {in_words(record['locked_until'])} after repeated failures."
            )
        try:
            answered = self._passkeys.check(user, record, asked, now) if asked is not None else None
            counter = record["next_counter"]
            if answered is None or answered.code_due:
                secret = self._keys.unseal(f"one-time/{user}", record["one_time"]).decode()
                counter = position_of(proof.code, secret, record["one_time_kind"], counter, now) + 1
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
        record["next_counter"], record["failures"] = counter, 0
        record |= answered.kept() if answered is not None else {}
        self._keys.write("person", user, record)
        return key, record | {"stretched": stretched}

    def _unlock(self, user: str, record: dict[str, Any], password: str) -> tuple[Ed25519PrivateKey, bytes]:
        stretched = self._keys.stretch(password, from_base64(record["salt"]), record["cost"])
        raw = self._keys.unseal(f"person/{user}", record["private"], stretched)
        return Ed25519PrivateKey.from_private_bytes(raw), stretched

