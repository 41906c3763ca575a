"""The signer in another process, as the house sees it: the same port, spoken over a Unix socket."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from audit.lookout import Glance
from audit.signatures import NewKey, NewPasskey, OpenedPage, Proof, RelyingParty, Signature
from core.errors import AlreadyDone, OutsideUnavailable, UnusableInput
from core.reads.ports import Recovered, RecoveryKey, SealState
from core.reads.sealing import Sealed
from countersign.signer.wire import packed, raise_error, receive, send, unpacked

TIMEOUT_S = 60.0
# Asked a second time after a broken connection these do no harm; a page is never signed twice.
REPEATABLE = frozenset({
    "public_key", "has_house_key", "attest", "attest_all", "sign_checkpoint", "sign_anchored", "kid_of_person",
    "factors_of", "certificate_of", "certificate_of_authority", "relying_party", "read_passkey", "seal", "enclose",
    "levels_inside", "verdict_inside", "release", "state_of_seals", "who", "origin",
})  # fmt: skip
START = "Start it: `countersign signer serve --folder FOLDER`; nothing was signed."


class RemoteSigner:
    """Implements audit.signatures.Signer and core.reads.ports.SealKeeper; one connection per thread."""

    def __init__(self, path: Path, origin: str) -> None:
        self._stated = origin
        self._path = path
        self._here = threading.local()

    @property
    def origin(self) -> str:
        """The origin of the record; the signer's own word for it where it answers."""
        try:
            return str(self._call("origin"))
        except OutsideUnavailable:
            return self._stated

    def check_ready(self, database_url: str) -> None:
        """Before a founding: that the signer answers, has no keys yet, and reads this database for this record.

        Raises OutsideUnavailable, UnusableInput or AlreadyDone, each with what to change.
        """
        if self._call("has_house_key", "root"):
            raise AlreadyDone(f"The signer at {self._path} holds the keys of an installation already.",
                              next_step="Set another one up: `countersign signer init --folder NEW …`.")
        try:
            said = str(self._call("origin"))
        except OutsideUnavailable as error:
            raise OutsideUnavailable(
                f"The signer at {self._path} cannot read the database of this home.",
                next_step="`database_url` in its signer.toml must name the same database, "
                f"{make_url(database_url).render_as_string()}, and its user must be able to read that; then start it "
                "again.") from error
        if said != self._stated:
            raise UnusableInput(f"The signer at {self._path} is set up for {said}, not for {self._stated}.",
                                next_step=f"Give `--origin {said}`, or set another signer up.")

    @property
    def stated(self) -> str:
        """The origin by the settings of the home."""
        return self._stated

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        request = {
            "call": name, "args": packed(list(args)), "kwargs": {key: packed(one) for key, one in kwargs.items()},
        }
        reply = self._exchange(request, again=name in REPEATABLE)
        if "error" in reply:
            raise_error(reply["error"])
        return unpacked(reply.get("value"))

    def _exchange(self, request: dict[str, Any], *, again: bool) -> dict[str, Any]:
        try:
            connection = self._connection()
            send(connection, request)
            reply = receive(connection)
        except OSError as error:
            self._drop()
            if again:
                return self._exchange(request, again=False)
            fact = f"The signer at {self._path} does not answer: {error.strerror or type(error).__name__}."
            raise OutsideUnavailable(fact, next_step=START) from error
        if reply is None:
            self._drop()
            if again:
                return self._exchange(request, again=False)
            raise OutsideUnavailable(f"The signer at {self._path} broke off.", next_step=START)
        return reply

    def _connection(self) -> socket.socket:
        # A forked process must not share the parent's connection: answers would reach the wrong one.
        if getattr(self._here, "pid", None) != os.getpid():
            self._here.connection, self._here.pid = None, os.getpid()
        if self._here.connection is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(TIMEOUT_S)
            connection.connect(str(self._path))
            self._here.connection = connection
        found: socket.socket = self._here.connection
        return found

    def _drop(self) -> None:
        connection = getattr(self._here, "connection", None)
        if connection is not None:
            connection.close()
        self._here.connection = None

    def who(self) -> tuple[str, int, int, str]:
        """Origin, user id, process id and log key id of the signer, as it says."""
        origin, uid, pid, kid = self._call("who")
        return origin, uid, pid, kid

    def found(self) -> None:
        self._call("found")

    def public_key(self, holder: str) -> bytes:
        return bytes(self._call("public_key", holder))

    def attest(self, holder: str, message: bytes) -> Signature:
        signature: Signature = self._call("attest", holder, message)
        return signature

    def attest_all(self, holder: str, messages: Sequence[bytes]) -> list[Signature]:
        kid, signed = self._call("attest_all", holder, list(messages))
        return [Signature(kid, sig) for sig in signed]

    def look_ahead(self) -> None:
        """To ask it would be an exchange of its own."""

    def sign_checkpoint(
        self, old_size: int, leaves: Sequence[bytes], rotation: bytes | None = None, glance: Glance | None = None
    ) -> str:
        return str(self._call("sign_checkpoint", old_size, list(leaves), rotation))

    def sign_continuation(self, old_size: int, entries: Sequence[bytes]) -> str:
        return str(self._call("sign_continuation", old_size, list(entries)))

    def sign_anchored(self, size: int) -> bytes | None:
        line: bytes | None = self._call("sign_anchored", size)
        return line

    def has_house_key(self, holder: str) -> bool:
        return bool(self._call("has_house_key", holder))

    def next_house_key(self, holder: str) -> bytes:
        return bytes(self._call("next_house_key", holder))

    def attest_next(self, holder: str, kid: str, message: bytes) -> Signature:
        signature: Signature = self._call("attest_next", holder, kid, message)
        return signature

    def discard_replaced(self, klass: str, holder: str) -> None:
        self._call("discard_replaced", klass, holder)

    def next_person(self, user: str, printed_name: str, password: str, *, one_time_kind: str | None = None) -> NewKey:
        key: NewKey = self._call("next_person", user, printed_name, password, one_time_kind=one_time_kind)
        return key

    def prove_next_person(self, user: str, kid: str, password: str, message: bytes) -> Signature:
        signature: Signature = self._call("prove_next_person", user, kid, password, message)
        return signature

    def new_person(self, user: str, printed_name: str, password: str, *, one_time_kind: str = "time") -> NewKey:
        key: NewKey = self._call("new_person", user, printed_name, password, one_time_kind=one_time_kind)
        return key

    def prove_new_person(self, user: str, password: str, message: bytes) -> Signature:
        signature: Signature = self._call("prove_new_person", user, password, message)
        return signature

    def forget_unenrolled(self, user: str) -> None:
        self._call("forget_unenrolled", user)

    def renew_password(self, user: str, proof: Proof, new_password: str) -> None:
        self._call("renew_password", user, proof, new_password)

    def kid_of_person(self, user: str) -> str:
        return str(self._call("kid_of_person", user))

    def factors_of(self, user: str) -> tuple[str, ...]:
        return tuple(self._call("factors_of", user))

    def relying_party(self) -> RelyingParty | None:
        party: RelyingParty | None = self._call("relying_party")
        return party

    def read_passkey(self, challenge: bytes, client_data: bytes, attestation_object: bytes) -> NewPasskey:
        passkey: NewPasskey = self._call("read_passkey", challenge, client_data, attestation_object)
        return passkey

    def certificate_of(self, user: str) -> str:
        """The person's certificate, PEM."""
        return str(self._call("certificate_of", user))

    def certificate_of_authority(self) -> str:
        """The installation's own authority, PEM."""
        return str(self._call("certificate_of_authority"))

    def sign_page(self, user: str, proof: Proof, messages: Sequence[bytes]) -> list[Signature]:
        return list(self._call("sign_page", user, proof, list(messages)))

    def open_page(self, user: str, proof: Proof, documents: Sequence[bytes]) -> OpenedPage:
        page: OpenedPage = self._call("open_page", user, proof, list(documents))
        return page

    def close_page(self, user: str, ticket: str, messages: Sequence[bytes]) -> list[Signature]:
        return list(self._call("close_page", user, ticket, list(messages)))

    def prove(self, user: str, proof: Proof) -> None:
        """Whether password and code are the person's. Raises NotAuthenticated."""
        self._call("prove", user, proof)

    # core.reads.ports.SealKeeper -------------------------------------------------------------------------

    def seal(self, occasion: str, plaintext: bytes) -> Sealed:
        sealed: Sealed = self._call("seal", occasion, plaintext)
        return sealed

    def enclose(self, commit: str, name: str, data: bytes) -> bytes:
        return bytes(self._call("enclose", commit, name, data))

    def levels_inside(self, job: bytes) -> tuple[bool, int, int]:
        told, inputs, outputs = self._call("levels_inside", job)
        return bool(told), int(inputs), int(outputs)

    def verdict_inside(self, job: bytes) -> str:
        return str(self._call("verdict_inside", job))

    def release(self, trial: str, subject: str, time_point: str, sealed: Sequence[str]) -> list[tuple[str, str, str]]:
        return [(one, key, nonce) for one, key, nonce in
                self._call("release", trial, subject, time_point, list(sealed))]

    def new_recovery_key(self) -> RecoveryKey:
        key: RecoveryKey = self._call("new_recovery_key")
        return key

    def second_share(self, public_key: bytes) -> str:
        return str(self._call("second_share", public_key))

    def put_in_force(self, public_key: bytes, entry: str) -> int:
        return int(self._call("put_in_force", public_key, entry))

    def offer_share(self, share: str) -> None:
        self._call("offer_share", share)

    def check_shares(self, share: str) -> None:
        self._call("check_shares", share)

    def recover(self, share: str, entry: str) -> Recovered:
        recovered: Recovered = self._call("recover", share, entry)
        return recovered

    def state_of_seals(self) -> SealState:
        state: SealState = self._call("state_of_seals")
        return state
