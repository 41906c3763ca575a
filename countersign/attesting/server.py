"""The proxy in front of the server: speaks its dialect, and signs what it can know of each answer.

For every request with a nonce: 1 the private copy is hashed anew · 2 the process that was started runs and alone holds
its port · 3 it is asked · 4 both are checked once more · 5 the statement is signed. Where 1, 2 or 4 fails the refusal
is signed instead, and so is every later one: only a new start, which copies and hashes afresh, attests again.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.errors import CountersignError
from core.work import release
from countersign.adapters.http import NoAnswer
from countersign.attesting.copy import CopyChanged
from countersign.attesting.upstream import Upstream, UpstreamUnusable
from models_registry.attestation import HEADER, NONCE_HEADER, Statement, tensor_digest
from models_registry.dialects import Floats, NotThisDialect, most_bytes

NONCE = re.compile(r"[0-9a-f]{64}")
HELLO = "/attestation"


class Attesting:
    """One upstream, one key; one request at a time, so that what is signed is of this request."""

    def __init__(self, upstream: Upstream, key: Ed25519PrivateKey) -> None:
        self._upstream, self._key = upstream, key
        self._boot = secrets.token_hex(16)
        self._count = 0
        self._refused = ""
        self._turn = threading.Lock()

    @property
    def most(self) -> int:
        """Bytes of the longest request."""
        return most_bytes(self._upstream.copy.channels * self._upstream.copy.cells ** 3)

    def hello(self, nonce: str) -> str:
        """What is served here, signed over a nonce."""
        with self._turn:
            self._check()
            return self._signed(nonce)

    def answer(self, nonce: str, body: bytes) -> tuple[int, bytes, str]:
        """Status, body and statement of one answer. Raises NotThisDialect, NoAnswer."""
        dialect = self._upstream.dialect
        channels = dialect.asked(body)
        copy = self._upstream.copy
        if channels.shape != (1, copy.channels, copy.cells, copy.cells, copy.cells):
            raise NotThisDialect(f"The tensor has the shape {channels.shape}; one of {copy.channels} channels and "
                                 f"{copy.cells} cells a side is answered.")
        with self._turn:
            self._check()                                                                                       # 1, 2
            found: Floats | None = None
            if not self._refused:
                try:
                    found = self._upstream.probability(channels)                                                # 3
                except NotThisDialect as error:
                    raise NoAnswer(f"{self._upstream.serves} gave no tensor: {error.fact}", "broken") from None
                self._check()                                                                                   # 4
            if self._refused or found is None:
                return 503, _words(self._refused), self._signed(nonce)
            return 200, dialect.answers(found), self._signed(nonce, tensor_digest(channels), tensor_digest(found))  # 5

    def _check(self) -> None:
        if self._refused:
            return
        try:
            self._upstream.copy.check()
            self._upstream.check()
        except (CopyChanged, UpstreamUnusable) as error:
            self._refused = error.fact

    def _signed(self, nonce: str, given: str = "", found: str = "") -> str:
        self._count += 1
        upstream = self._upstream
        return Statement(
            nonce=nonce, at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            tree_sha256=upstream.copy.tree_sha256, tensors_sha256=upstream.copy.tensors_sha256,
            code_sha256=upstream.copy.code_sha256, software=release(), environment=upstream.environment,
            dialect=upstream.dialect.name, serves=upstream.serves, boot=self._boot, count=self._count,
            input_sha256=given, output_sha256=found, refused=self._refused,
        ).signed(self._key)


def application(attesting: Attesting, path: str) -> Starlette:
    """The proxy as an ASGI application: the dialect's own path, and one that says what is served."""

    async def hello(request: Request) -> Response:
        nonce = _nonce(request)
        return Response(status_code=204, headers={HEADER: await run_in_threadpool(attesting.hello, nonce)})

    async def answer(request: Request) -> Response:
        nonce, body = _nonce(request), await _body(request, attesting.most)
        status, found, statement = await run_in_threadpool(attesting.answer, nonce, body)
        return Response(found, status, {HEADER: statement}, "application/json")

    return Starlette(routes=[Route(HELLO, _told(hello), methods=["GET"]),
                             Route(path, _told(answer), methods=["POST"])])


def _told(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Known errors as fact and status, unsigned: they hold no answer."""

    async def run(request: Request) -> Response:
        try:
            return await handler(request)
        except NotThisDialect as error:
            return Response(_words(error.fact), 400, media_type="application/json")
        except NoAnswer as error:
            return Response(_words(error.fact), 502, media_type="application/json")
        except CountersignError as error:
            return Response(_words(error.fact), 500, media_type="application/json")

    return run


def _nonce(request: Request) -> str:
    nonce = request.headers.get(NONCE_HEADER, "")
    if NONCE.fullmatch(nonce) is None:
        raise NotThisDialect(f"Give 64 hexadecimal digits, drawn for this request alone, as {NONCE_HEADER}.")
    return nonce


async def _body(request: Request, most: int) -> bytes:
    """The body, never more of it than allowed."""
    pieces, length = [], 0
    async for piece in request.stream():
        length += len(piece)
        if length > most:
            raise NotThisDialect(f"The request is longer than {most} bytes.")
        pieces.append(piece)
    return b"".join(pieces)


def _words(fact: str) -> bytes:
    return json.dumps({"error": fact}).encode()
