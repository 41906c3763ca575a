"""What the house put on its copy in MLflow is compared with the lock; what others put there, and where, is not.

That each edit is refused, recorded and suspends stands in the table of test_mlflow_attacks.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from core.errors import OutsideUnavailable
from countersign.adapters.mlflow import MlflowTracking
from countersign.backup import take_copy
from countersign.cli.model import app
from countersign.doctor import examine
from countersign.house import open_house, tracking_store
from countersign.restore import restore
from models_registry import jobs, queries
from models_registry.digest import read_tree
from models_registry.loading import ModelDiffers, answers
from models_registry.usecases import LockModel, RegisterModel, lock_model, register_model, verify_lock
from tests.builders.models import stand_in
from tests.builders.shelved import (
    CUSTODIAN,
    MODEL,
    Locked,
    a_bundle,
    another_version,
    loading_from_mlflow,
    lock_in,
    our_alias,
)
from tests.house import HouseUnderTest, checked
from tests.req import req

pytest.importorskip("mlflow")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    with loading_from_mlflow(tmp_path_factory.mktemp("attacked")) as made:
        yield made


@pytest.fixture
def locked(house: HouseUnderTest, tmp_path: Path) -> Locked:
    return lock_in(house, tmp_path / "bundle")


@req("MLK-06")
def test_marks_and_versions_of_others_change_nothing(locked: Locked) -> None:
    """A new version, an alias, tags and a description of somebody else: the same bytes run, nothing is recorded."""
    before = len(locked.house.entries())
    client = locked.client
    other = another_version(locked)
    client.transition_model_version_stage(MODEL, other, "Production")
    client.set_registered_model_alias(MODEL, "champion", locked.number)
    client.set_registered_model_alias(MODEL, "champion", other)
    client.delete_registered_model_alias(MODEL, "champion")
    client.set_model_version_tag(MODEL, locked.number, "seen_by", "somebody")
    client.delete_model_version_tag(MODEL, locked.number, "seen_by")
    client.set_registered_model_tag(MODEL, "tree_sha256", "0" * 64)
    client.set_model_version_tag(MODEL, other, "tree_sha256", "0" * 64)
    client.update_model_version(MODEL, locked.number, "not the model that you locked")

    locked.asked()

    assert len(locked.house.entries()) == before
    assert locked.state() == ("open", True)


@req("MLK-06")
def test_no_mark_makes_other_bytes_run(locked: Locked) -> None:
    """Every mark as the lock states it, on other files: refused for the files."""
    marks = locked.store.marks_of(f"models:/{MODEL}/{locked.number}")
    (locked.copy / jobs.WEIGHTS).write_bytes(b"junk")

    with pytest.raises(ModelDiffers, match="was changed"):
        locked.asked()
    assert locked.store.marks_of(f"models:/{MODEL}/{locked.number}") == marks


@req("MLK-06", "GAT-04")
def test_a_mark_that_was_put_back_lets_the_lock_run_and_leaves_the_gate_to_its_signers(locked: Locked) -> None:
    client, alias = locked.client, our_alias(locked)
    client.delete_registered_model_alias(MODEL, alias)
    with pytest.raises(ModelDiffers) as refusal:
        locked.asked()
    assert f"countersign model show {locked.lock}" in refusal.value.next_step
    locked.house.work()

    client.set_registered_model_alias(MODEL, alias, locked.number)
    locked.asked()

    assert locked.state() == ("suspended", False)


@req("MLK-06")
def test_a_lock_that_states_no_marks_has_none_compared(locked: Locked) -> None:
    """Locks of earlier releases, and of copies that others put there: only their bytes are held against the lock."""
    locked.client.transition_model_version_stage(MODEL, locked.number, "Archived")
    locked.client.delete_registered_model_alias(MODEL, our_alias(locked))
    with locked.house.desk.reading() as session:
        row = queries.lock_of(session, locked.lock)
        version = queries.version_of(session, MODEL, row.fields.model_version)

    answers(locked.house.desk, replace(row, fields=replace(row.fields, store_marks=None)), version, [], runner=stand_in)

    assert locked.state() == ("open", True)


@req("MLK-01", "MLK-06", "GAT-04")
def test_a_house_with_models_of_its_own_asks_the_store_when_it_verifies_and_never_for_a_run(
    locked: Locked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked.client.transition_model_version_stage(MODEL, locked.number, "Production")
    with checked(locked.house.copied(tmp_path / "own")) as own:
        settings = own.house.settings.config_file
        settings.write_text(settings.read_text().replace('models_from = "tracking"', 'models_from = "objects"'))
        own.house = open_house(own.home, clock=own.clock)
        there = Locked(own, tracking_store(own.house.settings), locked.lock, locked.gate, locked.number)
        with monkeypatch.context() as silenced:
            silenced.setattr(MlflowTracking, "_asked", None)
            there.asked()
        assert there.state() == ("open", True)

        typed = CliRunner().invoke(app, ["verify", locked.lock, "--no-run", "--home", str(own.home)])

        assert typed.exit_code == 2
        assert "stage of models:/lesion-at-seed/" in typed.output
        assert (own.words()[-1], own.entries()[-1].body["fields"]["cause"]) == ("model.refused", "marks_edited")
        assert there.state() == ("open", False)


@req("MLK-06")
def test_verify_looks_at_the_marks_and_says_so_where_the_store_is_silent(
    locked: Locked, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = CliRunner().invoke(app, ["verify", locked.lock, "--no-run", "--home", str(locked.house.home)])
    assert (typed.exit_code, typed.output) == (
        0, f"{locked.lock}: 9 files, 37 tensors, marks of models:/{MODEL}/{locked.number} are as locked.\n")
    entries = len(locked.house.entries())

    with locked.house.desk.reading() as session:
        row = queries.lock_of(session, locked.lock)
        version = queries.version_of(session, MODEL, row.fields.model_version)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    silent = MlflowTracking(locked.house.home, "http://127.0.0.1:9")
    with pytest.raises(OutsideUnavailable, match=r"are as locked\. The marks of models:/.* were not compared"):
        verify_lock(locked.house.desk, row, version, run=False, tracking=silent)
    assert len(locked.house.entries()) == entries, "silence accuses nobody"


@req("MLK-06")
def test_a_person_signs_the_marks_and_finds_them_at_the_lock(locked: Locked) -> None:
    with locked.house.desk.reading() as session:
        marks = queries.lock_of(session, locked.lock).fields.store_marks or ()

    shown = CliRunner().invoke(app, ["show", locked.lock, "--home", str(locked.house.home)])
    assert f"models:/{MODEL}/{locked.number}" in shown.output
    assert [one.name.split()[0] for one in marks] == ["alias", "stage", "tag", "tag"]
    assert shown.output.count("Marked there") == len(marks)
    for one in marks:
        assert f"{one.name}: {one.value}" in " ".join(shown.output.split())


@req("MLK-06")
def test_two_houses_on_one_server_do_not_move_each_others_alias(locked: Locked, tmp_path: Path) -> None:
    """Equal files under the same name twice: each version has an alias of its own."""
    again = locked.store.register(MODEL, "again", read_tree(tmp_path / "bundle"))
    assert f"alias {our_alias(locked)}" not in again.marks
    locked.asked()
    assert locked.state() == ("open", True)


@req("MLK-06")
def test_doctor_tells_of_which_locks_the_marks_are_compared(locked: Locked, tmp_path: Path) -> None:
    hint = locked.store.register("elsewhere", "1", read_tree(a_bundle(tmp_path / "other", "8.0.0"))).hint
    house = locked.house
    house.commit(register_model(house.desk, CUSTODIAN, RegisterModel(None, "trainer", hint), locked.store))
    proposal = lock_model(house.desk, CUSTODIAN, LockModel(MODEL, "8.0.0"), runner=stand_in)
    house.commit(proposal)

    (said,) = [one.what for one in examine(house.house) if "loaded from" in one.what]

    event: Any = proposal.drafts[0].event
    assert said.startswith("Models are loaded from the local MLflow store")
    assert said.endswith(f"while {event.lock} state none")


@req("MLK-06", "OPS-01")
def test_a_restored_house_has_its_copies_and_their_marks(locked: Locked, tmp_path: Path) -> None:
    """Otherwise the first load after a restore would accuse whoever restored it."""
    take_copy(locked.house.house, tmp_path / "copy")
    restore(tmp_path / "copy", tmp_path / "restored", now_us=locked.house.clock.at_us)

    house = open_house(tmp_path / "restored", clock=locked.house.clock)
    with house.desk.reading() as session:
        row = queries.lock_of(session, locked.lock)
        version = queries.version_of(session, MODEL, row.fields.model_version)
    answers(house.desk, row, version, [], runner=stand_in)
    house.close()
