"""The technologist's signed disposition: who may, on what, and what follows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.vocabulary.imaging import CheckedRule
from audit.vocabulary.registry import ObjectRef
from audit.vocabulary.trials import TimePointMoved
from core.arrival import queries
from core.arrival.rules import DISPOSITIONS, REASONS, relations_of_disposition
from core.arrival.usecases import DisposeCase, ReleaseSeries, dispose_case, release_series
from core.dicom.reading import read_object
from core.dicom.result import as_bytes
from core.errors import Refused, Stale, UnusableInput
from core.policy.state import Actor
from core.trials.queries import time_point_of
from tests.builders.arrival import (
    SUBJECT,
    TECHNOLOGIST,
    a_trial_that_receives,
    activate,
    dispose,
    qualify_scanner,
    take_in,
    write_series,
    write_study,
)
from tests.builders.reads import TRIAL, recorded
from tests.req import req


def series_row(house, series):
    with house.desk.reading() as session:
        return queries.the_series(session, TRIAL, series)


def state_of(house, time_point="BL"):
    with house.desk.reading() as session:
        return time_point_of(session, TRIAL, SUBJECT, time_point).state


@req("RDG-11", "SIG-01")
def test_both_series_accepted_make_the_time_point_ready(house, tmp_path):
    write_study(tmp_path / "in")
    cases = take_in(house, tmp_path / "in").cases

    dispose(house, cases[0])
    assert state_of(house) == "in_qc"
    dispose(house, cases[1])

    assert state_of(house) == "ready"
    with house.desk.reading() as session:
        accepted = queries.accepted_series(session, TRIAL, SUBJECT, "BL")
        assert {row.modality for row in accepted} == {"CT", "PT"}
        assert queries.accepted_series(session, TRIAL, SUBJECT, "BL", "PT")[0].modality == "PT"
    entry = next(one.body for one in house.entries() if one.body["action"] == "quality.disposed")
    assert entry["actor"] == "technologist"
    assert entry["reason"] == "all_rules_met"
    assert entry["manifest"]["meaning"] == "review"


@req("ACC-02")
def test_nobody_disposes_of_their_own_upload(house, tmp_path):
    """The coordinator who sent the series is also a technologist: refused, and on record."""
    house.grant("coordinator", "qc_technologist", trial=TRIAL)
    write_series(tmp_path / "in")
    case = take_in(house, tmp_path / "in").cases[0]

    with pytest.raises(Refused) as refusal:
        dispose(house, case, by=Actor("coordinator"))

    assert refusal.value.rule == "F-301"
    assert house.words()[-1] == "action.refused"


@req("ACC-01", "ACC-02")
@pytest.mark.parametrize("who", ["imaging-lead", "trial-lead", "coordinator"])
def test_only_a_technologist_of_the_trial_disposes(house, tmp_path, who):
    write_series(tmp_path / "in")
    case = take_in(house, tmp_path / "in").cases[0]

    with pytest.raises(Refused):
        dispose(house, case, by=Actor(who))


@req("RDG-11")
def test_a_rejecting_rule_bars_acceptance_whatever_is_said(house, tmp_path):
    """A missing slice breaks CT-GAPS, which the charter answers with rejection."""
    write_series(tmp_path / "in", numbers=(1, 2, 3, 5, 6, 7, 8), ImagesInAcquisition="7")
    case = take_in(house, tmp_path / "in").cases[0]

    for reason in REASONS["accepted"]:
        with pytest.raises(Refused) as refusal:
            dispose(house, case, reason=reason)
        assert refusal.value.rule == "F-303"
    dispose(house, case, "rejected", "missing_slices")

    with house.desk.reading() as session:
        assert queries.series_of(session, TRIAL, SUBJECT, "BL") == ()
        assert queries.dispositions_of(session, TRIAL)[0].not_met == "CT-GAPS geometry.gaps geometry.regular"


@req("RDG-11", "RDG-10")
def test_accepting_against_a_querying_rule_needs_its_own_reason(house, tmp_path):
    write_series(tmp_path / "in", day="20260315")
    account = take_in(house, tmp_path / "in")

    with pytest.raises(Refused) as refusal:
        dispose(house, account.cases[0])
    assert refusal.value.rule == "F-304"
    dispose(house, account.cases[0], reason="judged_irrelevant")

    assert series_row(house, account.series[0]).accepted


@req("REC-07")
def test_a_later_disposition_supersedes_and_both_stay(house, tmp_path):
    write_series(tmp_path / "in")
    account = take_in(house, tmp_path / "in")

    dispose(house, account.cases[0], "queried", "image_quality")
    dispose(house, account.cases[0], reason="answered_by_site")

    with house.desk.reading() as session:
        assert [row.disposition for row in queries.dispositions_of(session, TRIAL)] == ["queried", "accepted"]
    assert series_row(house, account.series[0]).accepted


@req("SIG-03", "REC-07")
def test_instances_that_arrive_while_the_page_is_open_make_it_stale(house, tmp_path):
    """The technologist saw six slices; two more came before the signature: nothing is signed."""
    write_series(tmp_path / "one", numbers=(1, 2, 3, 4, 5, 6), ImagesInAcquisition="6")
    case = take_in(house, tmp_path / "one").cases[0]
    page = dispose_case(house.desk, TECHNOLOGIST, DisposeCase(TRIAL, case, "accepted", "all_rules_met"))
    write_series(tmp_path / "two", numbers=(7, 8), ImagesInAcquisition="6")
    take_in(house, tmp_path / "two")

    with pytest.raises((Stale, Refused)):
        house.commit(page)

    assert "quality.disposed" not in house.words()


@req("VAL-06", "RDG-11")
def test_images_of_an_inactive_site_are_held_not_lost_and_released_later(fresh, tmp_path):
    """Received and flagged; acceptance waits for scanner and site (TRIAL 3)."""
    house = fresh
    a_trial_that_receives(house, active=False)
    write_series(tmp_path / "in")
    account = take_in(house, tmp_path / "in")
    assert series_row(house, account.series[0]).held == "site-inactive"

    with pytest.raises(Refused) as held:
        dispose(house, account.cases[0])
    assert held.value.rule == "F-302"
    with pytest.raises(Refused) as still:
        release_series(house.desk, TECHNOLOGIST, ReleaseSeries(TRIAL, account.series[0]))
    assert still.value.rule == "F-309"
    qualify_scanner(house, "CT")
    activate(house)
    release_series(house.desk, TECHNOLOGIST, ReleaseSeries(TRIAL, account.series[0]))
    dispose(house, account.cases[0])

    assert series_row(house, account.series[0]).accepted
    assert house.words().count("series.released") == 1


@req("RDG-11")
def test_an_unqualified_scanner_holds_the_series_under_a_pseudonym(house, tmp_path):
    write_series(tmp_path / "in", DeviceSerialNumber="UNKNOWN-77")

    row = series_row(house, take_in(house, tmp_path / "in").series[0])

    assert row.held == "scanner-unqualified"
    assert row.scanner.startswith("DEV-")


@req("RDG-11")
def test_another_scanner_than_at_baseline_is_noted(house, tmp_path):
    write_series(tmp_path / "bl")
    take_in(house, tmp_path / "bl")
    write_series(tmp_path / "w8", time_point="W08", day="20260504", DeviceSerialNumber="OTHER-1")
    case = take_in(house, tmp_path / "w8").cases[0]

    with house.desk.reading() as session:
        rules = {rule.rule: rule for rule in queries.case_of(session, TRIAL, case).rules}

    assert (rules["scanner.same"].outcome, rules["scanner.same"].measured) == ("warning", "another scanner")


@req("RDG-11")
def test_an_unknown_disposition_or_reason_is_told_what_is_possible(house, tmp_path):
    for disposition, reason in (("approved", "all_rules_met"), ("accepted", "looks fine")):
        with pytest.raises(UnusableInput, match="choose"):
            dispose_case(house.desk, TECHNOLOGIST, DisposeCase(TRIAL, "any", disposition, reason))


EVERY_REASON = sorted({reason for reasons in REASONS.values() for reason in reasons})
LINES = st.lists(st.builds(
    CheckedRule, rule=st.just("R"), required=st.just("r"), measured=st.just("m"), where=st.just("w"),
    outcome=st.sampled_from(["met", "warning", "not_met"]), when_broken=st.sampled_from(["reject", "query", "note"]),
), max_size=6)


@req("RDG-11")
@given(LINES, st.sampled_from(DISPOSITIONS), st.sampled_from(EVERY_REASON), st.booleans())
def test_acceptance_never_passes_a_rejecting_rule_or_a_hold(rules, disposition, reason, held):
    """Over every mix of rules: what forbids acceptance is named exactly when it holds, and never for other verdicts."""
    found = relations_of_disposition(disposition, reason, rules, held=held, own=False, outdated=False, in_read=False)
    broken = [rule for rule in rules if rule.outcome == "not_met"]

    assert ("accepts_barred" in found) == (
        disposition == "accepted" and any(rule.when_broken == "reject" for rule in broken)
    )
    assert ("accepts_held" in found) == (disposition == "accepted" and held)
    unexplained = disposition == "accepted" and bool(broken) and reason == "all_rules_met"
    assert ("accepts_unexplained" in found) == unexplained


@req("REC-07", "RDG-11")
def test_under_an_open_query_the_same_uids_become_a_new_version_and_both_stay(house, tmp_path):
    """Two slices come with other pixels and another kernel: version 2, its difference named, disposed anew."""
    paths = write_series(tmp_path / "in")
    account = take_in(house, tmp_path / "in")
    before = series_row(house, account.series[0])
    dispose(house, account.cases[0], "queried", "image_quality")
    for path in paths[:2]:
        dataset = read_object(path)
        dataset.ConvolutionKernel = "B40f"
        dataset.PixelData = bytes(dataset.PixelData[:-2]) + b"\x01\x02"
        path.write_bytes(as_bytes(dataset))

    again = take_in(house, tmp_path / "in")

    assert sorted({(one.outcome, one.code) for one in again.outcomes}) == [
        ("accepted", "new-version"), ("duplicate", "same-content")
    ]
    event = next(one.body["fields"] for one in house.entries() if one.body["action"] == "series.resubmitted")
    assert (event["edition"], event["replaced"], event["pixels_changed"]) == (2, 2, 2)
    assert event["tags"] == ["(0018,1210)"]
    assert event["former_manifest_sha256"] == before.manifest_sha256
    now = series_row(house, account.series[0])
    assert (now.edition, now.disposition, now.instances) == (2, None, 8)
    assert len(queries.manifest_of(house.desk.objects, before).instances) == 8
    dispose(house, account.cases[0], reason="all_rules_met")
    assert series_row(house, account.series[0]).accepted


@req("RDG-11")
def test_the_missing_slices_that_a_query_asked_for_complete_the_series(house, tmp_path):
    write_series(tmp_path / "one", numbers=(1, 2, 3, 5, 6, 7, 8))
    account = take_in(house, tmp_path / "one")
    dispose(house, account.cases[0], "queried", "missing_slices")
    write_series(tmp_path / "two")

    take_in(house, tmp_path / "two")

    dispose(house, account.cases[0], reason="all_rules_met")
    assert series_row(house, account.series[0]).accepted
    assert "series.extended" in house.words()


@req("RDG-11")
def test_an_acceptance_taken_back_before_any_read_takes_the_time_point_back(house, tmp_path):
    """Ready, then queried: in quality control again; accepted again: ready again."""
    write_study(tmp_path / "in")
    cases = take_in(house, tmp_path / "in").cases
    for case in cases:
        dispose(house, case)
    assert state_of(house) == "ready"

    dispose(house, cases[0], "queried", "image_quality")
    assert state_of(house) == "in_qc"
    dispose(house, cases[0], reason="answered_by_site")

    assert state_of(house) == "ready"


@req("RDG-11")
def test_open_queries_and_incomplete_time_points_are_listed_until_they_are_answered(house, tmp_path):
    """The CT is queried and the PET never came; then both are there and accepted."""
    write_series(tmp_path / "ct", numbers=(1, 2, 3, 5, 6, 7, 8))
    case = take_in(house, tmp_path / "ct").cases[0]
    dispose(house, case, "queried", "missing_slices")

    with house.desk.reading() as session:
        (asked,) = queries.open_queries(session, TRIAL)
        (lacking,) = queries.incomplete_time_points(session, TRIAL)
    assert (asked.reason, asked.asked_by) == ("missing_slices", "technologist")
    assert "CT-GAPS" in asked.not_met
    assert (lacking.lacking, lacking.not_accepted) == (("PT",), ("CT",))

    write_study(tmp_path / "all")
    for answered in take_in(house, tmp_path / "all").cases:
        dispose(house, answered)

    with house.desk.reading() as session:
        assert queries.open_queries(session, TRIAL) == ()
        assert queries.incomplete_time_points(session, TRIAL) == ()


@req("REC-07", "RDG-11")
def test_other_content_under_a_stored_uid_alarms_at_any_time_until_somebody_disposes(house, tmp_path):
    """Also when the time point was read: refused, kept in quarantine, on the list of alarms; what is the same is known.

    Two digests stand in the entry, and the quarantine holds what came, under the subject's key alone.
    """
    paths = write_series(tmp_path / "in")
    account = take_in(house, tmp_path / "in")
    dispose(house, account.cases[0])
    recorded(house, TimePointMoved(subject=SUBJECT, time_point="BL", became="read", acquired_on="2026-03-02"))
    dataset = read_object(paths[0])
    dataset.KVP = "80"
    paths[0].write_bytes(as_bytes(dataset))

    again = take_in(house, tmp_path / "in")

    assert sorted({(one.outcome, one.code) for one in again.outcomes}) == [
        ("conflict", "same-uid-other-content"), ("duplicate", "same-content")]
    event = next(one.body["fields"] for one in house.entries() if one.body["action"] == "series.conflicted")
    assert event["stored_manifest_sha256"] != event["found_content_sha256"]
    kept = ObjectRef(**event["quarantine"][0])
    assert b"DICM" in house.desk.objects.get(kept, subject=f"{TRIAL}/{SUBJECT}")
    assert b"DICM" not in house.desk.objects.stored_bytes(kept)
    with house.desk.reading() as session:
        (alarm,) = queries.unanswered_conflicts(session, TRIAL)
        assert series_row(house, account.series[0]).edition == 1
    assert (alarm.subject, alarm.count) == (SUBJECT, 1)
    write_series(tmp_path / "more", numbers=(9,))
    assert {one.code for one in take_in(house, tmp_path / "more").outcomes} == {"already-disposed"}

    recorded(house, TimePointMoved(subject=SUBJECT, time_point="BL", became="in_qc", acquired_on="2026-03-02"))
    dispose(house, account.cases[0], "queried", "identity_unclear")

    with house.desk.reading() as session:
        assert queries.unanswered_conflicts(session, TRIAL) == ()
