"""The shipped procedures name commands, acts and words that the system has."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer
from fastapi.routing import APIRoute
from typer.core import TyperArgument, TyperOption
from typer.testing import CliRunner

import countersign.words  # noqa: F401  declares every word
from audit.vocabulary.registry import REGISTRY
from core.access.training import NEVER_GOVERNED
from core.policy.table import TABLE
from countersign.cli import GROUPS, app
from countersign.web import (
    corrections,
    drift,
    exports,
    keys,
    models,
    pages,
    past,
    procedures,
    quality,
    reviews,
    signing,
    training,
    validation,
)
from sops import texts
from tests.req import req

TEMPLATES = texts.templates()
SPAN = re.compile(r"`([^`]+)`")
PAGES = {
    route.path
    for module in (corrections, drift, exports, keys, models, pages, past, procedures, quality, reviews, signing,
                   training, validation)
    for route in module.router.routes if isinstance(route, APIRoute)
}
WORD = re.compile(r"`([a-z_]+\.[a-z_]+)`")
# Acts and words that a procedure names already and that are not built; each leaves its list when it exists.
AWAITED_ACTS: set[str] = set()
AWAITED_WORDS: set[str] = set()


def commands_of(sop: str) -> list[list[str]]:
    """Every command as the procedure writes it, without its first word; capitals stand for what people fill in."""
    return [shlex.split(" ".join(text.split()))[1:] for text in SPAN.findall(TEMPLATES[sop].body)
            if text.startswith("countersign ")]


def found_command(words: list[str]) -> tuple[Any, list[str], list[str]]:
    """The command, how it is called, and what follows. Fails where a word of the call is none of the system's."""
    assert words[0] in GROUPS, f"there is no countersign {words[0]}"
    command = typer.main.get_command(app).get_command(None, words[0])  # type: ignore[attr-defined]
    called, rest = words[:1], words[1:]
    if getattr(command, "commands", None) and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"there is no countersign {words[0]} {rest[0]}"
        command, called, rest = command.commands[rest[0]], words[:2], rest[1:]
    return command, called, rest


@req("SOP-01")
@pytest.mark.parametrize("sop", TEMPLATES)
def test_every_command_in_a_procedure_exists_with_its_options(sop: str) -> None:
    """Typed with `--help` it answers; every option is one that it takes, and it takes as many words as are written."""
    spans = SPAN.findall(TEMPLATES[sop].body)
    nameless = [text for text in spans if re.match(r"[a-z-]+ .*--", text) and not text.startswith("countersign ")]
    assert not nameless, "a command begins with countersign"
    for words in commands_of(sop):
        command, called, rest = found_command(words)
        typed = CliRunner().invoke(app, [*called, "--help"])
        assert typed.exit_code == 0, f"{sop}: countersign {' '.join(called)} --help: {typed.output}"
        if getattr(command, "commands", None):
            assert not rest, f"{sop}: {' '.join(words)}"
            continue
        options = {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)
                   if isinstance(each, TyperOption)}
        given, wanted = 0, iter(rest)
        for word in wanted:
            if not word.startswith("-"):
                given += 1
                continue
            assert word in options, f"{sop}: countersign {' '.join(called)} takes no {word}"
            if not options[word].is_flag:
                assert next(wanted, None) is not None, f"{sop}: {word} needs a value"
        most = sum(each.nargs if each.nargs > 0 else 99 for each in command.params if isinstance(each, TyperArgument))
        assert given <= most, f"{sop}: countersign {' '.join(called)} takes {most} words, not {given}"


@req("SOP-01")
def test_every_group_of_commands_has_a_procedure_that_says_when_it_is_used() -> None:
    """`demo` is no work of an installation, and `init` comes before any document can be effective."""
    named = {words[0] for sop in TEMPLATES for words in commands_of(sop)}

    assert set(GROUPS) - {"demo", "init"} == named


@req("SOP-01")
@pytest.mark.parametrize("sop", TEMPLATES)
def test_every_page_in_a_procedure_exists(sop: str) -> None:
    body = TEMPLATES[sop].body
    assert set(re.findall(r"`(/[a-z]*)`", body)) <= PAGES
    assert not re.findall(r"the [A-Z][a-z]+ (?:screen|page)", body), "a page is named by its path"


def test_the_check_of_commands_fails_on_what_does_not_exist() -> None:
    with pytest.raises(AssertionError, match="there is no countersign sop teach"):
        found_command(["sop", "teach", "SOP-07"])
    with pytest.raises(AssertionError, match="there is no countersign train"):
        found_command(["train"])


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
