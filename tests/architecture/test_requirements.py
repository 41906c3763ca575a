"""The spine of validation is well formed, and a test cannot claim a requirement that does not exist."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.req import req

ROOT = Path(__file__).resolve().parents[2]


def rows() -> list[dict[str, object]]:
    document = yaml.safe_load((ROOT / "validation" / "requirements.yaml").read_text(encoding="utf-8"))
    listed: list[dict[str, object]] = document["requirements"]
    return listed


@req("VAL-01")
def test_every_requirement_is_complete_and_named_once() -> None:
    """111 rows; each with text, risk, method and at least one clause, read or to be confirmed."""
    listed = rows()

    assert len(listed) == len({row["id"] for row in listed}) == 111
    for row in listed:
        assert set(row) == {"id", "risk", "method", "text", "clauses", "to_confirm"}
        assert row["risk"] in ("H", "M", "L")
        assert row["method"] in ("test", "inspection", "procedure")
        assert str(row["text"]).endswith(".")
        assert row["clauses"] or row["to_confirm"]


@req("VAL-02")
def test_collection_fails_on_an_invented_requirement(tmp_path: Path) -> None:
    """A test that claims GAT-99 stops the whole run before anything is executed."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n", encoding="utf-8")
    (tmp_path / "test_claim.py").write_text(
        "from tests.req import req\n\n@req('GAT-99')\ndef test_claim() -> None:\n    pass\n", encoding="utf-8"
    )

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-c",
            str(ROOT / "pyproject.toml"),
            "--rootdir",
            str(tmp_path),
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            str(tmp_path),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode != 0
    assert "GAT-99" in done.stdout + done.stderr
    assert "1 passed" not in done.stdout


def named_by_tests() -> set[str]:
    """The requirements that the marks of the tests' own files name."""
    return {
        argument.value
        for path in (ROOT / "tests").rglob("test_*.py") for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "req"
        for argument in node.args if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


def named_by_steps() -> tuple[set[str], set[str]]:
    """The requirements that the shipped protocols' steps name: automatic ones, and those that a person carries out."""
    steps = [
        step for path in (ROOT / "validation" / "protocols").glob("*.yaml")
        for step in yaml.safe_load(path.read_text(encoding="utf-8")).get("steps", ())
    ]
    by_hand = {one for step in steps if "manual" in step for one in step["requirements"]}
    return {one for step in steps if "manual" not in step for one in step["requirements"]}, by_hand


@req("VAL-02")
def test_every_requirement_has_a_test_or_a_step_of_a_protocol() -> None:
    """By its method: what is to be tested has a test; a procedure or inspection a test, a check, or a step by hand."""
    tests = named_by_tests()
    automatic, by_hand = named_by_steps()
    known = {str(row["id"]) for row in rows()}
    tested = {str(row["id"]) for row in rows() if row["method"] == "test"}

    assert tested - tests == set(), "no test names them"
    assert known - tests - automatic - by_hand == set(), "neither a test nor a step names them"
    assert (automatic | by_hand) <= known, "a step names what is no requirement"


def test_a_mark_needs_a_well_formed_identifier() -> None:
    """`@req` without an identifier, or with a sentence, is refused when the module is read."""
    with pytest.raises(ValueError, match="no requirement"):
        req()
    with pytest.raises(ValueError, match="no requirement identifier"):
        req("gates open in order")
