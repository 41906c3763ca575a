"""`countersign read`: a case from the list to its seal at the command line, and what each person may see of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from core.reads import queries
from countersign.cli import app
from tests.builders.reads import BOTH, SUBJECT, TRIAL, a_live_trial, assign, baseline_answer, begin, seal
from tests.clocks import SetClock
from tests.house import PASSWORD, HouseUnderTest, a_house
from tests.req import req


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HouseUnderTest]:
    """A house whose clock stands an hour before the machine's, which the command line goes by."""
    monkeypatch.setattr("tests.house.SetClock", lambda: SetClock((time.time_ns() // 1000) - 3_600_000_000))
    with a_house(tmp_path) as made:
        yield made


UIDS = {"series": "1.2.3", "frame_of_reference": "1.2.4"}


def run(house: HouseUnderTest, user: str, *arguments: str, signs: str = "") -> Result:
    lines = [signs, PASSWORD, house.proof(user).code] if signs else []
    env = {"COUNTERSIGN_HOME": str(house.home), "COUNTERSIGN_USER": user}
    return CliRunner(env=env).invoke(
        app, ["read", *arguments, "--trial", TRIAL], input="".join(f"{line}\n" for line in lines)
    )


@req("RDG-02", "RDG-03", "RDG-05")
def test_a_case_from_the_list_to_an_adjudicated_read(house: HouseUnderTest, tmp_path: Path) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    begin(house, "reader-1")
    seal(house, "reader-1", baseline_answer("50.0"))
    file = tmp_path / "answer.yaml"
    file.write_text(yaml.safe_dump(baseline_answer("80.0")), encoding="utf-8")

    listed = run(house, "reader-2", "list")
    assert listed.output.strip() == f"begin       {SUBJECT}  BL"
    assert run(house, "reader-2", "begin", SUBJECT, "BL").exit_code == 0
    wrong = run(house, "reader-2", "seal", SUBJECT, "BL", str(file), signs="approval")
    assert wrong.exit_code == 1
    assert "read.sealed" not in house.words()[-1:]
    sealed = run(house, "reader-2", "seal", SUBJECT, "BL", str(file), signs="authorship")
    assert sealed.exit_code == 0, sealed.output
    assert "80.0 mm" in sealed.output
    assert "the reads are open" in sealed.output

    own = json.loads(run(house, "reader-2", "show", SUBJECT, "--json").output)
    assert [one["state"] for one in own] == ["hidden", "open"]
    waiting = json.loads(run(house, "adjudicator", "differences", "--json").output)
    assert waiting[0]["triggers"] == ["ADJ-2"]
    decided = run(
        house, "adjudicator", "adjudicate", waiting[0]["compared"], "b", "--reason", "measurement",
        signs="adjudication",
    )  # fmt: skip
    assert decided.exit_code == 0, decided.output
    assert run(house, "adjudicator", "list").output.strip() == f"final       {SUBJECT}  BL"
    assert run(house, "reader-1", "list").output.strip() == f"begin       {SUBJECT}  W08"
    derived = json.loads(run(house, "imaging-lead", "responses", "--json").output)
    assert {one["time_point"] for one in derived} == {None}


@req("RDG-11")
def test_an_unusable_answer_file_is_told(house: HouseUnderTest, tmp_path: Path) -> None:
    house.person("reader-1")
    file = tmp_path / "answer.yaml"
    for text, said in (("[1, 2]", "holds no fields"), ("a: [", "near line"), (None, "cannot be read")):
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text, encoding="utf-8")
        result = run(house, "reader-1", "seal", SUBJECT, "BL", str(file))
        assert result.exit_code == 1
        assert said in result.output


@req("MLK-03", "RDG-02")
def test_seeds_are_signed_from_a_file_and_never_by_a_reader_of_the_subject(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    a_live_trial(house)
    file = tmp_path / "seeds.yaml"
    seed = {"lesion": "L1", "tracking_uid": "2.25.7", "x": "1.5", "y": "-20.0", "z": "300"}
    for wrong in ({"seeds": [{"lesion": "L1"}]}, {"seeds": [seed]}, {"seeds": [seed | {"x": "left"}]} | UIDS):
        file.write_text(yaml.safe_dump(wrong), encoding="utf-8")
        assert run(house, "technologist", "seeds", SUBJECT, "BL", str(file)).exit_code == 1
    file.write_text(yaml.safe_dump({"seeds": [seed]} | UIDS), encoding="utf-8")
    assert run(house, "technologist", "seeds", SUBJECT, "BL", str(file), signs="execution").exit_code == 0
    with house.desk.reading() as session:
        placed = queries.seeds_of(session, TRIAL, SUBJECT, "BL")
    assert [(one.lesion, str(one.y), one.placed_by) for one in placed] == [("L1", "-20.0", "technologist")]

    assign(house, {"reader_1": "reader-1"})
    house.grant("reader-1", "qc_technologist", trial=TRIAL)
    refused = run(house, "reader-1", "seeds", SUBJECT, "BL", str(file))
    assert "You read this subject blind" in refused.output


@req("RDG-08", "RDG-02")
def test_progress_names_who_is_awaited_and_no_value_of_any_read(house: HouseUnderTest) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    begin(house, "reader-1")
    seal(house, "reader-1", baseline_answer("50.0"))

    told = run(house, "imaging-lead", "progress").output
    data = json.loads(run(house, "imaging-lead", "progress", "--json").output)

    assert [(one["user"], one["reads"]) for one in data["readers"]] == [
        ("reader-1", 1), ("reader-2", 0), ("adjudicator", 0)]
    waits = {one["time_point"]: one["waits_for"] for one in data["unread"]}
    assert waits["BL"] == ["reader_2"]
    assert "waits for reader_2" in told
    assert "50.0" not in told + json.dumps(data)
    assert run(house, "reader-2", "progress").exit_code == 1
