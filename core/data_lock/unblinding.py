"""The sealed allocation: declared, imported against its declared digest, opened; and the one way to see data by arm."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from audit.vocabulary import data_lock as words
from audit.vocabulary.registry import ObjectRef
from core.data_lock import queries
from core.data_lock.rules import Allocation, ArmRow, by_arm, digest_of, read_allocation
from core.errors import AlreadyDone, Refused, UnusableInput
from core.objects import ObjectStore, owner
from core.policy.state import Actor
from core.trials import views
from core.trials.acting import allowed, draft
from core.trials.queries import charter_of, subjects_of, the_trial
from core.trials.rules import follow
from core.work import Desk, Draft, Occasion, Proposal

HOUSE = Actor.of_service("house")
SEALED = "text/vnd.countersign.allocation"
#: Under this name the allocation has a key of its own; `~` begins no subject's code.
ALLOCATION_OWNER = "~allocation"


@dataclass(frozen=True, slots=True)
class ByArm:
    """A cut by arm. `report` is `closed` (unblinded roles alone) or `open` (after the unblinding)."""

    trial: str
    cut: str
    until: str
    report: str
    rows: tuple[ArmRow, ...]


def _relations(session: Connection, trial: str) -> frozenset[str]:
    row = queries.allocation_of(session, trial)
    names = {"imported"} if row is not None and row.state in ("imported", "unblinded") else set()
    names |= {"unblinded"} if row is not None and row.state == "unblinded" else set()
    return frozenset(names | ({"cut_ready"} if _cut_to_show(session, trial) else set()))


def _cut_to_show(session: Connection, trial: str) -> queries.CutRow | None:
    """The locked cut, else the newest interim cut."""
    return queries.cut_in(session, trial, "locked") or queries.cut_in(session, trial, "frozen", kind="interim")


def declare_randomisation(desk: Desk, actor: Actor, trial: str, digest: str) -> Proposal:
    """The keeper of the allocation signs the digest of the sealed file, once."""
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise UnusableInput("A digest is 64 hexadecimal digits (SHA-256), in small letters.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        the_trial(session, trial)
        under = allowed(session, actor, "randomisation.declare", trial)
        row = queries.allocation_of(session, trial)
        if row is not None:
            raise AlreadyDone(f"The allocation of {trial} is declared with digest {row.digest}.")
        return draft(
            session, actor, "randomisation.declare", trial, words.RandomisationDeclared(digest=digest), under=under,
            meaning="responsibility", view=views.lines(
                "Digest of the sealed allocation", "trial/allocation", ("Trial", trial), ("SHA-256", digest)))

    return desk.prepare(actor, propose, asked="randomisation.declare")


def import_allocation(desk: Desk, actor: Actor, trial: str, text: str) -> Proposal:
    """Bring the sealed file in, for the locked cut or an interim one; stored under a key of its own.

    Raises:
        Refused: no cut is ready, or the file is not the one that was declared.
        UnusableInput: the file is of another trial, names an arm the charter lacks, or lacks an enrolled subject.
    """
    digest, stored = digest_of(text), list[ObjectRef]()

    def propose(session: Connection, occasion: Occasion) -> Draft:
        the_trial(session, trial)
        under = allowed(session, actor, "allocation.import", trial, *_relations(session, trial))
        row = queries.allocation_of(session, trial)
        follow("allocation of", trial, row.state if row else None, "allocation.imported")
        cut = _cut_to_show(session, trial)
        if row is None or cut is None or row.digest != digest:
            raise Refused("This file is not the one whose digest was declared at randomisation.", rule="F-239")
        arms = read_allocation(text)
        _check(session, desk.objects, trial, cut, arms)
        if not stored:
            # Once, after everything was asked: each encryption of the same text makes another object.
            stored.append(desk.objects.put(text.encode(), SEALED, subject=owner(trial, ALLOCATION_OWNER)))
        event = words.AllocationImported(
            cut=cut.cut, digest=digest, declared=row.declared_id, subjects=len(arms.arms), allocation=stored[0])
        return draft(
            session, actor, "allocation.import", trial, event, under=under, meaning="execution",
            caused_by=row.declared_id, view=views.lines(
                "Import of the sealed allocation", "trial/allocation", ("Trial", trial), ("Cut", cut.cut),
                ("Kind of cut", cut.kind), ("Subjects", str(len(arms.arms))), ("SHA-256, as declared", digest)))

    return desk.prepare(actor, propose, asked="allocation.import")


def _check(session: Connection, objects: ObjectStore, trial: str, cut: queries.CutRow, allocation: Allocation) -> None:
    """Raises UnusableInput; no message tells an arm."""
    if allocation.trial != trial:
        raise UnusableInput(f"This is the allocation of {allocation.trial}, not of {trial}.")
    if set(allocation.arms.values()) - {one.id for one in charter_of(session, trial).arms}:
        raise UnusableInput("The allocation names an arm that the charter does not have.")
    listed = {one.subject for one in queries.lines_of(objects, cut) if not one.time_point}
    treated = {one.subject for one in subjects_of(session, trial) if one.enrolled_on is not None} & listed
    lacking = sorted(treated - allocation.arms.keys())
    if lacking and cut.kind == "final":
        raise UnusableInput(f"The allocation lacks enrolled subjects of cut {cut.cut}: {', '.join(lacking)}.")


def unblind(desk: Desk, actor: Actor, trial: str) -> Proposal:
    """The statistician opens the blind of the locked data; the importer is another person by the roles' exclusion."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        the_trial(session, trial)
        under = allowed(session, actor, "unblinding.do", trial, *_relations(session, trial))
        row = queries.allocation_of(session, trial)
        follow("allocation of", trial, row.state if row else None, "unblinding.done")
        cut = queries.cut_in(session, trial, "locked")
        if cut is None or row is None or row.imported_id is None or row.allocation is None:
            raise Refused(f"The data of {trial} are not locked.", rule="F-201")
        lines = queries.lines_of(desk.objects, cut)
        _check(session, desk.objects, trial, cut, _opened(desk.objects, trial, row.allocation))
        event = words.UnblindingDone(cut=cut.cut, imported=row.imported_id, digest=row.digest)
        return draft(
            session, actor, "unblinding.do", trial, event, under=under, meaning="responsibility",
            caused_by=row.imported_id, view=views.lines(
                "Unblinding", "trial/unblind", ("Trial", trial), ("Locked cut", cut.cut),
                ("Subjects", str(sum(not one.time_point for one in lines))),
                ("Allocation, SHA-256", row.digest), ("From here on", "locked data may be shown by arm")))

    return desk.prepare(actor, propose, asked="unblinding.do")


