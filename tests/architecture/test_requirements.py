"""The spine of validation is well formed, and a test cannot claim a requirement that does not exist."""

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


def test_a_mark_needs_a_well_formed_identifier() -> None:
    """`@req` without an identifier, or with a sentence, is refused when the module is read."""
    with pytest.raises(ValueError, match="no requirement"):
        req()
    with pytest.raises(ValueError, match="no requirement identifier"):
        req("gates open in order")
