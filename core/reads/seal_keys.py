"""The recovery key of the seals: made and renewed by owner and QA, and used by both after a loss (RECORD 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, Table, select

from audit.entry import base64_text, from_base64
from audit.vocabulary import seals as words
from core.access.drafts import draft
from core.access.queries import standing
from core.errors import UnusableInput
from core.policy.decide import permit
from core.policy.state import Actor, Decision, Facts
from core.reads import seal_projections as tables
from core.reads import views
from core.reads.acting import READS
from core.reads.ports import Recovered, keeper_of
from core.two_persons import OneSignature, permit_signature, waiting
from core.work import Desk, Draft, Occasion, Proposal, Receipt

#: A first signature waits this long for the second.
RENEWAL_LIFE_US = 72 * 3600 * 1_000_000
RECOVERY_LIFE_US = 15 * 60 * 1_000_000


@dataclass(frozen=True, slots=True)
class Renewal:
    """A page to sign, and the share that its signer writes down once it is recorded; nobody else sees it."""

    proposal: Proposal
    share: str = field(repr=False)
    second: bool


@dataclass(frozen=True, slots=True)
class Recovery:
    """A page to sign; `finish` restores once it is recorded, and gives None after the first of two signatures."""

    proposal: Proposal
    finish: Callable[[Receipt], Recovered | None]


def enrol_recovery_key(desk: Desk, owner: str, qa: str) -> tuple[str, str]:
    """At `init`: a recovery key enrolled by the root key alone. Returns the shares of owner and QA."""
    keeper = keeper_of(desk.signer)
    made = keeper.new_recovery_key()
    second = keeper.second_share(made.public_key)
    event = words.SealKeyEnrolled(public_key=base64_text(made.public_key), holders=(owner, qa), at_init=True)
    receipt = desk.record_as_root([(event, ())])[0]
    keeper.put_in_force(made.public_key, receipt.id)
    return made.share, second


def renew_recovery_key(desk: Desk, actor: Actor) -> Renewal:
    """What owner and QA sign, one after the other; the second signature puts the key in force and every secret is
    wrapped for it. The old shares then open nothing that is kept here."""
    keeper = keeper_of(desk.signer)
    with desk.reading() as session:
        begun = _waiting(session, tables.seal_keys, desk.clock.now() - RENEWAL_LIFE_US)
        permit(actor, "seals.renew", standing(session, actor, None, "seals.renew"))
    if begun is None or begun[1].person == actor.user:
        # Who begins again replaces what they began: the unfinished key never came into force.
        made, first = keeper.new_recovery_key(), None
        public, share = made.public_key, made.share
    else:
        public, first = from_base64(begun[0].public_key), begun[1]
        share = keeper.second_share(public)

    def propose(session: Connection, occasion: Occasion) -> Draft:
        under = _allowed(session, actor, "seals.renew", tables.seal_keys, first)
        event = words.SealKeyEnrolled(public_key=base64_text(public), first=first.id if first else None)
        view = views.seal_key(base64_text(public), first.person if first else None)
        return draft(session, actor, event, under, "approval", view, "seals.renew")

    return Renewal(desk.prepare(actor, propose, asked="seals.renew"), share, first is not None)


def recover_seals(desk: Desk, actor: Actor, share: str, because: str) -> Recovery:
    """Owner and QA each bring their share and sign; after the second, lost secrets are written back from the copies.

    Raises UnusableInput for a share that was mistyped or does not fit the first one.
    """
    keeper = keeper_of(desk.signer)
    with desk.reading() as session:
        permit(actor, "seals.recover", standing(session, actor, None, "seals.recover"))
        begun = _waiting(session, tables.recoveries, desk.clock.now() - RECOVERY_LIFE_US)
    if begun is None or begun[1].person == actor.user:
        keeper.offer_share(share)
        first, said = None, because
    else:
        keeper.check_shares(share)
        first, said = begun[1], str(begun[0].because)
    if not said.strip():
        raise UnusableInput("A recovery names its reason.", next_step="Give it with --because; nothing was done.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        under = _allowed(session, actor, "seals.recover", tables.recoveries, first)
        event = words.SealsRecoveryOrdered(because=said, first=first.id if first else None)
        view = views.seal_recovery(said, first.person if first else None)
        return draft(session, actor, event, under, "approval", view, "seals.recover")

    def finish(receipt: Receipt) -> Recovered | None:
        if first is None:
            return None
        found = keeper.recover(share, receipt.id)
        with desk.open(READS, on_behalf_of=actor.user, asked="seals.recover") as work:
            under = permit(READS, "seals.recover", standing(work.session, READS, None, "seals.recover"))
            event = words.SealsRecovered(restored=found.restored, sound=found.sound, unreadable=found.unreadable)
            work.record(event, under=under, caused_by=receipt.id)
        return found

    return Recovery(desk.prepare(actor, propose, asked="seals.recover"), finish)


def _newest(session: Connection, table: Table) -> Row[Any] | None:
    return session.execute(select(table).order_by(table.c.entry.desc()).limit(1)).first()


def _signature(row: Row[Any] | None) -> OneSignature | None:
    """The row as one of two signatures; what the root key enrolled alone at `init` is none."""
    if row is None or getattr(row, "at_init", False):
        return None
    return OneSignature(row.id, row.entry, row.signer, row.role, row.first is not None, row.at)


def _waiting(session: Connection, table: Table, since_us: int) -> tuple[Row[Any], OneSignature] | None:
    """The first signature that a second may name now, as its row and as what it is."""
    row = _newest(session, table)
    first = waiting(_signature(row), since_us=since_us)
    return (row, first) if row is not None and first is not None else None


def _allowed(session: Connection, actor: Actor, action: str, table: Table, first: OneSignature | None) -> Decision:
    """The decision; the second signature is another person's in the other role."""
    def facts(relations: frozenset[str]) -> Facts:
        return standing(session, actor, None, action, relations=relations)

    return permit_signature(actor, action, facts, first, newest=_signature(_newest(session, table)))
