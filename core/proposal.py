"""What is prepared before it is recorded: the view that a person sees, the draft, and the page of both to be signed."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection

from audit.entry import canonical
from audit.signatures import Signature
from core.objects import owner
from core.policy.state import Actor, Decision

if TYPE_CHECKING:
    from core.work import Work


def release() -> str:
    """The version of this software as signatures name it."""
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
    where it names one and its view says nothing that erasure should reach."""

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


def as_tuple(drafts: Draft | Sequence[Draft]) -> tuple[Draft, ...]:
    """What a page proposes, one draft or several."""
    return (drafts,) if isinstance(drafts, Draft) else tuple(drafts)
