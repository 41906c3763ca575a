"""Questions about corrections: what was corrected, how far the worker is, who was told."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Row, select

from audit.vocabulary.registry import ObjectRef
from core.corrections import projections as tables
from core.corrections.rules import WRITTEN_ANEW, Place
from core.errors import NotFound
from core.projection import from_reference


@dataclass(frozen=True, slots=True)
class CorrectionRow:
    """A correction on record; `note` is None until the worker has carried it out."""

    correction: str
    trial: str
    kind: str
    study: str
    subject: str
    time_point: str
    to_subject: str | None
    to_time_point: str | None
    side: str | None
    became: str
    series: tuple[str, ...]
    ai_values: int
    pulled: int
    locked: int
    person: str
    at: str
    note: ObjectRef | None
    title: str | None
    entry: int

    @property
    def source(self) -> Place:
        return Place(self.subject, self.time_point)

    @property
    def target(self) -> Place:
        """Where the series belong; their own place where they were set aside or their side was wrong."""
        return Place(self.to_subject or self.subject, self.to_time_point or self.time_point)

    @property
    def written_anew(self) -> bool:
        return self.kind in WRITTEN_ANEW


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """Who was told of a correction, as holder of which copy."""

    correction: str
    copy_entry: str
    kind: str
    holder: str
    entry: int


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A correction taken out for whoever holds the rejected objects."""

    correction: str
    objects: int
    manifest_sha256: str
    person: str
    at: str
    entry: int


def _row(row: Row[tuple[object, ...]]) -> CorrectionRow:
    values = dict(row._mapping)
    note = from_reference(str(values["note"])) if values["note"] else None
    return CorrectionRow(**values | {"series": tuple(str(values["series"]).split()), "note": note})


def corrections_of(session: Connection, trial: str) -> tuple[CorrectionRow, ...]:
    """Corrections of a trial, oldest first."""
    table = tables.corrections
    return tuple(_row(row) for row in session.execute(
        select(table).where(table.c.trial == trial).order_by(table.c.entry)))


def the_correction(session: Connection, trial: str, entry: int) -> CorrectionRow:
    """A correction by its entry. Raises NotFound."""
    row = next((one for one in corrections_of(session, trial) if one.entry == entry), None)
    if row is None:
        raise NotFound(f"Entry {entry} is no correction in {trial}.",
                       next_step="`countersign correct list` shows them.")
    return row


def notices_of(session: Connection, correction: str) -> tuple[NoticeRow, ...]:
    """Who was told of a correction."""
    table = tables.notices
    return tuple(NoticeRow(**row._mapping) for row in session.execute(
        select(table).where(table.c.correction == correction).order_by(table.c.entry)))


def deliveries_of(session: Connection, correction: str) -> tuple[DeliveryRow, ...]:
    """What was taken out of the house for whoever holds the rejected objects."""
    table = tables.deliveries
    return tuple(DeliveryRow(**row._mapping) for row in session.execute(
        select(table).where(table.c.correction == correction).order_by(table.c.entry)))
