"""Amendments of a live trial: impact signed, in effect per site, and what an unsigned impact does to gates."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from audit.vocabulary import amendments as words
from audit.vocabulary import trials as trial_words
from core.arrival.queries import case_of, the_series
from core.errors import AlreadyDone, NotFound, Refused, UnusableInput
from core.gates import queries as gates
from core.gates import usecases as gate_acts
from core.trials import amendments, queries, usecases
from core.trials.charter_check import read_charter
from core.trials.rules import ExpectedTimePoint, imaging_sections, rescheduled, version_on
from countersign.cli import app
from tests.builders import trials as build
from tests.builders.arrival import SITE, SUBJECT, a_trial_that_receives, take_in, write_series
from tests.builders.reads import DIGEST, TRIAL, charter_text, signed
from tests.house import HouseUnderTest
from tests.req import req

THINNER = ('value: "5.0"\n        unit: mm\n        when_broken: reject',
           'value: "2.0"\n        unit: mm\n        when_broken: reject')


def amended(version: str = "2.0", *changes: tuple[str, str]) -> str:
    """The charter's text under another version, with some of it exchanged."""
    text = charter_text().replace('version: "1.0"', f'version: "{version}"')
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


TITLE = ("title: Response of soft-tissue lesions", "title: Responses of soft-tissue lesions")


def in_force(house: HouseUnderTest, text: str) -> None:
    """Signed by the trial lead, accepted by the investigator, approved by QA."""
    house.commit(usecases.sign_charter(house.desk, build.LEAD, text))
    house.commit(usecases.accept_charter(house.desk, build.INVESTIGATOR, TRIAL))
    house.commit(usecases.approve_charter(house.desk, build.QA, TRIAL))


def refused(house: HouseUnderTest, rule: str, act) -> str:
    house.clock.at_us += 61_000_000  # the same refusal is recorded once a minute
    with pytest.raises(Refused) as refusal:
        act()
    assert refusal.value.rule == rule, refusal.value.fact
    assert house.words()[-1] == "action.refused"
    return refusal.value.fact


def assess(house: HouseUnderTest, impact: str, actor=build.IMAGING):
    return amendments.assess_amendment(house.desk, actor, TRIAL, impact, "thinner slices, all sites can do it")


@req("VAL-14", "GAT-03")
def test_a_live_charter_is_amended_under_a_higher_version_with_a_signed_impact(house: HouseUnderTest) -> None:
    build.live(house)
    with pytest.raises(NotFound):
        assess(house, "none")
    refused(house, "F-216", lambda: usecases.sign_charter(house.desk, build.LEAD, amended("1.0", TITLE)))
    in_force(house, amended("1.1", THINNER))

    refused(house, "F-217", lambda: assess(house, "none"))
    refused(house, "default-deny", lambda: assess(house, "minor", build.LEAD))
    with pytest.raises(UnusableInput):
        assess(house, "enormous")
    house.commit(assess(house, "minor"))
    with pytest.raises(AlreadyDone):
        assess(house, "major")

    fields = house.entries()[-1].body["fields"]
    assert (fields["impact"], fields["changed"], fields["charter_version"]) == ("minor", ["acquisition"], "1.1")
    with house.desk.reading() as session:
        assert queries.charter_of(session, TRIAL).version == "1.1"
        (one,) = queries.amendments_of(session, TRIAL)
        assert (one.before.version, one.signed.version, one.impact) == ("1.0", "1.1", "minor")


@req("GAT-04", "VAL-14")
def test_an_imaging_relevant_amendment_without_a_signed_impact_suspends_until_it_is_signed(
    house: HouseUnderTest,
) -> None:
    build.live(house)
    build.evidence_of_use_1(house)
    gate = build.opened(house, "qc")
    in_force(house, amended("2.0", TITLE))
    house.work()
    with house.desk.reading() as session:
        assert gates.gate_named(session, gate).state == "open"

    in_force(house, amended("3.0", TITLE, THINNER))
    house.work()
    with house.desk.reading() as session:
        (stop,) = gates.stops_of(session, gate)
        assert (stop.kind, stop.cause) == ("suspended", "amendment_without_impact")
        assert queries.open_uses(session, TRIAL) == ()
    said = refused(house, "F-602", lambda: gate_acts.sign_gate(house.desk, build.LEAD, gate))
    assert "charter 3.0 changes acquisition; no impact is signed" in said
    house.commit(assess(house, "major"))
    build.sign_all(house, gate)
    with house.desk.reading() as session:
        assert gates.gate_named(session, gate).state == "open"


