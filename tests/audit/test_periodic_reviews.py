"""Periodic reviews of access, validated state and procedures: signed due dates, alarms, what lateness does."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from audit.vocabulary.sops import TrainingCompleted
from core.access import usecases as access
from core.access.review_days import MOST_MONTHS, months_after, next_day
from core.clock import in_words
from core.errors import NotFound, Refused, UnusableInput
from core.gates import gathering
from core.gates import usecases as gates
from core.policy.state import Actor
from core.reviews.periodic import LIMIT_DAYS, PeriodicDue, reviews_in_time
from core.reviews.periodic_projections import periodic_due
from core.reviews.rules import Due
from countersign.cli import app
from countersign.readiness import people_findings
from tests.audit.test_trail_reviews import third_gate
from tests.builders import trials as build
from tests.builders.reads import DIGEST, TRIAL, signed
from tests.house import HouseUnderTest
from tests.req import req
from validation.periodic import ReviewValidation, review_validation

DAYS = st.dates(date(2026, 1, 1), date(2040, 12, 31))
AUDITOR = Actor("auditor")


def today(house: HouseUnderTest) -> date:
    return date.fromisoformat(in_words(house.desk.clock.now())[:10])


def due(house: HouseUnderTest, kind: str, subject: str = "installation") -> PeriodicDue:
    with house.desk.reading() as session:
        return next(one for one in periodic_due(session) if (one.kind, one.subject) == (kind, subject))


def reviewed(house: HouseUnderTest, conclusion: str = "fit", days: int | None = None) -> None:
    next_by = None if days is None else (today(house) + timedelta(days=days)).isoformat()
    house.commit(review_validation(house.desk, AUDITOR, ReviewValidation(
        conclusion, "Deviations, changes and drills were looked at.", next_by=next_by)))


# -- rules ------------------------------------------------------------------------------------------------------------


@req("ACC-05", "VAL-15")
@given(day=DAYS, months=st.integers(1, 24))
def test_months_later_is_the_same_day_or_the_last_of_a_shorter_month(day: date, months: int) -> None:
    then = months_after(day, months)

    assert (then.year * 12 + then.month) - (day.year * 12 + day.month) == months
    assert then.day == day.day or (then.day < day.day and (then + timedelta(days=1)).day == 1)


@req("ACC-05", "VAL-15")
@given(day=DAYS, kind=st.sampled_from(sorted(MOST_MONTHS)), late=st.integers(-800, 800))
def test_nobody_signs_a_next_review_that_is_past_or_beyond_the_interval(day: date, kind: str, late: int) -> None:
    wanted, longest = day + timedelta(days=late), next_day(kind, day, None)
    if day < wanted <= longest:
        assert next_day(kind, day, wanted.isoformat()) == wanted
    else:
        with pytest.raises(UnusableInput, match=f"by {longest}"):
            next_day(kind, day, wanted.isoformat())
    with pytest.raises(UnusableInput, match="is no day"):
        next_day(kind, day, "soon")


@req("ACC-05", "VAL-15", "GAT-06")
@given(day=DAYS, late=st.integers(-400, 400), conclusion=st.sampled_from(["", "fit", "fit_with_actions", "not_fit"]))
def test_a_review_suspends_only_beyond_the_limit_or_when_it_found_not_fit(
    day: date, late: int, conclusion: str
) -> None:
    one = PeriodicDue("validation", "installation", day, day, 7, conclusion)
    now = day + timedelta(days=late)
    trail = Due("T-1", day, 90, 10, 3)
    met, found, _, entries = reviews_in_time(now, trail, [one])

    assert one.suspends(now) == (late > LIMIT_DAYS or conclusion == "not_fit")
    assert met == (not one.suspends(now) and not trail.suspends(now))
    assert (7 in entries) == one.suspends(now)
    assert (one.in_words(now) in found) == one.suspends(now)


# -- in the record ----------------------------------------------------------------------------------------------------


@pytest.fixture
def released(house: HouseUnderTest) -> HouseUnderTest:
    """A live trial on a released installation, its use 3 open, and somebody of QA for the house."""
    build.live(house)
    build.evidence_of_use_1(house)
    house.person("reader-1", "reader", trial=TRIAL)
    signed(house, "reader-1", TrainingCompleted(sop="SOP-90", version=1, text_sha256=DIGEST, answered=0))
    strata = tuple(("generated", one, 60, "passed") for one in ("volume", "long_axis", "short_axis"))
    build.concluded(house, "PQ", use=3, strata=strata)
    third_gate(house)
    house.person("auditor", "qa_auditor")
    return house


@req("VAL-15", "GAT-06")
def test_an_overdue_review_of_the_validated_state_alarms_and_after_ten_days_suspends(
    released: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not fit suspends at once; nothing but a later review that finds it fit lets the criterion be met again."""
    assert due(released, "validation").on == months_after(today(released), 12)

    def late() -> list[str]:
        return [f"{one.what} {one.remedy}" for one in people_findings(released.house)
                if "validated state of installation" in one.what and not one.fine]

    def criterion() -> str:
        with released.desk.reading() as session:
            judged = gathering.judged_now(session, TRIAL, 3, "volume", "all", build.LOCK, str(today(released)))
        return {one.id: str(one.state) for one in judged}["trail_reviewed"]

    reviewed(released, days=20)
    fields = released.entries()[-1].body["fields"]
    counted = {one["word"]: one["count"] for one in fields["counts"]}
    assert fields["last"] == released.entries()[-1].seq - 1
    assert counted["validation.concluded"] == sum(
        entry.body["action"] == "validation.concluded" for entry in released.entries()[fields["first"]:])
    assert counted["validation.concluded"] > 0
    assert (late(), criterion()) == ([], "met")

    released.clock.advance(days=30)
    build.sentinel_answered(released)
    assert gates.enforce(released.desk) == 0
    assert "10 days ago" in late()[0]
    assert "countersign review validation --conclusion fit" in late()[0]
    monkeypatch.setenv("COUNTERSIGN_HOME", str(released.home))
    released.clock.advance(days=1)
    build.sentinel_answered(released)
    assert gates.enforce(released.desk) == 1
    assert released.entries()[-1].body["fields"]["cause"] == "review_overdue"
    assert criterion() == "open"

    reviewed(released, "not_fit")
    assert criterion() == "open"
    assert "found it not fit" in late()[0]
    reviewed(released, "fit_with_actions")
    assert (late(), criterion()) == ([], "met")


