"""Every act of the policy table is asked by product code: a door in the table alone keeps nobody out."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from core.policy import matrix
from core.policy.table import TABLE
from tests.architecture.test_reach import product
from tests.req import req

#: Modules that list acts, describe them or ask about all of them, and so ask none where it happens.
LISTING = ("core.policy.", "audit.", "countersign.acts", "countersign.qualification", "countersign.demonstration.")
# Acts that no product code asks, each for the reason given; an entry that is asked again must leave this list.
CONSOLE = "the console of the machine: it names no person to ask about, and who sits there can read the files anyway"
UNASKED: Mapping[str, str] = {
    "gate.see": CONSOLE, "ledger.verify": CONSOLE, "model.verify": CONSOLE,
    "ledger.rebuild": f"{CONSOLE}; it makes the tables equal to the record, or says that they are",
    "object.export": "no export of objects exists in this release (design record 0099); the row stands for the first",
}


def asked(sources: Mapping[str, str]) -> set[str]:
    """The acts that stand as a value in a module's code: not in its docstrings, and not as the mere name under which a
    refusal is put on record (`asked=`)."""
    acts = set(matrix.actions())
    found: set[str] = set()
    for name, source in sources.items():
        if name.startswith(LISTING) or not any(act in source for act in acts):
            continue
        idle, said = set[int](), dict[int, str]()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call):
                idle |= {id(each.value) for each in node.keywords if each.arg == "asked"}
            elif isinstance(node, ast.Expr):
                idle.add(id(node.value))
            elif isinstance(node, ast.Constant) and node.value in acts:
                said[id(node)] = str(node.value)
        found |= {act for node, act in said.items() if node not in idle}
    return found


@req("ACC-02", "GAT-03")
def test_every_act_of_the_policy_table_is_asked_by_the_product() -> None:
    """A new row without its question fails here, and so does a reason that is needed no more."""
    found = asked(product())

    assert set(matrix.actions()) - found == set(UNASKED)


@req("ACC-02", "GAT-03")
def test_a_door_that_nobody_asks_any_more_is_told() -> None:
    """Take the question out of one page of code: the name under which a refusal is recorded does not stand for it."""
    name, source = "models_registry.showing", product()["models_registry.showing"]
    assert asked({name: source}) == {"ai.show_in_qc"}
    changed = source.replace('DOOR = "ai.show_in_qc"', 'DOOR = ""').replace("asked=DOOR", 'asked="ai.show_in_qc"')

    assert changed.count("ai.show_in_qc") == 1
    assert asked({name: changed}) == set()


@req("GAT-03", "RDG-09")
def test_every_door_of_ai_is_asked() -> None:
    """TRIAL 2, row "refused at every door": none of the doors of AI stands on the list of reasons."""
    doors = {action for rule in TABLE for action in rule.actions if action.startswith("ai.") and action != "ai.*"}

    assert len(doors) == 11
    assert not doors & set(UNASKED)
