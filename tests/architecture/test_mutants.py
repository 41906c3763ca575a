"""The kept report of mutation testing is what its results and reasons give, and explains every mutant that survives."""

from __future__ import annotations

import ast

import pytest

from tests.mutants import report
from tests.mutants.pieces import PIECES


def test_the_report_is_written_from_the_results_and_leaves_no_survivor_unexplained() -> None:
    kept, why = report.results(), report.reasons()

    assert report.complaints(kept, why) == []
    assert report.REPORT.read_text(encoding="utf-8") == report.rendered(kept, why), "`make mutants` writes the report."


@pytest.mark.parametrize(("run", "why", "said"), [
    ({"committed": True}, {}, "f.py: f (survived)\n  - a\n  + b"),
    ({"committed": False}, {("f.py", "f", "a", "b"): "same"}, "entry: was run on files that are in no commit."),
    ({"committed": True}, {("f.py", "f", "a", "b"): "same", ("f.py", "g", "a", "b"): "gone"},
     "reasons.yaml explains what no run found: f.py | g | a | b"),
])
def test_what_a_report_lacks_is_told(
    run: dict[str, bool], why: dict[tuple[str, str, str, str], str], said: str
) -> None:
    unnoticed = [{"function": "f", "status": "survived", "before": "a", "after": "b"}]
    found = {"counts": {"survived": 1}, "unnoticed": unnoticed, "time_limit": []}
    kept = {"piece": "entry", "mutants": {"f.py": found}} | run

    assert report.complaints([kept], why) == [said]


def files_to_be_mutated() -> list[str]:
    """Ours in which a wrong answer opens a gate, lets a person act or accepts an entry; not those of a docstring."""
    root = report.REPORT.parents[2]
    found = ["audit/entry.py", "audit/proofs.py"]
    for path in (*root.glob("core/policy/**/*.py"), *root.glob("core/gates/**/*.py")):
        statements = ast.parse(path.read_text(encoding="utf-8")).body
        if any(not isinstance(one, ast.Expr) for one in statements):
            found.append(path.relative_to(root).as_posix())
    return found


def test_no_file_of_entries_proofs_policy_or_gates_is_left_out_and_every_piece_was_run() -> None:
    files = files_to_be_mutated()

    assert len(files) > 30
    assert [one for one in files if not any(piece.mutates(one) for piece in PIECES.values())] == []
    assert [name for name in PIECES if name not in {run["piece"] for run in report.results()}] == []


def test_every_piece_names_files_and_tests_that_are_there() -> None:
    root = report.REPORT.parents[2]
    for piece in PIECES.values():
        assert all(list(root.glob(one)) for one in piece.files)
        assert all((root / one).exists() for one in piece.tests)
