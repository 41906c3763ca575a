"""Words about drift: the baseline of a lock in a trial, what later studies show, and the daily sentinel set.

Of a use under seal `drift.evaluated` carries levels alone; the numbers stay inside the seal (TRIAL 4).
"""

from __future__ import annotations

from audit.vocabulary.registry import event, piece


@piece
class DriftLimit:
    """A number that drift is judged by, as the charter or the shipped default states it."""

    name: str
    value: str


@event(
    "drift.baselined", signed_by="person",
    clause="FDA AI draft 2025, life-cycle maintenance; EU Annex 22 draft 2025, 10",
    sentence="{actor} signed {studies} studies as the drift baseline of {model} {lock} in {trial}",
)
class DriftBaselined:
    """The studies that later ones are compared with: every study of this lock whose newest run ended within the range.

    `observations_sha256` is over the observations that are under no seal. A later baseline takes the place of this one.
    Where `validation` names a run of a PQ, its cases are the studies, and its conclusion both ends of the range.
    """

    lock: str
    model: str
    first_entry: int
    last_entry: int
    studies: int
    observations_sha256: str
    validation: str | None = None


@piece
class DriftSignal:
    """What one monitor (PSI, KS, CUSUM, rate) found of one feature; `p` where it knows a probability."""

    group: str
    feature: str
    monitor: str
    found: str
    level: int
    p: str | None = None


@event(
    "drift.evaluated", signed_by="service",
    clause="FDA AI draft 2025, life-cycle maintenance; EU Annex 22 draft 2025, 10",
    sentence="Drift of {model} {lock} in {trial}, use {use}, over {studies} studies: {says}",
)
class DriftEvaluated:
    """A judged window: level 0, 1 (warn) or 2 (suspend), or too few studies to tell (`told` is false).

    `sealed`: the use is blinded, so the signals are left out. `baseline` is the id of the baseline's entry; the window
    is of the studies that ended from `first_entry` to `last_entry`.
    """

    lock: str
    model: str
    use: str
    baseline: str
    first_entry: int
    last_entry: int
    studies: int
    told: bool
    level: int
    inputs: int
    outputs: int
    sealed: bool
    says: str
    limits: tuple[DriftLimit, ...]
    signals: tuple[DriftSignal, ...] = ()


@piece
class SentinelCase:
    """A generated case and what the lock answers to it: digests of input and output."""

    seed: str
    input_sha256: str
    output_sha256: str


@event(
    "sentinel.declared", signed_by="person",
    clause="EU Annex 22 draft 2025, 10; FDA AI draft 2025, life-cycle maintenance",
    sentence="{actor} declared the daily sentinel set of {model} {lock}: {number} generated cases",
)
class SentinelDeclared:
    """What a lock must answer every day, bit-equal. Cases follow from their seeds by the generator of this digest."""

    lock: str
    model: str
    generator_sha256: str
    number: int
    cases: tuple[SentinelCase, ...]


@event(
    "sentinel.checked", signed_by="service", clause="EU Annex 22 draft 2025, 10; 21 CFR 11.10(a)",
    sentence="The sentinel set of {model} {lock} was asked: {says}",
)
class SentinelChecked:
    """One asking of the set. Where an answer differs, `model.refused` stands beside it and closes what rests on it."""

    lock: str
    model: str
    declared: str
    number: int
    same: bool
    says: str
    differing: tuple[SentinelCase, ...] = ()
