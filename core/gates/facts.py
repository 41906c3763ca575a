"""The frozen facts that gate criteria are computed from: what the ledger says about one opening, on one day."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal

from core.gates.bridging import Plan
from core.gates.rules import GateState
from core.gates.sentinels import Watch
from core.gates.statistics import Pair
from core.reviews.periodic import PeriodicDue
from core.reviews.rules import Due
from core.trials.charter import Charter


@dataclass(frozen=True)
class LockFact:
    """The lock asked for: its state is locked, superseded, retired or recalled."""

    lock: str
    model: str
    state: str
    demonstration: bool
    entry: int


@dataclass(frozen=True)
class StratumFact:
    """What a PQ concluded for one kind of cases and one measure."""

    stratum: str
    measure: str
    subjects: int
    verdict: str
    says: str


@dataclass(frozen=True)
class ValidationFact:
    """A concluded run for this lock: IQ, OQ or PQ; `suspect` is the entry that made it so."""

    kind: str
    verdict: str
    use: int | None
    endpoint: str | None
    strata: tuple[StratumFact, ...]
    metrics_met: frozenset[str]
    evidence_class: str
    suspect: int | None
    entry: int


@dataclass(frozen=True)
class ReleaseFact:
    """A signed release of the installation; `suspect` is the entry that made a run behind it so."""

    what: str
    evidence_class: str
    entry: int
    suspect: int | None = None


@dataclass(frozen=True)
class FiledFact:
    """A document from outside, filed and signed."""

    kind: str
    role: str
    use: int | None
    endpoint: str | None
    display: str | None
    cases: int | None
    lock: str | None
    evidence_class: str
    entry: int


@dataclass(frozen=True)
class RunInStudy:
    """A study of the run-in: the technologist's verdict made before any AI flag was seen, and the flag."""

    study: str
    site: str
    defective: bool
    flagged: bool
    seeded: bool
    entries: tuple[int, ...]


@dataclass(frozen=True)
class WaiverFact:
    """An approved waiver of one criterion, until a day."""

    waiver: str
    criterion: str
    ends_on: str
    entry: int


@dataclass(frozen=True)
class GateFacts:
    """Everything a criterion may look at. Entries are sequence numbers."""

    trial: str
    use: int
    endpoint: str | None
    scope: str
    lock_id: str
    today: str
    release: str
    stage: str
    demonstration: bool
    charter: Charter | None = None
    charter_entry: int | None = None
    # An amendment in force: the sections concerning imaging in which it differs, and the entry of its signed impact.
    amended: tuple[str, ...] = ()
    impact_entry: int | None = None
    lock: LockFact | None = None
    validations: tuple[ValidationFact, ...] = ()
    releases: tuple[ReleaseFact, ...] = ()
    filed: tuple[FiledFact, ...] = ()
    gates: tuple[GateState, ...] = ()
    run_in: tuple[RunInStudy, ...] = ()
    pairs: tuple[Pair, ...] = ()
    pair_entries: tuple[int, ...] = ()
    live_entry: int | None = None
    able: dict[str, int] = field(default_factory=dict)
    able_entries: dict[str, tuple[int, ...]] = field(default_factory=dict)
    sops_lacking: tuple[str, ...] = ()
    sop_entries: tuple[int, ...] = ()
    open_deviations: tuple[int, ...] = ()
    open_adjudications: int = 0
    unblindings: tuple[int, ...] = ()
    review: Due | None = None
    periodic: tuple[PeriodicDue, ...] = ()
    sentinel: Watch | None = None
    # The lock that served this endpoint before, and the plan that bridges from it.
    predecessor: str | None = None
    bridging: Plan | None = None
    sentinel_limits: tuple[int, int] = (0, 0)
    waivers: tuple[WaiverFact, ...] = ()
    # Entries, among those that criteria rest on, whose key was revoked as suspect from before them on.
    suspect: frozenset[int] = frozenset()

    def limit(self, name: str) -> Decimal | None:
        """A number of the signed charter."""
        if self.charter is None or name not in self.charter.limits:
            return None
        return self.charter.limits[name].value

    def trusted(self) -> GateFacts:
        """The same without what rests on suspect entries, where other evidence may stand in for it."""
        bad = self.suspect
        kept = [(pair, entry) for pair, entry in zip(self.pairs, self.pair_entries, strict=True) if entry not in bad]
        able = {role: tuple(one for one in entries if one not in bad) for role, entries in self.able_entries.items()}
        return replace(
            self, filed=tuple(one for one in self.filed if one.entry not in bad),
            releases=tuple(one for one in self.releases if one.entry not in bad),
            validations=tuple(one for one in self.validations if one.entry not in bad),
            run_in=tuple(one for one in self.run_in if not bad & set(one.entries)),
            pairs=tuple(pair for pair, _ in kept), pair_entries=tuple(entry for _, entry in kept),
            able={role: len(entries) for role, entries in able.items()}, able_entries=able,
        )

    def counts(self, evidence_class: str) -> bool:
        """Evidence of class demonstration is refused by every other trial (TRIAL 2)."""
        return evidence_class != "demonstration" or self.demonstration

    def measures(self) -> frozenset[str]:
        """The measures of a PQ that this endpoint's values rest on; volume where there is no endpoint."""
        endpoint = self.charter.endpoint(self.endpoint) if self.charter and self.endpoint else None
        if endpoint is not None and endpoint.criterion == "recist11":
            return frozenset({"long_axis", "short_axis"})
        return frozenset({"volume"})
