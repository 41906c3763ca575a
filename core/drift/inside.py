"""What is judged of sealed runs, inside the seal: values go in enclosed, levels and verdicts come out.

The same lines serve outside, where nothing is enclosed. A job is JSON: the limits and the studies, each with its runs;
a run carries its outputs, or where they lie under a seal `enclosed`: commitment, name and bytes in base64.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import Any

from audit.entry import from_base64
from core.drift.rules import Limits, Observation, Outcome, judged
from core.errors import Refused
from core.gates.statistics import Pair, concordance_lower, largest_difference_percent

Disclose = Callable[[str, str, bytes], bytes]
# Of fewer studies a level would say much of each. No wall against the house itself, which can run a model again.
FEWEST_INSIDE = 3
AT_BASELINE_ONLY = "log_volume"
# Of an answer; its measures themselves are there for bridging alone.
MONITORED = frozenset({"confidence", AT_BASELINE_ONLY})


def drift(job: Mapping[str, Any], disclose: Disclose | None = None) -> Outcome:
    """Judge a job. Without `disclose` an enclosed run gives its inputs and nothing else."""
    baseline, since = (
        [observation(study, disclose) for study in job[part]] for part in ("baseline", "since"))
    return judged(baseline, since, Limits.read(job["limits"]))


def levels(text: bytes, disclose: Disclose) -> tuple[bool, int, int]:
    """Whether a job can be told, and the levels of its inputs and outputs: all that leaves the seal.

    Raises Refused where so few studies are enclosed that a level would tell of one of them.
    """
    job = json.loads(text)
    _enough(sum(is_enclosed(study) for part in ("baseline", "since") for study in job[part]))
    outcome = drift(job, disclose)
    return outcome.told, outcome.level("inputs"), outcome.level("outputs")


def _enough(hidden: int) -> None:
    if 0 < hidden < FEWEST_INSIDE:
        raise Refused(f"{hidden} sealed studies are too few to tell of; at least {FEWEST_INSIDE} are needed.",
                      rule="F-650", next_step="Wait for more studies; nothing was opened.")


def is_enclosed(study: Mapping[str, Any]) -> bool:
    """Whether any run of a study lies under a seal."""
    return any("enclosed" in run for run in study["runs"])


def observation(study: Mapping[str, Any], disclose: Disclose | None = None) -> Observation:
    """A study as one observation: the median over its runs of each monitored feature.

    The size of lesions counts at the baseline visit alone: later it holds the effect of treatment, which no monitor may
    tell.
    """
    runs = study["runs"]
    outputs: list[Mapping[str, str]] = [_outputs(run, disclose) for run in runs]
    watched = MONITORED if study["at_baseline"] else MONITORED - {AT_BASELINE_ONLY}
    outputs = [{name: value for name, value in one.items() if name in watched} for one in outputs]
    return Observation(_middle([run["inputs"] for run in runs]), _middle(outputs), study["undecided"], study["failed"])


def _outputs(run: Mapping[str, Any], disclose: Disclose | None) -> Mapping[str, str]:
    if "enclosed" not in run:
        return dict(run.get("outputs", {}))
    if disclose is None:
        return {}
    held = run["enclosed"]
    found: dict[str, str] = json.loads(disclose(held["commit"], held["name"], from_base64(held["data"])))
    return found


def _middle(runs: Sequence[Mapping[str, str]]) -> dict[str, Decimal]:
    names = sorted({name for run in runs for name in run})
    return {name: median(Decimal(run[name]) for run in runs if name in run) for name in names}


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two locks on the same cases: verdict on the bounds, with the numbers it rests on."""

    verdict: str
    pairs: int
    subjects: int
    lower: Decimal | None
    difference: Decimal | None

    def in_words(self) -> str:
        return (f"{self.verdict.replace('_', ' ')}: {self.pairs} pairs of {self.subjects} subjects, concordance at "
                f"least {'unknown' if self.lower is None else f'{self.lower:f}'}, limits of agreement "
                f"{'unknown' if self.difference is None else f'{self.difference:f} %'}")


def agreement(job: Mapping[str, Any], disclose: Disclose | None = None) -> Agreement:
    """Lower bound of the concordance, clustered by subject, and limits of agreement of two locks on the same cases."""
    limits = {name: Decimal(value) for name, value in job["limits"].items()}
    pairs = []
    for case in job["cases"]:
        old, new = (_outputs(run, disclose).get(job["measure"]) for run in case["runs"])
        if old is not None and new is not None:
            pairs.append(Pair(case["subject"], Decimal(old), Decimal(new)))
    subjects = len({one.subject for one in pairs})
    confidence = limits["confidence_percent"]
    lower, difference = concordance_lower(pairs, confidence), largest_difference_percent(pairs, confidence)
    if len(pairs) < limits["bridging_pairs"] or subjects < limits["bridging_subjects"] or (
            lower is None or difference is None):
        verdict = "too_few"
    else:
        within = lower >= limits["bridging_lower"] and difference <= limits["bridging_difference_percent"]
        verdict = "passed" if within else "failed"
    return Agreement(verdict, len(pairs), subjects, lower, difference)


def verdict(text: bytes, disclose: Disclose) -> str:
    """passed, failed or too_few: all that leaves the seal. Raises Refused for too few enclosed cases."""
    job = json.loads(text)
    _enough(sum(is_enclosed(case) for case in job["cases"]))
    return agreement(job, disclose).verdict
