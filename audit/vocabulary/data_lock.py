"""Words about the end of a trial's data: cut, soft lock, unlock, sealed allocation, unblinding."""

from __future__ import annotations

from audit.vocabulary.registry import ObjectRef, event, piece


@piece
class StateCount:
    """How many subjects or time points of a cut are in a state; `what` is subject or time_point."""

    what: str
    state: str
    count: int


@piece
class OpenQuery:
    """A query that was open when the cut was frozen: its case, and the entry that asked."""

    case: str
    entry: int


@event(
    "cut.frozen", signed_by="person", clause="ICH E6(R3) 4.2.6; ICH E9 5.1",
    sentence="{actor} froze the {kind} cut {cut} of {trial}, images until {until}, digest {digest}",
)
class CutFrozen:
    """What is in a data cut, as it stood at the entry `as_of`; `listing` names each subject and time point.

    `changed` counts the lines that differ from those of `previous`, the cut before it.
    """

    cut: str
    kind: str
    until: str
    as_of: int
    subjects: int
    states: tuple[StateCount, ...]
    open_queries: tuple[OpenQuery, ...]
    listing: ObjectRef
    digest: str
    previous: str | None = None
    changed: int | None = None


@event(
    "database.soft_locked", signed_by="person", clause="ICH E6(R3) 4.2.6",
    sentence="{actor} soft-locked the data of {trial} at cut {cut}",
)
class DatabaseSoftLocked:
    """No query is open and nothing has changed since the cut; nothing is entered until the lock or its release."""

    cut: str
    digest: str


@event(
    "database.soft_lock_released", signed_by="person", clause="ICH E6(R3) 4.2.6",
    sentence="{actor} released the soft lock of {trial} at cut {cut}: {reason}",
)
class DatabaseSoftLockReleased:
    """Work goes on; the cut is withdrawn, and another is frozen before the data are locked."""

    cut: str


@event(
    "database.unlock_requested", signed_by="person", clause="ICH E6(R3) 4.2.6",
    sentence="{actor} asked to unlock the data of {trial} at cut {cut} for {reason}: {difference}",
)
class DatabaseUnlockRequested:
    """The first of two persons; `difference` says what is to be changed."""

    cut: str
    difference: str
    after_unblinding: bool


@event(
    "randomisation.declared", signed_by="person", clause="ICH E9 2.3.2",
    sentence="{actor} declared the digest of the sealed allocation of {trial}: {digest}",
)
class RandomisationDeclared:
    """SHA-256 of the sealed allocation file, known before anybody can have seen a result by arm."""

    digest: str


@event(
    "allocation.imported", signed_by="person", clause="ICH E9 2.3.2; ICH E6(R3) 4.2.6",
    sentence="{actor} imported the sealed allocation of {trial} for cut {cut}; its digest is the declared one",
)
class AllocationImported:
    """The file as it was declared, encrypted; only roles that may know the allocation can open it."""

    cut: str
    digest: str
    declared: str
    subjects: int
    allocation: ObjectRef


@event(
    "unblinding.done", signed_by="person", clause="ICH E6(R3) 4.2.6; ICH E9 2.3.1",
    sentence="{actor} unblinded {trial} after the lock of cut {cut}",
)
class UnblindingDone:
    """From here on the locked data may be shown by arm."""

    cut: str
    imported: str
    digest: str


@event(
    "allocation.shown", signed_by="service", clause="ICH E6(R3) 4.2.6; ICH E9 4.5",
    sentence="{on_behalf_of} was shown the {report} report of {trial} by arm, cut {cut}",
)
class AllocationShown:
    """Who saw output by arm, and when: `closed` to unblinded roles before the unblinding, `open` after it."""

    cut: str
    report: str
