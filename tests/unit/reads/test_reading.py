"""Slots, order, seals, opening, comparison and adjudication in a whole house."""

from __future__ import annotations

import base64

import pytest

from core.errors import NotFound, RecordDamaged, Refused, Stale, UnusableInput
from core.policy.state import Actor
from core.reads import queries, usecases
from core.reads.blinding import Hidden
from core.reads.deciding import Adjudicate, adjudicate
from core.reads.locking import LockAnswer, seal_read
from core.reads.opening import compare_course, open_reads
from core.reads.state import OpenedRead
from core.trials.queries import time_points_of
from tests.builders.reads import (
    BOTH,
    SUBJECT,
    TRIAL,
    a_live_trial,
    assign,
    baseline_answer,
    begin,
    charter_text,
    decide,
    follow_up,
    mark,
    qualify,
    read_by_both,
    seal,
    target,
)
from tests.house import HouseUnderTest
from tests.req import req


def refused_by(refusal: pytest.ExceptionInfo[Refused], rule: str, house: HouseUnderTest) -> None:
    assert refusal.value.rule == rule
    assert house.words()[-1] == "action.refused"


# Slots


@req("RDG-04", "GAT-03")
def test_nobody_is_both_readers_of_a_subject(house: HouseUnderTest) -> None:
    """The second assignment is refused, and the attempt is on record (21 CFR 11.10(g))."""
    a_live_trial(house)
    assign(house, {"reader_1": "reader-1"})

    with pytest.raises(Refused) as refusal:
        assign(house, {"reader_2": "reader-1"})
    refused_by(refusal, "F-502", house)

    with pytest.raises(Refused) as refusal:
        assign(house, {"reader_1": "reader-2", "reader_2": "reader-2"})
    assert refusal.value.rule in ("F-502", "F-503")


