"""A primary endpoint measured again by a changed lock: sealed anew, people's reads as they were, all kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.vocabulary import bridging as words
from audit.vocabulary import gates as gate_words
from audit.vocabulary.models import InputSeries, RunRequested
from core.errors import Refused, UnusableInput
from core.phantoms import SCANNERS, lesion_at, make_volume
from core.policy.state import Actor, Decision
from core.reads import queries as reads
from core.reads.ai_reads import seal_ai_read
from core.reads.locking import LockAnswer
from core.reads.state import AI_SLOT, OpenedRead
from models_registry import jobs, queries
from models_registry.asking import RequestRun, request_run
from models_registry.isolation import WorkerFailed
from models_registry.library import SHIPPED
from models_registry.ports import Runner
from models_registry.queries import RunRow
from models_registry.running import run_waiting
from models_registry.usecases import LockModel, RegisterModel, lock_model, register_model
from reports import csr_appendix
from reports.reading import Told, reads_of
from tests.builders import reads as trial
from tests.builders.models import MadeImages, stand_in
from tests.builders.papers import book_of
from tests.builders.reads import SUBJECT, TRIAL
from tests.house import HouseUnderTest, a_house, checked
from tests.req import req

CUSTODIAN, ASKER = Actor("custodian"), Actor("technologist")
LESION = lesion_at("liver", "T01", (46, 38, 42), suv=11.0)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> MadeImages:
    """One study, given at every time point."""
    made = MadeImages()
    made.add(tmp_path_factory.mktemp("studies"), make_volume(
        replace(SCANNERS["C"], pixel_mm=3.5, matrix=104), [LESION], 91), SUBJECT, "BL", trial=TRIAL)
    (series,) = made.series.values()
    for point in ("W08", "W16"):
        made.series[TRIAL, SUBJECT, point] = series
    return made


class Changed:
    """A trial whose primary endpoint the old lock measured: baseline read and open, week 8 sealed by one reader."""

    def __init__(self, house: HouseUnderTest, old: str, new: str, images: MadeImages) -> None:
        self.house, self.old, self.new, self.images = house, old, new, images

    def ask(self, lock: str, point: str) -> None:
        x, y, z = (f"{value:.1f}" for value in LESION.centre_mm)
        request_run(self.house.desk, ASKER, RequestRun(
            TRIAL, SUBJECT, point, "T01", "2.25.1", (x, y, z), "reader-1", lock, "primary", "response", "gated"),
            self.images)

    def run(self, lock: str, point: str, runner: Runner = stand_in) -> RunRow:
        """Asked, carried out, and what follows worked off."""
        self.ask(lock, point)
        run_waiting(self.house.desk, self.images, lock, runner=runner)
        self.house.work()
        with self.house.desk.reading() as session:
            return queries.runs_of(session)[-1]

    def refused(self, lock: str, point: str) -> str:
        with pytest.raises(Refused) as refusal:
            self.ask(lock, point)
        return refusal.value.rule

    def ai_reads(self) -> list[OpenedRead]:
        with self.house.desk.reading() as session:
            return [one for one in reads.opened_reads(session, TRIAL, SUBJECT) if one.task.slot == AI_SLOT]

    def told(self) -> list[Told]:
        """The AI's reads as the appendix tells them, from entries alone."""
        return [one for one in reads_of(book_of(self.house).of_trial(TRIAL), TRIAL) if one.slot == AI_SLOT]

    def opened_by(self, lock: str) -> list[bool]:
        """Of this lock's runs: whether their masks and reports came out of their seal."""
        with self.house.desk.reading() as session:
            return [row.report is not None for row in queries.runs_of(session, lock=lock)]


def locked(house: HouseUnderTest, version: str, **more: Any) -> str:
    proposal = lock_model(house.desk, CUSTODIAN, LockModel("lesion-at-seed", version, **more), runner=stand_in)
    house.commit(proposal)
    event: Any = proposal.drafts[0].event
    return str(event.lock)


def gate(house: HouseUnderTest, lock: str) -> None:
    trial.recorded(house, gate_words.GateOpened(
        gate=f"G4-{lock}", use=4, use_name="primary", scope="all", lock=lock, criteria=(), signed=(),
        endpoint="response"), "gates")


