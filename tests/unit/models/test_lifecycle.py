"""A lock's life: what it binds, what follows it, what a recall marks, and that a retired one can be reproduced."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from audit.vocabulary import gates as gate_words
from audit.vocabulary.reads import ReadSigned
from audit.vocabulary.reports import ReportIssued
from core.errors import AlreadyDone, Refused, UnusableInput
from core.gates.usecases import RequestGate, request_gate
from core.phantoms import SCANNERS, lesion_at, make_volume
from core.policy.state import Actor
from countersign.cli import app
from models_registry import jobs, queries
from models_registry.answer import Answer
from models_registry.asking import RequestRun, request_run
from models_registry.digest import read_tree
from models_registry.isolation import Expected, Session, WorkerDiffers
from models_registry.library import SHIPPED
from models_registry.loading import ModelDiffers
from models_registry.reproduction import ReproduceModel, reproduce_model
from models_registry.running import run_waiting
from models_registry.tasks import Given
from models_registry.usecases import (
    LockModel,
    RegisterModel,
    RetireModel,
    lock_model,
    register_model,
    retire_model,
    verify_lock,
)
from reports.model_lineage import lineage, resting_on
from tests.builders import reads as trial
from tests.builders.locks import OBJECT
from tests.builders.models import MadeImages, stand_in
from tests.builders.reads import SUBJECT, TRIAL
from tests.house import HouseUnderTest, a_house, checked
from tests.req import req

MODEL, OTHER = "lesion-at-seed", "101-099"
LESION = lesion_at("liver", "T01", (46, 38, 42), suv=11.0)
CUSTODIAN, ASKER = Actor("custodian"), Actor("technologist")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> MadeImages:
    """One study, which stands for every time point of both subjects."""
    made = MadeImages()
    made.add(tmp_path_factory.mktemp("studies"), make_volume(
        replace(SCANNERS["C"], pixel_mm=3.5, matrix=104), [LESION], 91), SUBJECT, "BL", trial=TRIAL)
    (series,) = made.series.values()
    for subject in (SUBJECT, OTHER):
        for point in ("BL", "W08", "W16"):
            made.series[TRIAL, subject, point] = series
    return made


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HouseUnderTest, str]]:
    with a_house(tmp_path_factory.mktemp("life")) as house:
        trial.a_live_trial(house)
        trial.a_subject(house, OTHER)
        house.person("custodian", "model_custodian")
        house.commit(register_model(house.desk, CUSTODIAN, RegisterModel(SHIPPED, "trainer")))
        yield house, lock(house, "1.0.0")


@pytest.fixture
def told(first: tuple[HouseUnderTest, str], tmp_path: Path) -> Iterator[HouseUnderTest]:
    with checked(first[0].copied(tmp_path)) as house:
        yield house


@pytest.fixture
def old(first: tuple[HouseUnderTest, str]) -> str:
    return first[1]


def lock(house: HouseUnderTest, version: str, **more: Any) -> str:
    proposal = lock_model(house.desk, CUSTODIAN, LockModel(MODEL, version, **more), runner=stand_in)
    house.commit(proposal)
    event: Any = proposal.drafts[0].event
    return str(event.lock)


def a_follower(house: HouseUnderTest, tmp_path: Path, old: str) -> str:
    """Version 1.1.0, registered, and locked as what follows the old lock."""
    shutil.copytree(SHIPPED, tmp_path / "next")
    stated = json.loads((tmp_path / "next" / jobs.METADATA).read_text())
    (tmp_path / "next" / jobs.METADATA).write_text(json.dumps(stated | {"version": "1.1.0"}))
    house.commit(register_model(house.desk, CUSTODIAN, RegisterModel(tmp_path / "next", "trainer")))
    return lock(house, "1.1.0", supersedes=old)


def gate(house: HouseUnderTest, name: str) -> None:
    trial.recorded(house, gate_words.GateOpened(
        gate=f"G3-{name}", use=3, use_name="secondary", scope="all", lock=name, criteria=(), signed=(),
        endpoint="volume"), "gates")


def ask(house: HouseUnderTest, images: MadeImages, name: str, point: str, subject: str = SUBJECT) -> None:
    """A gated run, asked for and carried out."""
    x, y, z = (f"{value:.1f}" for value in LESION.centre_mm)
    request_run(house.desk, ASKER, RequestRun(
        TRIAL, subject, point, "T01", "2.25.1", (x, y, z), "reader-1", name, "secondary", "volume", "gated"), images)
    run_waiting(house.desk, images, name, runner=stand_in)


def refused(house: HouseUnderTest, images: MadeImages, name: str, point: str, subject: str = SUBJECT) -> str:
    with pytest.raises(Refused) as refusal:
        ask(house, images, name, point, subject)
    return refusal.value.rule


def state(house: HouseUnderTest, name: str) -> str:
    with house.desk.reading() as session:
        return queries.lock_of(session, name).state


@req("MLK-01", "MLK-03")
def test_a_lock_says_what_it_is_used_for_what_it_follows_and_what_it_will_be_held_to(
    told: HouseUnderTest, tmp_path: Path, old: str
) -> None:
    bare = read_tree(SHIPPED)
    folder = tmp_path / "bare"
    shutil.copytree(SHIPPED, folder)
    text = bare[jobs.INTENDED_USE].decode().replace("**Context of use.**", "**Somewhere.**")
    (folder / jobs.INTENDED_USE).write_text(text)
    (folder / jobs.METADATA).write_text(json.dumps(json.loads(bare[jobs.METADATA]) | {"version": "2.0.0"}))
    told.commit(register_model(told.desk, CUSTODIAN, RegisterModel(folder, "trainer")))

    with pytest.raises(UnusableInput, match="states no context of use"):
        lock(told, "2.0.0")
    name = lock(told, "2.0.0", context_of_use="A reader accepts or rejects.", protocols=("PQ-1",), supersedes=old)

    with told.desk.reading() as session:
        row = queries.lock_of(session, name)
    assert (row.fields.context_of_use, row.fields.protocols) == ("A reader accepts or rejects.", ("PQ-1",))
    assert (row.fields.supersedes, row.fields.container) == (old, "none")
    assert len(row.fields.code_sha256) == len(row.fields.requirements_sha256) == 64
    listed = json.loads(told.desk.objects.get(row.fields.tensors_listed))["tensors"]
    assert len(listed) == row.fields.tensors
    components = json.loads(told.desk.objects.get(row.fields.sbom))["components"]
    assert "sqlalchemy" in {one["name"] for one in components}


@req("MLK-05")
def test_a_bundle_says_how_its_weights_were_made_or_that_nobody_says(told: HouseUnderTest, tmp_path: Path) -> None:
    with told.desk.reading() as session:
        training = queries.version_of(session, MODEL, "1.0.0").training
    assert training is not None
    assert (training.seeds, len(training.data)) == ("20261124", 20)
    assert all(len(one.value) == 64 for one in training.data)

    folder = tmp_path / "silent"
    shutil.copytree(SHIPPED, folder)
    (folder / "configs" / "training.json").write_text('{"commit": "abc"}')
    with pytest.raises(UnusableInput, match="is no training statement"):
        register_model(told.desk, CUSTODIAN, RegisterModel(folder, "trainer"))
    (folder / "configs" / "training.json").unlink()
    (folder / jobs.METADATA).write_text(json.dumps(json.loads((folder / jobs.METADATA).read_text())
                                                   | {"version": "3.0.0"}))
    proposal = register_model(told.desk, CUSTODIAN, RegisterModel(folder, "trainer"))
    assert ("Training run", "not stated by its maker") in proposal.drafts[0].view.lines


@req("MLK-08", "GAT-02")
def test_a_superseded_lock_serves_what_it_began_and_nothing_new(
    told: HouseUnderTest, images: MadeImages, tmp_path: Path, old: str
) -> None:
    """A new version stops nothing; but no gate is opened for the old lock, and no subject gets two locks (TRIAL 2)."""
    gate(told, old)
    ask(told, images, old, "BL")
    new = a_follower(told, tmp_path, old)
    assert (state(told, old), state(told, new)) == ("superseded", "valid")
    with told.desk.reading() as session:
        assert queries.lock_of(session, old).superseded_by == new
    with pytest.raises(AlreadyDone, match="superseded by"):
        lock_model(told.desk, CUSTODIAN, LockModel(MODEL, "1.1.0", supersedes=old), runner=stand_in)
    with pytest.raises(Refused) as refusal:
        request_gate(told.desk, Actor("trial-lead"), RequestGate(TRIAL, "qc", old))
    assert refusal.value.rule == "F-609"

    ask(told, images, old, "W08")
    # The follower's gate is open too: the old lock begins nothing new, the new one mixes into no series.
    gate(told, new)
    assert refused(told, images, old, "BL", OTHER) == "F-408"
    assert refused(told, images, new, "W16") == "F-407"
    ask(told, images, new, "BL", OTHER)
    assert refused(told, images, old, "W08", OTHER) in ("F-407", "F-408")
    ask(told, images, old, "W16")
    with told.desk.reading() as session:
        assert queries.two_locks(session, new) == ()


@req("MLK-08", "GAT-04")
def test_a_recall_marks_every_result_and_lists_what_rests_on_them(
    told: HouseUnderTest, images: MadeImages, old: str
) -> None:
    gate(told, old)
    ask(told, images, old, "BL")
    for point in ("BL", "W08"):  # the second was not measured by the lock
        trial.signed(told, "reader-1", ReadSigned(subject=SUBJECT, time_point=point, accepted="a", rests_on="b",
                                                  report=OBJECT, sop_instance="1.2"))
    trial.signed(told, "reader-1", ReportIssued(
        report="appendix", kind="csr", content_digest="c" * 64, size=9, root="r", pdf=OBJECT, bundle_sha256="d" * 64,
        pages=3, signed=()))
    with told.desk.reading() as session:
        assert [(one.kind, one.what.split(",")[0]) for one in resting_on(session, old)][1:] == [
            ("read", f"final of {SUBJECT}"), ("report", "appendix")]
        assert resting_on(session, old)[0].kind == "run"
        assert queries.runs_of(session, lock=old)[0].suspect is None

    told.commit(retire_model(told.desk, CUSTODIAN, RetireModel(old, "recalled", "defect_found")))
    recalled = len(told.entries()) - 1

    with told.desk.reading() as session:
        assert [one.suspect for one in queries.runs_of(session, lock=old)] == [recalled]
    terminal = CliRunner()
    home = ["--home", str(told.home)]
    listed = terminal.invoke(app, ["model", "runs", *home])
    rests = terminal.invoke(app, ["model", "rests", old, *home])
    assert f"suspect since entry {recalled}" in listed.output
    assert f"all of this is suspect since entry {recalled}" in rests.output
    assert f"{SUBJECT}, BL" in rests.output
    asked = terminal.invoke(app, ["ledger", "query", "action:run.*", "--json", *home])
    assert {row["suspect"] for row in json.loads(asked.output)["entries"]} == {recalled}


def same_again(files: Mapping[str, bytes], studies: Sequence[Given], expected: Expected | None) -> Session:
    assert expected is not None
    return stand_in(files, studies, expected)


@req("MLK-08")
def test_a_retired_lock_runs_no_more_and_is_reproduced_with_its_runs(
    told: HouseUnderTest, images: MadeImages, old: str
) -> None:
    gate(told, old)
    ask(told, images, old, "BL")
    told.commit(retire_model(told.desk, CUSTODIAN, RetireModel(old, "retired", "use_ended")))
    with told.desk.reading() as session:
        (row,) = queries.runs_of(session, lock=old)
    assert refused(told, images, old, "W08") == "F-403"

    told.commit(reproduce_model(told.desk, CUSTODIAN, ReproduceModel(old, (row.run,)), images, runner=same_again))

    said = told.entries()[-1].body
    assert (said["action"], said["fields"]["state"], said["manifest"]["meaning"]) == (
        "model.reproduced", "retired", "execution")
    assert said["fields"]["runs"] == [{"run": row.run, "output_sha256": row.output_sha256}]
    with told.desk.reading() as session:
        assert queries.runs_of(session, lock=old) == (row,)
        version = queries.version_of(session, MODEL, "1.0.0")
        assert "it is retired" in verify_lock(told.desk, queries.lock_of(session, old), version, run=True)


def elsewhere(files: Mapping[str, bytes], studies: Sequence[Given], expected: Expected | None) -> Session:
    raise WorkerDiffers("environment", "torch 2.13.0", "torch 2.14.0")


def otherwise(files: Mapping[str, bytes], studies: Sequence[Given], expected: Expected | None) -> Session:
    done = stand_in(files, studies, expected)
    other = tuple((replace(answer, output_sha256="0" * 64), took) for answer, took in done.answers)
    return replace(done, answers=other)


@req("MLK-08")
@pytest.mark.parametrize(("runner", "says", "check"), [
    (elsewhere, "expected torch 2.13.0, found torch 2.14.0", "environment"),
    (otherwise, "came out otherwise", "output"),
])
def test_what_does_not_come_out_as_recorded_is_refused_with_the_difference(
    runner: Any, says: str, check: str, told: HouseUnderTest, images: MadeImages, old: str
) -> None:
    gate(told, old)
    ask(told, images, old, "BL")
    with told.desk.reading() as session:
        (row,) = queries.runs_of(session, lock=old)

    with pytest.raises(ModelDiffers, match=says) as difference:
        reproduce_model(told.desk, CUSTODIAN, ReproduceModel(old, (row.run,)), images, runner=runner)

    assert "Bring back the environment" in difference.value.next_step
    assert "model.reproduced" not in told.words()
    with told.desk.reading() as session:
        assert queries.refusals_known(session, lock=old)[-1].checked == check


@req("ACC-02", "MLK-08")
def test_reproducing_needs_a_role_and_a_run_of_this_lock(told: HouseUnderTest, images: MadeImages, old: str) -> None:
    with pytest.raises(Refused):
        reproduce_model(told.desk, Actor("reader-1"), ReproduceModel(old), images, runner=same_again)
    assert told.words()[-1] == "action.refused"
    request_run(told.desk, ASKER, RequestRun(
        TRIAL, SUBJECT, "BL", "T01", "2.25.1", None, "reader-1", old), images)
    run_waiting(told.desk, images, old, runner=stand_in)
    with told.desk.reading() as session:
        (row,) = queries.runs_of(session, lock=old)
    assert Answer("undecided").output_sha256 == ""
    with pytest.raises(UnusableInput, match="gave an output"):
        reproduce_model(told.desk, CUSTODIAN, ReproduceModel(old, (row.run,)), images, runner=same_again)


@req("MLK-01", "MLK-05", "REC-12")
def test_show_tells_what_was_locked_and_allowed_at_a_moment_in_a_trial(
    told: HouseUnderTest, images: MadeImages, old: str
) -> None:
    terminal, home = CliRunner(), ["--home", str(told.home)]

    def show(*arguments: str) -> dict[str, Any]:
        answered = terminal.invoke(app, ["model", "show", *arguments, "--json", *home])
        assert answered.exit_code == 0, answered.output
        found: dict[str, Any] = json.loads(answered.output)
        return found

    before = len(told.entries()) - 1
    gate(told, old)
    ask(told, images, old, "BL")
    opened = len(told.entries()) - 1
    told.commit(retire_model(told.desk, CUSTODIAN, RetireModel(old, "retired", "use_ended")))

    assert show(old, "--at", str(before))["uses"] == []
    then = show(old, "--at", str(opened), "--trial", TRIAL)
    assert (then["state"], then["as_of"]["entry"], then["runs"]) == ("valid", opened, show(old)["runs"])
    now = show(old)
    assert (now["state"], now["ended_reason"], now["as_of"]) == ("retired", "use_ended", None)
    assert show("--at", str(opened))["locks"][0]["state"] == "valid"
    assert show("--trial", "T-NONE")["locks"] == []
    words = terminal.invoke(app, ["model", "show", old, "--at", str(opened), "--lineage", *home]).output
    kinds = [line.split(":")[0] for line in words.splitlines() if line.split(":")[0] in (
        "data", "training run", "weights", "lock", "validation", "gate", "inferences")]
    assert kinds == ["data", "training run", "weights", "lock", "inferences"]
    assert f"As of entry {opened}, recorded " in words
    assert "secondary, volume, gated: 1 finished" in words
    assert terminal.invoke(app, ["model", "show", "--lineage", *home]).exit_code == 1
    with told.desk.reading() as session:
        nodes = lineage(session, queries.lock_of(session, old), frozenset())
    assert "inferences" not in {one.kind for one in nodes}, "a trial that may not be read is left out"
