"""What a person had seen never falls back: two pages open at once do not make a record that no verifier accepts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from audit.vocabulary.access import AccountabilityStated
from core.errors import Stale
from core.ledger_check import check_store
from core.ledger_queries import SessionReader
from core.policy.state import Actor, Decision
from core.work import Draft, Occasion, Proposal, View
from tests.house import ORIGIN, HouseUnderTest, a_house
from tests.req import req


@pytest.fixture
def house(tmp_path: Path) -> Iterator[HouseUnderTest]:
    with a_house(tmp_path) as made:
        made.person("reader-1", "reader", trial="T1")
        yield made


def page(house: HouseUnderTest, statement: str) -> Proposal:
    """A page that the reader is looking at."""

    def propose(session: Connection, occasion: Occasion) -> Draft:
        event = AccountabilityStated(user="reader-1", statement=statement)
        return Draft(event, under=Decision(True, "P-00", "set up for a test", "reader"), meaning="responsibility",
                     view=View("Statement", "statement", (("text", statement),)))

    return house.desk.prepare(Actor("reader-1"), propose)


@req("REC-03", "SIG-03")
def test_of_two_open_pages_the_older_is_stale_once_the_newer_was_signed(house: HouseUnderTest) -> None:
    older = page(house, "first")
    house.person("qa-1", "qa_auditor")
    newer = page(house, "second")

    house.commit(newer)
    with pytest.raises(Stale, match="another page"):
        house.commit(older)

    with house.desk.reading() as session:
        check = check_store(SessionReader(session), ORIGIN)
    assert check.ok, check.in_words()


@req("REC-03", "SIG-07")
def test_a_page_signed_at_the_last_moment_is_recorded_in_time_or_not_at_all(house: HouseUnderTest) -> None:
    """Signing time and time of record never lie more than 15 minutes apart."""
    for seconds in (14 * 60, 15 * 60 - 1, 15 * 60 + 1):
        open_page = page(house, f"after {seconds} s")
        house.clock.advance(seconds=seconds)
        try:
            house.commit(open_page)
        except Stale:
            assert seconds > 14 * 60

    with house.desk.reading() as session:
        check = check_store(SessionReader(session), ORIGIN)
    assert check.ok, check.in_words()
