"""What is prepared before it is recorded: the view that a person sees, the draft, and the page of both to be signed."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection

from audit.entry import ASSERTION, MalformedEntry, canonical, challenge_of, from_base64
from audit.signatures import Signature
from core.errors import UnusableInput
from core.objects import owner
from core.passkeys import PASSKEY, names_passkey
from core.policy.state import Actor, Decision

if TYPE_CHECKING:
    from core.work import Work


@cache
def release() -> str:
    """The version of this software as signatures name it, as it was when this process began."""
    try:
        return importlib.metadata.version("countersign")
    except importlib.metadata.PackageNotFoundError:
        return "0.1.0"


@dataclass(frozen=True, slots=True)
class View:
    """Everything a person is shown before signing: lines of label and value; rendered from this alone."""

    title: str
    template: str
    lines: tuple[tuple[str, str], ...]

    def document(self) -> bytes:
        """The JCS bytes whose digest goes into the signature."""
        lines = [{"label": label, "value": value} for label, value in self.lines]
        return canonical({"title": self.title, "template": self.template, "lines": lines, "release": release()}, "view")


@dataclass(frozen=True, slots=True)
class Occasion:
    """The fixed instant and id of a signature in preparation; documents made for it use these (RECORD 4)."""

    at_us: int
    at: str
    id: str


class Document(Protocol):
    """What is signed by the person's certificate in the same unlock as the entry that names it (RECORD 4). Its time is
    that of the occasion; nothing of number or time of record is inside."""

    def to_sign(self, certificate: str) -> bytes:
        """The bytes that the key of this certificate (PEM) signs."""
        ...

    def signed(self, signature: bytes) -> Any:
        """Keep the signed document durably; the event that names it by its digest."""
        ...


@dataclass(frozen=True, slots=True)
class Draft:
    """What a person is about to sign. `subject` is whom it concerns, where the event itself does not name one; empty
    where it names one and its view says nothing that erasure should reach. `factors`: those of the signature, where
    the deed leaves no choice."""

    event: Any
    under: Decision
    meaning: str
    view: View
    trial: str | None = None
    reason: str | None = None
    scope: str | None = None
    caused_by: str | None = None
    trainings: tuple[str, ...] = ()
    delegation: str | None = None
    subject: str | None = None
    document: Document | None = None
    factors: tuple[str, ...] | None = None
    proofs_by: tuple[tuple[str, Callable[[bytes], Signature]], ...] = ()

    @property
    def owner(self) -> str | None:
        """Under whose key the view is kept: that of the subject it concerns; None for what concerns no subject."""
        subject = getattr(self.event, "subject", None) if self.subject is None else self.subject
        return owner(self.trial, subject) if self.trial and subject else None


Prover = Callable[[bytes], Signature]
Propose = Callable[[Connection, Occasion], Draft | Sequence[Draft]]
Follow = Callable[["Work"], None]


@dataclass(slots=True)
class Proposal:
    """A page ready to be signed: complete bodies and the views they rest on."""

    actor: Actor
    occasion: Occasion
    drafts: tuple[Draft, ...]
    bodies: tuple[dict[str, Any], ...]
    propose: Propose
    then: Follow | None = None
    documents_signed: bool = False

    @property
    def id(self) -> str:
        return self.occasion.id

    @property
    def views(self) -> tuple[View, ...]:
        return tuple(draft.view for draft in self.drafts)

    @property
    def takes_passkey(self) -> bool:
        """Not where a document is signed first, as its body is complete only after the unlock; nor where another key
        has proved a body that names other factors."""
        return all(draft.document is None for draft in self.drafts) and all(
            "proofs" not in body or names_passkey(body) for body in self.bodies)

    def with_passkey(self) -> Proposal:
        """The same page to be signed with password and passkey; each body says so. Raises UnusableInput."""
        if not self.takes_passkey:
            raise UnusableInput("A passkey cannot answer for this page: it signs a document first, or another key has "
                                "signed these words with the one-time code among their factors.",
                                next_step="Sign it with the one-time code.")
        return replace(self, bodies=tuple(_by_passkey(body) for body in self.bodies))

    def challenges(self) -> tuple[bytes, ...]:
        """What a passkey answers for, one challenge a body, 32 bytes each (RECORD 4)."""
        return tuple(challenge_of(body) for body in self.bodies)

    def answered(self, assertions: Sequence[Mapping[str, str]]) -> Proposal:
        """With the passkey's assertion in each body, ready to be committed. Raises UnusableInput for another number of
        them, or another form."""
        if len(assertions) != len(self.bodies) or not all(_is_assertion(one) for one in assertions):
            raise UnusableInput(f"The passkey answered {len(assertions)} times for {len(self.bodies)} records, or in "
                                "another form.", next_step="Nothing was signed. Try again.")
        return replace(self, bodies=tuple(
            body | {"assertion": dict(one)} for body, one in zip(self.bodies, assertions, strict=True)))


def _by_passkey(body: dict[str, Any]) -> dict[str, Any]:
    if names_passkey(body):
        return body
    manifest = body["manifest"]
    return body | {"manifest": manifest | {"auth": manifest["auth"] | {"factors": ["password", PASSKEY]}}}


def _is_assertion(given: Mapping[str, str]) -> bool:
    try:
        return set(given) == ASSERTION and all(from_base64(text) for text in given.values())
    except (MalformedEntry, TypeError):
        return False


def as_tuple(drafts: Draft | Sequence[Draft]) -> tuple[Draft, ...]:
    """What a page proposes, one draft or several."""
    return (drafts,) if isinstance(drafts, Draft) else tuple(drafts)
