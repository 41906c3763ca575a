"""`countersign intake` and `countersign qc` as a person types them."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from countersign.cli import app
from tests.builders.arrival import write_series, write_study
from tests.builders.reads import TRIAL
from tests.req import req


@pytest.fixture
def run(house):
    """A command line on the home of this test; answers are JSON where asked."""

    def call(*words: str, exit_code: int = 0, **environment: str):
        command = [words[0], *words[1:], "--home", str(house.home)]
        result = CliRunner().invoke(app, command, env=environment)
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout) if "--json" in words else result.output

    return call


@req("RDG-11", "SIG-01")
def test_a_folder_is_taken_in_listed_shown_and_disposed(house, run, tmp_path):
    write_series(tmp_path / "in")
    here = ("--trial", TRIAL)

    taken = run("intake", str(tmp_path / "in"), *here, "--as", "coordinator", "--json")
    case = taken["cases"][0]
    listed = run("qc", "list", *here, "--as", "technologist", "--open", "--json")
    shown = run("qc", "show", case, *here, "--as", "technologist")
    proof = house.proof("technologist")
    signed = run(
        "qc", "dispose", case, *here, "--as", "technologist", "--disposition", "accepted", "--reason", "all_rules_met",
        COUNTERSIGN_MEANING="review", COUNTERSIGN_PASSWORD=proof.password, COUNTERSIGN_CODE=proof.code,
    )

    assert (taken["accepted"], taken["refused"]) == (8, 0)
    assert [(one["case"], one["disposition"]) for one in listed] == [(case, None)]
    assert "CT-GAPS" in shown
    assert "Signed. Entry" in signed
    assert run("qc", "list", *here, "--as", "technologist", "--open", "--json") == []


@req("ACC-01")
def test_who_may_not_see_cases_is_told_so_without_a_trace(run, house, tmp_path):
    house.person("stranger")

    told = run("qc", "list", "--trial", TRIAL, "--as", "stranger", exit_code=1)

    assert "Traceback" not in told


@req("REC-11")
def test_a_missing_folder_is_said_in_words(run, tmp_path):
    told = run("intake", str(tmp_path / "nowhere"), "--trial", TRIAL, "--as", "coordinator", exit_code=1)

    assert "There is no folder of that name." in told


@req("RDG-11")
def test_open_queries_and_incomplete_time_points_are_listed_for_the_core_lab(house, run, tmp_path):
    """The CT is queried and the PET never came; then both are there and accepted."""
    here = ("--trial", TRIAL, "--as", "technologist")

    def dispose(case: str, disposition: str, reason: str) -> None:
        proof = house.proof("technologist")
        run("qc", "dispose", case, *here, "--disposition", disposition, "--reason", reason,
            COUNTERSIGN_MEANING="review", COUNTERSIGN_PASSWORD=proof.password, COUNTERSIGN_CODE=proof.code)

    write_series(tmp_path / "ct", numbers=(1, 2, 3, 5, 6, 7, 8))
    taken = run("intake", str(tmp_path / "ct"), "--trial", TRIAL, "--as", "coordinator", "--json")
    assert run("qc", "queries", *here) == "No query is open.\n"
    dispose(taken["cases"][0], "queried", "missing_slices")

    (asked,) = run("qc", "queries", *here, "--json")
    assert (asked["case"], asked["reason"], asked["asked_by"]) == (taken["cases"][0], "missing_slices", "technologist")
    assert "CT-GAPS" in asked["not_met"]
    assert "missing_slices, asked by technologist" in run("qc", "queries", *here)
    assert "not received: PT; not accepted: CT" in run("qc", "incomplete", *here)

    write_study(tmp_path / "all")
    for case in run("intake", str(tmp_path / "all"), "--trial", TRIAL, "--as", "coordinator", "--json")["cases"]:
        dispose(case, "accepted", "all_rules_met")
    assert run("qc", "queries", *here, "--json") == run("qc", "incomplete", *here, "--json") == []


@req("RDG-11")
def test_what_was_refused_is_said_in_words_a_site_understands(house, run, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.dcm").write_bytes(b"no image at all" * 20)
    run("intake", str(tmp_path / "in"), "--trial", TRIAL, "--as", "coordinator")

    told = run("qc", "refused", "--trial", TRIAL, "--as", "technologist")

    assert "not-dicom" in told
    assert "The file is not a DICOM object." in told
    house.person("stranger")
    for command in ("queries", "incomplete", "refused"):
        assert "No rule" in run("qc", command, "--trial", TRIAL, "--as", "stranger", exit_code=1)