def passed(house: HouseUnderTest, old: str, new: str, strategy: str = "recompute") -> None:
    """A plan that three people signed, and agreement of both locks."""
    trial.signed(house, "statistician", words.BridgingPlanned(
        plan="P", from_lock=old, to_lock=new, use="primary", endpoint="response", strategy=strategy,
        because="a defect was mended"))
    for role, user in (("validation_lead", "validation-lead"), ("qa_auditor", "qa-0")):
        trial.signed(house, user, words.BridgingSigned(plan="P", signed_as=role, planned="x"))
    trial.recorded(house, words.BridgingJudged(
        plan="P", from_lock=old, to_lock=new, verdict="passed", sealed=True, says="passed"), "gates")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, images: MadeImages) -> tuple[HouseUnderTest, str, str]:
    folder = tmp_path_factory.mktemp("changed")
    with a_house(folder / "house") as house:
        trial.a_live_trial(house)
        trial.assign(house, trial.BOTH)
        house.person("custodian", "model_custodian")
        for user, role in (("statistician", "statistician"), ("validation-lead", "validation_lead")):
            house.person(user, role)
        house.commit(register_model(house.desk, CUSTODIAN, RegisterModel(SHIPPED, "trainer")))
        old = locked(house, "1.0.0")
        shutil.copytree(SHIPPED, folder / "next")
        stated = json.loads((folder / "next" / jobs.METADATA).read_text())
        (folder / "next" / jobs.METADATA).write_text(json.dumps(stated | {"version": "1.1.0"}))
        house.commit(register_model(house.desk, CUSTODIAN, RegisterModel(folder / "next", "trainer")))
        new = locked(house, "1.1.0")
        gate(house, old)
        begun = Changed(house, old, new, images)
        begun.run(old, "BL")
        trial.read_by_both(house, trial.baseline_answer(), trial.baseline_answer())
        begun.run(old, "W08")
        trial.begin(house, "reader-1", "W08")
        trial.seal(house, "reader-1", trial.follow_up("40.0", "40.0"), "W08")
        house.work()
        gate(house, new)
    return house, old, new


@pytest.fixture
def changed(first: tuple[HouseUnderTest, str, str], images: MadeImages, tmp_path: Path) -> Iterator[Changed]:
    with checked(first[0].copied(tmp_path)) as house:
        yield Changed(house, first[1], first[2], images)


@req("RDG-06", "MLK-08", "GAT-03")
def test_open_reads_stay_as_they_are_and_the_ai_is_sealed_anew(changed: Changed) -> None:
    """The earliest first; a new seal and its opening, nothing compared again; the old read is kept, counts no more."""
    house = changed.house
    passed(house, changed.old, changed.new)
    before = house.words()
    with house.desk.reading() as session:
        accepted = reads.accepted_read(session, TRIAL, SUBJECT, "BL")
    assert changed.refused(changed.new, "W08") == "F-407"

    row = changed.run(changed.new, "BL")

    assert (row.state, row.sealed, dict(row.values)) == ("finished", True, {})
    since = house.words()[len(before):]
    assert [word for word in since if word.startswith("read.")] == ["read.begun", "read.sealed", "read.opened"]
    with house.desk.reading() as session:
        assert reads.accepted_read(session, TRIAL, SUBJECT, "BL") == accepted
    kept, measured = changed.ai_reads()
    assert [(one.task.lock, one.excluded) for one in (kept, measured)] == [(changed.old, True), (changed.new, False)]
    assert kept.answer.targets[0].sizes == measured.answer.targets[0].sizes
    assert changed.opened_by(changed.new) == [True]
    assert changed.refused(changed.old, "W16") == "F-407"
    # The appendix, from the entries alone: both stand there, and one of them counts.
    listed = [one for one in changed.told() if one.time_point == "BL"]
    assert [(one.answer is not None, one.excluded.action if one.excluded else None) for one in listed] == [
        (True, "read.begun"), (True, None)]
    paper = csr_appendix.build(book_of(house), TRIAL, "0.1.0")
    tables = {one.id: {row.key: [cell.text for cell in row.cells] for row in one.rows} for one in paper.tables}
    (replaced,) = [row for key, row in tables["A7"].items() if key.endswith("AI, response, measured again")]
    assert replaced[10] == "excluded, measured again by another lock"
    assert {key: row[3:] for key, row in tables["A4d"].items()} == {
        f"response, {SUBJECT}, {changed.old}": ["2", "2"], f"response, {SUBJECT}, {changed.new}": ["1", "1"]}
    assert {key: row[2] for key, row in tables["A4e"].items()} == {
        f"response, {name}": "1" for name in ("all", changed.old, changed.new)}


