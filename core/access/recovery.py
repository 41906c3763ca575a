"""What becomes of key and password after enrolment: renewed by their holder, or lost and recovered by two others."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection

from audit.signatures import Proof
from audit.vocabulary.access import PasswordRenewed, RecoveryBegun
from audit.vocabulary.ledger import KeyRevoked
from core.access import queries, views
from core.access.drafts import check_step, draft, self_relation
from core.access.enrolment import CODE_LIFE_US, code_digest, new_code
from core.access.rules import IDENTITY_CHECKS, password_refusals
from core.clock import in_words
from core.errors import NotAuthenticated, Refused, UnusableInput
from core.persons import active_kids
from core.policy.decide import permit
from core.policy.state import Actor
from core.work import Desk, Draft, Occasion, Proposal, Receipt

RECOVERY_DELAY_US = 24 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class BeginRecovery:
    """Whose key was lost, why, and how their identity was checked again."""

    user: str
    because: str
    how: str
    code: str = field(default_factory=lambda: new_code(), repr=False)


def begin_recovery(desk: Desk, actor: Actor, command: BeginRecovery) -> Proposal:
    """One page: recovery begins and the lost key is revoked; after 24 hours two persons enrol a new one (RECORD 4)."""
    if command.how not in IDENTITY_CHECKS:
        raise UnusableInput(f"`{command.how}` is no way of checking an identity; known: {', '.join(IDENTITY_CHECKS)}.")

    def propose(session: Connection, occasion: Occasion) -> list[Draft]:
        relations = self_relation(actor, command.user)
        beginning, revoking = (
            permit(actor, action, queries.standing(session, actor, None, action, relations=relations))
            for action in ("recovery.begin", "key.revoke")
        )
        person = queries.registered(session, command.user)
        check_step(person, "recovery.begun")
        kids = sorted(active_kids(session, command.user))
        not_before = in_words(occasion.at_us + RECOVERY_DELAY_US)
        begun = RecoveryBegun(
            user=command.user, because=command.because, how=command.how,
            code_sha256=code_digest(command.user, command.code), not_before=not_before,
            code_until=in_words(occasion.at_us + RECOVERY_DELAY_US + CODE_LIFE_US),
        )
        view = views.recovery(command.user, person.printed_name, command.how, command.because, not_before, kids)
        revoked = [
            draft(session, actor, KeyRevoked(kid=kid, because=command.because), revoking, "approval",
                  views.ending("Revoke a key", "key-revoked", command.user, person.printed_name, f"key {kid}",
                               command.because), "key.revoke")
            for kid in kids
        ]
        return [draft(session, actor, begun, beginning, "approval", view, "recovery.begin"), *revoked]

    return desk.prepare(actor, propose, asked="recovery.begin")


def renew_password(desk: Desk, actor: Actor, proof: Proof, new_password: str) -> Receipt:
    """The holder keeps the key under a new signing password, given the old one and the second factor.

    Raises:
        NotAuthenticated: the old proof is wrong; counted and recorded, nothing is changed.
        UnusableInput: the new password is refused; every reason is named.
    """
    try:
        with desk.reading() as session:
            permit(actor, "password.renew", queries.standing(session, actor, None, "password.renew"))
            person = queries.registered(session, actor.user)
    except Refused as refusal:
        desk.record_refusal(actor.user, "password.renew", refusal)
        raise
    reasons = password_refusals(new_password, actor.user, person.printed_name)
    if new_password == proof.password:
        reasons.append("The new password is the old one.")
    if reasons:
        raise UnusableInput(" ".join(reasons), next_step="The old password stays.")
    try:
        desk.signer.renew_password(actor.user, proof, new_password)
    except NotAuthenticated as failure:
        desk.record_failed_proof(actor.user, "password.renew", failure)
        raise
    house = Actor.of_service("house")
    with desk.open(house, on_behalf_of=actor.user, asked="password.renew") as work:
        decision = permit(house, "password.renew", queries.standing(work.session, house, None, "password.renew"))
        work.record(PasswordRenewed(user=actor.user), under=decision)
    return work.receipts[0]