@req("VAL-15", "ACC-03")
def test_who_may_review_the_validated_state_and_of_what(released: HouseUnderTest) -> None:
    said = ReviewValidation("fit", "Looked at.")
    with pytest.raises(Refused):
        review_validation(released.desk, Actor("coordinator"), said)
    with pytest.raises(Refused, match="a service cannot do it"):
        review_validation(released.desk, Actor.of_service("house"), said)
    with pytest.raises(NotFound, match="was never released"):
        review_validation(released.desk, AUDITOR, ReviewValidation("fit", "Looked at.", lock="LCK-0000"))
    for wrong in (ReviewValidation("fine", "Looked at."), ReviewValidation("fit", "  ")):
        with pytest.raises(UnusableInput):
            review_validation(released.desk, AUDITOR, wrong)


@req("ACC-05")
def test_the_review_of_access_signs_the_day_of_the_next_one(released: HouseUnderTest) -> None:
    wanted = (today(released) + timedelta(days=60)).isoformat()
    released.commit(access.review_access(released.desk, AUDITOR, "all needed", to_end=frozenset(), next_by=wanted))

    assert due(released, "access").on.isoformat() == wanted
    assert due(released, "access").entry == released.entries()[-1].seq
    released.commit(access.review_access(released.desk, AUDITOR, "all needed", to_end=frozenset()))
    assert due(released, "access").on == months_after(today(released), 6)
    beyond = (today(released) + timedelta(days=200)).isoformat()
    with pytest.raises(UnusableInput, match="The next review is due after"):
        access.review_access(released.desk, AUDITOR, "all needed", to_end=frozenset(), next_by=beyond)


@req("ACC-05", "VAL-15", "SOP-01")
def test_the_console_lists_what_is_due_and_ends_with_2_where_something_is_late(
    released: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERSIGN_HOME", str(released.home))
    reviewed(released, days=1)
    released.house.close()

    result = CliRunner().invoke(app, ["review", "due", "--json"])
    rows = {(row["kind"], row["subject"]): row for row in json.loads(result.output)}
    assert {kind for kind, _ in rows} >= {"audit_trail", "validation"}
    assert (result.exit_code == 2) == any(row["overdue_days"] or row["suspends"] for row in rows.values())
    assert rows["validation", "installation"]["remedy"].startswith("Validation lead or QA: countersign review")
