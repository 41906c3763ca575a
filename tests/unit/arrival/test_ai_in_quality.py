"""AI at quality control: shown under a live gate, to whom the table lets see it, on record; else refused, on record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.vocabulary.gates import GateOpened, GateSuspended
from audit.vocabulary.models import InputSeries, RunFailed, RunFinished, RunRequested, RunUndecided, RunValue
from core.arrival.queries import case_of
from core.errors import NotFound, Refused
from core.policy.state import Actor
from countersign.cli.model_show import run_line
from models_registry.queries import runs_of
from models_registry.showing import show_in_quality
from tests.builders import arrival
from tests.builders.reads import DIGEST, TRIAL, recorded
from tests.house import HouseUnderTest
from tests.req import req
from tests.validation.test_cli import call

LOCK, OTHER = "LCK-QC-1", "LCK-QC-2"
TECHNOLOGIST, LEAD, SENDER = arrival.TECHNOLOGIST, Actor("imaging-lead"), arrival.SENDER


def a_case(house: HouseUnderTest, folder: Path) -> str:
    arrival.write_series(folder)
    return arrival.take_in(house, folder).cases[0]


def open_gate(house: HouseUnderTest, lock: str = LOCK, scope: str = "all") -> None:
    recorded(house, GateOpened(
        gate="G1", use=1, use_name="qc", scope=scope, lock=lock, criteria=(), signed=()), "gates")


def a_run(house: HouseUnderTest, case: str, run: str, ended: str = "finished", *, lock: str = LOCK,
          standing: str = "gated") -> None:
    """A run for quality control on the series of a case, asked for and ended."""
    with house.desk.reading() as session:
        found = case_of(session, TRIAL, case)
    told: dict[str, Any] = {
        "run": run, "lock": lock, "model": "segmenter", "subject": found.subject, "time_point": found.time_point,
        "study": found.study, "lesion": "whole", "use": "qc", "standing": standing, "sealed": standing == "shadow",
        "gate": "G1" if standing == "gated" else None}
    recorded(house, RunRequested(
        **told, tracking_uid="1.2.3", seed="none", seed_by="nobody", input_sha256=DIGEST,
        inputs=(InputSeries(modality=found.modality, series=found.series, instances=8,
                            manifest_sha256=found.manifest_sha256),)), "inference")
    ends = {
        "finished": lambda: RunFinished(
            **told, input_sha256=DIGEST, environment_sha256=DIGEST, output_sha256=DIGEST, values_said="",
            took="1.0 s", tracking_uid="1.2.3",
            values=() if standing == "shadow" else (RunValue(name="liver_volume", value="1500 ml"),)),
        "undecided": lambda: RunUndecided(
            **told, input_sha256=DIGEST, environment_sha256=DIGEST, cause="out-of-domain", found="3.2", limit="2.0",
            took="1.0 s"),
        "failed": lambda: RunFailed(**told, input_sha256=DIGEST, cause="input", detail="No number.", took="0.1 s"),
    }
    recorded(house, ends[ended](), "inference")


def refused(house: HouseUnderTest, rule: str, person: Actor, case: str) -> None:
    """The attempt ends with this rule, and its entry names the person and the door."""
    with pytest.raises(Refused) as refusal:
        show_in_quality(house.desk, person, TRIAL, case)
    assert refusal.value.rule == rule
    body = house.entries()[-1].body
    assert (body["action"], body["on_behalf_of"], body["rule"], body["fields"]["asked"]) == (
        "action.refused", person.user, rule, "ai.show_in_qc")


@req("GAT-03", "GAT-01", "ACC-02")
def test_without_a_live_gate_no_ai_is_shown_at_quality_control(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    """TRIAL 2: before the gate opens, and as soon as it is suspended; the case itself is disposed of all the same."""
    case = a_case(house, tmp_path / "in")
    refused(house, "F-620", TECHNOLOGIST, case)
    open_gate(house)
    a_run(house, case, "R1")
    assert [one.run.run for one in show_in_quality(house.desk, TECHNOLOGIST, TRIAL, case)] == ["R1"]

    recorded(house, GateSuspended(gate="G1", use=1, cause="drift_level_2", says="Drift."), "gates")
    house.clock.advance(seconds=120)
    refused(house, "F-620", TECHNOLOGIST, case)
    arrival.dispose(house, case)


@req("GAT-03", "REC-01", "RDG-10")
def test_who_saw_what_of_ai_is_on_record_once_and_stands_on_the_page_that_is_signed(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    """The run-in of phase 2 and every later question about automation bias rest on who saw a flag before deciding."""
    from core.arrival.usecases import DisposeCase, dispose_case

    case = a_case(house, tmp_path / "in")
    open_gate(house)
    a_run(house, case, "R1", "undecided")
    command = DisposeCase(TRIAL, case, "accepted", "all_rules_met")
    before = dispose_case(house.desk, TECHNOLOGIST, command)
    assert not [line for line in before.drafts[0].view.lines if line[0] == "AI shown to you"]

    shown = show_in_quality(house.desk, TECHNOLOGIST, TRIAL, case)
    entry = house.entries()[-1]
    show_in_quality(house.desk, TECHNOLOGIST, TRIAL, case)

    assert [one.flagged for one in shown] == [True]
    assert (entry.body["action"], entry.body["on_behalf_of"], entry.body["fields"]["runs"]) == (
        "quality.ai_shown", "technologist", ["R1"])
    assert house.entries()[-1] == entry
    lines = dispose_case(house.desk, TECHNOLOGIST, command).drafts[0].view.lines
    assert ("AI shown to you", f"run R1, entry {entry.seq}") in lines
    show_in_quality(house.desk, LEAD, TRIAL, case)
    assert house.entries()[-1].body["on_behalf_of"] == "imaging-lead"


@req("GAT-03", "ACC-02", "RDG-02")
def test_only_whom_the_table_names_sees_ai_at_quality_control(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    case = a_case(house, tmp_path / "in")
    open_gate(house)
    a_run(house, case, "R1")
    house.person("reader-9", "reader", trial=TRIAL)

    for person, rule in ((SENDER, "default-deny"), (Actor("reader-9"), "default-deny"),
                         (Actor("trial-lead"), "default-deny"), (Actor("nobody"), "F-01")):
        refused(house, rule, person, case)
        house.clock.advance(seconds=120)
    with pytest.raises(NotFound):
        show_in_quality(house.desk, TECHNOLOGIST, TRIAL, "no-case")


@req("GAT-03")
def test_runs_in_shadow_without_a_gate_or_of_another_lock_are_not_shown(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    """F-626, and the gate is for one lock; a site outside the gate's scope sees none at all."""
    case = a_case(house, tmp_path / "in")
    open_gate(house)
    a_run(house, case, "R1", "failed")
    a_run(house, case, "R2", standing="shadow")
    a_run(house, case, "R3", standing="exploratory")
    a_run(house, case, "R4", lock=OTHER)

    assert [one.run.run for one in show_in_quality(house.desk, TECHNOLOGIST, TRIAL, case)] == ["R1"]
    assert house.entries()[-1].body["fields"]["runs"] == ["R1"]


