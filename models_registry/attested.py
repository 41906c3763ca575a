"""A run whose network answers elsewhere: everything but the forward pass is done here, each answer is attested.

Only the prepared tensor leaves the house: no name, number, date, header or position in the body. Once per session the
sentinel is run through the server and must give the locked bits. A statement that does not hold ends the session, and
none of its answers is used; a server that is late or gone fails the runs it did not answer.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.errors import CountersignError
from models_registry.answer import Answer
from models_registry.attestation import Attested, Enrolled, tensor_digest
from models_registry.bundle import opened
from models_registry.dialects import Floats, NotThisDialect
from models_registry.digest import environment
from models_registry.isolation import Expected, Served, Session, WorkerDiffers, WorkerFailed
from models_registry.tasks import Given

# What surrounds the part that is done here; the rest of the environment is the server's alone.
HERE = ("python", "implementation", "machine", "system", "numpy")
ATTEMPTS = 3


class ServerGone(CountersignError):
    """The server gave no whole answer. `cause` as the transport names it."""

    code, http_status = "server-gone", 503
    next_step = "Nothing was measured. See whether the server runs and is reachable, then run again."

    def __init__(self, fact: str, cause: str) -> None:
        super().__init__(fact)
        self.cause = cause


class Transport(Protocol):
    """Carries one tensor to a server and back: countersign.adapters.model_server."""

    def ask(self, channels: Floats, nonce: str) -> tuple[Floats, str | None]:
        """The tensor that came and the statement that came with it.

        Raises ServerGone; NotThisDialect where what came is no tensor; WorkerDiffers for a signed refusal.
        """
        ...


def run_attested(files: Mapping[str, bytes], studies: Sequence[Given], expected: Expected | None,
                 enrolled: Enrolled, transport: Transport) -> Session:
    """Run a bundle on studies with the network at a server.

    Args:
        files: the verified bytes of the bundle; the server must state the same digests.
        expected: environment and sentinel of the lock; None only when a lock is being made.

    Raises:
        WorkerDiffers: a statement, the environment or the sentinel is not as locked and enrolled.
        WorkerFailed: the server did not answer the sentinel.
    """
    bundle = opened(files)
    if expected is not None:
        _environment_here(expected)
    attested = Attested(enrolled, bundle.tree_sha256, bundle.tensors_sha256,
                        None if expected is None else expected.environment)

    def network(channels: Floats) -> Floats:
        given = _batch(channels)
        found, nonce, text = _asked(transport, given)
        attested.check(text, nonce, tensor_digest(given), tensor_digest(found))
        if len(found) != 1:
            raise NotThisDialect(f"{len(found)} answers came to one tensor.")
        answer: Floats = found[0]
        return answer

    try:
        sentinel = bundle.task.run(bundle.sentinel, bundle.configuration, _AtServer(network))
    except (ServerGone, NotThisDialect) as error:
        raise WorkerFailed(f"The server {enrolled.server} did not answer the sentinel: {error.fact}") from error
    if not attested.texts:
        raise WorkerFailed("The sentinel ends before the network; a server cannot be held to it.")
    if expected is not None and sentinel.output_sha256 != expected.sentinel_output_sha256:
        raise WorkerDiffers("sentinel", expected.sentinel_output_sha256, sentinel.output_sha256 or sentinel.cause)

    answers: list[tuple[Answer, str]] = []
    served: list[Served | None] = []
    gone: ServerGone | None = None
    for study in studies:
        began, before = time.monotonic(), len(attested.texts)
        try:
            if gone is not None:
                raise gone
            answer = bundle.task.run(study, bundle.configuration, _AtServer(network))
        except ServerGone as error:
            gone = error
            answer = Answer("failed", f"server-{error.cause}", error.fact, "an answer")
        except NotThisDialect as error:
            answer = Answer("failed", "server-output", error.fact, "a tensor of finite numbers")
        answers.append((answer, f"{time.monotonic() - began:.2f} s"))
        texts = tuple(attested.texts[before:])
        served.append(Served(enrolled.server, enrolled.public_key, texts) if texts else None)
    return Session(
        dict(attested.environment or {}), sentinel.output_sha256, sentinel.status,
        tuple((one.name, one.value or "") for one in sentinel.values), tuple(answers),
        f"the network answers at {enrolled.url}", tuple(served),
    )


@dataclass(frozen=True, slots=True)
class _AtServer:
    """models_registry.answer.Network whose forward pass is the server's: one tensor in, one out."""

    ask: Callable[[Floats], Floats]
    parts: tuple[str, ...] = ("",)

    def probability(self, channels: Floats) -> Floats:
        return self.ask(channels)

    def scores(self, channels: Floats, part: str = "") -> Floats:
        raise NotThisDialect("A segmentation asks for the scores of each class; servers answer with one probability.")


def _batch(channels: Floats) -> Floats:
    """A tensor with the batch of one in front, in C order."""
    return channels[None].copy()


def _asked(transport: Transport, given: Floats) -> tuple[Floats, str, str | None]:
    """Ask, and ask again where the server gave nothing: a forward pass leaves no trace there, so it may be repeated.
    Each attempt has a nonce of its own. A late server is not asked again."""
    for attempt in range(ATTEMPTS):
        nonce = secrets.token_hex(32)
        try:
            found, text = transport.ask(given, nonce)
        except ServerGone as error:
            if attempt == ATTEMPTS - 1 or error.cause not in ("unreachable", "broken"):
                raise
            time.sleep(0.2 * (attempt + 1))
        else:
            return found, nonce, text
    raise AssertionError("unreachable")


def _environment_here(expected: Expected) -> None:
    here = environment()
    for name in HERE:
        if here[name] != expected.environment.get(name, "absent"):
            raise WorkerDiffers("environment", f"{name} {expected.environment.get(name, 'absent')}",
                                f"{name} {here[name]} (preparation and measures)")
