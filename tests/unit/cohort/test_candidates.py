"""A candidate flag stands on a list while its gate is open; people select, investigators decide."""

from __future__ import annotations

import pytest

from audit.vocabulary.gates import GateOpened, GateSuspended
from core.cohort import usecases
from core.cohort.queries import candidates_of
from core.errors import Refused, UnusableInput
from countersign.cli.gate import cohort_app
from tests.builders import trials as build
from tests.builders.reads import TRIAL, recorded
from tests.house import HouseUnderTest
from tests.req import req
from tests.validation.test_cli import call

FLAG = usecases.FlagCandidate(TRIAL, "101-001", "2.25.1", True, "0.87", build.LOCK, "R1")


def open_cohort(house: HouseUnderTest) -> None:
    recorded(house, GateOpened(
        gate="G2", use=2, use_name="cohort", scope="all", lock=build.LOCK, criteria=(), signed=()), "gates")


@req("GAT-03", "RDG-09", "REC-15")
def test_a_flag_becomes_a_selection_only_by_the_coordinators_signature(house: HouseUnderTest) -> None:
    build.live(house)
    with pytest.raises(Refused) as refusal:
        usecases.flag_candidate(house.desk, FLAG)
    assert refusal.value.rule == "F-611"
    assert house.words()[-1] == "action.refused"

    open_cohort(house)
    usecases.flag_candidate(house.desk, FLAG)
    candidate = f"{TRIAL}-C0001"
    with house.desk.reading() as session:
        waiting = usecases.worklist(session, build.COORDINATOR, TRIAL)
        with pytest.raises(Refused):
            usecases.worklist(session, build.LEAD, TRIAL)
    assert [one.candidate for one in waiting] == [candidate]
    with pytest.raises(Refused) as refusal:
        usecases.select_candidate(house.desk, build.LEAD, candidate, "selected", "meets_imaging_criteria")
    assert refusal.value.rule == "default-deny"
    with pytest.raises(Refused, match="a selected one is decided on"):
        usecases.decide_eligibility(house.desk, build.INVESTIGATOR, candidate, "eligible", "criteria_met")

    house.commit(usecases.select_candidate(
        house.desk, build.COORDINATOR, candidate, "selected", "meets_imaging_criteria"))
    with pytest.raises(Refused) as refusal:
        usecases.select_candidate(house.desk, build.COORDINATOR, candidate, "not_selected", "prior_therapy")
    assert refusal.value.rule == "F-640"
    house.commit(usecases.decide_eligibility(house.desk, build.INVESTIGATOR, candidate, "eligible", "criteria_met"))
    with house.desk.reading() as session:
        row = candidates_of(session, TRIAL)[0]
    assert (row.state, row.decided_by) == ("eligible", "investigator-1")


@req("GAT-04", "OPS-07")
def test_a_suspended_gate_hides_the_flags_and_human_selection_goes_on(house: HouseUnderTest) -> None:
    build.live(house)
    open_cohort(house)
    usecases.flag_candidate(house.desk, FLAG)
    recorded(house, GateSuspended(gate="G2", use=2, cause="drift_level_2", says="Drift."), "gates")

    with house.desk.reading() as session, pytest.raises(Refused) as refusal:
        usecases.worklist(session, build.COORDINATOR, TRIAL)
    assert refusal.value.rule == "F-621"
    house.commit(usecases.select_candidate(
        house.desk, build.COORDINATOR, f"{TRIAL}-C0001", "not_selected", "poor_image_quality"))
    assert house.entries()[-1].body["fields"]["ai_was_shown"] is False


@req("GAT-03")
def test_a_flag_of_another_lock_or_an_impossible_confidence_is_refused(house: HouseUnderTest) -> None:
    build.live(house)
    open_cohort(house)

    for confidence in ("1.01", "NaN", "high"):
        with pytest.raises(UnusableInput):
            usecases.flag_candidate(house.desk, usecases.FlagCandidate(
                TRIAL, "101-001", "2.25.1", True, confidence, build.LOCK, "R1"))
    with pytest.raises(Refused) as refusal:
        usecases.flag_candidate(house.desk, usecases.FlagCandidate(
            TRIAL, "101-001", "2.25.1", True, "0.5", "LCK-OTHER", "R1"))
    assert refusal.value.rule == "F-641"


@req("RDG-09", "GAT-03", "REC-15")
def test_no_service_selects_a_subject_or_writes_its_eligibility(house: HouseUnderTest) -> None:
    """TRIAL 2, refused at every door: whatever a model said, its rows answer, and the attempt is on record."""
    build.live(house)
    open_cohort(house)
    usecases.flag_candidate(house.desk, FLAG)
    candidate, service = f"{TRIAL}-C0001", usecases.INFERENCE

    with pytest.raises(Refused) as refusal:
        usecases.select_candidate(house.desk, service, candidate, "selected", "meets_imaging_criteria")
    assert refusal.value.rule == "F-630"
    house.commit(usecases.select_candidate(
        house.desk, build.COORDINATOR, candidate, "selected", "meets_imaging_criteria"))
    with pytest.raises(Refused) as refusal:
        usecases.decide_eligibility(house.desk, service, candidate, "eligible", "criteria_met")
    assert refusal.value.rule == "F-634"
    last = house.entries()[-1].body
    assert (last["action"], last["on_behalf_of"], last["rule"]) == ("action.refused", service.user, "F-634")
    with house.desk.reading() as session:
        assert candidates_of(session, TRIAL)[0].state == "selected"


@req("RDG-09", "OPS-07")
def test_coordinator_and_investigator_decide_at_the_command_line(house: HouseUnderTest) -> None:
    build.live(house)
    open_cohort(house)
    usecases.flag_candidate(house.desk, FLAG)
    candidate = f"{TRIAL}-C0001"

    early = call(house, "decide", candidate, "eligible", "criteria_met", user="investigator-1", app=cohort_app)
    selected = call(house, "select", candidate, "selected", "meets_imaging_criteria", user="coordinator",
                    meaning="review", app=cohort_app)
    decided = call(house, "decide", candidate, "not_eligible", "criteria_not_met", user="investigator-1",
                   meaning="responsibility", app=cohort_app)

    assert (early.exit_code, selected.exit_code, decided.exit_code) == (1, 0, 0), selected.output + decided.output
    assert "a selected one is decided on" in early.output
    assert house.words()[-1] == "cohort.eligibility_decided"
