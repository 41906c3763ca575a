"""Phase 2 at work: screening studies are measured, flags go to the coordinator's list, people select and decide."""

from __future__ import annotations

from core.cohort.usecases import FlagCandidate, decide_eligibility, flag_candidate, select_candidate, worklist
from core.policy.decide import permit
from core.trials.queries import facts_for, time_points_of
from core.trials.subjects import RecordConsent, ScreenSubject, fail_screening, record_consent, screen_subject
from core.work import HOUSE
from countersign.demonstration.arrivals import answer_queries, dispose_all, scan, send
from countersign.demonstration.cast import actor
from countersign.demonstration.inference import ask, point_at_lesions, work
from countersign.demonstration.lives import Life
from countersign.demonstration.stage import Stage
from countersign.demonstration.trial import COORDINATOR, INVESTIGATOR, TRIAL
from models_registry.queries import RunRow, runs_of

# Measurable by RECIST 1.1 is a long axis of at least 10 mm; the second one is smaller than the model may decide.
CANDIDATES = (
    Life("103-801", "103", "D", (("liver", (36.0, 33.0, 34.0)),), {"BL": (1.0,)}, 30),
    Life("103-802", "103", "D", (("lung right", (9.0, 8.0, 8.5)),), {"BL": (1.0,)}, 31),
)
MEASURABLE_MM = 10.0


def screen(stage: Stage) -> None:
    """Two screening subjects: AI flags, a coordinator selects, the investigator decides; AI decides nothing."""
    with stage.scene("Phase 2: a cohort is screened"):
        for life in CANDIDATES:
            day = life.scanned_on("BL").isoformat()
            screen_subject(stage.desk, actor(COORDINATOR), ScreenSubject(TRIAL, life.subject, life.site, day))
            record_consent(stage.desk, actor(COORDINATOR), RecordConsent(
                TRIAL, life.subject, "1.0", day, ("images", "ai")))
            send(stage, scan(stage, life, "BL"))
        dispose_all(stage)
        answer_queries(stage)
        for life in CANDIDATES:
            point = _time_point(stage, life)
            point_at_lesions(stage, life, point, scanned="BL")
            ask(stage, life, point, "cohort", scanned="BL")
        work(stage)
        with stage.desk.reading() as session:
            runs = [run for run in runs_of(session, trial=TRIAL) if run.use == "cohort"]
        for run in runs:
            flag_candidate(stage.desk, FlagCandidate(
                TRIAL, run.subject, run.study, _measurable(run), run.confidence or "0", run.lock, run.run))
        stage.refused("AI selecting a subject", lambda: _select_by_ai(stage))
        _decide(stage)


def _time_point(stage: Stage, life: Life) -> str:
    with stage.desk.reading() as session:
        return time_points_of(session, TRIAL, life.subject)[0].time_point


def _measurable(run: RunRow) -> bool:
    found = run.values.get("long_axis", "0 mm").split(" ")[0]
    return run.state == "finished" and float(found) >= MEASURABLE_MM


def _select_by_ai(stage: Stage) -> None:
    with stage.desk.open(HOUSE, asked="ai.select_subject") as transaction:
        permit(HOUSE, "ai.select_subject", facts_for(transaction.session, HOUSE, "ai.select_subject", TRIAL))


def _decide(stage: Stage) -> None:
    with stage.desk.reading() as session:
        waiting = worklist(session, actor(COORDINATOR), TRIAL)
    for candidate in waiting:
        decision, reason = (
            ("selected", "meets_imaging_criteria") if candidate.flagged else ("not_selected", "no_measurable_lesion")
        )
        stage.signed(select_candidate(stage.desk, actor(COORDINATOR), candidate.candidate, decision, reason))
        if decision == "selected":
            stage.signed(decide_eligibility(
                stage.desk, actor(INVESTIGATOR), candidate.candidate, "eligible", "criteria_met"))
        else:
            stage.signed(fail_screening(
                stage.desk, actor(INVESTIGATOR), TRIAL, candidate.subject, "2026-04-20", "no_measurable_disease"))
    stage.note("cohort", f"{len(waiting)} candidates flagged or not, {len(waiting)} decided by people")
