"""Controlled documents in the record: three pairs of eyes, one effective version, texts that never change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.access import queries as access
from core.errors import NotFound, RecordDamaged, Refused, UnusableInput
from core.policy.state import Actor
from sops import queries, texts, usecases
from sops.rules import State
from tests.builders import people
from tests.builders.people import OWNER, QA, THIRD
from tests.house import HouseUnderTest, a_house, checked
from tests.req import req

FRONT = """---
id: SOP-07
title: Reads
owner: imaging_lead
governs: [{governs}]
applies_to: [{applies_to}]
review_months: 12
window_days: {window}
{more}---
"""
BODY = "A reader reads and signs. " * 20


def a_document(governs: str = "read.*", window: int = 0, applies_to: str = "", more: str = "", body: str = BODY
               ) -> texts.Document:
    front = FRONT.format(governs=governs, window=window, applies_to=applies_to, more=more)
    return texts.read_document(front + body)


@pytest.fixture(scope="module")
def founded_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    with a_house(tmp_path_factory.mktemp("founded"), founding=True) as house:
        people.opened(house)
        yield house


@pytest.fixture
def opened(founded_once: HouseUnderTest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    with checked(founded_once.copied(tmp_path)) as house:
        yield house


def drafted(house: HouseUnderTest, document: texts.Document, author: Actor = THIRD) -> None:
    house.commit(usecases.draft_sop(house.desk, author, usecases.DraftSop(document)))


def approved(house: HouseUnderTest, document: texts.Document) -> None:
    drafted(house, document)
    house.commit(usecases.review_sop(house.desk, OWNER, document.sop))
    house.commit(usecases.approve_sop(house.desk, QA, document.sop))


def state(house: HouseUnderTest, sop: str = "SOP-07") -> list[State]:
    with house.desk.reading() as session:
        return [each.state for each in queries.all_versions(session, sop)]


@req("SOP-01", "ACC-03")
def test_author_reviewer_and_approver_are_three_people(opened: HouseUnderTest) -> None:
    drafted(opened, a_document(), author=QA)
    with pytest.raises(Refused, match="another person reviews") as refusal:
        usecases.review_sop(opened.desk, QA, "SOP-07")
    assert refusal.value.rule == "F-104"
    opened.commit(usecases.review_sop(opened.desk, OWNER, "SOP-07"))
    with pytest.raises(Refused, match="another person approves") as refusal:
        usecases.approve_sop(opened.desk, QA, "SOP-07")
    assert refusal.value.rule == "F-105"

    assert state(opened) == [State.IN_REVIEW]


@req("SOP-01")
def test_nothing_is_approved_unreviewed(opened: HouseUnderTest) -> None:
    drafted(opened, a_document())

    with pytest.raises(UnusableInput, match="is draft; this step needs it to be in_review"):
        usecases.approve_sop(opened.desk, QA, "SOP-07")
    with pytest.raises(NotFound, match="SOP-99 is not in the record"):
        usecases.review_sop(opened.desk, OWNER, "SOP-99")


@req("SOP-01")
def test_a_returned_version_is_given_up_and_the_next_number_follows(opened: HouseUnderTest) -> None:
    drafted(opened, a_document())
    opened.commit(usecases.return_sop(opened.desk, OWNER, "SOP-07", "step 3 is missing"))
    drafted(opened, a_document(body=BODY + "Step 3."))

    assert state(opened) == [State.RETIRED, State.DRAFT]


@req("SOP-01", "SOP-03")
def test_a_new_version_lapses_nobody_until_its_day_and_then_only_its_acts(opened: HouseUnderTest) -> None:
    """TRIAL 1, from the words to the refusal: training on the approved text counts from the effective day."""
    approved(opened, a_document("sop.draft", applies_to="validation_lead"))
    people.trained(opened, THIRD, "SOP-07")
    approved(opened, a_document("sop.draft", window=14, applies_to="validation_lead"))
    assert state(opened) == [State.EFFECTIVE, State.APPROVED]

    def gaps(action: str) -> dict[str, str]:
        with opened.desk.reading() as session:
            return dict(access.standing(session, THIRD, None, action).gaps)

    assert gaps("sop.draft") == {}
    assert usecases.make_due_effective(opened.desk) == []
    opened.clock.advance(days=15)
    assert gaps("sop.draft") == {}, "the date alone changes nothing; the entry does"
    assert usecases.make_due_effective(opened.desk) == ["SOP-07 version 2"]
    assert usecases.make_due_effective(opened.desk) == []

    assert opened.words()[-2:] == ["sop.effective", "sop.superseded"]
    assert state(opened) == [State.SUPERSEDED, State.EFFECTIVE]
    assert "SOP-07 version 2" in gaps("sop.draft")["validation_lead"]
    assert gaps("sop.review") == {}
    people.trained(opened, THIRD, "SOP-07")
    assert gaps("sop.draft") == {}


@req("SOP-03")
def test_training_during_the_window_keeps_a_person_current(opened: HouseUnderTest) -> None:
    approved(opened, a_document("sop.draft", window=5))
    people.trained(opened, THIRD, "SOP-07")
    opened.clock.advance(days=6)
    usecases.make_due_effective(opened.desk)

    with opened.desk.reading() as session:
        assert access.training_gaps(session, THIRD.user, "validation_lead", "sop.draft") == ()
        owner = access.training_gaps(session, OWNER.user, "system_owner", "sop.draft")
    assert [gap.supplied_by for gap in owner] == ["owner: countersign sop train SOP-07 --as owner"]


@req("SOP-03")
def test_nobody_trains_on_a_draft(opened: HouseUnderTest) -> None:
    drafted(opened, a_document())

    with pytest.raises(UnusableInput, match="approved or effective"):
        usecases.complete_training(opened.desk, THIRD, usecases.CompleteTraining("SOP-07"))


@req("SOP-03")
def test_questions_are_answered_rightly_or_nothing_is_signed(opened: HouseUnderTest) -> None:
    approved(opened, a_document(more="questions:\n  Who adjudicates?: the adjudicator\n  How many reads?: two\n"))

    with pytest.raises(UnusableInput) as refusal:
        usecases.complete_training(
            opened.desk, THIRD, usecases.CompleteTraining("SOP-07", answers={"How many reads?": "Two"}))
    assert "1 of 2" in refusal.value.fact
    assert "Who adjudicates?" in refusal.value.fact
    assert "the adjudicator" not in refusal.value.fact
    opened.commit(usecases.complete_training(opened.desk, THIRD, usecases.CompleteTraining(
        "SOP-07", answers={"How many reads?": "Two", "Who adjudicates?": " The adjudicator "})))
    assert opened.entries()[-1].body["fields"]["answered"] == 2


@req("SOP-02", "SIG-03")
def test_a_text_changed_on_disk_is_found_before_anybody_signs_it(opened: HouseUnderTest) -> None:
    """The digest in the entry names the bytes; other bytes are not read-and-understood by anybody."""
    approved(opened, a_document())
    with opened.desk.reading() as session:
        found = queries.version_of(session, "SOP-07")
    stored = next(path for path in opened.home.rglob(f"*{found.text.sha256[-16:]}*") if path.is_file())
    stored.chmod(0o600)
    stored.write_bytes(stored.read_bytes().replace(b"reads", b"skips"))

    with pytest.raises(RecordDamaged):
        usecases.complete_training(opened.desk, THIRD, usecases.CompleteTraining("SOP-07"))


@req("SOP-01", "SIG-07")
def test_several_documents_stand_on_one_page_and_each_is_an_entry_with_its_own_view(opened: HouseUnderTest) -> None:
    """One unlock, but nothing is signed that was not shown: every body has the digest of its own view."""
    documents = [texts.template(sop) for sop in ("SOP-09", "SOP-10", "SOP-15")]
    numbers = [each.sop for each in documents]
    opened.commit(usecases.draft_sop(opened.desk, THIRD, *(usecases.DraftSop(each, 0) for each in documents)))
    opened.commit(usecases.review_sop(opened.desk, OWNER, *numbers))
    opened.commit(usecases.approve_sop(opened.desk, QA, *numbers))
    opened.commit(usecases.complete_training(opened.desk, QA, *(
        usecases.CompleteTraining(each.sop, answers=each.questions) for each in documents)))

    entries = opened.entries()[-3:]
    assert [each.body["fields"]["sop"] for each in entries] == numbers
    assert len({each.body["manifest"]["view_digest"] for each in entries}) == 3
    assert state(opened, "SOP-15") == [State.EFFECTIVE]
    with pytest.raises(UnusableInput, match="different documents"):
        usecases.complete_training(opened.desk, QA, *map(usecases.CompleteTraining, ("SOP-09", "SOP-09")))


@req("SOP-01")
def test_retiring_ends_what_a_document_governs(opened: HouseUnderTest) -> None:
    approved(opened, a_document("sop.draft"))
    opened.commit(usecases.retire_sop(opened.desk, QA, "SOP-07", "merged into SOP-08"))

    with opened.desk.reading() as session:
        assert access.training_gaps(session, THIRD.user, "validation_lead", "sop.draft") == ()
        assert queries.effective_version(session, "SOP-07") is None


@req("SOP-03")
def test_the_training_log_names_person_version_and_instant(opened: HouseUnderTest) -> None:
    with opened.desk.reading() as session:
        rows = queries.training_of(session, sop="SOP-01")

    assert [(row.user, row.version) for row in rows] == [("owner", 1), ("qa", 1), ("lead", 1)]
    assert all(row.at.endswith("Z") for row in rows)
