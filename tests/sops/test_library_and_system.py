"""The shipped procedures name commands, acts and words that the system has."""

from __future__ import annotations

import importlib.util
import re

import pytest
import typer

import countersign.words  # noqa: F401  declares every word
from audit.vocabulary.registry import REGISTRY
from core.access.training import NEVER_GOVERNED
from core.policy.table import TABLE
from countersign.cli import GROUPS, app
from sops import texts
from tests.req import req

TEMPLATES = texts.templates()
COMMAND = re.compile(r"`countersign ([a-z]+)(?: ([a-z][a-z-]*[a-z])\b)?")
WORD = re.compile(r"`([a-z_]+\.[a-z_]+)`")
# Acts that a procedure governs already and that a later issue builds; each leaves this list when it exists.
AWAITED_ACTS = {"training.plan"}
AWAITED_WORDS = {
    "study.reassigned", "cut.frozen",
    "allocation.imported", "unblinding.done",
}


def commands_of(sop: str) -> set[tuple[str, str]]:
    return {(match.group(1), match.group(2) or "") for match in COMMAND.finditer(TEMPLATES[sop].body)}


@req("SOP-01")
@pytest.mark.parametrize("sop", TEMPLATES)
def test_every_command_in_a_procedure_exists(sop: str) -> None:
    """Where the room of a command is built, its sub-command is there; the first word is always a declared one."""
    group = typer.main.get_command(app)
    for first, second in sorted(commands_of(sop)):
        assert first in GROUPS, f"{sop} names countersign {first}"
        if importlib.util.find_spec(f"countersign.cli.{GROUPS[first][0]}") is None:
            continue
        found = group.get_command(None, first)  # type: ignore[attr-defined]
        known = getattr(found, "commands", {})
        if second and known:
            assert second in known, f"{sop} names countersign {first} {second}; known: {', '.join(known)}"


@req("SOP-03")
@pytest.mark.parametrize("sop", TEMPLATES)
def test_every_act_that_a_procedure_governs_is_in_the_policy_table(sop: str) -> None:
    """A pattern that fits nothing would govern nothing, unseen."""
    acts = {action for rule in TABLE for action in rule.actions}
    governed = set(TEMPLATES[sop].governs)

    assert governed <= acts | AWAITED_ACTS, governed - acts
    assert not governed & NEVER_GOVERNED
    assert not AWAITED_ACTS & acts, "now built: take it off the list"


@req("SOP-03")
@pytest.mark.parametrize("sop", TEMPLATES)
def test_a_procedure_applies_to_the_roles_that_may_do_its_acts(sop: str) -> None:
    """Everybody whom the policy permits a governed act is bound by the procedure: nobody acts untrained by a gap."""
    document = TEMPLATES[sop]
    for action in document.governs:
        permitted = {
            role for rule in TABLE if rule.effect == "permit" and action in rule.actions for role in rule.roles
        } - {"*", "service", "inspector", "site_user", "sponsor_viewer", "dmc_member"}
        if document.applies_to:
            assert permitted <= set(document.applies_to), f"{sop}: {action} by {permitted - set(document.applies_to)}"


@req("SOP-02")
@pytest.mark.parametrize("sop", TEMPLATES)
def test_the_records_that_a_procedure_names_are_words_of_the_ledger(sop: str) -> None:
    words = {name for name, _ in REGISTRY}
    named = set(WORD.findall(TEMPLATES[sop].body.split("## Records")[1]))

    assert named, "a procedure without records leaves no trace"
    assert named <= words | AWAITED_WORDS, named - words
    assert not AWAITED_WORDS & words, "now a word: take it off the list"
