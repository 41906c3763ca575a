"""What is mutated, in pieces, and which quick tests are asked about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

_VECTORS = ("tests/unit/audit/test_format.py", "tests/unit/audit/test_entry_rules.py",
            "tests/unit/audit/test_trees_and_notes.py", "tests/audit/test_vectors.py")
_POLICY = ("tests/unit/policy/test_decide.py", "tests/unit/policy/test_rows.py")
_NUMBERS = "tests/unit/gates/test_gate_numbers.py"
_GATE_RULES = ("tests/unit/gates/test_gate_rules.py", "tests/unit/gates/test_what_criteria_say.py")


@dataclass(frozen=True)
class Piece:
    """Some files (patterns of names), and the tests that should notice a change of them.

    Modules are imported once and every mutant is a fork of that. What functions compute while modules are imported
    (conditions of rows, checks of criteria) is then made already: functions named in `while_importing` are asked in
    processes that import our modules anew, which is slower.
    """

    files: tuple[str, ...]
    tests: tuple[str, ...]
    while_importing: tuple[str, ...] = ()

    def mutates(self, name: str) -> bool:
        """Whether a file is one of the piece; a folder below a pattern's is not."""
        return any(PurePath(name).match(one) and name.count("/") == one.count("/") for one in self.files)


PIECES: Mapping[str, Piece] = {
    "entry": Piece(("audit/entry.py",), _VECTORS),
    "proofs": Piece(("audit/proofs.py",), (*_VECTORS, "tests/unit/audit/test_note_lines.py")),
    "policy": Piece(("core/policy/decide.py", "core/policy/state.py", "core/policy/table/__init__.py"), _POLICY,
                    ("related", "unrelated", "use_closed", "allow", "forbid")),
    "policy-matrix": Piece(("core/policy/matrix.py",), ("tests/unit/policy/test_matrix.py",)),
    "gates-rules": Piece(("core/gates/rules.py",), (*_GATE_RULES, _NUMBERS, "tests/unit/gates/test_scopes_told.py")),
    "gates-statistics": Piece(("core/gates/statistics.py",), (_NUMBERS,)),
    "gates-criteria": Piece(("core/gates/criteria/__init__.py", "core/gates/criteria/findings.py"), _GATE_RULES,
                            ("filed_as",)),
    "gates-criteria-model": Piece(("core/gates/criteria/model.py",), _GATE_RULES),
    "gates-criteria-evidence": Piece(("core/gates/criteria/evidence.py",), _GATE_RULES),
    "gates-criteria-trial": Piece(("core/gates/criteria/trial.py",), _GATE_RULES, ("_enough_able",)),
    "gates-facts": Piece(("core/gates/facts.py",), _GATE_RULES),
}
