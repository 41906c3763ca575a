"""AI values before a reader: shown as the charter states, decided one by one, sealed in phase 4, never an endpoint."""

from __future__ import annotations

import pytest

from core.errors import Refused, UnusableInput
from core.policy.state import Actor
from core.reads import agreement, listing, queries
from core.reads.ai_reads import seal_ai_read
from core.reads.locking import LockAnswer, show_ai_values
from core.reads.state import OpenedRead
from core.trials.charter_check import read_charter
from tests.builders.reads import (
    BOTH,
    SUBJECT,
    TRIAL,
    a_live_trial,
    a_run,
    assign,
    baseline_answer,
    begin,
    charter_text,
    decide,
    mark,
    open_gate,
    seal,
    target,
)
from tests.house import HouseUnderTest
from tests.req import req

READER = Actor("reader-1")


def with_ai(house: HouseUnderTest, text: str | None = None) -> str:
    """A baseline begun by reader 1, with a gated AI value of 61.23 ml for the volume endpoint."""
    a_live_trial(house, text)
    assign(house, BOTH)
    a_run(house, "run-1", "BL", "61230.0 mm3")
    return begin(house, "reader-1")


def using(use: str, ml: str, reason: str = "") -> dict[str, object]:
    decided = {"endpoint": "volume", "run": "run-1", "use": use, "reason": reason}
    return {"targets": [target("T01", "50.0", ml, location="liver", ai=[decided])]}


def refused(house: HouseUnderTest, rule: str, refusal: pytest.ExceptionInfo[Refused]) -> None:
    assert refusal.value.rule == rule
    assert house.words()[-1] == "action.refused"


@req("RDG-06", "GAT-03")
def test_ai_is_shown_only_with_an_open_gate_and_after_own_marks(house: HouseUnderTest) -> None:
    assignment = with_ai(house)
    with pytest.raises(Refused) as refusal:
        show_ai_values(house.desk, READER, assignment, "volume")
    refused(house, "F-623", refusal)

    open_gate(house, 3, "secondary", "volume")
    with pytest.raises(Refused) as refusal:
        show_ai_values(house.desk, READER, assignment, "volume")
    refused(house, "F-625", refusal)

    mark(house, "reader-1", baseline_answer())
    values = show_ai_values(house.desk, READER, assignment, "volume")
    assert [str(value) for value in values] == ["61.2 ml"]
    assert house.words()[-1] == "read.ai_shown"
    show_ai_values(house.desk, READER, assignment, "volume")
    assert house.words().count("read.ai_shown") == 1


@req("RDG-06", "GAT-03")
def test_an_endpoint_without_ai_display_shows_none(house: HouseUnderTest) -> None:
    assignment = with_ai(house)
    open_gate(house, 4, "primary", "response")
    with pytest.raises(Refused) as refusal:
        show_ai_values(house.desk, READER, assignment, "response")
    assert refusal.value.rule in ("F-622", "F-623", "F-624")


@req("RDG-06")
def test_first_pass_shows_ai_at_once_where_the_charter_says_so(house: HouseUnderTest) -> None:
    assignment = with_ai(house, charter_text(**{"ai_display: after_own": "ai_display: first_pass"}))
    open_gate(house, 3, "secondary", "volume")
    assert len(show_ai_values(house.desk, READER, assignment, "volume")) == 1


@req("VAL-14", "RDG-06")
def test_a_charter_that_leaves_ai_display_unstated_is_refused() -> None:
    with pytest.raises(UnusableInput, match="ai_display"):
        read_charter(charter_text(**{"    ai_display: after_own\n": ""}))


def shown(house: HouseUnderTest) -> None:
    assignment = with_ai(house)
    open_gate(house, 3, "secondary", "volume")
    mark(house, "reader-1", baseline_answer())
    show_ai_values(house.desk, READER, assignment, "volume")


@req("RDG-10", "RDG-09")
def test_each_shown_value_is_decided_and_the_number_agrees_with_the_decision(house: HouseUnderTest) -> None:
    shown(house)
    for answer, problem in (
        (baseline_answer(), "neither accepted, adjusted nor rejected"),
        (using("accept", "60.0"), "accepted 61.2 ml, but the size is 60.0 ml"),
        (using("adjust", "61.2", "part_missed"), "adjust, but the size is the AI's own"),
        (using("adjust", "70.0"), "needs a coded reason"),
        (using("reject", "70.0", "looked odd"), "needs a coded reason"),
        (using("accept", "61.2", "artefact"), "takes no reason"),
    ):
        with pytest.raises(UnusableInput, match=problem):
            seal(house, "reader-1", answer)
    shortcuts: list[dict[str, object]] = [{"accept_all": True}, {"ai_default": "accept"}, {"preselected": []}]
    for shortcut in shortcuts:
        with pytest.raises(Refused) as refusal:
            seal(house, "reader-1", using("accept", "61.2") | shortcut)
        assert refusal.value.rule == "F-632"
    seal(house, "reader-1", using("adjust", "70.0", "part_missed"))

    begin(house, "reader-2")
    seal(house, "reader-2", baseline_answer())
    house.work()
    with house.desk.reading() as session:
        override = agreement.ai_decisions(session, TRIAL)[0]
    assert (override.use, override.reason) == ("adjust", "part_missed")
    assert (str(override.ai), override.final, override.own) == ("61.2 ml", "70.0 ml", "60.0 ml")
    assert (override.reader, override.subject, override.time_point) == ("reader-1", SUBJECT, "BL")


