"""A clinical release asks for every requirement of high risk shown, by tests of this very software or by steps."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pikepdf
import pytest

from core.errors import Refused, UnusableInput
from core.work import release
from countersign import rehearsal
from tests.builders.validation import Team, approve, failing, installation, passing, reviewed, run
from tests.house import HouseUnderTest
from tests.req import req
from tests.validation.test_cli import call
from validation import protocol, queries
from validation.observing import ObserveStep, observe_step
from validation.releases import SignRelease, sign_release
from validation.traceability import code_digest, requirements


def evidence(
    outcome: str = "passed", *, left_out: tuple[str, ...] = (), changed: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    """Evidence in the form of `pytest --evidence`: one test for each requirement that a test must show."""
    tests: dict[str, Any] = {
        f"tests/test_{one.id}.py::test_it": {"requirements": [one.id], "outcome": "passed"}
        for one in requirements() if one.method == "test" and one.id not in left_out
    }
    tests["tests/test_one.py::test_it"] = {"requirements": ["OPS-10"], "outcome": outcome}
    document = {"release": release(), "code_sha256": code_digest(), "tests": tests, **changed}
    return json.dumps(document).encode()


def ready(house: HouseUnderTest) -> tuple[Team, tuple[str, ...]]:
    """IQ and OQ passed and reviewed; what no test shows was observed."""
    team = Team.of(house)
    runs = []
    for kind in ("IQ", "OQ"):
        approve(house, team, installation("fine", kind=kind))
        runs.append(run(house, team, f"{kind}-SMALL", checks={"fine": passing()}).run)
    reviewed(house, team, *runs)
    return team, tuple(runs)


def looked_for(house: HouseUnderTest, team: Team) -> None:
    """OQ-OUTSIDE: identity checks and documents are there; no graphics processor, module or validator is."""
    approve(house, team, protocol.template("oq-outside"))
    outside = run(house, team, "OQ-OUTSIDE")
    for step in outside.waits_for:
        there = step in ("OUT-04", "OUT-05")
        seen = ObserveStep(outside.run, step, "Seen." if there else "There is none here.",
                           "passed" if there else "not_executed", b"a copy" if there else None)
        house.commit(observe_step(house.desk, team.tester, seen))
    house.work()
    with house.desk.reading() as session:
        assert queries.run_row(session, outside.run)["verdict"] == "not_executed"


@req("VAL-02", "VAL-06")
def test_a_requirement_of_high_risk_that_nothing_shows_blocks_the_release(house: HouseUnderTest) -> None:
    """Without evidence, with a gap, with a failure: refused with the list; whole: released, with tests and matrix."""
    team, runs = ready(house)

    def released(tests: bytes | None) -> Any:
        return sign_release(house.desk, team.qa, SignRelease(runs, "Fit for use.", tests=tests))

    with pytest.raises(Refused, match="SIG-05") as by_hand:
        released(evidence())
    looked_for(house, team)
    with pytest.raises(Refused, match="GAT-02") as nothing:
        released(None)
    with pytest.raises(Refused, match=r"Not shown: SIG-01 \(open\)\.") as gap:
        released(evidence(left_out=("SIG-01",)))
    with pytest.raises(Refused, match=r"Not shown: OPS-10 \(failing\)\."):
        released(evidence("failed"))
    house.commit(released(evidence()))

    assert {one.value.rule for one in (by_hand, nothing, gap)} == {"F-734"}
    event = house.entries()[-1].body["fields"]
    assert event["evidence_class"] == "standard"
    with house.desk.reading() as session:
        assert queries.installation_is_released(session, release())
    matrix = (house.home / "objects" / event["matrix"]["sha256"][:2] / event["matrix"]["sha256"][2:]).read_text()
    assert "OQ-OUTSIDE-v1-R1/OUT-04 sha256:" in matrix
    assert "action.refused" in house.words()


@req("VAL-02")
@pytest.mark.parametrize("changed", [{"code_sha256": "0" * 64}, {"release": "0.0"}])
def test_tests_of_another_software_show_nothing(house: HouseUnderTest, changed: dict[str, str]) -> None:
    team, runs = ready(house)

    with pytest.raises(UnusableInput, match="here runs"):
        sign_release(house.desk, team.qa, SignRelease(runs, "Fit for use.", tests=evidence(changed=changed)))


@req("VAL-02")
def test_a_release_without_the_matrix_is_one_of_class_demonstration(house: HouseUnderTest) -> None:
    """Gates of clinical trials refuse that class by their own criterion."""
    team, runs = ready(house)

    house.commit(sign_release(house.desk, team.qa, SignRelease(runs, "To be shown.", demonstration=True)))

    event = house.entries()[-1].body["fields"]
    assert event["evidence_class"] == "demonstration"
    assert "matrix" not in event


@req("VAL-01", "VAL-04")
def test_the_report_of_a_run_is_told_as_a_paper(house: HouseUnderTest, tmp_path: Path) -> None:
    """Verdict, steps, deviation and the digests stand there; what was reviewed is attached byte for byte."""
    team = Team.of(house)
    approve(house, team, installation("fine", "bad"))
    outcome = run(house, team, "IQ-SMALL", checks={"fine": passing(), "bad": failing("Two files differ.")})
    reviewed(house, team, outcome.run)
    out = tmp_path / "iq.pdf"

    done = call(house, "report", outcome.run, "--pdf", str(out))

    assert done.exit_code == 0, done.output
    assert outcome.report is not None
    with pikepdf.open(out) as pdf:
        attached = pdf.attachments["validation-report.json"].get_file().read_bytes()
        policy = pdf.attachments["policy-matrix.csv"].get_file().read_bytes()
    text = " ".join(subprocess.run(["pdftotext", "-layout", str(out), "-"], capture_output=True, text=True, check=True)
                    .stdout.split())
    assert hashlib.sha256(attached).hexdigest() == outcome.report.sha256
    for said in (outcome.run, "failed", "Two files differ.", outcome.deviations[0], team.lead.user,
                 outcome.report.sha256, hashlib.sha256(policy).hexdigest()):
        assert said in text or said[:24] in text, said


# -- The checks behind OQ: each protection taken away once ---------------------------------------------------------


@req("OPS-03", "VAL-04")
def test_a_clock_that_is_always_believed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.clock.AHEAD_LIMIT_US", 10**13)
    monkeypatch.setattr("core.clock.BACK_LIMIT_US", 10**13)

    assert not rehearsal.clock_step().passed


@req("OPS-02", "VAL-04")
def test_a_restored_home_that_appends_at_once_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("countersign.standstill.Standstill.because", lambda self: None)

    assert not rehearsal.restore_drill().passed


@req("SIG-08", "VAL-04")
def test_a_login_that_never_ends_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("countersign.web.accounts.IDLE_US", 10**13)

    assert not rehearsal.session_and_proof().passed


@req("REC-01", "VAL-04")
def test_a_live_record_with_another_beginning_is_found(house: HouseUnderTest) -> None:
    size, root = rehearsal.standing_of(house.house)
    assert rehearsal.live_record_kept(house.house, (size, root)).passed

    assert not rehearsal.live_record_kept(house.house, (size, "0" * 64)).passed
    assert not rehearsal.live_record_kept(house.house, (size + 1, root)).passed