def _opened(objects: ObjectStore, trial: str, ref: ObjectRef) -> Allocation:
    return read_allocation(objects.get(ref, subject=owner(trial, ALLOCATION_OWNER)).decode())


def show_by_arm(desk: Desk, actor: Actor, trial: str) -> ByArm:
    """A cut by arm: the locked one, else the newest interim one, for unblinded roles alone until the unblinding.

    That it was shown, and to whom, becomes an entry. Raises Refused, recorded as well.
    """
    with desk.open(HOUSE, on_behalf_of=actor.user, asked="by_arm.see") as work:
        the_trial(work.session, trial)
        under = allowed(work.session, actor, "by_arm.see", trial, *_relations(work.session, trial))
        row, cut = queries.allocation_of(work.session, trial), _cut_to_show(work.session, trial)
        if row is None or row.allocation is None or cut is None:
            raise Refused(f"No cut of {trial} is locked or frozen as interim; nothing is shown by arm.", rule="F-237")
        report = "open" if row.state == "unblinded" else "closed"
        rows = by_arm(queries.lines_of(desk.objects, cut), _opened(desk.objects, trial, row.allocation))
        work.record(words.AllocationShown(cut=cut.cut, report=report), under=under, trial=trial)
    return ByArm(trial, cut.cut, cut.until, report, rows)
