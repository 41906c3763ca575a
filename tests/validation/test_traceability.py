"""Requirement to test to evidence: generated from marks and outcomes, and a gap at high risk is not talked away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import UnusableInput
from tests.builders.validation import FakeModel, Team, approve, failing, installation, locked, passing, ready_pq, run
from tests.builders.validation import small_pq as a_pq
from tests.house import HouseUnderTest
from tests.req import req
from validation import queries, traceability

ROOT = Path(__file__).resolve().parents[2]


def state_of(matrix: list[traceability.Traced], identifier: str) -> str:
    return next(one.state for one in matrix if one.requirement.id == identifier)


@req("VAL-02")
def test_one_failed_test_outweighs_all_passed_ones() -> None:
    tests = {
        "a": {"requirements": ["REC-01", "GAT-02"], "outcome": "passed"},
        "b": {"requirements": ["REC-01"], "outcome": "failed"},
        "c": {"requirements": ["MLK-01"], "outcome": "skipped"},
    }

    matrix = traceability.traced(tests, [("R/S", "passed", ["OPS-01"])])

    assert [state_of(matrix, one) for one in ("REC-01", "GAT-02", "MLK-01", "OPS-01", "SIG-06")] == [
        "failing", "shown", "open", "shown", "elsewhere"]
    blocking = {one.requirement.id for one in traceability.gaps(matrix)}
    assert {"REC-01", "MLK-01"} <= blocking
    assert "GAT-02" not in blocking
    assert traceability.as_csv(matrix).count("\n") == 112


@req("VAL-02", "VAL-04")
def test_evidence_is_written_by_the_run_itself(tmp_path: Path) -> None:
    """Passed, failed and skipped tests, under xdist: the file says each with its requirements."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n", encoding="utf-8")
    (tmp_path / "test_claims.py").write_text(
        "import pytest\nfrom tests.req import req\n"
        "@req('REC-01')\ndef test_good() -> None:\n    pass\n"
        "@req('REC-02')\ndef test_bad() -> None:\n    assert False\n"
        "@req('REC-03')\ndef test_absent() -> None:\n    pytest.skip('no device')\n",
        encoding="utf-8",
    )
    file = tmp_path / "evidence.json"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), "-n", "1",
         "-p", "no:cacheprovider", "--evidence", str(file), str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )

    tests = traceability.read_evidence(file)

    assert {name.split("::")[1]: (one["outcome"], one["requirements"]) for name, one in tests.items()} == {
        "test_good": ("passed", ["REC-01"]), "test_bad": ("failed", ["REC-02"]), "test_absent": ("skipped", ["REC-03"])}
    said = json.loads(file.read_text(encoding="utf-8"))
    assert (said["whole"], said["collected"]) == (False, 3)
    assert said["because"].startswith("only some were asked for: paths ")
    assert "NOT WHOLE" in done.stdout
    assert "REC-01" not in done.stdout.partition("Of high risk and not shown")[2].partition("\n")[0]
    assert "REC-02 (failing)" in done.stdout


@req("VAL-02")
@pytest.mark.parametrize(
    ("spoilt", "because"), [("", ""), ("raise KeyboardInterrupt", "the run ended early"),
                            ("Path('code.txt').write_text('2')", "the code was changed")])
def test_evidence_is_whole_when_every_test_ran_on_one_code(tmp_path: Path, spoilt: str, because: str) -> None:
    """A run that was interrupted, or beside which somebody changed a file, says so of itself."""
    file = tmp_path / "e.json"
    (tmp_path / "code.txt").write_text("1", encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (tmp_path / "conftest.py").write_text(
        "import tests.evidence\nfrom pathlib import Path\n"
        "class Code:\n    def __call__(self):\n        return Path('code.txt').read_text()\n"
        "    def cache_clear(self):\n        pass\n"
        "tests.evidence.code_digest = Code()\n"
        "def pytest_configure(config):\n    config.pluginmanager.register(tests.evidence.Evidence("
        f"Path({str(file)!r}), tests.evidence.narrowing(config)), 'evidence')\n", encoding="utf-8")
    (tmp_path / "test_two.py").write_text(
        "from pathlib import Path\ndef test_one() -> None:\n    pass\n"
        f"def test_two() -> None:\n    {spoilt or 'pass'}\n", encoding="utf-8")
    subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"], cwd=tmp_path,
                   env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False)

    said = json.loads(file.read_text(encoding="utf-8"))
    assert said["whole"] is not bool(because)
    assert because in said["because"]
    outcomes = [one["outcome"] for one in said["tests"].values()]
    assert outcomes == ["passed", "failed" if "Interrupt" in spoilt else "passed"]


@req("VAL-02")
def test_a_file_that_is_no_evidence_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "e.json"
    for text in ("", "[]", json.dumps({"tests": {"a": {"outcome": "fine", "requirements": []}}})):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(UnusableInput):
            traceability.read_evidence(file)


@req("VAL-01", "VAL-13")
def test_steps_of_a_suspect_run_show_nothing(house: HouseUnderTest) -> None:
    from validation.releases import MarkSuspect, mark_suspect

    team = Team.of(house)
    approve(house, team, installation("fine", "bad"))
    outcome = run(house, team, "IQ-SMALL", checks={"fine": passing(), "bad": failing()})
    with house.desk.reading() as session:
        steps = queries.counting_steps(session)
    assert [verdict for _, verdict, _ in steps] == ["passed", "failed"]
    assert state_of(traceability.traced({}, steps), "REC-01") == "failing"

    house.commit(mark_suspect(house.desk, team.lead, MarkSuspect(outcome.run, "A patch.", "IQ")))

    with house.desk.reading() as session:
        assert queries.counting_steps(session) == []


@req("VAL-13")
def test_a_recalled_lock_makes_what_it_showed_suspect(house: HouseUnderTest) -> None:
    """The recall is a custodian's act; the suspicion follows by itself, once."""
    from audit.vocabulary.models import ModelRetired
    from core.policy.state import Decision
    from core.work import Draft, View

    team = Team.of(house)
    locked(house)
    ready_pq(house, team, a_pq())
    outcome = run(house, team, "PQ-SMALL", model=FakeModel())
    draft = Draft(
        ModelRetired(lock="LCK-TEST", model="lesion", how="recalled"), under=Decision(True, "P-00", "test", "none"),
        meaning="approval", view=View("Recall", "test", ()), reason="defect",
    )
    house.sign(team.qa, lambda session, occasion: draft)

    house.work()

    assert house.words().count("validation.suspect") == 1
    with house.desk.reading() as session:
        assert queries.run_row(session, outcome.run)["state"] == "suspect"
