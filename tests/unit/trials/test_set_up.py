"""A trial from its charter to its first subject, by the real commands; each missing step is refused and recorded."""

from __future__ import annotations

from datetime import date

import pytest

from core.data_lock import usecases as lock
from core.errors import AlreadyDone, NotFound, Refused, UnusableInput
from core.policy.state import Actor, Stage
from core.trials import queries, sites, subjects, usecases
from core.trials.charter_check import CharterUnusable
from tests.builders import trials as build
from tests.builders.reads import TRIAL, charter_text
from tests.house import HouseUnderTest
from tests.req import req


def refused(house: HouseUnderTest, rule: str, refusal: pytest.ExceptionInfo[Refused]) -> str:
    assert refusal.value.rule == rule, refusal.value.fact
    assert house.words()[-1] == "action.refused"
    return refusal.value.fact


@req("VAL-14", "VAL-06", "SOP-04")
def test_a_trial_goes_live_only_with_charter_tested_configuration_and_an_active_site(house: HouseUnderTest) -> None:
    build.people(house, *build.SET_UP)
    house.commit(usecases.create_trial(
        house.desk, build.LEAD, usecases.CreateTrial(TRIAL, "A trial", demonstration=True)))
    with pytest.raises(Refused) as refusal:
        usecases.activate_trial(house.desk, build.LEAD, TRIAL)
    said = refused(house, "F-209", refusal)
    assert "the charter is not signed" in said
    assert "no site is activated" in said

    house.commit(usecases.sign_charter(house.desk, build.LEAD, charter_text()))
    with pytest.raises(Refused) as refusal:
        usecases.approve_charter(house.desk, build.QA, TRIAL)
    assert "not accepted by investigator-1" in refused(house, "F-208", refusal)
    with pytest.raises(Refused) as refusal:
        usecases.accept_charter(house.desk, build.LEAD, TRIAL)
    refused(house, "F-205", refusal)

    house.commit(usecases.accept_charter(house.desk, build.INVESTIGATOR, TRIAL))
    house.commit(usecases.approve_charter(house.desk, build.QA, TRIAL))
    build.ready_site(house)
    house.commit(usecases.sign_configuration_test(
        house.desk, build.MANAGER, usecases.SignConfigurationTest(TRIAL, 2, ("tried",))))
    # Another charter comes before the trial is live: its configuration is tried anew, its sites activated for it.
    later = charter_text().replace('version: "1.0"', 'version: "1.1"')
    house.commit(usecases.sign_charter(house.desk, build.LEAD, later))
    house.commit(usecases.accept_charter(house.desk, build.INVESTIGATOR, TRIAL))
    house.commit(usecases.approve_charter(house.desk, build.QA, TRIAL))
    house.clock.at_us += 61_000_000  # the same refusal is recorded once a minute
    with pytest.raises(Refused) as refusal:
        usecases.activate_trial(house.desk, build.LEAD, TRIAL)
    said = refused(house, "F-209", refusal)
    assert "nobody has signed the test of its configuration" in said
    assert "no site is activated for its version" in said
    house.commit(sites.activate_site(house.desk, build.LEAD, TRIAL, "101", "2026-01-01"))
    house.commit(usecases.sign_configuration_test(
        house.desk, build.MANAGER, usecases.SignConfigurationTest(TRIAL, 2, ("tried anew",))))
    house.commit(usecases.activate_trial(house.desk, build.LEAD, TRIAL))

    with house.desk.reading() as session:
        assert queries.the_trial(session, TRIAL).stage is Stage.LIVE
        charter = queries.charter_of(session, TRIAL)
        assert charter.trial == TRIAL
        site = queries.site_of(session, TRIAL, "101")
        assert site is not None
        assert site.active_on("2026-02-01")
        assert not site.active_on("2025-12-31")


@req("VAL-14")
def test_a_signed_charter_keeps_its_whole_text_and_every_lax_number_with_its_reason(house: HouseUnderTest) -> None:
    build.people(house, *build.SET_UP)
    build.set_up(house)

    entry = next(one for one in house.entries() if one.body["action"] == "charter.signed")
    fields = entry.body["fields"]
    assert fields["text"] == charter_text()
    numbers = {one["name"]: one for one in fields["limits"]}
    assert numbers["run_in_studies"]["value"] == "4 studies"
    assert numbers["run_in_studies"]["shipped"] == "50 studies"
    assert numbers["run_in_studies"]["laxer"] is True
    assert "demonstration" in numbers["run_in_studies"]["justification"]
    assert numbers["run_in_sites"]["laxer"] is False