@req("GAT-03")
def test_a_gate_for_other_sites_shows_nothing_of_this_one(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    case = a_case(house, tmp_path / "in")
    open_gate(house, scope="sites:202")
    a_run(house, case, "R1")

    refused(house, "F-620", TECHNOLOGIST, case)


@req("GAT-03", "OPS-07")
def test_the_flag_is_seen_at_the_command_line(house: HouseUnderTest, tmp_path: Path) -> None:
    from countersign.cli.intake import qc_app

    case = a_case(house, tmp_path / "in")
    open_gate(house)
    a_run(house, case, "R1", "undecided")
    said = call(house, "ai", case, "--trial", TRIAL, "--as", "technologist", app=qc_app)

    assert said.exit_code == 0
    assert "to look at" in said.output
    assert "out-of-domain" in said.output
    assert "a flag disposes of nothing" in said.output
    assert call(house, "ai", case, "--trial", TRIAL, "--as", "coordinator", app=qc_app).exit_code == 1


@req("GAT-03", "RDG-02", "RDG-06")
@pytest.mark.parametrize(("ended", "standing"), [
    ("finished", "gated"), ("undecided", "gated"), ("failed", "exploratory")])
def test_whoever_asked_for_a_run_is_told_that_it_ended_and_not_what_it_says(
    house: HouseUnderTest, tmp_path: Path, ended: str, standing: str
) -> None:
    """A technologist or reader may ask for a run: that is no door. Nor is the list of runs, which names nobody."""
    from countersign.cli.model import app as models

    case = a_case(house, tmp_path / "in")
    a_run(house, case, "R1", ended, standing=standing)
    with house.desk.reading() as session:
        (row,) = runs_of(session, trial=TRIAL)

    listed, data = call(house, "runs", app=models), call(house, "runs", "--json", app=models)

    for text in (listed.output, data.output, run_line(row)):
        assert "R1" in text
        assert "ended" in text
        assert not [said for said in ("1500", "liver", "out-of-domain", "undecided", "finished", "failed", "3.2")
                    if said in text]


@req("RDG-06", "RDG-02")
def test_a_reader_who_asks_for_a_run_learns_no_value_of_it(house: HouseUnderTest, tmp_path: Path) -> None:
    """Before the own marks, or of an endpoint for which the charter shows no AI: how it ended, and no number."""
    case = a_case(house, tmp_path / "in")
    a_run(house, case, "R1")
    with house.desk.reading() as session:
        (row,) = runs_of(session, trial=TRIAL)
    measured = replace(row, use="secondary", endpoint="volume", values={"volume": "61230.0 mm3"})

    assert run_line(measured).endswith("gated  finished  ")
    assert "undecided  out-of-domain" in run_line(replace(measured, state="undecided", cause="out-of-domain"))
