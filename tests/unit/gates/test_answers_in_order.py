"""Answers come in the order of uses, of openings and of entries, whatever order the rows lie in."""

from __future__ import annotations

from core.gates import queries, views
from core.gates.bridging import predecessor
from tests.builders.folded import Folded
from tests.builders.reads import TRIAL
from tests.req import req
from tests.unit.gates.test_gate_tables import opened, requested


@req("GAT-01")
def test_gates_are_listed_by_use_before_their_names() -> None:
    record = Folded()
    for gate, use in (("A", 3), ("C", 1), ("B", 1)):
        record.say(requested(gate, use, None))

    assert [one.gate for one in queries.gates_of(record.session, TRIAL)] == ["B", "C", "A"]


@req("MLK-08")
def test_the_lock_before_is_told_by_openings_and_not_by_requests() -> None:
    """The gate that was asked for first may open last."""
    record = Folded()
    for gate in ("1", "2", "3"):
        record.say(requested(f"G-{gate}", lock=f"LCK-{gate}"))
    for gate in ("2", "1", "3"):
        record.say(opened(f"G-{gate}", lock=f"LCK-{gate}"))

    assert {lock: predecessor(record.session, TRIAL, 3, "volume", f"LCK-{lock}") for lock in ("1", "2", "3", "4")} == {
        "1": "LCK-2", "2": None, "3": "LCK-1", "4": "LCK-3"}


@req("SIG-05", "GAT-02")
def test_a_view_is_rendered_by_the_page_that_it_names() -> None:
    gate = views.gate("Request", "T-1", "G-1", 1, None, "all", "LCK-1", [], "study")
    act = views.act("Gate revoked", "gates/act", ("Gate", "G-1"), ("Reason", "misuse"))

    assert (gate.title, gate.template) == ("Request", "gates/sign")
    assert (act.title, act.template, act.lines) == (
        "Gate revoked", "gates/act", (("Gate", "G-1"), ("Reason", "misuse")))