@req("GAT-03", "VAL-14")
def test_the_charter_of_locked_data_is_amended_no_more(house: HouseUnderTest) -> None:
    build.live(house)
    build.people(house, "statistician")
    build.soft_locked(house)

    with pytest.raises(Refused) as refusal:
        usecases.sign_charter(house.desk, build.LEAD, charter_text().replace('version: "1.0"', 'version: "2.0"'))
    assert "amended no more" in refused(house, "F-203", refusal)


@req("ACC-02")
def test_only_the_named_trial_lead_signs_the_charter_and_only_its_class(house: HouseUnderTest) -> None:
    build.people(house, *build.SET_UP)
    house.commit(usecases.create_trial(
        house.desk, build.LEAD, usecases.CreateTrial(TRIAL, "A trial", demonstration=False)))
    with pytest.raises(UnusableInput, match="of class clinical"):
        usecases.sign_charter(house.desk, build.LEAD, charter_text())
    with pytest.raises(Refused) as refusal:
        usecases.sign_charter(
            house.desk, build.LEAD, charter_text().replace("trial_lead: trial-lead", "trial_lead: imaging-lead"))
    refused(house, "F-204", refusal)
    with pytest.raises(CharterUnusable):
        usecases.sign_charter(house.desk, build.LEAD, "trial: DEMO-301\n")
    with pytest.raises(AlreadyDone):
        usecases.create_trial(house.desk, build.LEAD, usecases.CreateTrial(TRIAL, "Again"))
    with pytest.raises(NotFound):
        usecases.activate_trial(house.desk, build.LEAD, "NO-TRIAL")


@req("VAL-06")
def test_a_site_comes_step_by_step(house: HouseUnderTest) -> None:
    build.people(house, *build.SET_UP)
    build.set_up(house)
    scanner = sites.QualifyScanner(TRIAL, "102", "SN-1", "CT", "Acme", "2030-01-01", "phantom")

    with pytest.raises(Refused, match=r"scanner\.qualified does not follow"):
        sites.qualify_scanner(house.desk, build.IMAGING, scanner)
    house.commit(sites.train_site(house.desk, build.LEAD, TRIAL, "102"))
    house.commit(sites.qualify_scanner(house.desk, build.IMAGING, scanner))
    with pytest.raises(Refused) as refusal:
        sites.activate_site(house.desk, build.LEAD, TRIAL, "102", "2026-01-01")
    assert "no qualified scanner for PT" in refused(house, "F-210", refusal)
    with pytest.raises(NotFound, match="101, 102, 103"):
        sites.train_site(house.desk, build.LEAD, TRIAL, "199")


@req("RDG-11")
def test_enrolment_expects_every_time_point_of_the_schedule(house: HouseUnderTest) -> None:
    build.live(house)
    build.enrolled(house, on="2026-03-02")

    with house.desk.reading() as session:
        rows = queries.time_points_of(session, TRIAL, "101-001")
        found = queries.time_point_for(session, TRIAL, "101-001", date(2026, 4, 30))
    assert [(row.time_point, row.target_on, row.earliest_on, row.latest_on) for row in rows] == [
        ("BL", "2026-02-23", "2026-02-02", "2026-03-01"),
        ("W08", "2026-04-27", "2026-04-20", "2026-05-04"),
        ("W16", "2026-06-22", "2026-06-15", "2026-06-29"),
    ]
    assert found is not None
    assert found.time_point == "W08"
    assert [row.state_on(date(2026, 5, 5)) for row in rows] == ["overdue", "overdue", "expected"]


@req("RDG-11", "ACC-02")
def test_nobody_is_enrolled_without_consent_or_by_another_investigator(house: HouseUnderTest) -> None:
    build.live(house)
    subjects.screen_subject(
        house.desk, build.COORDINATOR, subjects.ScreenSubject(TRIAL, "101-001", "101", "2026-03-02"))

    with pytest.raises(Refused) as refusal:
        subjects.enrol_subject(house.desk, build.INVESTIGATOR, TRIAL, "101-001", "2026-03-02")
    assert "No consent was given" in refused(house, "F-214", refusal)
    with pytest.raises(Refused) as refusal:
        subjects.enrol_subject(house.desk, build.COORDINATOR, TRIAL, "101-001", "2026-03-02")
    refused(house, "default-deny", refusal)
    with pytest.raises(AlreadyDone):
        subjects.screen_subject(
            house.desk, build.COORDINATOR, subjects.ScreenSubject(TRIAL, "101-001", "101", "2026-03-02"))
    with pytest.raises(UnusableInput, match="no name in it"):
        subjects.screen_subject(
            house.desk, build.COORDINATOR, subjects.ScreenSubject(TRIAL, "Jo Do", "101", "2026-03-02"))


