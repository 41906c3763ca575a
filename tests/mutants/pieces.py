"""What is mutated, in pieces, and which quick tests are asked about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_FORMAT = ("tests/unit/audit", "tests/audit/test_vectors.py")
_POLICY = ("tests/unit/policy",)
_GATE_RULES = ("tests/unit/gates/test_gate_rules.py",)


@dataclass(frozen=True)
class Piece:
    """Some files, and the tests that should notice a change of them.

    Modules are imported once and every mutant is a fork of that. What functions compute while modules are imported
    (conditions of rows, checks of criteria) is then made already: functions named in `while_importing` are asked in
    processes that import our modules anew, which is slower.
    """

    files: tuple[str, ...]
    tests: tuple[str, ...]
    while_importing: tuple[str, ...] = ()


PIECES: Mapping[str, Piece] = {
    "entry": Piece(("audit/entry.py",), _FORMAT),
    "proofs": Piece(("audit/proofs.py",), _FORMAT),
    "policy": Piece(("core/policy/decide.py", "core/policy/state.py", "core/policy/matrix.py"), _POLICY,
                    ("related", "unrelated", "use_closed", "allow", "forbid")),
    "gates-criteria": Piece(("core/gates/criteria.py",), _GATE_RULES, ("_filed", "_able")),
    "gates-rules": Piece(("core/gates/rules.py", "core/gates/statistics.py"), _GATE_RULES),
}
