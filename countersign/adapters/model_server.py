"""A model server over HTTP: models_registry.attested.Transport."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import UnusableInput
from countersign.adapters.http import Endpoint, NoAnswer, ask
from models_registry.attestation import HEADER, NONCE_HEADER, Enrolled, read
from models_registry.attested import ServerGone
from models_registry.dialects import DIALECTS, Floats, most_bytes
from models_registry.isolation import WorkerDiffers
from models_registry.servers import carries

MOST_WORDS = 1 << 16
HELLO_S = 30


@carries
def over_http(enrolled: Enrolled) -> AttestedServer:
    """How the house reaches a server."""
    return AttestedServer(enrolled)


@dataclass(frozen=True, slots=True)
class AttestedServer:
    """One enrolled server. answer_s: seconds for the whole of one answer."""

    enrolled: Enrolled
    answer_s: float = 120

    def ask(self, channels: Floats, nonce: str) -> tuple[Floats, str | None]:
        """One forward pass there; see attested.Transport."""
        dialect = DIALECTS[self.enrolled.dialect]
        try:
            found = ask(Endpoint.read(self.enrolled.url), "POST", dialect.path, dialect.asks(channels),
                        headers={NONCE_HEADER: nonce}, most=max(most_bytes(channels.size), MOST_WORDS),
                        deadline_s=self.answer_s, authority=self.enrolled.authority)
        except NoAnswer as error:
            raise ServerGone(error.fact, error.cause) from None
        statement = found.headers.get(HEADER)
        if statement and found.status != 200:
            # A refusal is believed only where the enrolled key signed it over our nonce.
            refusal = read(statement, self.enrolled.public_key)
            if refusal.nonce == nonce and refusal.refused:
                raise WorkerDiffers("attestation", "a server that serves what it hashed", refusal.refused)
        if 300 <= found.status < 400:
            raise ServerGone(f"{self.enrolled.url} points elsewhere (status {found.status}); nobody follows.",
                             "redirect")
        if found.status != 200:
            raise ServerGone(f"{self.enrolled.url} answered with status {found.status}.", "status")
        if not statement:
            read(None, self.enrolled.public_key)
        return dialect.answered(found.body), statement


def statement_of(url: str, public_key: bytes, nonce: str, authority: str | None = None) -> str:
    """What a server says of itself, signed over a nonce; the text of the header.

    Raises UnusableInput where it cannot attest or another key signed; OutsideUnavailable where it is not there.
    """
    found = ask(Endpoint.read(url), "GET", "/attestation", headers={NONCE_HEADER: nonce}, most=MOST_WORDS,
                deadline_s=HELLO_S, authority=authority)
    text = found.headers.get(HEADER)
    try:
        statement = read(text, public_key)
    except WorkerDiffers as differs:
        raise UnusableInput(
            f"{url} is not enrolled: {differs.found}; expected {differs.expected}.",
            next_step="Put `countersign model-server attest` in front of the server, and take the key that it prints.",
        ) from None
    if statement.nonce != nonce:
        raise UnusableInput(f"{url} is not enrolled: it answered with an old statement.")
    return str(text)


