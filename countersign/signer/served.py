"""The signer as a process of its own, best as a user of its own: it listens on a Unix socket and holds all keys."""

from __future__ import annotations

import logging
import os
import socket
import socketserver
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from audit.entry import kid_of
from audit.signatures import Proof, Signature
from core.errors import CountersignError, OutsideUnavailable, Refused, UnusableInput
from countersign.signer.guard import RULE, Guard
from countersign.signer.journal import Journal
from countersign.signer.local import LocalSigner
from countersign.signer.wire import error_as_data, packed, receive, send, unpacked

log = logging.getLogger("countersign.signer")
REFUSED_WAIT_S = 5.0
#: What may be asked for; a method that is not named here cannot be reached from outside.
OPEN_TO_THE_HOUSE = frozenset({
    "found", "public_key", "has_house_key", "sign_checkpoint", "sign_continuation", "sign_anchored",
    "next_house_key", "discard_replaced",
    "next_person", "new_person", "renew_password", "open_page",
    "kid_of_person", "factors_of", "certificate_of", "certificate_of_authority", "relying_party", "read_passkey",
    "seal", "enclose", "levels_inside", "verdict_inside",
    "release", "new_recovery_key", "second_share", "put_in_force", "offer_share",
    "check_shares", "recover", "state_of_seals",
})  # fmt: skip


class Office:
    """Answers one request at a time per connection; what is signed passes the guard and the journal."""

    def __init__(self, signer: LocalSigner, guard: Guard, journal: Journal) -> None:
        self._signer, self._guard, self._journal = signer, guard, journal
        self._own: dict[str, Callable[..., Any]] = {
            "attest": self._attest, "attest_all": self._attest_all, "sign_page": self._sign_page,
            "close_page": self._close_page, "prove": self._prove, "who": self._who,
            "origin": self._origin,
            "prove_new_person": self._prove_new_person, "attest_next": self._attest_next,
            "prove_next_person": self._prove_next_person, "forget_unenrolled": self._forget_unenrolled,
        }

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to a request {"call", "args", "kwargs"}: {"value"} or {"error"}."""
        try:
            name = request.get("call")
            args, kwargs = unpacked(request.get("args", [])), request.get("kwargs", {})
            call = self._own.get(str(name))
            if call is None and name in OPEN_TO_THE_HOUSE:
                call = getattr(self._signer, str(name))
            if call is None or not isinstance(kwargs, dict):
                raise UnusableInput(f"The signer does nothing called {name!r}.")
            return {"value": packed(call(*args, **{key: unpacked(one) for key, one in kwargs.items()}))}
        except CountersignError as error:
            if isinstance(error, Refused) and error.rule == RULE:
                log.warning("refused: %s", error.fact)
            return {"error": error_as_data(error)}
        except Exception as error:
            # The house learns the kind, never the content: a traceback might hold what must not leave.
            log.exception("a request failed")
            fact = f"The signer failed inside: {type(error).__name__}."
            return {"error": error_as_data(OutsideUnavailable(fact, next_step="Its own log says more."))}

    def _attest(self, holder: str, message: bytes) -> Signature:
        self._guard.service(holder, [message])
        return self._signer.attest(holder, message)

    def _attest_all(self, holder: str, messages: Sequence[bytes]) -> list[Any]:
        """The key's id, and a signature of each: they are of one key."""
        self._guard.service(holder, messages)
        signed = self._signer.attest_all(holder, messages)
        return [signed[0].kid if signed else "", [one.sig for one in signed]]

    def _sign_page(self, user: str, proof: Proof, messages: Sequence[bytes]) -> list[Signature]:
        bodies = self._guard.person(user, messages)
        signed = self._signer.sign_page(user, proof, messages)
        self._journal.note(user, signed, bodies)
        return signed

    def _close_page(self, user: str, ticket: str, messages: Sequence[bytes]) -> list[Signature]:
        bodies = self._guard.person(user, messages)
        signed = self._signer.close_page(user, ticket, messages)
        self._journal.note(user, signed, bodies)
        return signed

    def _prove_new_person(self, user: str, password: str, message: bytes) -> Signature:
        """No second factor exists yet at an enrolment, so this key proves its enrolment and nothing else."""
        self._guard.newcomer(user, message)
        return self._signer.prove_new_person(user, password, message)

    def _attest_next(self, holder: str, kid: str, message: bytes) -> Signature:
        self._guard.successor(holder, kid, message)
        return self._signer.attest_next(holder, kid, message)

    def _prove_next_person(self, user: str, kid: str, password: str, message: bytes) -> Signature:
        self._guard.successor(user, kid, message)
        return self._signer.prove_next_person(user, kid, password, message)

    def _forget_unenrolled(self, user: str) -> None:
        self._guard.unenrolled(user, self._signer.kid_or_none(user))
        self._signer.forget_unenrolled(user)

    def _prove(self, user: str, proof: Proof) -> None:
        """Whether password and code are the person's; the key itself never leaves."""
        self._signer.prove_person(user, proof)

    def _origin(self) -> str:
        return self._signer.origin

    def _who(self) -> list[Any]:
        """Origin, user id, process id and log key id: what `countersign doctor` says of it."""
        return [self._signer.origin, os.getuid(), os.getpid(), kid_of(self._signer.public_key("log"))]


class SignerServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """One thread per connection; only the named users of this machine are heard (SO_PEERCRED)."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: Path, office: Office, allowed: frozenset[int]) -> None:
        self.office, self.allowed = office, allowed
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        super().__init__(str(path), _Connection)
        # The peer's user id decides; the mode only lets the house reach the socket at all.
        path.chmod(0o666)
        self._path = path

    def server_close(self) -> None:
        super().server_close()
        self._path.unlink(missing_ok=True)


class _Connection(socketserver.BaseRequestHandler):
    server: SignerServer
    request: socket.socket

    def handle(self) -> None:
        credentials = self.request.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _, uid, _ = struct.unpack("3i", credentials)
        if uid not in self.server.allowed:
            log.warning("user %s of this machine is not allowed to ask", uid)
            error = Refused(f"User {uid} of this machine may not use the signer.", rule=RULE,
                            next_step="Add the id to `allow` in signer.toml where it should.")
            # The question is taken in first: closing on unread bytes would reset the connection and lose the answer.
            self.request.settimeout(REFUSED_WAIT_S)
            try:
                receive(self.request)
                send(self.request, {"error": error_as_data(error)})
            except (OSError, UnusableInput):
                return
            return
        while True:
            try:
                request = receive(self.request)
            except (OSError, UnusableInput):
                return
            if request is None:
                return
            reply = self.server.office.answer(request)
            try:
                send(self.request, reply)
            except OSError:
                return