@req("GAT-04", "VAL-14")
def test_an_amendment_whose_impact_was_signed_before_its_approval_suspends_nothing(house: HouseUnderTest) -> None:
    build.live(house)
    build.evidence_of_use_1(house)
    gate = build.opened(house, "qc")
    house.commit(usecases.sign_charter(house.desk, build.LEAD, amended("2.0", THINNER)))
    house.commit(assess(house, "minor"))
    house.commit(usecases.accept_charter(house.desk, build.INVESTIGATOR, TRIAL))
    house.commit(usecases.approve_charter(house.desk, build.QA, TRIAL))
    house.work()

    assert "gate.suspended" not in house.words()
    with house.desk.reading() as session:
        assert gates.gate_named(session, gate).state == "open"


@req("VAL-14", "RDG-11")
def test_a_site_works_under_an_amendment_from_its_own_approval(house: HouseUnderTest) -> None:
    build.live(house)

    def approve(version: str, day: str, site: str = "101"):
        return amendments.approve_at_site(house.desk, build.LEAD, TRIAL, site, version, day)

    house.commit(usecases.sign_charter(house.desk, build.LEAD, amended("2.0", THINNER)))
    with pytest.raises(NotFound, match="no approved charter 2"):
        approve("2.0", "2026-06-01")
    house.commit(usecases.accept_charter(house.desk, build.INVESTIGATOR, TRIAL))
    house.commit(usecases.approve_charter(house.desk, build.QA, TRIAL))
    refused(house, "F-201", lambda: approve("2.0", "2026-06-01", "102"))
    refused(house, "default-deny", lambda: amendments.approve_at_site(
        house.desk, build.IMAGING, TRIAL, "101", "2.0", "2026-06-01"))
    for day in ("2025-12-31", "2099-01-01"):
        with pytest.raises(UnusableInput, match="takes effect after"):
            approve("2.0", day)
    house.commit(approve("2.0", "2026-06-01"))
    with pytest.raises(AlreadyDone):
        approve("2.0", "2026-07-01")
    with house.desk.reading() as session:
        found = [queries.charter_at(session, TRIAL, "101", day) for day in ("2026-05-31", "2026-06-01")]
        assert [one.version for one in found if one] == ["1.0", "2.0"]
        row = queries.site_of(session, TRIAL, "101")
        assert row is not None
        assert (row.charter_version, row.active_on("2026-02-01")) == ("2.0", True)


@req("VAL-14", "RDG-11", "REC-11")
@pytest.mark.parametrize(("effective_on", "version", "broken"), [("2026-02-25", "2.0", 1), ("2026-06-01", "1.0", 0)])
def test_images_are_judged_by_the_version_in_effect_at_their_site_on_their_day(
    house: HouseUnderTest, tmp_path: Path, effective_on: str, version: str, broken: int
) -> None:
    """Amended for the trial in either case; acquired at the beginning of March."""
    a_trial_that_receives(house)
    text = amended("2.0", ('"5.0"\n        unit: mm', '"0.1"\n        unit: mm'))
    receipt = signed(house, "trial-lead", trial_words.CharterSigned(
        charter_version="2.0", digest=DIGEST, text=text, evidence_class="demonstration", limits=(), uses=(), people=(),
        sites=()))
    signed(house, "qa-0", trial_words.CharterApproved(charter_version="2.0", digest=DIGEST, signed=receipt.id))
    signed(house, "trial-lead", words.AmendmentApproved(
        site=SITE, charter_version="2.0", digest=DIGEST, effective_on=effective_on))
    write_series(tmp_path / "in")

    account = take_in(house, tmp_path / "in")

    with house.desk.reading() as session:
        case = case_of(session, TRIAL, account.cases[0])
        assert (case.charter_version, case.broken) == (version, broken)
        assert the_series(session, TRIAL, case.series).charter_version == version
        point = queries.time_point_of(session, TRIAL, SUBJECT, "BL")
        assert point is not None
        assert point.charter_version == version


