"""What the sender left in the headers, and whether cleaning got all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydicom.dataset import FileDataset

from audit.vocabulary.imaging import CheckedRule
from core.arrival.rules import checked
from core.dicom.deidentify import MARKS, TrialIdentity, deidentify
from core.dicom.findings import Finding, Outcome
from core.dicom.leaks import Identifier, check_marks, check_pixels, find_leaks, identifiers_of
from core.dicom.reading import read_object
from core.dicom.result import as_bytes

# What scanners write about themselves names no person; it is removed and noted, and no fault of the site.
_NO_PERSON = frozenset({"device code", "place", "private element"})


@dataclass(slots=True)
class HeaderCheck:
    """Collects, over the instances of a series, what was sent and what was left. Holds counts and places only."""

    instances: int = 0
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    marks: list[Finding] = field(default_factory=list)
    pixels: Finding | None = None

    def lines(self) -> list[CheckedRule]:
        """The de-identification part of a check."""
        persons = {key: count for key, count in self.sent.items() if key[0] not in _NO_PERSON}
        devices = {key: count for key, count in self.sent.items() if key[0] in _NO_PERSON}
        lines = [
            checked(_as_sent("deid.as_sent", "no identifier of a person", persons), "query"),
            checked(_as_sent("deid.devices", "no private element, device or place", devices), "note"),
            checked(Finding("deid.left", "none", f"0 in {self.instances} objects", "all parts", Outcome.MET), "reject"),
        ]
        lines += [checked(mark, "reject") for mark in self.marks]
        if self.pixels is not None:
            lines.append(checked(self.pixels, "reject"))
        return lines


def _as_sent(rule: str, required: str, found: dict[tuple[str, str], int]) -> Finding:
    if not found:
        return Finding(rule, required, "none", "header as sent", Outcome.MET)
    kinds = Counter[str]()
    for (kind, _), count in found.items():
        kinds[kind] += count
    places = sorted({place for _, place in found})
    where = ", ".join(places[:4]) + (f" and {len(places) - 4} more" if len(places) > 4 else "")
    measured = "; ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items()))
    return Finding(rule, required, f"{measured}; removed", where, Outcome.NOT_MET)


@dataclass(frozen=True, slots=True)
class CleanObject:
    """A de-identified object as it will be stored, read back from its own bytes; `left` names what remained."""

    content: bytes
    dataset: FileDataset
    left: tuple[Finding, ...]


def clean(source: FileDataset, identity: TrialIdentity, key: bytes, check: HeaderCheck) -> CleanObject:
    """De-identify one object, write it, read it back, and look for everything that named somebody in the source."""
    identifiers = identifiers_of(source, allowed=identity.allowed)
    persons: list[Identifier] = [one for one in identifiers if one.kind != "unique identifier"]
    for finding in find_leaks(source, persons, allowed=identity.allowed):
        check.sent[finding.measured, finding.where] += 1
    content = as_bytes(deidentify(source, identity, key, identifiers).dataset)
    dataset = read_object(content, known=True)  # written here; the search below looks at every element anyway
    left = find_leaks(dataset, identifiers, allowed=(*identity.allowed, *MARKS))
    if check.instances == 0:
        check.marks = check_marks(dataset)
    pixels = check_pixels(source)
    if check.pixels is None or pixels.bars:
        check.pixels = pixels
    check.instances += 1
    return CleanObject(content, dataset, tuple(left))


def places_of(left: Sequence[Finding]) -> tuple[str, ...]:
    """Kinds and attributes of what remained, never the thing itself; the first twenty."""
    return tuple(sorted({f"{finding.measured} in {finding.where}" for finding in left})[:20])
