"""What is mutated, in pieces, and which quick tests are asked about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

_VECTORS = ("tests/unit/audit/test_format.py", "tests/unit/audit/test_entry_rules.py",
            "tests/unit/audit/test_trees_and_notes.py", "tests/audit/test_vectors.py")
_POLICY = ("tests/unit/policy/test_decide.py", "tests/unit/policy/test_rows.py",
           "tests/unit/policy/test_printed_table.py")
_TABLE = tuple(f"core/policy/table/{room}.py" for room in (
    "arrival", "corrections", "gates", "house", "models", "people", "privacy", "reads", "reports", "trials",
    "validation"))
_NUMBERS = "tests/unit/gates/test_gate_numbers.py"
_GATE_RULES = ("tests/unit/gates/test_gate_rules.py", "tests/unit/gates/test_what_criteria_say.py")
_ANSWERS, _SERIES = "tests/unit/gates/test_gate_answers.py", "tests/unit/gates/test_looks_and_series.py"
_MODEL = "tests/unit/gates/test_model_criteria_told.py"
_ORDER = "tests/unit/gates/test_answers_in_order.py"


@dataclass(frozen=True)
class Piece:
    """Some files (patterns of names), and the tests that should notice a change of them.

    Modules are imported once and every mutant is a fork of that. What functions compute while modules are imported
    (conditions of rows, checks of criteria) is then made already: functions named in `while_importing` are asked in
    processes that import our modules anew, which is slower.

    Whatever a test module names `before_mutants` is called once before the forks, for homes that its tests copy.
    `patience_s`: a mutant may take fifteen times the tests that reach it, and fifteen times this.
    """

    files: tuple[str, ...]
    tests: tuple[str, ...]
    while_importing: tuple[str, ...] = ()
    patience_s: float = 1.0

    def mutates(self, name: str) -> bool:
        """Whether a file is one of the piece; a folder below a pattern's is not."""
        return any(PurePath(name).match(one) and name.count("/") == one.count("/") for one in self.files)


PIECES: Mapping[str, Piece] = {
    "entry": Piece(
        ("audit/entry.py",),
        (*_VECTORS, "tests/unit/audit/test_canonical_names.py", "tests/unit/audit/test_entries_made.py")),
    "proofs": Piece(("audit/proofs.py",), (*_VECTORS, "tests/unit/audit/test_note_lines.py")),
    "policy": Piece(("core/policy/decide.py", "core/policy/state.py", "core/policy/table/__init__.py"), _POLICY,
                    ("related", "unrelated", "use_closed", "allow", "forbid")),
    "policy-conditions": Piece(
        _TABLE, (*_POLICY, "tests/unit/policy/test_conditions.py"), ("_without_gate",)),
    "policy-matrix": Piece(("core/policy/matrix.py",), ("tests/unit/policy/test_matrix_of_few_rows.py",),
                           patience_s=0.3),
    "gates-rules": Piece(("core/gates/rules.py",), (*_GATE_RULES, _NUMBERS, "tests/unit/gates/test_scopes_told.py")),
    "gates-statistics": Piece(("core/gates/statistics.py",), (_NUMBERS, "tests/unit/gates/test_bounds_told.py"),
                              patience_s=0.1),
    "gates-criteria": Piece(
        ("core/gates/criteria/__init__.py", "core/gates/criteria/findings.py"),
        (*_GATE_RULES, "tests/unit/gates/test_numbers_told.py", _MODEL), ("filed_as",)),
    "gates-criteria-model": Piece(
        ("core/gates/criteria/model.py",), (*_GATE_RULES, _MODEL)),
    "gates-criteria-evidence": Piece(
        ("core/gates/criteria/evidence.py",), (*_GATE_RULES, "tests/unit/gates/test_evidence_told.py", _MODEL)),
    "gates-criteria-trial": Piece(
        ("core/gates/criteria/trial.py",), (*_GATE_RULES, "tests/unit/gates/test_trial_criteria_told.py", _MODEL),
        ("_enough_able",)),
    "gates-usecases": Piece(
        ("core/gates/usecases.py",),
        ("tests/unit/gates/test_gate_commands.py", "tests/unit/gates/test_suspension_commands.py",
         "tests/unit/gates/test_commands_of_later_uses.py", "tests/unit/gates/test_requests_by_charter.py",
         "tests/unit/gates/test_gate_rules.py")),
    "gates-looks": Piece(
        ("core/gates/looks.py",),
        ("tests/unit/gates/test_looks_told.py", "tests/unit/gates/test_looks_at_the_record.py")),
    "gates-effects": Piece(
        ("core/gates/effects.py",),
        ("tests/unit/gates/test_gate_effects.py", "tests/unit/gates/test_effects_in_place.py",
         "tests/unit/gates/test_halts_at_events.py", "tests/unit/gates/test_halt_looks.py")),
    "gates-gathering": Piece(
        ("core/gates/gathering.py",),
        ("tests/unit/gates/test_facts_gathered.py", "tests/unit/gates/test_facts_of_a_follower.py")),
    "gates-evidence": Piece(
        ("core/gates/evidence.py",),
        ("tests/unit/gates/test_evidence_commands.py", "tests/unit/gates/test_evidence_by_role.py")),
    "gates-queries": Piece(("core/gates/queries.py",), (_ANSWERS, _ORDER)),
    "gates-bridging": Piece(("core/gates/bridging.py", "core/gates/sentinels.py"), (_ANSWERS, _SERIES, _ORDER)),
    "gates-views": Piece(("core/gates/views.py",), (_SERIES, _ORDER)),
    "gates-projections": Piece(
        ("core/gates/projections.py",),
        ("tests/unit/gates/test_gate_tables.py", "tests/unit/gates/test_rows_name_entries.py")),
    "gates-facts": Piece(("core/gates/facts.py",), _GATE_RULES),
}