@req("RDG-06", "RDG-10")
def test_a_value_that_was_not_shown_cannot_be_used(house: HouseUnderTest) -> None:
    with_ai(house)
    open_gate(house, 3, "secondary", "volume")
    mark(house, "reader-1", baseline_answer())
    with pytest.raises(Refused) as refusal:
        seal(house, "reader-1", using("accept", "61.2"))
    refused(house, "F-523", refusal)


@req("GAT-03", "RDG-06")
def test_shadow_exploratory_and_sealed_runs_never_reach_a_reader(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    for number, (standing, sealed) in enumerate((("shadow", True), ("exploratory", False), ("gated", True))):
        a_run(house, f"run-{number}", "BL", "61230.0 mm3", standing=standing, sealed=sealed)
    assignment = begin(house, "reader-1")
    open_gate(house, 3, "secondary", "volume")
    mark(house, "reader-1", baseline_answer())
    assert show_ai_values(house.desk, READER, assignment, "volume") == []


@req("RDG-06", "GAT-03")
def test_own_marks_come_before_ai_or_not_at_all(house: HouseUnderTest) -> None:
    assignment = with_ai(house, charter_text(**{"ai_display: after_own": "ai_display: first_pass"}))
    open_gate(house, 3, "secondary", "volume")
    show_ai_values(house.desk, READER, assignment, "volume")
    with pytest.raises(Refused) as refusal:
        mark(house, "reader-1", baseline_answer())
    refused(house, "F-522", refusal)


# Phase 4


def ai_answer(mm: str = "55.0") -> LockAnswer:
    return LockAnswer(TRIAL, SUBJECT, "BL", baseline_answer(mm))


@req("RDG-06", "GAT-03")
def test_the_ai_reads_sealed_and_only_with_its_gate_open(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    with pytest.raises(Refused) as refusal:
        seal_ai_read(house.desk, ai_answer())
    refused(house, "F-532", refusal)

    open_gate(house, 4, "primary", "response")
    seal_ai_read(house.desk, ai_answer("55.5"))
    assert b"55.5" not in b"".join(path.read_bytes() for path in house.home.rglob("*") if path.is_file())
    with pytest.raises(Refused) as refusal:
        seal_ai_read(house.desk, ai_answer())
    refused(house, "F-534", refusal)

    for reader in ("reader-1", "reader-2"):
        begin(house, reader)
        seal(house, reader, baseline_answer())
    house.work()
    assert house.words().count("read.opened") == 3
    with house.desk.reading() as session:
        accepted = queries.accepted_read(session, TRIAL, SUBJECT, "BL")
        assert accepted is not None
        assert accepted[0].slot == "reader_1"


@req("RDG-06")
def test_an_ai_read_after_the_human_reads_are_open_is_refused(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    open_gate(house, 4, "primary", "response")
    for reader in ("reader-1", "reader-2"):
        begin(house, reader)
        seal(house, reader, baseline_answer())
    house.work()
    with pytest.raises(Refused) as refusal:
        seal_ai_read(house.desk, ai_answer())
    refused(house, "F-533", refusal)


@req("RDG-09", "GAT-03")
def test_ai_breaks_no_tie_though_the_adjudicator_may_see_it(house: HouseUnderTest) -> None:
    """Even shown as an anonymous third read it cannot be chosen, and the attempt is on record."""
    text = charter_text(**{
        "ai_display: none\n    ai_in_adjudication: hidden": "ai_display: none\n    ai_in_adjudication: anonymous_third",
    })  # fmt: skip
    a_live_trial(house, text)
    assign(house, BOTH)
    open_gate(house, 4, "primary", "response")
    seal_ai_read(house.desk, ai_answer())
    for reader, mm in (("reader-1", "50.0"), ("reader-2", "80.0")):
        begin(house, reader)
        seal(house, reader, baseline_answer(mm))
    house.work()
    with house.desk.reading() as session:
        found = queries.awaiting_adjudication(session, TRIAL)[0]
    rules = set()
    for letter in "ABC":
        try:
            decide(house, found.compared, letter)
            break
        except Refused as refusal:
            rules.add(refusal.rule)
    else:
        pytest.fail("no human read could be chosen")
    with house.desk.reading() as session:
        accepted = queries.accepted_read(session, TRIAL, SUBJECT, "BL")
    assert accepted is not None
    assert accepted[0].slot != "ai"
    assert rules <= {"F-633"}


@req("RDG-02", "RDG-06")
def test_a_hidden_ai_read_is_not_among_the_adjudicators_letters(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    open_gate(house, 4, "primary", "response")
    seal_ai_read(house.desk, ai_answer())
    for reader, mm in (("reader-1", "50.0"), ("reader-2", "80.0")):
        begin(house, reader)
        seal(house, reader, baseline_answer(mm))
    house.work()
    with house.desk.reading() as session:
        found = queries.awaiting_adjudication(session, TRIAL)[0]
    with pytest.raises(UnusableInput, match="no read C"):
        decide(house, found.compared, "C")


@req("GAT-02", "RDG-06")
def test_a_shadow_read_counts_in_agreement_alone(house: HouseUnderTest) -> None:
    """Computed and sealed without a gate, opened with the others, in no list but that of agreement."""
    a_live_trial(house)
    assign(house, BOTH)
    seal_ai_read(house.desk, ai_answer("55.0"), shadow=True)
    a_run(house, "run-9", "BL", "1.0 mm3", standing="shadow", sealed=True)
    for reader, mm in (("reader-1", "50.0"), ("reader-2", "51.0")):
        begin(house, reader)
        seal(house, reader, baseline_answer(mm))
    house.work()

    with house.desk.reading() as session:
        pairs = agreement.ai_pairs(session, TRIAL)
        assert [(str(one.ai), str(one.before), one.lock, one.use) for one in pairs] == [
            ("55.0", "50.0", "lock-1", "shadow"),
            ("55.0", "51.0", "lock-1", "shadow"),
        ]
        values = listing.read_values(session, TRIAL)
        assert {one.slot for one in values} == {"reader_1", "reader_2"}
        assert {one.entry for one in values} <= {entry.seq for entry in house.entries()}
        assert [one.slot for one in listing.responses(session, TRIAL, ai=True)] == ["reader_1"] * 2 + ["reader_2"] * 2
        seen = queries.opened_reads_for(session, "imaging-lead", TRIAL)
        assert {one.task.slot for one in seen if isinstance(one, OpenedRead)} == {"reader_1", "reader_2"}
        assert [one.user for one in listing.reader_rows(session, TRIAL)] == ["reader-1", "reader-2", "adjudicator"]
        assert [one.waits_for for one in listing.unread(session, TRIAL)] == [("reader_1", "reader_2")] * 2


@req("GAT-02", "RDG-06")
def test_agreement_with_a_sealed_read_counts_only_what_a_person_measured_before_ai_was_shown(
    house: HouseUnderTest
) -> None:
    """TRIAL 2: a mark that was moved after an AI value was shown is no independent evidence about the model."""
    assignment = with_ai(house)
    open_gate(house, 3, "secondary", "volume")
    seal_ai_read(house.desk, ai_answer("55.0"), shadow=True)
    a_run(house, "run-9", "BL", "1.0 mm3", standing="shadow", sealed=True)
    mark(house, "reader-1", baseline_answer("50.0"))
    show_ai_values(house.desk, READER, assignment, "volume")
    decided = {"endpoint": "volume", "run": "run-1", "use": "adjust", "reason": "part_missed"}
    seal(house, "reader-1", {"targets": [target("T01", "54.0", "61.0", location="liver", ai=[decided])]})
    begin(house, "reader-2")
    seal(house, "reader-2", baseline_answer("51.0"))
    house.work()

    with house.desk.reading() as session:
        pairs = [one for one in agreement.ai_pairs(session, TRIAL) if one.use == "shadow"]
    assert {one.reader: str(one.before) for one in pairs} == {"reader-1": "50.0", "reader-2": "51.0"}


@req("RDG-05", "RDG-06")
def test_the_course_that_counts_is_open_until_a_difference_is_decided(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    open_gate(house, 4, "primary", "response")
    seeded = target("L1", "55.0", "60.0", location="seed L1")
    seal_ai_read(house.desk, LockAnswer(TRIAL, SUBJECT, "BL", {"targets": [seeded]}))
    for reader, mm in (("reader-1", "50.0"), ("reader-2", "80.0")):
        begin(house, reader)
        with pytest.raises(UnusableInput, match="names no organ"):
            seal(house, reader, {"targets": [target("T01", mm, "60.0", location="seed L1")]})
        seal(house, reader, baseline_answer(mm))
    house.work()
    with house.desk.reading() as session:
        (compared,) = queries.comparisons_of(session, TRIAL)
        assert [one.trigger for one in compared.fired] == ["ADJ-2"]
        assert listing.accepted_slot(session, TRIAL, SUBJECT) is None
    decide(house, queries_compared(house))
    with house.desk.reading() as session:
        (decided,) = queries.adjudications_of(session, TRIAL)
        (chosen,) = [one.slot for one in queries.tasks_of(session, TRIAL) if one.sealed == decided.chosen]
        assert chosen == listing.accepted_slot(session, TRIAL, SUBJECT)


def queries_compared(house: HouseUnderTest) -> str:
    with house.desk.reading() as session:
        return queries.awaiting_adjudication(session, TRIAL)[0].compared
