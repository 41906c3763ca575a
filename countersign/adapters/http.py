"""One request over HTTP, kept in bounds: a deadline for the whole of it, a largest answer, no redirect, no proxy.

The standard library's client: it follows no redirect and reads no proxy from the environment by itself, so that what
is sent goes to the named host and nowhere else.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from core.errors import OutsideUnavailable, UnusableInput

PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens. Plain HTTP is for this machine alone."""

    host: str
    port: int
    secure: bool

    @classmethod
    def read(cls, url: str) -> Endpoint:
        """The endpoint of `http://127.0.0.1:8443` or `https://models.example:8443`.

        Raises UnusableInput for another scheme, a path, a user name, or plain HTTP to another machine.
        """
        step = "Give it as https://HOST:PORT, or http://127.0.0.1:PORT on this machine."
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise UnusableInput(f"{url!r} is no address: {error}.", next_step=step) from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UnusableInput(f"{url!r} is no address of a server.", next_step=step)
        if parts.username or parts.password or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise UnusableInput("An address holds host and port alone: no name, path or question.", next_step=step)
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise UnusableInput(f"{parts.hostname} is another machine; plain HTTP does not go there.", next_step=step)
        return cls(parts.hostname, port or (443 if parts.scheme == "https" else 80), parts.scheme == "https")

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its address. A name is none: it means what a resolver says it means."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that came whole. `headers` by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoAnswer(OutsideUnavailable):
    """The server gave no whole answer. `cause`: unreachable, time-limit, broken, too-large or certificate."""

    next_step = "See whether the server runs and is reachable, then run again."

    def __init__(self, fact: str, cause: str) -> None:
        super().__init__(fact)
        self.cause = cause


def ask(endpoint: Endpoint, method: str, path: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None,
        most: int, deadline_s: float, authority: str | None = None) -> Answered:
    """Send one request and read its answer whole. Raises NoAnswer; a redirect is an answer like any other.

    most: bytes of the largest body that is read. authority: certificates (PEM) that alone vouch for the host; those
    of the system where None.
    """
    late = threading.Event()
    held: list[socket.socket] = []

    def end() -> None:
        # Each read would have a limit of its own; a server that drips bytes keeps within it for ever.
        late.set()
        for one in held:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    watch = threading.Timer(deadline_s, end)
    watch.daemon = True
    watch.start()
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port)
    try:
        context = _context(authority) if endpoint.secure else None
        plain = socket.create_connection((endpoint.host, endpoint.port), timeout=deadline_s)
        connection.sock = plain
        held.append(plain.dup())  # the same connection, whatever becomes of the first handle
        if context is not None:
            connection.sock = context.wrap_socket(plain, server_hostname=endpoint.host)
        kind = {"Content-Type": "application/json"} if body else {}
        connection.request(method, path, body or None, {"Connection": "close", **kind, **(headers or {})})
        response = connection.getresponse()
        found = response.read(most + 1)
        if len(found) > most:
            raise NoAnswer(f"{endpoint.url} answered with more than {most} bytes.", "too-large")
        if response.length or late.is_set():
            raise http.client.IncompleteRead(found)
        return Answered(response.status, {key.lower(): value for key, value in response.getheaders()}, found)
    except ssl.SSLCertVerificationError as error:
        raise NoAnswer(f"The certificate of {endpoint.url} is not trusted: {error.verify_message}.",
                       "certificate") from None
    except (OSError, http.client.HTTPException) as error:
        if late.is_set() or isinstance(error, TimeoutError):
            raise NoAnswer(f"{endpoint.url} gave no whole answer within {deadline_s:g} s.", "time-limit") from None
        if isinstance(error, ConnectionRefusedError | socket.gaierror):
            raise NoAnswer(f"{endpoint.url} is not reachable ({type(error).__name__}).", "unreachable") from None
        raise NoAnswer(f"{endpoint.url} broke off ({type(error).__name__}).", "broken") from None
    finally:
        watch.cancel()
        connection.close()
        for one in held:
            one.close()


def _context(authority: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=authority)
    except ssl.SSLError as error:
        raise UnusableInput(f"The certificates of the authority are not readable: {error.reason}.") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
