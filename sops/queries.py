"""Which documents exist, where they stand, who is trained on them, what falls due."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from audit.vocabulary.registry import ObjectRef
from core.errors import NotFound
from core.projection import from_reference
from sops.projections import training_log, versions
from sops.rules import State


@dataclass(frozen=True, slots=True)
class SopVersion:
    """One version of a controlled document."""

    sop: str
    version: int
    title: str
    owner: str
    governs: tuple[str, ...]
    applies_to: tuple[str, ...]
    review_months: int
    window_days: int
    text: ObjectRef
    state: State
    author: str
    reviewer: str | None
    approver: str | None
    approval_id: str | None
    effective_on: str | None
    review_by: str | None
    entry: int

    @property
    def name(self) -> str:
        return f"{self.sop} version {self.version}"


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One read-and-understood; `at` is the instant of the signature."""

    user: str
    sop: str
    version: int
    at: str
    entry: int


def all_versions(session: Connection, sop: str | None = None) -> list[SopVersion]:
    """Every version, by number and version."""
    wanted = select(versions).order_by(versions.c.sop, versions.c.version)
    if sop is not None:
        wanted = wanted.where(versions.c.sop == sop)
    return [_version(dict(row)) for row in session.execute(wanted).mappings()]


def _version(row: dict[str, object]) -> SopVersion:
    return SopVersion(**(row | {
        "governs": tuple(str(row["governs"]).split()), "applies_to": tuple(str(row["applies_to"]).split()),
        "text": from_reference(str(row["text"])), "state": State(str(row["state"])),
    }))  # type: ignore[arg-type]


def version_of(session: Connection, sop: str, version: int | None = None) -> SopVersion:
    """A version, or the newest one. Raises NotFound."""
    found = [each for each in all_versions(session, sop) if version in (None, each.version)]
    if not found:
        name = sop if version is None else f"{sop} version {version}"
        raise NotFound(f"{name} is not in the record.", next_step=f"Draft it: `countersign sop draft {sop}`.")
    return found[-1]


def version_to_read(session: Connection, sop: str, version: int | None = None) -> SopVersion:
    """What to train on: the version named, else the newest approved or effective one, else the newest."""
    if version is not None:
        return version_of(session, sop, version)
    ready = [each for each in all_versions(session, sop) if each.state in (State.APPROVED, State.EFFECTIVE)]
    return ready[-1] if ready else version_of(session, sop)


def effective_version(session: Connection, sop: str) -> SopVersion | None:
    """The one effective version, or None."""
    found = [each for each in all_versions(session, sop) if each.state is State.EFFECTIVE]
    return found[0] if found else None


def due(session: Connection, on: str) -> list[SopVersion]:
    """Approved versions whose effective date has come by a day (YYYY-MM-DD)."""
    return [
        each for each in all_versions(session)
        if each.state is State.APPROVED and each.effective_on is not None and each.effective_on <= on
    ]


def overdue_reviews(session: Connection, on: str) -> list[SopVersion]:
    """Effective documents whose periodic review is overdue on a day."""
    return [
        each for each in all_versions(session)
        if each.state is State.EFFECTIVE and each.review_by is not None and each.review_by < on
    ]


def training_of(session: Connection, *, user: str | None = None, sop: str | None = None) -> list[TrainingRow]:
    """The training log, oldest first."""
    wanted = select(training_log).order_by(training_log.c.entry)
    if user is not None:
        wanted = wanted.where(training_log.c.user == user)
    if sop is not None:
        wanted = wanted.where(training_log.c.sop == sop)
    return [TrainingRow(row.user, row.sop, row.version, row.at, row.entry) for row in session.execute(wanted)]
