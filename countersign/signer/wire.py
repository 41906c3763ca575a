"""How the house and a signer in its own process speak: one JSON document each way, behind its length, over a Unix
socket. No code travels, only names of a closed list."""

from __future__ import annotations

import dataclasses
import socket
from typing import Any

import orjson

from audit.entry import base64_text, from_base64
from audit.signatures import NewKey, NewPasskey, OpenedPage, Proof, RelyingParty, Signature
from core import errors
from core.reads.ports import Recovered, RecoveryKey, SealState
from core.reads.sealing import Sealed

LARGEST = 64 * 1024 * 1024  # an object that is enclosed under a seal travels whole
HEADER_BYTES = 4
SHAPES: dict[str, type] = {
    one.__name__: one for one in (
        NewKey, NewPasskey, OpenedPage, Proof, RelyingParty, Signature, Sealed, RecoveryKey, Recovered, SealState)
}
# Every family there is: one that is added crosses the socket under its own name, too.
FAMILIES: dict[str, type[errors.CountersignError]] = {
    name: one for name, one in vars(errors).items()
    if isinstance(one, type) and issubclass(one, errors.CountersignError)
}


def packed(value: Any) -> Any:
    """A value as JSON can carry it: bytes as base64 under `b`, a known shape under its name."""
    if isinstance(value, bytes):
        return {"b": base64_text(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        name = type(value).__name__
        if name not in SHAPES:
            raise TypeError(f"{name} does not travel to the signer.")
        given = {field.name: packed(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"shape": name, "fields": given}
    if isinstance(value, list | tuple):
        return [packed(one) for one in value]
    if value is None or isinstance(value, str | int | bool):
        return value
    raise TypeError(f"{type(value).__name__} does not travel to the signer.")


def unpacked(value: Any) -> Any:
    """Reverse of packed; lists stay lists. Raises UnusableInput for anything else."""
    if isinstance(value, list):
        return [unpacked(one) for one in value]
    if isinstance(value, dict):
        if set(value) == {"b"}:
            return from_base64(value["b"])
        shape = SHAPES.get(str(value.get("shape")))
        if set(value) == {"shape", "fields"} and shape is not None and isinstance(value["fields"], dict):
            return shape(**{name: unpacked(one) for name, one in value["fields"].items()})
        raise errors.UnusableInput("What came over the signer's socket has an unknown shape.")
    return value


def error_as_data(error: errors.CountersignError) -> dict[str, Any]:
    """A known error, with what its family adds."""
    said: dict[str, Any] = {"family": type(error).__name__, "fact": error.fact, "next_step": error.next_step}
    if isinstance(error, errors.Refused):
        said["rule"] = error.rule
    if isinstance(error, errors.AppendingStopped):
        said["fact"] = error.because  # its own words come back with the family
    if isinstance(error, errors.NotAuthenticated):
        said |= {"locked_until_us": error.locked_until_us, "failures": error.failures}
    return said


def raise_error(said: dict[str, Any]) -> None:
    """Raise the error that the other side met."""
    family = FAMILIES.get(str(said.get("family")), errors.OutsideUnavailable)
    fact, step = str(said.get("fact")), said.get("next_step")
    if family is errors.Refused:
        raise errors.Refused(fact, rule=str(said.get("rule")), next_step=step)
    error = family(fact, next_step=step)
    if isinstance(error, errors.NotAuthenticated):
        error.locked_until_us, error.failures = said.get("locked_until_us"), int(said.get("failures") or 0)
    raise error


def send(connection: socket.socket, document: dict[str, Any]) -> None:
    """Send one document. Raises UnusableInput where it is too large, or holds a text that is none."""
    try:
        data = orjson.dumps(document)
    except orjson.JSONEncodeError as error:
        raise errors.UnusableInput(f"This cannot be sent to the signer: {error}.") from error
    if len(data) > LARGEST:
        raise errors.UnusableInput(f"{len(data)} bytes are too much for the signer; {LARGEST} are the most.")
    connection.sendall(len(data).to_bytes(HEADER_BYTES, "big") + data)


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """One document; None at the end of the stream. Raises UnusableInput for what is none."""
    header = _exactly(connection, HEADER_BYTES)
    if header is None:
        return None
    length = int.from_bytes(header, "big")
    if length > LARGEST:
        raise errors.UnusableInput("A document on the signer's socket is too large.")
    data = _exactly(connection, length)
    if data is None:
        return None
    try:
        document = orjson.loads(data)
    except ValueError as error:
        raise errors.UnusableInput("A document on the signer's socket is not JSON.") from error
    if not isinstance(document, dict):
        raise errors.UnusableInput("A document on the signer's socket is no object.")
    return document


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(min(count - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)
