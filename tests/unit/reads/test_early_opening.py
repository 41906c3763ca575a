"""Seals that open before all are in: only by QA and imaging lead together, or once the data are locked (RECORD 5)."""

from __future__ import annotations

import pytest

from audit.vocabulary.trials import DatabaseLocked
from core.errors import NotFound, Refused, UnusableInput
from core.policy.state import Actor
from core.reads import queries
from core.reads.blinding import Hidden
from core.reads.early_opening import OrderOpening, open_now, order_opening
from core.reads.seal_queries import sealed_time_points
from tests.builders.reads import BOTH, SUBJECT, TRIAL, a_live_trial, assign, baseline_answer, begin, seal, signed
from tests.house import HouseUnderTest
from tests.req import req

LEAD, QA = Actor("imaging-lead"), Actor("qa")
ORDER = OrderOpening(TRIAL, SUBJECT, "BL", "safety_of_subject")


@pytest.fixture
def half(house: HouseUnderTest) -> HouseUnderTest:
    """One of two reads is sealed."""
    a_live_trial(house)
    assign(house, BOTH)
    house.person("qa", "qa_auditor", trial=TRIAL)
    begin(house, "reader-1")
    seal(house, "reader-1", baseline_answer())
    begin(house, "reader-2")
    return house


@req("RDG-02", "RDG-05")
def test_qa_and_imaging_lead_open_what_is_sealed_and_the_other_reader_stays_blind(half: HouseUnderTest) -> None:
    half.commit(order_opening(half.desk, LEAD, ORDER))
    half.work()
    assert "read.opened" not in half.words()

    half.commit(order_opening(half.desk, QA, ORDER))
    half.work()
    assert half.words().count("read.opened") == 1
    assert "read.compared" not in half.words()
    with half.desk.reading() as session:
        seen = queries.opened_reads_for(session, "reader-2", TRIAL)
        assert [type(one) for one in seen] == [Hidden]
        assert not any(isinstance(one, Hidden) for one in queries.opened_reads_for(session, "imaging-lead", TRIAL))

    seal(half, "reader-2", baseline_answer("51.0"))
    half.work()
    assert half.words().count("read.opened") == 2
    assert half.words().count("read.compared") == 1


@req("RDG-02")
def test_one_person_or_one_role_opens_nothing(half: HouseUnderTest) -> None:
    half.commit(order_opening(half.desk, LEAD, ORDER))
    with pytest.raises(Refused) as refusal:
        order_opening(half.desk, LEAD, ORDER)
    assert refusal.value.rule == "F-536"
    half.person("imaging-lead-2", "imaging_lead", trial=TRIAL)
    with pytest.raises(Refused) as refusal:
        order_opening(half.desk, Actor("imaging-lead-2"), ORDER)
    assert refusal.value.rule == "F-538"
    with pytest.raises(Refused):
        order_opening(half.desk, Actor("reader-2"), ORDER)
    half.work()
    with half.desk.reading() as session:
        (seals,) = sealed_time_points(session, TRIAL).values()
    with pytest.raises(Refused) as refusal:
        open_now(half.desk, TRIAL, SUBJECT, "BL", seals)
    assert refusal.value.rule == "F-531"
    assert "read.opened" not in half.words()


@req("RDG-02")
def test_an_order_opens_no_seal_that_came_after_it(half: HouseUnderTest) -> None:
    """The first signature names the seals; a read sealed between the two signatures needs its own order."""
    half.commit(order_opening(half.desk, LEAD, ORDER))
    half.clock.advance(seconds=60)
    with half.desk.reading() as session:
        (before,) = sealed_time_points(session, TRIAL).values()
    page = order_opening(half.desk, QA, ORDER)
    assert tuple(page.bodies[0]["fields"]["seals"]) == before
    half.commit(page)
    with half.desk.reading() as session, pytest.raises(Refused):
        half.house.signer.release(TRIAL, SUBJECT, "W08", list(before))
        session.rollback()


@req("RDG-02")
def test_an_opening_needs_a_known_reason_and_something_sealed(half: HouseUnderTest) -> None:
    with pytest.raises(UnusableInput) as unknown:
        order_opening(half.desk, LEAD, OrderOpening(TRIAL, SUBJECT, "BL", "curiosity"))
    assert "safety_of_subject" in unknown.value.next_step
    with pytest.raises(NotFound, match="under seal"):
        order_opening(half.desk, LEAD, OrderOpening(TRIAL, SUBJECT, "W08", "safety_of_subject"))


@req("RDG-02")
def test_what_is_still_sealed_opens_when_the_data_are_locked(half: HouseUnderTest) -> None:
    signed(half, "qa", DatabaseLocked(cut="final", signed=()))
    half.work()
    assert half.words().count("read.opened") == 1
    with half.desk.reading() as session:
        assert not sealed_time_points(session, TRIAL)
