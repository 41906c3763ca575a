"""Words about a model that changes mid-trial: how the new lock follows the old one, and whether both agree."""

from __future__ import annotations

from audit.vocabulary.registry import event


@event(
    "bridging.planned", signed_by="person", clause="ICH E6(R3) 4.3.4; FDA AI draft 2025, life-cycle maintenance",
    sentence="{actor} planned that {to_lock} follows {from_lock} in {trial} for {endpoint}: {strategy}",
)
class BridgingPlanned:
    """One lock per endpoint per analysis: `strategy` is new_subjects (the new lock serves only subjects without earlier
    time points) or recompute (every earlier time point of a subject is measured again before the next)."""

    plan: str
    use: str
    endpoint: str
    from_lock: str
    to_lock: str
    strategy: str
    because: str


@event(
    "bridging.signed", signed_by="person", clause="ICH E6(R3) 4.3.4; 21 CFR 11.10(g)",
    sentence="{actor} signed bridging plan {plan} of {trial} as {signed_as}",
)
class BridgingSigned:
    """The validation lead's signature, then QA's; with QA's the plan is in force."""

    plan: str
    signed_as: str
    planned: str


@event(
    "bridging.judged", signed_by="service",
    clause="FDA AI draft 2025, life-cycle maintenance; EU Annex 22 draft 2025, 10",
    sentence="Bridging plan {plan} of {trial}, {from_lock} against {to_lock} on the same cases: {says}",
)
class BridgingJudged:
    """Agreement of both locks on the same cases, judged on the bounds; computed inside the seal where a run is sealed.

    `verdict` is passed, failed or too_few. Of sealed runs `pairs`, `subjects`, `lower` and `difference` are left out.
    """

    plan: str
    from_lock: str
    to_lock: str
    verdict: str
    sealed: bool
    says: str
    pairs: int | None = None
    subjects: int | None = None
    lower: str | None = None
    difference: str | None = None
