"""The commands of trials and gates at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.trials import subjects
from countersign.cli import app
from countersign.cli.trial import subject_app
from tests.builders import trials as build
from tests.builders.reads import TRIAL
from tests.house import HouseUnderTest
from tests.req import req
from tests.validation.test_cli import call

runner = CliRunner()


@req("VAL-14")
def test_charter_check_prints_every_problem_and_fails(tmp_path: Path) -> None:
    text = build.charter_path().read_text(encoding="utf-8")
    broken = tmp_path / "charter.yaml"
    broken.write_text(text.replace("kind: primary", "kind: main").replace("readers: 2", "readers: two"))

    bad = runner.invoke(app, ["charter", "check", str(broken)])
    good = runner.invoke(app, ["charter", "check", str(build.charter_path())])
    assert bad.exit_code == 1
    assert "endpoints[0].kind: 'main' is not allowed" in bad.output
    assert "reading.readers: 'two': write a whole number" in bad.output
    assert (good.exit_code, good.output) == (0, "charter.yaml: no problem found.\n")

    broken.write_bytes(b"\xff\xfe")
    unreadable = runner.invoke(app, ["charter", "check", str(broken)])
    assert unreadable.exit_code == 1
    assert "is not UTF-8 text" in unreadable.output


@req("VAL-14")
def test_charter_schema_is_json() -> None:
    done = runner.invoke(app, ["charter", "schema"])

    assert done.exit_code == 0
    assert json.loads(done.output)["$id"] == "countersign-charter/1"


@req("GAT-02", "VAL-14")
def test_a_trial_is_set_up_signed_and_asked_for_at_the_command_line(
    house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.people(house, *build.SET_UP)
    home = ["--home", str(house.home)]

    def run(*arguments: str, user: str, meaning: str = "") -> str:
        monkeypatch.setenv("COUNTERSIGN_MEANING", meaning)
        proof = house.proof(user) if meaning else None
        monkeypatch.setenv("COUNTERSIGN_PASSWORD", proof.password if proof else "")
        monkeypatch.setenv("COUNTERSIGN_CODE", proof.code if proof else "")
        done = runner.invoke(app, [*arguments, "--as", user, *home])
        return f"{done.exit_code} {done.output}"

    said = run("trial", "create", "DEMO-301", "A trial", "--demonstration", user="trial-lead", meaning="responsibility")
    assert said.startswith("0 "), said
    said = run("charter", "sign", str(build.charter_path()), user="trial-lead", meaning="authorship")
    assert said.startswith("0 "), said
    assert "less than the shipped 50" in said
    said = run("charter", "approve", "DEMO-301", user="qa-auditor")
    assert said.startswith("1 "), said
    assert "QA approves last" in said

    shown = runner.invoke(app, ["trial", "show", "DEMO-301", *home])
    assert "stage set_up, evidence class demonstration" in shown.output
    listed = runner.invoke(app, ["site", "list", "DEMO-301", "--json", *home])
    assert [one["site"] for one in json.loads(listed.output)["sites"]] == ["101", "102", "103"]
    board = runner.invoke(app, ["gate", "check", "DEMO-301", "qc", "LCK-1", *home])
    assert "lock: open: no lock LCK-1" in board.output
    assert runner.invoke(app, ["gate", "status", "DEMO-999", *home]).exit_code == 1


@req("OPS-07")
def test_an_investigator_ends_screening_at_the_command_line(house: HouseUnderTest) -> None:
    """With a coded reason; a subject whose screening failed is enrolled no more."""
    build.live(house)
    entering = subjects.ScreenSubject(TRIAL, "101-009", "101", "2026-03-02")
    subjects.screen_subject(house.desk, build.COORDINATOR, entering)
    failing = ("fail", TRIAL, "101-009", "no_measurable_disease", "--on", "2026-03-05")

    by_coordinator = call(house, *failing, user="coordinator", app=subject_app)
    done = call(house, *failing, user="investigator-1", meaning="responsibility", app=subject_app)
    late = call(house, "enrol", TRIAL, "101-009", "--on", "2026-03-06", user="investigator-1", app=subject_app)

    assert [one.exit_code for one in (by_coordinator, done, late)] == [1, 0, 1], done.output
    assert "subject.screen_failed" in house.words()
    assert "subject.enrolled" not in house.words()
