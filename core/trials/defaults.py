"""Every number a gate criterion rests on: its shipped default, and which direction is the stricter one.

A charter states each number of the uses it plans; those of no single use (reviews, drift) it may leave to the default.
A number laxer than the one here needs a written justification, which gate board and appendix print.

Sources: research/validation.md 5 (run-in, agreement), TRIAL 2 (gate table), research/criteria.md 4 (agreement).
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Direction = Literal["at_least", "at_most"]


@dataclass(frozen=True)
class ShippedLimit:
    """One number of the gates, as it ships.

    Attributes:
        name: the charter field, `limits.<name>`.
        uses: the uses of AI (1-4) whose gate asks for it; a charter that plans one of them must state it.
        default: the shipped value.
        direction: `at_least` when a larger number is the stricter one.
        unit: of the value; empty for a proportion or a coefficient.
        whole: counts, which are whole numbers.
        measures: what is compared with it.
        clause: where the requirement comes from.
    """

    name: str
    uses: frozenset[int]
    default: Decimal
    direction: Direction
    unit: str
    whole: bool
    measures: str
    clause: str

    def laxer(self, value: Decimal) -> bool:
        """True when `value` asks for less than the shipped default."""
        return value < self.default if self.direction == "at_least" else value > self.default

    def met_by(self, found: Decimal, limit: Decimal) -> bool:
        """True when `found` satisfies the charter's `limit`; equality satisfies."""
        return found >= limit if self.direction == "at_least" else found <= limit


def _limit(
    name: str, uses: set[int], default: str, direction: Direction, unit: str, whole: bool, measures: str, clause: str
) -> ShippedLimit:
    return ShippedLimit(name, frozenset(uses), Decimal(default), direction, unit, whole, measures, clause)


SHIPPED: tuple[ShippedLimit, ...] = (
    _limit("trained_technologists", {1}, "2", "at_least", "people", True,
           "QC technologists of the trial with current training and delegation", "ICH E6(R3) 4.3.2"),
    _limit("run_in_studies", {2}, "50", "at_least", "studies", True,
           "studies a technologist disposed before AI flags were seen", "TRIAL 2; FDA AI draft 2025, step 5"),
    _limit("run_in_sites", {2}, "2", "at_least", "sites", True,
           "sites that sent at least one of the run-in studies", "TRIAL 2"),
    _limit("run_in_sensitivity_lower", {2}, "0.85", "at_least", "", False,
           "exact lower confidence bound of sensitivity on truly defective series, seeded defects apart",
           "TRIAL 2; research/validation.md 2"),
    _limit("validation_cases", {3, 4}, "60", "at_least", "cases", True,
           "cases of the sealed set judged in the PQ that supports this use", "draft Annex 22, 5"),
    _limit("reader_study_cases", {3}, "40", "at_least", "cases", True,
           "cases of the reader study in the display mode of the endpoint", "TRIAL 2; BICR"),
    _limit("agreement_pairs", {4}, "50", "at_least", "pairs", True,
           "AI and human values of the same lock and time point, the human mark made before AI was shown", "TRIAL 2"),
    _limit("agreement_subjects", {4}, "20", "at_least", "subjects", True,
           "subjects (clusters) that gave at least one pair", "TRIAL 2; research/validation.md 2"),
    _limit("agreement_lower", {4}, "0.70", "at_least", "", False,
           "lower confidence bound, clustered by subject, of the concordance coefficient of AI and human value",
           "TRIAL 2; FDA imaging 2018"),
    _limit("agreement_difference_percent", {4}, "20", "at_most", "%", False,
           "larger 95 % limit of agreement of the difference in percent of the pair's mean", "TRIAL 2"),
    _limit("adjudicators", {4}, "1", "at_least", "people", True,
           "adjudicators of the trial with current training and delegation", "TRIAL 2; BICR"),
    _limit("confidence_percent", {2, 4}, "95", "at_least", "%", False,
           "two-sided confidence level of every bound above", "research/validation.md 2"),
    _limit("review_overdue_days", {3, 4}, "10", "at_most", "days", True,
           "days an audit-trail review may be overdue before uses 3 and 4 suspend", "Annex 11:2011 9; TRIAL 2"),
    # No use needs it stated: a charter that is silent takes the default, which 0091 justifies.
    _limit("review_interval_days", set(), "90", "at_most", "days", True,
           "days from what one regular audit-trail review covers to the day the next is due",
           "Annex 11:2011 9; EMA computerised systems 2023, 6.2.2"),
    # Drift: a silent charter takes these as well (0127).
    _limit("drift_baseline_studies", set(), "30", "at_least", "studies", True,
           "studies of the signed baseline that later ones are compared with", "research/validation.md 5"),
    _limit("drift_window_studies", set(), "20", "at_least", "studies", True,
           "newest studies that are compared with the baseline; fewer are too few", "research/validation.md 5"),
    _limit("drift_every_studies", set(), "10", "at_most", "studies", True,
           "new studies after which drift is evaluated again", "research/validation.md 5"),
    _limit("drift_every_days", set(), "7", "at_most", "days", True,
           "days after which drift is evaluated again, however few studies came", "research/validation.md 5"),
    _limit("drift_psi_1", set(), "0.10", "at_most", "", False,
           "population stability index that warns (level 1), if its probability is small", "FDA AI draft 2025, LCM"),
    _limit("drift_psi_2", set(), "0.25", "at_most", "", False,
           "population stability index that suspends (level 2), if its probability is small", "FDA AI draft 2025, LCM"),
    _limit("drift_p_1", set(), "0.01", "at_least", "", False,
           "probability, shared by all features, at or below which a difference warns", "research/validation.md 2"),
    _limit("drift_p_2", set(), "0.001", "at_least", "", False,
           "probability, shared by all features, at or below which a difference suspends", "research/validation.md 2"),
    _limit("drift_cusum_k", set(), "0.5", "at_most", "SD", False,
           "allowance of the CUSUM, half of the shift looked for; the baseline's standard error is added",
           "research/validation.md 5"),
    _limit("drift_cusum_1", set(), "8", "at_most", "SD", False,
           "cumulative sum that warns", "research/validation.md 5"),
    _limit("drift_cusum_2", set(), "15", "at_most", "SD", False,
           "cumulative sum that suspends", "research/validation.md 5"),
    _limit("bridging_pairs", set(), "30", "at_least", "pairs", True,
           "lesions that a changed lock and the one before it both measured", "TRIAL 2; FDA AI draft 2025, LCM"),
    _limit("bridging_subjects", set(), "15", "at_least", "subjects", True,
           "subjects (clusters) that gave at least one such pair", "TRIAL 2"),
    _limit("bridging_lower", set(), "0.90", "at_least", "", False,
           "lower confidence bound, clustered by subject, of the concordance of both locks", "TRIAL 2"),
    _limit("bridging_difference_percent", set(), "15", "at_most", "%", False,
           "larger limit of agreement of the difference of both locks in percent of the pair's mean", "TRIAL 2"),
    _limit("sentinel_cases", set(), "20", "at_least", "cases", True,
           "cases of the sentinel set that each lock in use answers every day, bit-equal", "research/validation.md 5"),
    _limit("sentinel_overdue_days", set(), "3", "at_most", "days", True,
           "days that the sentinel set of a lock in use may be missed before its uses suspend", "TRIAL 2"),
)

SHIPPED_BY_NAME = {limit.name: limit for limit in SHIPPED}


def limits_of_use(use: int) -> tuple[ShippedLimit, ...]:
    """The numbers that the gate of one use of AI (1-4) asks for."""
    return tuple(limit for limit in SHIPPED if use in limit.uses)
