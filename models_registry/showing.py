"""What a run says at quality control: shown beside the case it looked at, under the open gate, and on record."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from audit.vocabulary.imaging import QualityAiShown
from core.arrival.queries import CaseRow, ai_shown_of, case_of
from core.policy.decide import decide, permit
from core.policy.state import Actor, Decision
from core.trials.queries import OpenUse, facts_for, uses_for
from core.work import Desk
from models_registry.loading import INFERENCE
from models_registry.queries import RunRow, runs_of

DOOR = "ai.show_in_qc"
#: A run that ended says something; a model flags a study by giving no value for it (core/gates/projections.py).
ENDED = ("finished", "undecided", "failed")


@dataclass(frozen=True, slots=True)
class Flag:
    """One run that looked at the series of a case, with the gate under which it is shown."""

    run: RunRow
    gate: str

    @property
    def flagged(self) -> bool:
        """The model gave no value: somebody looks at the study."""
        return self.run.state != "finished"


def show_in_quality(desk: Desk, person: Actor, trial: str, case: str) -> tuple[Flag, ...]:
    """Show a person what the runs of the open gate say of a case; that they were shown is recorded, once per person.

    Only runs for quality control of the lock that the gate is open for, at the subject's site. What was computed in
    shadow or without a gate is shown to nobody (F-626), and a closed gate shows nothing (F-620).

    Raises:
        Refused: the person may not see AI at quality control, or its use is not open for this subject; on record.
        NotFound: no such case.
    """
    with desk.open(INFERENCE, on_behalf_of=person.user, asked=DOOR) as work:
        found = case_of(work.session, trial, case)
        under = _asked(work.session, person, found)
        flags = _flags(work.session, person, found)
        seen = ai_shown_of(work.session, trial, case, person.user)
        for gate in sorted({one.gate for one in flags if one.run.run not in seen}):
            runs = tuple(one.run.run for one in flags if one.gate == gate and one.run.run not in seen)
            work.record(QualityAiShown(case=case, subject=found.subject, time_point=found.time_point, gate=gate,
                                       runs=runs), under=under, trial=trial)
    return flags


def _asked(session: Connection, person: Actor, case: CaseRow) -> Decision:
    return permit(person, DOOR, facts_for(session, person, DOOR, case.trial, about=case.subject))


def _flags(session: Connection, person: Actor, case: CaseRow) -> tuple[Flag, ...]:
    """Runs of a case that every row of the door lets through, each under the gate of its own lock."""
    gates: dict[str, OpenUse] = {
        use.lock: use for use in uses_for(session, case.trial, case.subject) if use.use_name == "qc"}
    found = []
    for run in runs_of(session, trial=case.trial, subject=case.subject, time_point=case.time_point, use="qc"):
        looked = any(one["series"] == case.series for one in run.inputs)
        gate = gates.get(run.lock)
        if not looked or gate is None or run.state not in ENDED:
            continue
        standing = frozenset({run.standing}) - {"gated"}
        facts = facts_for(session, person, DOOR, case.trial, relations=standing, about=case.subject)
        if decide(person, DOOR, facts).allowed:
            found.append(Flag(run, gate.gate))
    return tuple(found)
