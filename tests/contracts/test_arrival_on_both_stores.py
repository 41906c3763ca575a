"""Arrival and disposition on both stores, and two technologists at the same case in the same moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.arrival import queries
from core.arrival.usecases import DisposeCase, dispose_case
from core.errors import CountersignError, Stale
from core.policy.state import Actor
from tests.builders.arrival import SUBJECT, a_trial_that_receives, dispose, take_in, write_series, write_study
from tests.builders.reads import TRIAL
from tests.conftest import need
from tests.house import HouseUnderTest, a_house
from tests.req import req


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    """A house on SQLite, and one on PostgreSQL."""
    url = None
    if request.param == "postgresql":
        need("postgres")
        from tests.postgres import fresh_database

        url = fresh_database()
    with a_house(tmp_path / "house", url) as house:
        a_trial_that_receives(house)
        yield house


@req("REC-11", "RDG-11")
def test_a_study_is_received_disposed_and_in_force(either, tmp_path):
    write_study(tmp_path / "in")
    for case in take_in(either, tmp_path / "in").cases:
        dispose(either, case)
    again = take_in(either, tmp_path / "in")

    with either.desk.reading() as session:
        assert len(queries.accepted_series(session, TRIAL, SUBJECT, "BL")) == 2
    assert {one.outcome for one in again.outcomes} == {"duplicate"}


@req("SIG-03", "REC-07")
def test_of_two_verdicts_at_once_exactly_one_is_signed(either, tmp_path):
    """Two technologists sign opposite verdicts in the same moment: the other page is stale and counts for nothing."""
    either.person("technologist-2", "qc_technologist", trial=TRIAL)
    write_series(tmp_path / "in")
    case = take_in(either, tmp_path / "in").cases[0]
    pages = [
        dispose_case(either.desk, Actor("technologist"), DisposeCase(TRIAL, case, "accepted", "all_rules_met")),
        dispose_case(either.desk, Actor("technologist-2"), DisposeCase(TRIAL, case, "rejected", "image_quality")),
    ]
    proofs = [either.proof(page.actor.user) for page in pages]
    failures: list[CountersignError] = []

    def sign(number: int) -> None:
        try:
            either.desk.commit(pages[number], proofs[number])
        except CountersignError as error:
            failures.append(error)

    threads = [threading.Thread(target=sign, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with either.desk.reading() as session:
        given = queries.dispositions_of(session, TRIAL)
        row = queries.the_series(session, TRIAL, given[0].series)
    assert len(given) == 1
    assert [type(failure) for failure in failures] == [Stale]
    assert row.disposition == given[0].disposition