@req("RDG-04")
def test_a_slot_keeps_its_reader_unless_replaced_with_a_reason(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    qualify(house, "reader-3")

    with pytest.raises(Refused) as refusal:
        assign(house, {"reader_1": "reader-3"})
    refused_by(refusal, "F-503", house)
    with pytest.raises(UnusableInput, match="no reason"):
        assign(house, {"reader_1": "reader-3"}, reason="because")

    assign(house, {"reader_1": "reader-3"}, reason="not_available")
    with house.desk.reading() as session:
        assert {each.slot: each.reader for each in queries.slots_of(session, TRIAL, SUBJECT)} == {
            "reader_1": "reader-3",
            "reader_2": "reader-2",
        }
    # Whoever had a part of a subject never gets another part of it.
    with pytest.raises(Refused) as refusal:
        assign(house, {"reader_2": "reader-1"}, reason="not_available")
    refused_by(refusal, "F-502", house)


@req("SOP-05")
def test_only_who_passed_the_reference_set_is_given_a_case(house: HouseUnderTest) -> None:
    a_live_trial(house)
    with pytest.raises(Refused) as refusal:
        assign(house, {"reader_1": "reader-3"})
    refused_by(refusal, "F-501", house)
    with pytest.raises(Refused) as refusal:
        qualify(house, "reader-3", score="0.79")
    refused_by(refusal, "F-506", house)
    with pytest.raises(Refused) as refusal:
        qualify(house, "imaging-lead")
    refused_by(refusal, "F-505", house)


# Order


@req("RDG-03")
def test_time_points_are_read_in_order_and_each_is_locked_before_the_next(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)

    with pytest.raises(Refused) as refusal:
        begin(house, "reader-1", "W08")
    refused_by(refusal, "F-513", house)
    begin(house, "reader-1", "BL")
    with pytest.raises(Refused) as refusal:
        begin(house, "reader-1", "BL")
    refused_by(refusal, "F-512", house)
    seal(house, "reader-1", baseline_answer())
    house.work()
    # The own baseline is under seal until the other reader has locked, too.
    with pytest.raises(Refused) as refusal:
        begin(house, "reader-1", "W08")
    refused_by(refusal, "F-515", house)
    with pytest.raises(Refused) as refusal:
        begin(house, "reader-3", "BL")
    assert refusal.value.rule in ("F-510", "F-517")


@req("RDG-03")
def test_the_system_sets_the_order_of_cases(house: HouseUnderTest) -> None:
    subjects = tuple(f"101-{number:03d}" for number in range(1, 6))
    a_live_trial(house, subjects=subjects)
    assign(house, BOTH, *subjects)
    with house.desk.reading() as session:
        first = [(each.subject, each.time_point) for each in queries.reads_awaiting(session, TRIAL, "reader-1")]
        second = [(each.subject, each.time_point) for each in queries.reads_awaiting(session, TRIAL, "reader-2")]
    assert sorted(first) == sorted(second) == [(subject, "BL") for subject in subjects]
    assert first != second


# Seals


@req("RDG-02", "RDG-04")
def test_a_sealed_answer_is_known_to_nobody(house: HouseUnderTest) -> None:
    """Neither ledger, tables, views nor objects hold a word of it before the other seal is in."""
    a_live_trial(house)
    assign(house, BOTH)
    begin(house, "reader-1")
    seal(house, "reader-1", baseline_answer("47.3", "61.9"))
    house.work()

    sealed = [entry for entry in house.entries() if entry.body["action"] == "read.sealed"]
    assert set(sealed[0].body["fields"]) == {"assignment", "commit", "iv", "ct"}
    needles = (b"47.3", b"61.9", base64.b64encode(b"47.3 mm")[:8])
    for path in house.home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(needle in content for needle in needles), path
    with house.desk.reading() as session:
        assert queries.opened_reads(session, TRIAL) == []
        assert [each.state for each in queries.tasks_of(session, TRIAL)] == ["sealed"]
    assert open_reads(house.desk, TRIAL, SUBJECT, "BL") is False


@req("RDG-04", "RDG-05")
def test_seals_open_together_and_are_compared(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    read_by_both(house, baseline_answer("50.0"), baseline_answer("51.0"))

    words = house.words()
    assert words.count("read.opened") == 2
    assert words[-4:] == ["read.opened", "read.opened", "read.compared", "time_point.moved"]
    with house.desk.reading() as session:
        assert [each.state for each in queries.tasks_of(session, TRIAL)] == ["opened", "opened"]
        found = queries.comparison_of(session, TRIAL, SUBJECT, "BL")
        assert found is not None
        assert found.fired == ()
    assert open_reads(house.desk, TRIAL, SUBJECT, "BL") is False


@req("RDG-02", "ACC-09")
def test_a_reader_sees_the_others_read_neither_before_nor_after_opening(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    read_by_both(house, baseline_answer("50.0"), baseline_answer("51.0"))

    def seen_by(user: str) -> list[str]:
        with house.desk.reading() as session:
            return [
                each.task.reader if isinstance(each, OpenedRead) else each.rule
                for each in queries.opened_reads_for(session, user, TRIAL)
            ]

    assert seen_by("reader-1") == ["reader-1", "V-02"]
    assert seen_by("reader-2") == ["V-02", "reader-2"]
    assert seen_by("imaging-lead") == ["reader-1", "reader-2"]
    assert seen_by("technologist") == ["V-00", "V-00"]
    house.person("two-hats", "imaging_lead", "reader", trial=TRIAL)
    qualify(house, "two-hats")
    assign(house, {"reader_1": "two-hats"}, reason="not_available")
    assert seen_by("two-hats") == ["V-02", "V-02"]
    with house.desk.reading() as session:
        assert all(isinstance(each, Hidden) for each in queries.opened_reads_for(session, "nobody", TRIAL))


@req("RDG-04", "REC-04")
def test_a_tampered_secret_refuses_to_open(house: HouseUnderTest) -> None:
    """A changed secret at the signer opens nothing, and says so; nothing is recorded as opened."""
    a_live_trial(house)
    assign(house, BOTH)
    for reader in ("reader-1", "reader-2"):
        begin(house, reader)
        seal(house, reader, baseline_answer())
    kept = sorted((house.home / "signer" / "seal").iterdir())
    whole = kept[0].read_text()
    kept[0].write_text(kept[1].read_text())

    with pytest.raises(RecordDamaged, match="does not open"):
        open_reads(house.desk, TRIAL, SUBJECT, "BL")
    kept[0].unlink()
    with pytest.raises(RecordDamaged, match="no secret"):
        open_reads(house.desk, TRIAL, SUBJECT, "BL")
    assert "read.opened" not in house.words()

    kept[0].write_text(whole)
    assert open_reads(house.desk, TRIAL, SUBJECT, "BL")


@req("RDG-04")
def test_the_signer_releases_nothing_while_a_seal_is_missing(house: HouseUnderTest) -> None:
    """Asked directly, past every rule of the house."""
    a_live_trial(house)
    assign(house, BOTH)
    begin(house, "reader-1")
    receipt = seal(house, "reader-1", baseline_answer())

    with pytest.raises(Refused, match="reader_2"):
        house.house.signer.release(TRIAL, SUBJECT, "BL", [receipt.id])
    with pytest.raises(Refused, match="no committed seal"):
        house.house.signer.release(TRIAL, SUBJECT, "BL", ["invented"])


@req("RDG-04")
def test_a_locked_read_cannot_be_locked_again(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    begin(house, "reader-1")
    seal(house, "reader-1", baseline_answer())

    with pytest.raises(Refused) as refusal:
        seal(house, "reader-1", baseline_answer("70.0"))
    refused_by(refusal, "F-521", house)


@req("RDG-04", "SIG-03")
def test_a_slot_taken_away_between_page_and_signature_is_noticed(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    begin(house, "reader-1")
    to_lock = seal_read(house.desk, Actor("reader-1"), LockAnswer(TRIAL, SUBJECT, "BL", baseline_answer()))
    qualify(house, "reader-3")
    assign(house, {"reader_1": "reader-3"}, reason="not_available")

    with pytest.raises((Stale, NotFound, Refused)):
        house.commit(to_lock.proposal)
    assert "read.sealed" not in house.words()


UNUSABLE: list[tuple[dict[str, object], str]] = [
    ({"targets": [{"lesion": "T01"}]}, "targets.0.state"),
    ({"target": []}, "target: Extra"),
    (baseline_answer("50.05"), "entry precision"),
    (baseline_answer("9.0"), "B-MEASURABLE"),
    ({"not_evaluable": {"response": "tired"}}, "no reason for not evaluable"),
    ({"not_evaluable": {"bone": "artefact"}}, "no endpoint bone"),
    ({"time_point": "W08", "targets": []}, "and not for BL"),
    ({"targets": [target("T01", "50.0", "60.0", location="liver", sizes={"response": ["5.0 cm"]})]}, "not in mm"),
    ({"targets": [target("T01", "50.0", "60.0", location="liver of Mrs Example")]}, "'mrs', 'example' names no place"),
    ({"targets": [target("T01", "50.0", "60.0", location="liver 19480523")]}, "names no place"),
    ({"targets": [target("T01", "50.0", "60.0", location="liver")],
      "new_lesions": [{"lesion": "N1", "location": "lung of Example", "state": "unequivocal"}]}, "names no place"),
    ({"targets": [target("T01", "50.0", "60.0")]}, "no location"),
]


@req("RDG-11")
def test_an_answer_that_cannot_be_used_is_told_where(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    begin(house, "reader-1")
    for answer, problem in UNUSABLE:
        with pytest.raises(UnusableInput, match=problem):
            seal(house, "reader-1", answer)
    assert "read.sealed" not in house.words()
    # A subject without disease is an answer, too.
    seal(house, "reader-1", {"targets": []})


# Difference and decision


@req("RDG-05")
def test_reads_that_differ_go_to_an_adjudicator_who_picks_one_whole_read(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    read_by_both(house, baseline_answer(), baseline_answer())
    read_by_both(house, follow_up("34.0", "20.0"), follow_up("45.0", "21.0"), "W08")
    with house.desk.reading() as session:
        found = queries.awaiting_adjudication(session, TRIAL, "adjudicator")
        assert [each.trigger for each in found[0].fired] == ["ADJ-1", "ADJ-2"]
        assert queries.accepted_read(session, TRIAL, SUBJECT, "W08") is None
        assert queries.awaiting_adjudication(session, TRIAL, "reader-1") == []

    decide(house, found[0].compared, "B")
    with house.desk.reading() as session:
        accepted = queries.accepted_read(session, TRIAL, SUBJECT, "W08")
        assert accepted is not None
        assert accepted[0].slot in ("reader_1", "reader_2")
        assert queries.awaiting_adjudication(session, TRIAL) == []
        point = next(
            each for each in time_points_of(session, TRIAL, SUBJECT) if each.time_point == "W08"
        )
        assert point.state == "adjudicated"
    with pytest.raises(Refused) as refusal:
        decide(house, found[0].compared, "A")
    refused_by(refusal, "F-542", house)


@req("RDG-05", "RDG-02")
def test_the_adjudicator_is_shown_letters_and_never_who_read(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    read_by_both(house, baseline_answer("50.0"), baseline_answer("80.0"))
    with house.desk.reading() as session:
        found = queries.awaiting_adjudication(session, TRIAL)[0]
    view = adjudicate(house.desk, Actor("adjudicator"), Adjudicate(TRIAL, found.compared, "A", "measurement")).views[0]
    text = view.document().decode()
    assert "Read A" in text
    assert "Read B" in text
    assert "50.0 mm" in text
    assert "80.0 mm" in text
    assert "reader-1" not in text
    assert "reader_1" not in text


@req("RDG-05", "RDG-04")
def test_a_reader_of_the_subject_never_adjudicates_it(house: HouseUnderTest) -> None:
    a_live_trial(house)
    house.grant("reader-1", "adjudicator", trial=TRIAL)
    qualify(house, "reader-1", "adjudicator")
    assign(house, BOTH)
    read_by_both(house, baseline_answer("50.0"), baseline_answer("80.0"))
    with house.desk.reading() as session:
        found = queries.awaiting_adjudication(session, TRIAL)[0]
    with pytest.raises(Refused) as refusal:
        decide(house, found.compared, by="reader-1")
    refused_by(refusal, "F-540", house)


@req("RDG-05")
def test_agreement_leaves_nothing_to_adjudicate(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    read_by_both(house, baseline_answer(), baseline_answer())
    with house.desk.reading() as session:
        found = queries.comparison_of(session, TRIAL, SUBJECT, "BL")
        assert found is not None
        accepted = queries.accepted_read(session, TRIAL, SUBJECT, "BL")
        assert accepted is not None
        assert accepted[0].slot == "reader_1"
    with pytest.raises(Refused) as refusal:
        decide(house, found.compared)
    refused_by(refusal, "F-541", house)


@req("RDG-05")
def test_the_whole_course_is_compared_with_its_last_time_point(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    read_by_both(house, baseline_answer(), baseline_answer())
    read_by_both(house, follow_up("34.0", "20.0"), follow_up("35.0", "21.0"), "W08")
    read_by_both(house, follow_up("34.0", "20.0"), follow_up("36.0", "21.0"), "W16")
    with house.desk.reading() as session:
        over = queries.comparison_of(session, TRIAL, SUBJECT, None)
        assert over is not None
        # Confirmed PR for reader 1; for reader 2 an unconfirmed one, so stable disease.
        assert {each.trigger for each in over.fired} == {"ADJ-3"}
    decide(house, over.compared)
    assert compare_course(house.desk, TRIAL, SUBJECT) == over.compared
    assert house.words().count("read.compared") == 4


@req("RDG-07")
def test_a_replacement_reads_from_baseline_and_old_reads_are_kept_and_excluded(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    read_by_both(house, baseline_answer("50.0"), baseline_answer("51.0"))
    qualify(house, "reader-3")
    assign(house, {"reader_2": "reader-3"}, reason="left_the_trial")

    begin(house, "reader-3", "BL")
    seal(house, "reader-3", baseline_answer("52.0"))
    house.work()

    with house.desk.reading() as session:
        opened = {each.task.reader: each.excluded for each in queries.opened_reads(session, TRIAL)}
        assert opened == {"reader-1": False, "reader-2": True, "reader-3": False}
        assert set(queries.answers_by_slot(session, TRIAL, SUBJECT)) == {"reader_1", "reader_2"}
    begin(house, "reader-3", "W08")
    with pytest.raises(Refused):
        begin(house, "reader-2", "W08")


@req("RDG-06")
def test_own_marks_need_an_endpoint_that_shows_ai_afterwards(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    begin(house, "reader-1")
    mark(house, "reader-1", baseline_answer())
    with pytest.raises(Refused) as refusal:
        mark(house, "reader-1", baseline_answer())
    refused_by(refusal, "F-524", house)
    with pytest.raises(NotFound, match="not begun"):
        usecases_unbegun(house)


def usecases_unbegun(house: HouseUnderTest) -> None:
    seal_read(house.desk, Actor("reader-2"), LockAnswer(TRIAL, SUBJECT, "BL", baseline_answer()))


@req("RDG-04")
def test_unknown_slots_subjects_and_empty_requests_are_told(house: HouseUnderTest) -> None:
    a_live_trial(house)
    with pytest.raises(UnusableInput, match="reader_9"):
        assign(house, {"reader_9": "reader-1"})
    with pytest.raises(UnusableInput, match="was named"):
        assign(house, {})
    with pytest.raises(NotFound, match="999"):
        usecases.assign_readers(
            house.desk, Actor("imaging-lead"), usecases.AssignReaders(TRIAL, ("999",), {"reader_1": "reader-1"})
        )


@req("RDG-03", "VAL-14")
def test_what_this_release_cannot_show_is_refused_and_not_approximated(house: HouseUnderTest) -> None:
    """A paradigm, a lesion source and an adjudication method that are in the charter's language, but not built."""
    text = charter_text(**{"paradigm: sequential_locked": "paradigm: hybrid_global", "lesion_source: each_reader":
                           "lesion_source: shared_list"})  # fmt: skip
    a_live_trial(house, text)
    assign(house, BOTH)
    with pytest.raises(Refused) as refusal:
        begin(house, "reader-1")
    assert refusal.value.rule in ("F-516", "F-518")


@req("RDG-05", "VAL-14")
def test_an_adjudication_by_reading_anew_is_refused(house: HouseUnderTest) -> None:
    a_live_trial(house, charter_text(**{"method: choose_one_read": "method: re_read"}))
    assign(house, BOTH)
    read_by_both(house, baseline_answer("50.0"), baseline_answer("80.0"))
    with house.desk.reading() as session:
        compared = queries.awaiting_adjudication(session, TRIAL)[0].compared
    with pytest.raises(Refused) as refusal:
        decide(house, compared)
    refused_by(refusal, "F-544", house)


def again(house: HouseUnderTest, time_point: str, scope: str, by: str = "imaging-lead") -> None:
    command = usecases.OrderReread(TRIAL, SUBJECT, time_point, "reader_2", scope, "images_corrected")
    house.commit(usecases.order_reread(house.desk, Actor(by), command))


@req("RDG-07")
def test_a_time_point_is_read_again_with_a_reason_and_both_reads_are_kept(house: HouseUnderTest) -> None:
    """The response follows the new read; what later time points make of it is compared anew."""
    a_live_trial(house)
    assign(house, BOTH)
    read_by_both(house, baseline_answer(), baseline_answer())
    with pytest.raises(Refused) as refusal:
        again(house, "W08", "this")
    refused_by(refusal, "F-545", house)
    read_by_both(house, follow_up("34.0", "20.0"), follow_up("35.0", "20.0"), "W08")
    read_by_both(house, follow_up("38.0", "20.0"), follow_up("38.0", "20.0"), "W16")
    with pytest.raises(Refused) as refusal:
        again(house, "BL", "this")
    refused_by(refusal, "F-546", house)
    with house.desk.reading() as session:
        before = queries.comparison_of(session, TRIAL, SUBJECT, "W16")
        assert before is not None
        assert before.fired == ()

    again(house, "W08", "this")
    begin(house, "reader-2", "W08")
    seal(house, "reader-2", follow_up("20.0", "20.0"), "W08")
    house.work()

    with house.desk.reading() as session:
        reads = [each for each in queries.opened_reads(session, TRIAL) if each.task.reader == "reader-2"]
        assert [(each.task.time_point, each.excluded) for each in reads] == [
            ("BL", False), ("W08", True), ("W16", False), ("W08", False),
        ]  # fmt: skip
        # 20 mm is the new nadir of reader 2, so 38 mm at week 16 is progression for that reader alone.
        after = queries.comparison_of(session, TRIAL, SUBJECT, "W16")
        assert after is not None
        assert {each.trigger for each in after.fired} == {"ADJ-1"}
        assert queries.accepted_read(session, TRIAL, SUBJECT, "W16") is None


@req("RDG-07", "RDG-04")
def test_reading_again_from_baseline_starts_the_slot_anew(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    read_by_both(house, baseline_answer(), baseline_answer())
    read_by_both(house, follow_up("34.0", "20.0"), follow_up("35.0", "20.0"), "W08")
    again(house, "BL", "from_here")
    with pytest.raises(Refused) as refusal:
        begin(house, "reader-2", "W08")
    refused_by(refusal, "F-513", house)
    begin(house, "reader-2", "BL")
    # The signer, too, waits for the new read: the old one does not stand in for it.
    with house.desk.reading() as session:
        old = [each.sealed for each in queries.tasks_of(session, TRIAL, SUBJECT, "BL")][:2]
    with pytest.raises(Refused, match="reader_2"):
        house.house.signer.release(TRIAL, SUBJECT, "BL", [str(each) for each in old])
    other = {"targets": [target("T09", "42.0", "50.0", location="spleen")]}
    seal(house, "reader-2", other)
    house.work()
    begin(house, "reader-2", "W08")
    seal(house, "reader-2", {"targets": [target("T09", "30.0", "40.0")]}, "W08")
    house.work()
    with house.desk.reading() as session:
        answers = queries.answers_by_slot(session, TRIAL, SUBJECT)["reader_2"]
    assert [each.targets[0].lesion for each in answers] == ["T09", "T09"]