@req("VAL-14")
def test_impact_and_site_are_signed_at_the_command_line(
    house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.live(house)
    monkeypatch.setattr("countersign.cli.trial.house", lambda home: house.house)
    in_force(house, amended("2.0", THINNER))

    def call(*arguments: str, user: str, meaning: str) -> str:
        proof = house.proof(user)
        done = CliRunner().invoke(app, list(arguments), env={
            "COUNTERSIGN_USER": user, "COUNTERSIGN_MEANING": meaning, "COUNTERSIGN_PASSWORD": proof.password,
            "COUNTERSIGN_CODE": proof.code})
        assert done.exit_code == 0, done.output
        return done.output

    told = call("charter", "impact", TRIAL, "minor", "--because", "thinner", user="imaging-lead", meaning="review")
    assert "acquisition" in told
    told = call("site", "amend", TRIAL, "101", "2.0", "--from", "2026-06-01", user="trial-lead",
                meaning="responsibility")
    assert "1.0 -> 2.0" in told
    listed = CliRunner().invoke(app, ["site", "list", TRIAL, "--json"])
    assert json.loads(listed.output)["sites"][0]["charter_version"] == "2.0"


DAYS = st.dates().map(lambda day: day.isoformat())


@req("VAL-14")
@given(st.lists(DAYS, unique=True, max_size=6).map(sorted), DAYS)
def test_on_each_day_exactly_the_last_version_begun_is_in_effect(days, day) -> None:
    versions = [(one, f"{number}.0") for number, one in enumerate(days, 1)]
    begun = sum(one <= day for one in days)

    assert version_on(versions, day) == (f"{begun}.0" if begun else None)


@req("VAL-14")
def test_what_concerns_imaging_is_found_section_by_section() -> None:
    before = read_charter(charter_text())

    assert imaging_sections(before, read_charter(amended("2.0", TITLE))) == ()
    assert imaging_sections(before, read_charter(amended("2.0", THINNER))) == ("acquisition",)
    assert imaging_sections(before, read_charter(amended("2.0", ("readers: 2", "readers: 3")))) == ("reading",)


WIDER = ("day: 56\n    window_before: 7\n    window_after: 7", "day: 63\n    window_before: 3\n    window_after: 10")


@req("VAL-14", "RDG-11")
def test_an_amended_window_moves_time_points_that_have_not_come_yet_at_the_sites_where_it_is_in_effect(
    house: HouseUnderTest,
) -> None:
    """What was received keeps its window; the version stands at each; another site waits for its own approval."""
    build.live(house)
    build.enrolled(house)
    in_force(house, amended("1.1", WIDER))
    house.commit(assess(house, "minor"))

    def window(time_point: str) -> tuple[str | None, str | None, str | None, str | None]:
        with house.desk.reading() as session:
            row = queries.time_point_of(session, TRIAL, "101-001", time_point)
        assert row is not None
        return row.target_on, row.earliest_on, row.latest_on, row.charter_version

    before = window("BL"), window("W08")
    house.clock.at_us += 86_400_000_000
    house.commit(amendments.approve_at_site(house.desk, build.LEAD, TRIAL, "101", "1.1", "2026-03-20"))

    assert window("BL") == before[0], "its window was over when the amendment came into effect"
    assert before[1] == ("2026-04-27", "2026-04-20", "2026-05-04", "1.0")
    assert window("W08") == ("2026-05-04", "2026-05-01", "2026-05-14", "1.1")
    moved = [one.body for one in house.entries() if one.body["action"] == "time_point.rescheduled"]
    assert [one["fields"]["time_point"] for one in moved] == ["W08"]
    assert moved[0]["caused_by"] == next(
        one.body["id"] for one in house.entries() if one.body["action"] == "amendment.approved")


days = st.dates(date(2026, 1, 1), date(2026, 12, 31))
points = st.lists(
    st.tuples(st.sampled_from("ABCD"), days, st.integers(0, 10)), unique_by=lambda one: one[0], max_size=4)


@req("RDG-11")
@given(points, points, st.sampled_from(["expected", "received", "read", "missed"]), days)
def test_rescheduling_never_touches_what_came_or_was_owed_and_leaves_nothing_out(old, new, state, effective) -> None:
    """Over every pair of schedules: each amended time point is known as it is, moved, new, or was over by then."""
    def windows(several):
        return tuple(ExpectedTimePoint(name, name, day, day, day + timedelta(days=more)) for name, day, more in several)

    known = {one.id: (state, one.label, one.earliest, one.latest) for one in windows(old)}
    found = rescheduled(known, windows(new), effective)

    touched = {one.id for one in found.moved} | set(found.dropped)
    assert state == "expected" or not touched
    assert all(known[name][3] >= effective for name in touched)
    assert not {one.id for one in found.new} & set(known)
    for one in windows(new):
        over = one.latest < effective if one.id not in known else known[one.id][3] < effective
        same = one.id in known and known[one.id][2:] == (one.earliest, one.latest)
        assert one in found.moved or one in found.new or over or same or state != "expected"
    again = {one.id: ("expected", one.label, one.earliest, one.latest) for one in (*found.moved, *found.new)}
    assert rescheduled(again, again_of(found), effective) == type(found)((), (), ())


def again_of(found):
    return (*found.moved, *found.new)