@req("RDG-02", "RDG-06", "MLK-08")
def test_nothing_opens_before_both_readers_have_locked(changed: Changed) -> None:
    """Week 8: one reader has sealed. The new seal joins the old one's wait; then all open, each run under its own."""
    passed(changed.house, changed.old, changed.new)
    changed.run(changed.new, "BL")
    opened = changed.house.words().count("read.opened")

    changed.run(changed.new, "W08")

    assert changed.house.words().count("read.opened") == opened
    assert changed.opened_by(changed.old) == [True, False]
    assert changed.opened_by(changed.new) == [True, False]
    trial.begin(changed.house, "reader-2", "W08")
    trial.seal(changed.house, "reader-2", trial.follow_up("41.0", "41.0"), "W08")
    changed.house.work()
    # Two readers, the AI by both locks: all at once.
    assert changed.house.words().count("read.opened") == opened + 4
    assert [(one.task.time_point, one.task.lock, one.excluded) for one in changed.ai_reads()] == [
        ("BL", changed.old, True), ("W08", changed.old, True), ("BL", changed.new, False), ("W08", changed.new, False)]
    assert changed.opened_by(changed.old) == changed.opened_by(changed.new) == [True, True]


@req("RDG-06", "GAT-02")
def test_what_cannot_be_measured_again_leaves_the_earlier_read_in_its_place(changed: Changed) -> None:
    """The worker dies: the new read is withdrawn, the old one counts again, and the new lock goes no further."""
    passed(changed.house, changed.old, changed.new)

    def dies(files: Any, studies: Any, expected: Any) -> Any:
        raise WorkerFailed("The worker ended with signal 9.")

    row = changed.run(changed.new, "BL", dies)

    assert (row.state, row.cause) == ("failed", "worker")
    assert [(one.task.lock, one.excluded) for one in changed.ai_reads()] == [(changed.old, False)]
    assert [one.excluded for one in changed.told() if one.sealed is not None] == [None, None]
    assert changed.refused(changed.new, "W08") == "F-407"
    assert changed.run(changed.new, "BL").state == "finished"


@req("RDG-06", "RDG-02", "MLK-08")
def test_nothing_goes_under_the_seal_of_another_lock(changed: Changed) -> None:
    """The old lock's runs failed, its read was sealed as not evaluable: the new lock begins no read beside it."""
    house = changed.house
    point = {"subject": SUBJECT, "time_point": "W16"}
    seal_ai_read(house.desk, LockAnswer(TRIAL, SUBJECT, "W16", {"targets": [
        {"lesion": "T01", "state": "not_assessable"}]}), lock=changed.old)
    other = replace_lock(house, changed.new, point)

    run_waiting(house.desk, changed.images, changed.new, runner=stand_in)

    with house.desk.reading() as session:
        (row,) = [one for one in queries.runs_of(session, lock=changed.new) if one.run == other]
    assert (row.state, row.cause, row.result) == ("failed", "seal", None)
    assert changed.old in (row.found or "")


def replace_lock(house: HouseUnderTest, lock: str, point: dict[str, str]) -> str:
    """A run of the lock that was asked for as if the series were free."""
    with house.desk.reading() as session:
        model = next(row for row in queries.runs_of(session) if row.time_point == "W08")
    event = RunRequested(
        run="run-beside", lock=lock, model=model.model, **point, study=model.study, lesion=model.lesion,
        tracking_uid=model.tracking_uid, seed=model.seed, seed_by="reader-1",
        inputs=tuple(InputSeries(**one) for one in model.inputs), use="primary", standing="gated", sealed=True,
        input_sha256=model.input_sha256, endpoint="response", gate=f"G4-{lock}")
    with house.desk.open(Actor.of_service("inference"), on_behalf_of="technologist") as work:
        work.record(event, under=Decision(True, "P-03", "for a test", "service"), trial=TRIAL)
    return event.run


@req("RDG-06", "GAT-03")
@pytest.mark.parametrize("strategy", [None, "new_subjects"])
def test_without_a_plan_that_recomputes_nothing_is_measured_again(changed: Changed, strategy: str | None) -> None:
    if strategy is not None:
        passed(changed.house, changed.old, changed.new, strategy)

    assert changed.refused(changed.new, "BL") == "F-407"


@req("RDG-06")
def test_a_read_by_the_old_lock_is_sealed_or_given_up_before_it_is_replaced(changed: Changed) -> None:
    """Else its seal would be awaited for ever."""
    passed(changed.house, changed.old, changed.new)
    changed.ask(changed.old, "W16")
    for point in ("BL", "W08"):
        changed.ask(changed.new, point)
    run_waiting(changed.house.desk, changed.images, changed.new, runner=stand_in)

    with pytest.raises(UnusableInput, match="is not sealed"):
        changed.ask(changed.new, "W16")
