"""Event rules halt at the event that the record itself shows, and a gate that was halted comes back by all of them."""

from __future__ import annotations

import pytest

from audit.vocabulary.gates import GateOpened, GateRequested
from core.errors import Refused
from core.gates import queries
from core.gates.gathering import facts_of
from core.policy.state import Actor
from core.reads.ai_reads import seal_ai_read
from core.reads.early_opening import OrderOpening, order_opening
from core.reads.locking import LockAnswer, show_ai_values
from core.reads.usecases import OrderReread, order_reread
from tests.builders.reads import (
    BOTH,
    SUBJECT,
    TRIAL,
    a_live_trial,
    a_run,
    assign,
    baseline_answer,
    begin,
    mark,
    open_gate,
    read_by_both,
    recorded,
    seal,
    signed,
)
from tests.house import HouseUnderTest
from tests.req import req

GATES = {3: ("G3-volume", "secondary", "volume"), 4: ("G4-response", "primary", "response")}
LEAD, QA = Actor("imaging-lead"), Actor("qa")


@pytest.fixture
def running(house: HouseUnderTest) -> HouseUnderTest:
    """A trial that reads with AI in uses 1, 3 and 4."""
    a_live_trial(house)
    assign(house, BOTH)
    house.person("qa", "qa_auditor", trial=TRIAL)
    house.work()  # gates that were opened by a word alone would not outlast the look that follows a charter
    for use, (gate, name, endpoint) in GATES.items():
        signed(house, "trial-lead", GateRequested(
            gate=gate, use=use, use_name=name, scope="all", lock="lock-1", model="lesion-at-seed", criteria=(),
            endpoint=endpoint))
        open_gate(house, use, name, endpoint)
    return house


def halted(house: HouseUnderTest) -> dict[str, str]:
    """Gate -> the rule that halted it."""
    return {one.body["fields"]["gate"]: one.body["fields"]["halt_rule"] for one in house.entries()
            if one.body["action"] == "gate.halted"}


def ordered(house: HouseUnderTest, *people: Actor) -> None:
    for one in people:
        house.commit(order_opening(house.desk, one, OrderOpening(TRIAL, SUBJECT, "BL", "safety_of_subject")))
    house.work()


@req("GAT-05", "RDG-02", "RDG-06")
def test_an_ai_read_that_opens_before_a_person_has_locked_halts_as_an_unblinding(running: HouseUnderTest) -> None:
    seal_ai_read(running.desk, LockAnswer(TRIAL, SUBJECT, "BL", baseline_answer("55.0")))
    begin(running, "reader-1")
    seal(running, "reader-1", baseline_answer())
    begin(running, "reader-2")

    ordered(running, LEAD)
    assert halted(running) == {}
    ordered(running, QA)
    assert halted(running) == {"G3-volume": "HALT-1", "G4-response": "HALT-1"}
    opening = [one for one in running.entries() if one.body["action"] == "read.opened"]
    causes = {one.body["caused_by"] for one in running.entries() if one.body["action"] == "gate.halted"}
    assert len(causes) == 1
    assert causes <= {one.body["id"] for one in opening}


@req("GAT-05")
def test_a_persons_read_that_opens_early_or_an_ai_read_in_time_halts_nothing(running: HouseUnderTest) -> None:
    begin(running, "reader-1")
    seal(running, "reader-1", baseline_answer())
    begin(running, "reader-2")
    ordered(running, LEAD, QA)
    assert "read.opened" in running.words()
    assert halted(running) == {}

    seal(running, "reader-2", baseline_answer())
    running.work()
    seal_ai_read(running.desk, LockAnswer(TRIAL, SUBJECT, "W08", {"targets": baseline_answer("55.0")["targets"]}))
    for reader in BOTH.values():
        begin(running, reader, "W08")
        seal(running, reader, {"targets": [{"lesion": "T01", "state": "measured", "sizes": {
            "response": ["50.0 mm"], "volume": ["60.0 ml"]}}]}, "W08")
    running.work()
    assert running.words().count("read.opened") == 5
    assert halted(running) == {}


@req("GAT-05")
def test_a_wrong_side_halts_and_corrected_images_do_not(running: HouseUnderTest) -> None:
    read_by_both(running, baseline_answer(), baseline_answer())
    both = {"G3-volume": "HALT-3", "G4-response": "HALT-3"}
    for slot, reason, expected in (("reader_1", "images_corrected", {}), ("reader_2", "wrong_side", both)):
        running.commit(order_reread(
            running.desk, LEAD, OrderReread(TRIAL, SUBJECT, "BL", slot, "from_here", reason)))
        running.work()
        assert halted(running) == expected


@req("GAT-05", "GAT-02")
def test_an_unblinding_keeps_other_gates_shut_and_its_own_to_their_signers(running: HouseUnderTest) -> None:
    """What was unblinded is judged by those who resume it; until they have, no further gate opens."""
    seal_ai_read(running.desk, LockAnswer(TRIAL, SUBJECT, "BL", baseline_answer("55.0")))
    begin(running, "reader-1")
    ordered(running, LEAD, QA)
    assert set(halted(running)) == {"G3-volume", "G4-response"}

    with running.desk.reading() as session:
        def unblindings(use: int, endpoint: str | None) -> int:
            return len(facts_of(session, TRIAL, use, endpoint, "all", "lock-1", "2026-04-01").unblindings)

        assert {one.state for one in queries.gates_of(session, TRIAL)} == {"halted"}
        assert (unblindings(3, "volume"), unblindings(4, "response")) == (0, 0)
        assert (unblindings(2, None), unblindings(4, "another")) == (2, 2)


@req("GAT-01", "GAT-03")
@pytest.mark.parametrize(("scope", "shown"), [
    ("all", True), ("sites:101,102", True), ("sites:102", False), ("arm:A", False), ("part:A", False)])
def test_a_reader_sees_ai_of_the_sites_in_scope_alone(house: HouseUnderTest, scope: str, shown: bool) -> None:
    """An arm or a part is told of no subject: a door that cannot know stays shut."""
    a_live_trial(house)
    assign(house, BOTH)
    a_run(house, "run-1", "BL", "61230.0 mm3")
    recorded(house, GateOpened(
        gate="G3-volume", use=3, use_name="secondary", scope=scope, lock="lock-1", criteria=(), signed=(),
        endpoint="volume"), "gates")
    assignment = begin(house, "reader-1")
    mark(house, "reader-1", baseline_answer())

    if shown:
        assert len(show_ai_values(house.desk, Actor("reader-1"), assignment, "volume")) == 1
        assert house.entries()[-1].body["fields"]["gate"] == "G3-volume"
    else:
        with pytest.raises(Refused) as refusal:
            show_ai_values(house.desk, Actor("reader-1"), assignment, "volume")
        assert refusal.value.rule == "F-623"
