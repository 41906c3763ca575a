"""Seals that open before all are in: by QA and imaging lead with a reason, or at the lock of the data (RECORD 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from audit.vocabulary import reads as read_words
from audit.vocabulary import seals as words
from core.errors import NotFound, UnusableInput
from core.policy.decide import permit
from core.policy.state import Actor, Facts
from core.reads import queries, seal_queries, views
from core.reads import seal_projections as tables
from core.reads.acting import READS, draft, facts_of
from core.reads.opening import check_seal
from core.reads.ports import keeper_of
from core.two_persons import OneSignature, permit_signature, waiting
from core.work import Desk, Draft, Occasion, Proposal

OPENING_REASONS = ("safety_of_subject", "reader_not_available", "request_of_authority", "read_given_up")


@dataclass(frozen=True, slots=True)
class OrderOpening:
    """Open what is sealed of a time point now; `reason` is a code of OPENING_REASONS."""

    trial: str
    subject: str
    time_point: str
    reason: str


def order_opening(desk: Desk, actor: Actor, command: OrderOpening) -> Proposal:
    """What QA and the imaging lead sign, in any order; exactly the seals that both name open after the second."""
    if command.reason not in OPENING_REASONS:
        raise UnusableInput(
            f"{command.reason!r} is no reason to open seals early.",
            next_step=f"One of: {', '.join(OPENING_REASONS)}.",
        )

    def propose(session: Connection, occasion: Occasion) -> Draft:
        closed = seal_queries.sealed_time_points(session, command.trial).get((command.subject, command.time_point), ())
        if not closed:
            raise NotFound(f"Nothing of {command.time_point} of {command.subject} is under seal.")
        table = tables.openings
        ordered = session.execute(
            select(table).where(
                table.c.trial == command.trial, table.c.subject == command.subject,
                table.c.time_point == command.time_point,
            ).order_by(table.c.entry.desc()).limit(1)
        ).first()  # fmt: skip
        # Another reason, or other seals meanwhile, is another act: it begins with a first signature.
        same = ordered is not None and (ordered.seals.split(), ordered.reason) == (list(closed), command.reason)
        first = waiting(
            OneSignature(ordered.id, ordered.entry, ordered.signer, ordered.role, ordered.first is not None)
            if ordered is not None and same else None)
        also = {"reader_of_subject"} if queries.parts_of(session, command.trial, command.subject, actor.user) else set()

        def facts(relations: frozenset[str]) -> Facts:
            return facts_of(session, actor, "seal.open_early", command.trial, *relations)

        under = permit_signature(actor, "seal.open_early", facts, first, also=frozenset(also))
        event = words.OpeningOrdered(
            subject=command.subject, time_point=command.time_point, seals=tuple(closed),
            first=first.id if first is not None else None,
        )
        lacking = seal_queries.seals_awaited(session, command.trial, command.subject, command.time_point)
        view = views.early_opening(
            command.subject, command.time_point, len(closed), lacking, command.reason,
            first.person if first is not None else None,
        )
        return draft(
            session, actor, "seal.open_early", event, under, trial=command.trial, meaning="approval", view=view,
            reason=command.reason,
        )  # fmt: skip

    return desk.prepare(actor, propose, asked="seal.open_early")


def open_now(desk: Desk, trial: str, subject: str, time_point: str, seals: Sequence[str]) -> bool:
    """Open these seals of a time point though others are not in; nothing is compared by it. Idempotent.

    Raises:
        Refused: the signer finds neither two signatures for them nor the data locked.
        RecordDamaged: a seal does not open to what was committed to; nothing is recorded as opened.
    """
    with desk.reading() as session:
        wanted = [one for one in seals if one in _closed(session, trial, subject, time_point)]
        if not wanted:
            return False
        released = keeper_of(desk.signer).release(trial, subject, time_point, wanted)
        for sealed, key, nonce in released:
            check_seal(session, sealed, key, nonce)
    with desk.open(READS, asked="read.open") as work:
        if not set(wanted) <= set(_closed(work.session, trial, subject, time_point)):
            return False
        under = permit(READS, "read.open", facts_of(work.session, READS, "read.open", trial))
        work.record_all([read_words.ReadOpened(sealed=sealed, key=key, nonce=nonce) for sealed, key, nonce in released],
                        under=under, trial=trial)
    return True


def _closed(session: Connection, trial: str, subject: str, time_point: str) -> Sequence[str]:
    return seal_queries.sealed_time_points(session, trial).get((subject, time_point), ())
