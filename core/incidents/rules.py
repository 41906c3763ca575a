"""Rules of incidents, pure: their life, what a listing says, and in which forms an identifier is looked for."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.errors import Refused, UnusableInput

Lifecycle = dict[tuple[str | None, str], str]
INCIDENT: Final[Lifecycle] = {
    (None, "incident.opened"): "open",
    ("open", "destruction.ordered"): "ordered",
    ("ordered", "destruction.done"): "destroyed",
    # A restored copy brought objects back: destroyed again, and what was certified is still what was ordered.
    ("destroyed", "destruction.done"): "destroyed",
    ("certified", "destruction.done"): "certified",
    ("destroyed", "destruction.certified"): "certified",
    # Nothing was kept of what a finding found: there is nothing to order.
    ("nothing_kept", "destruction.certified"): "certified",
}
#: Of what kind the identifier is; coded, so that nobody writes it down.
KINDS: Final = ("name", "birth_date", "patient_number", "address", "device_or_place", "face", "other")
ANSWERS: Final = ("destroyed", "returned", "holds_none")
SHORTEST: Final = 3


def follow(incident: str, state: str | None, word: str) -> str:
    """The state after a word. Raises Refused where it does not fit."""
    after = INCIDENT.get((state, word))
    if after is None:
        raise Refused(f"Incident {incident} is {(state or 'not open').replace('_', ' ')}; {word} does not follow.",
                      rule="F-201")
    return after


@dataclass(frozen=True, slots=True, order=True)
class Listed:
    """An object by the digest of its stored bytes, and their number."""

    sha256: str
    bytes: int


def listing_text(objects: Sequence[Listed]) -> str:
    """One object a line, sorted, so that the same objects are the same bytes."""
    return "".join(f"{one.sha256} {one.bytes}\n" for one in sorted(set(objects)))


def read_listing(text: str) -> tuple[Listed, ...]:
    """Reverse of `listing_text`."""
    return tuple(Listed(line.split(" ")[0], int(line.split(" ")[1])) for line in text.splitlines())


def forms_of(identifier: str) -> tuple[bytes, ...]:
    """The bytes that an identifier may stand as, in lower case: as text, as a DICOM person name, in three encodings.

    Raises UnusableInput where it is so short that it would be found everywhere.
    """
    text = " ".join(identifier.split()).casefold()
    if len(text) < SHORTEST:
        raise UnusableInput(f"An identifier of fewer than {SHORTEST} characters is found everywhere.")
    written = {text, text.replace(" ", "^"), "^".join(reversed(text.split(" "))), " ".join(reversed(text.split(" ")))}
    found = set()
    for one in written:
        for encoding in ("utf-8", "latin-1", "utf-16-le"):
            try:
                found.add(one.encode(encoding))
            except UnicodeEncodeError:
                continue
    return tuple(sorted(found))


def holds_any(data: bytes, forms: Sequence[bytes]) -> bool:
    """Whether bytes hold an identifier in one of its forms, whatever the case of ASCII letters."""
    lowered = data.lower()
    return any(one in lowered for one in forms)


def mark_of(key: bytes, identifier: str) -> str:
    """What stands for an identifier on record: an HMAC under the trial's secret, of its text in one form."""
    text = " ".join(identifier.split()).casefold()
    return hmac.new(key, b"incident\x00" + text.encode(), hashlib.sha256).hexdigest()
