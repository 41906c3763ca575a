"""Words about gates: what AI may do, who signed for it, on which evidence, and what stopped it."""

from __future__ import annotations

from audit.vocabulary.registry import ObjectRef, event, piece


@piece
class JudgedCriterion:
    """A criterion as computed from the ledger: met, open or waived, with the entries it rests on."""

    id: str
    state: str
    found: str
    limit: str
    entries: tuple[int, ...] = ()
    waiver: str | None = None


@event(
    "evidence.filed", signed_by="person", clause="ICH E6(R3) 4.2.5; 21 CFR 11.10(b)",
    sentence="{actor} filed {title} as {kind}",
)
class EvidenceFiled:
    """A document from outside the system, signed by the role that answers for it."""

    kind: str
    title: str
    document: ObjectRef
    document_date: str
    evidence_class: str
    use: int | None = None
    endpoint: str | None = None
    display: str | None = None
    cases: int | None = None
    lock: str | None = None


@event(
    "gate.requested", signed_by="person", clause="21 CFR 11.10(f)",
    sentence="{actor} asked to open gate {gate} of {trial}: AI use {use_name}, scope {scope}, lock {lock}",
)
class GateRequested:
    """One opening: (trial, use, endpoint or none, scope, lock), with its criteria as they stood."""

    gate: str
    use: int
    use_name: str
    scope: str
    lock: str
    model: str
    criteria: tuple[JudgedCriterion, ...]
    endpoint: str | None = None


@event(
    "gate.signed", signed_by="person", clause="21 CFR 11.10(g); 11.50",
    sentence="{actor} signed gate {gate} of {trial} as {signed_as}, to {purpose} it",
)
class GateSigned:
    """One of the distinct signatures; `purpose` is open or resume. QA's is the last."""

    gate: str
    signed_as: str
    purpose: str
    criteria_digest: str
    requested: str


@event(
    "gate.opened", signed_by="service", clause="21 CFR 11.10(f),(g)",
    sentence="Gate {gate} of {trial} opened: AI use {use_name}, scope {scope}, lock {lock}",
)
class GateOpened:
    """Follows the last signature in its transaction."""

    gate: str
    use: int
    use_name: str
    scope: str
    lock: str
    criteria: tuple[JudgedCriterion, ...]
    signed: tuple[str, ...]
    endpoint: str | None = None


@event(
    "gate.withdrawn", signed_by="person", clause="21 CFR 11.10(f)",
    sentence="{actor} withdrew the request for gate {gate} of {trial}: {reason}",
)
class GateWithdrawn:
    """A request that nobody signs any more."""

    gate: str


@event(
    "gate.suspended", signed_by="service", clause="draft Annex 22, 10; FDA AI draft 2025, life-cycle maintenance",
    sentence="Gate {gate} of {trial} was suspended: {says}",
)
class GateSuspended:
    """A precondition was lost; work goes on without AI."""

    gate: str
    use: int
    cause: str
    says: str


@event(
    "gate.halted", signed_by=("person", "service"), clause="ICH E6(R3) 3.10",
    sentence="Gate {gate} of {trial} was halted under {halt_rule}: {says}",
)
class GateHalted:
    """One may halt; all must resume."""

    gate: str
    use: int
    halt_rule: str
    says: str


@event(
    "gate.resumed", signed_by="service", clause="ICH E6(R3) 3.10",
    sentence="Gate {gate} of {trial} is open again, all signers having signed",
)
class GateResumed:
    """Follows the last signature of the resuming round."""

    gate: str
    use: int
    criteria: tuple[JudgedCriterion, ...]
    signed: tuple[str, ...]


@event(
    "gate.revoked", signed_by="person", clause="ICH E6(R3) 3.10",
    sentence="{actor} revoked gate {gate} of {trial} for cause: {reason}",
)
class GateRevoked:
    """Ends a gate for ever; a new request starts from its criteria."""

    gate: str
    use: int


@event(
    "waiver.requested", signed_by="person", clause="ICH E6(R3) 3.10",
    sentence="{actor} asked to waive {criterion} of use {use} in {trial} until {ends_on}: {because}",
)
class WaiverRequested:
    """A deviation from a criterion with reason, risk and end date; never for those that cannot be waived."""

    waiver: str
    use: int
    criterion: str
    because: str
    risk: str
    ends_on: str
    owner: str


@event(
    "waiver.approved", signed_by="person", clause="ICH E6(R3) 3.10",
    sentence="{actor} approved waiver {waiver} of {trial} as {signed_as}",
)
class WaiverApproved:
    """By QA and by the criterion's owner; neither is its requester."""

    waiver: str
    signed_as: str


@event(
    "defect.seeded", signed_by="person", clause="TRIAL 2",
    sentence="{actor} declared that study {study} carries a seeded defect",
)
class DefectSeeded:
    """A study made defective on purpose; counted apart from truly defective ones."""

    study: str


@event(
    "halt.evaluated", signed_by="service", clause="FDA AI draft 2025, life-cycle maintenance",
    sentence="Halt rule {halt_rule} of {trial} was evaluated at its look of {look}: {metric} {found}, limit {limit}",
)
class HaltEvaluated:
    """A statistical halt rule at a pre-set look, on locked reads only; each look is evaluated once."""

    halt_rule: str
    look: int
    metric: str
    found: str
    limit: str
    fired: bool