@req("GAT-03")
def test_no_subject_enters_a_trial_that_is_not_live(house: HouseUnderTest) -> None:
    build.people(house, *build.SET_UP)
    build.set_up(house)

    with pytest.raises(Refused) as refusal:
        subjects.screen_subject(
            house.desk, build.COORDINATOR, subjects.ScreenSubject(TRIAL, "101-001", "101", "2026-03-02"))
    refused(house, "F-206", refusal)


@req("RDG-11")
def test_withdrawn_consent_covers_earlier_images_only(house: HouseUnderTest) -> None:
    build.live(house)
    build.enrolled(house)
    subjects.withdraw_consent(house.desk, build.COORDINATOR, TRIAL, "101-001", "2026-04-01")

    with house.desk.reading() as session:
        before = queries.consent_gap_of(session, TRIAL, "101-001", date(2026, 3, 31), "images")
        after = queries.consent_gap_of(session, TRIAL, "101-001", date(2026, 4, 1), "images")
        future = queries.consent_gap_of(session, TRIAL, "101-001", date(2026, 3, 31), "future_use")
    assert before is None
    assert after == "Consent was withdrawn as of 2026-04-01."
    assert future == "Consent version 1 does not cover future use."


@req("RDG-11")
def test_a_subjects_life_goes_only_forwards(house: HouseUnderTest) -> None:
    build.live(house)
    build.enrolled(house)

    with pytest.raises(Refused) as refusal:
        subjects.progress_subject(house.desk, build.COORDINATOR, TRIAL, "101-001", "completed", "2026-05-01")
    assert "subject.completed does not follow" in refused(house, "F-201", refusal)
    for became in ("on_study", "off_treatment", "completed"):
        subjects.progress_subject(house.desk, build.COORDINATOR, TRIAL, "101-001", became, "2026-05-01")
    with pytest.raises(Refused, match="Nothing follows"):
        subjects.progress_subject(house.desk, build.COORDINATOR, TRIAL, "101-001", "died", "2026-06-01")
    with pytest.raises(UnusableInput, match="no state of a subject"):
        subjects.progress_subject(house.desk, build.COORDINATOR, TRIAL, "101-001", "happy", "2026-06-01")
    with house.desk.reading() as session:
        row = queries.subject_of(session, TRIAL, "101-001")
    assert row is not None
    assert (row.state, row.ended_on) == ("completed", "2026-05-01")


@req("RDG-11")
def test_a_missed_time_point_is_signed_with_its_reason_and_never_before_it_is_due(house: HouseUnderTest) -> None:
    build.live(house)
    today = date.fromisoformat(house.desk.occasion().at[:10])
    build.enrolled(house, on=today.isoformat())

    with pytest.raises(Refused) as refusal:
        subjects.declare_gap(house.desk, build.IMAGING, TRIAL, "101-001", "W16", "not_acquired")
    refused(house, "F-215", refusal)
    house.commit(subjects.declare_gap(house.desk, build.IMAGING, TRIAL, "101-001", "BL", "not_acquired"))
    with house.desk.reading() as session:
        row = queries.time_point_of(session, TRIAL, "101-001", "BL")
    assert row is not None
    assert (row.state, row.reason) == ("missed", "not_acquired")
    assert house.entries()[-1].body["reason"] == "not_acquired"


@req("REC-13")
def test_the_lock_of_the_data_needs_three_roles_and_then_qa(house: HouseUnderTest) -> None:
    build.live(house)
    build.people(house, "statistician")
    build.soft_locked(house, "cut-1")

    with pytest.raises(Refused) as refusal:
        lock.sign_lock(house.desk, build.QA, TRIAL, "cut-1", "qa_auditor")
    assert "still missing: data_manager, statistician, imaging_lead" in refused(house, "F-212", refusal)
    for user in ("data-manager", "statistician", "imaging-lead"):
        house.commit(lock.sign_lock(
            house.desk, Actor(user), TRIAL, "cut-1", build.ROLES[user]))
    house.commit(lock.sign_lock(house.desk, build.QA, TRIAL, "cut-1", "qa_auditor"))
    with house.desk.reading() as session:
        assert queries.the_trial(session, TRIAL).stage is Stage.LOCKED
