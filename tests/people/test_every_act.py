"""From `init` every act of the policy table is reached: by which path, and by how many people (TRIAL 1)."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from unittest.mock import patch

import pytest
from typer.testing import CliRunner

from audit.vocabulary.registry import REGISTRY
from core.access.roles import ROLES, exclusion
from core.gates.rules import signers_of
from core.policy import matrix
from core.policy.decide import decide
from core.policy.state import Actor, Facts, HouseState, Rule, Stage
from core.policy.table import TABLE
from countersign.acts import ACTS, FOLLOWING, LEAVES, needed
from countersign.cli import GROUPS, app
from tests.req import req

#: What the policy permits to no person: these are asked so that the refusal is on record (TRIAL 2).
NEVER = frozenset({"ai.accept_all", "ai.break_tie", "ai.select_subject", "ai.write_eligibility"})
#: What a person is to an act because of an earlier act of the same person, in the words of the policy table.
PERSONAL = {"author", "reviewer", "preparer", "requester", "tester", "decider", "own_upload", "reader_of_subject",
            "corrector", "orderer"}
#: Personal relations that follow from no act on the path: the owner of an action is named in it, a deviation may arise
#: in a run of one's own, who places seeds reads nothing later, and who ran a protocol is who signs its report.
STATED = {("capa.close", "owner"), ("deviation.close", "tester"), ("seed.place", "reader_of_subject"),
          ("validation.sign_report", "tester")}
#: Acts of the house alone; every other act is a person's.
OF_SERVICES = {"ai.run", "ai.seal_read", "ai.enter_result", "series.receive", "subject.use", "object.export"}
#: What moves a trial on (core/trials/rules.py), and what the gates of a trial open.
STAGES = {"trial.created": Stage.SET_UP, "trial.activated": Stage.LIVE, "database.soft_locked": Stage.SOFT_LOCKED,
          "database.locked": Stage.LOCKED}
USES = frozenset({"qc", "cohort", "secondary:E", "primary:E"})


@dataclass(frozen=True)
class Seat:
    """One signature on a path: an act, its place among the act's signatures, and the roles that could give it."""

    action: str
    place: int
    roles: frozenset[str]


def path_to(action: str) -> tuple[str, ...]:
    """The acts from `init` to an action, itself last; each word has one act that leaves it, so none is shorter."""
    return (*(LEAVES[word] for word in needed(ACTS[action].after) if word in LEAVES), action)


def situation(words: Iterable[str], role: str, relations: Iterable[str] = ()) -> Facts:
    """The facts of an act that comes after these words."""
    known = set(words)
    stage = None
    for word, after in STAGES.items():
        stage = after if word in known else stage
    return Facts(
        house=HouseState.OPENED if "installation.opened" in known else HouseState.FOUNDING,
        trial="T1" if stage else None, stage=stage, roles=frozenset({role}), relations=frozenset(relations),
        uses_open=USES if "gate.opened" in known else frozenset())


def seats_of(action: str, words: Iterable[str], table: Sequence[Rule] = TABLE) -> Iterator[Seat]:
    """The signatures of an act in this situation; no roles where the policy permits nobody."""
    act = ACTS[action]
    for place, asked in enumerate(act.signers or (None,)):
        relations = {*act.being, *(("first_signed",) if place else ())}
        may = {role for role in ROLES if asked in (None, role)
               and decide(Actor("somebody"), action, situation(words, role, relations), table).allowed}
        yield Seat(action, place, frozenset(may - {"service"}))


def walked(action: str, table: Sequence[Rule] = TABLE) -> list[Seat]:
    """The signatures on the path to an act, each permitted by the policy when its turn comes."""
    seats, words = [], set[str]()
    for step in path_to(action):
        assert set(ACTS[step].after) <= words, (action, step)
        if step in OF_SERVICES:
            assert decide(Actor.of_service("house"), step, situation(words, "", ACTS[step].being), table).allowed
        else:
            here = list(seats_of(step, words, table))
            assert all(seat.roles for seat in here), f"{step} on the path to {action}: nobody may"
            seats += here
        words.add(ACTS[step].word or step)
        while fresh := {word for word, after in FOLLOWING.items() if set(after) <= words} - words:
            words |= fresh
    return seats


def conflicts(one: Seat, other: Seat) -> bool:
    """Whether one person may not give both signatures: two of one act, or the policy refuses who did the other."""
    if one.action == other.action:
        return one.place != other.place
    for later, earlier in ((one, other), (other, one)):
        for _, action in ACTS[later.action].apart.items():
            if action == earlier.action:
                return True
    return False


def fewest(action: str) -> tuple[dict[Seat, int], list[set[str]]]:
    """Who signs what with the fewest people, and the roles that each of them holds.

    The first two are the founders, owner and QA; everybody else is granted roles by QA, or by a lead that QA granted.
    """
    order = seats_to_fill(action)
    for number in itertools.count(of_different_people(order)):
        found = _seated(order, {}, [{"system_owner"}, {"qa_auditor"}, *(set() for _ in range(number - 2))])
        if found is not None:
            return found
        assert number < 12, action
    raise AssertionError


def seats_to_fill(action: str) -> list[Seat]:
    """The signatures on a path; of those that nothing keeps apart and that the same roles may give, one."""
    seats = list(dict.fromkeys(walked(action)))
    bound = [one for one in seats if any(conflicts(one, other) for other in seats)]
    free = {one.roles: one for one in seats if one not in bound}
    return sorted([*bound, *free.values()], key=lambda one: len(one.roles))


def of_different_people(seats: list[Seat]) -> int:
    """A number of people below which it cannot go: signatures no two of which one person may give."""
    chosen: list[Seat] = []
    for seat in sorted(seats, key=lambda one: -sum(conflicts(one, other) for other in seats)):
        if all(conflicts(seat, other) or all(
                exclusion(mine, theirs) for mine in seat.roles for theirs in other.roles) for other in chosen):
            chosen.append(seat)
    return max(2, len(chosen))


def _seated(
    seats: list[Seat], taken: dict[Seat, int], held: list[set[str]]
) -> tuple[dict[Seat, int], list[set[str]]] | None:
    if not seats:
        return (taken, held) if _grantable(held) else None
    seat, rest = seats[0], seats[1:]
    barred = {person for other, person in taken.items() if conflicts(seat, other)}
    empty = next((number for number, roles in enumerate(held) if not roles), len(held))
    # A role already held is tried before a new one, and of the people without any role only the first.
    options = sorted(
        ((person, role) for person in range(min(empty + 1, len(held))) if person not in barred for role in seat.roles),
        key=lambda each: each[1] not in held[each[0]])
    for person, role in options:
        if any(exclusion(role, other) for other in held[person]):
            continue
        after = [roles | {role} if number == person else roles for number, roles in enumerate(held)]
        if (found := _seated(rest, taken | {seat: person}, after)) is not None:
            return found
    return None


def _grantable(held: list[set[str]]) -> bool:
    """Nobody grants to themself: somebody else may grant each role; owner and QA have their first at init."""
    first = [{"system_owner"}, {"qa_auditor"}]
    return all(
        any(roles & set(ROLES[role].granted_by) for other, roles in enumerate(held) if other != person)
        for person, mine in enumerate(held) for role in mine - (first[person] if person < 2 else set()))


@req("SIG-14", "GAT-02", "ACC-02")
def test_every_act_of_the_policy_table_has_its_row_and_no_other_has() -> None:
    """An act that is added to the policy without a way to it fails here."""
    assert set(ACTS) | NEVER == set(matrix.actions())
    assert not set(ACTS) & NEVER
    for action in NEVER:
        for role in ROLES:
            assert not decide(Actor("somebody"), action, situation(LEAVES, role)).allowed


@req("SIG-14", "SIG-04", "ACC-02")
def test_the_rows_name_who_the_policy_keeps_apart() -> None:
    """Each relation of a person to an act has its earlier act, and the policy does refuse whoever did it."""
    for action, act in ACTS.items():
        asked = set(matrix.relations(action))
        personal = {name for name in asked & PERSONAL if (action, name) not in STATED}
        assert personal == set(act.apart) & PERSONAL, action
        for name, earlier in act.apart.items():
            assert earlier in ACTS
            for role in ROLES:
                facts = situation(act.after, role, {*act.being, name})
                assert not decide(Actor("somebody"), action, facts).allowed, (action, name, role)
        assert set(act.being) <= asked, action


@req("REC-01", "SIG-14")
def test_words_and_commands_of_the_rows_are_real() -> None:
    known = {name for name, _ in REGISTRY}
    named = {*LEAVES, *FOLLOWING, *(word for act in ACTS.values() for word in act.after)}
    assert {word.partition(" as ")[0] for word in named} <= known
    assert {word for act in ACTS.values() for word in act.after} <= {*LEAVES, *FOLLOWING}
    for action, act in ACTS.items():
        group, _, name = act.command.partition(" ")
        if not group:
            continue
        assert group in GROUPS, (action, act.command)
        offered = CliRunner().invoke(app, [group, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
        assert not name or re.search(rf"\b{re.escape(name)}\b", offered), (action, act.command)


@req("SIG-14", "SOP-03", "GAT-02")
def test_every_act_is_reached_from_init_and_the_path_says_how_many_people_it_needs(
    capsys: pytest.CaptureFixture[str]
) -> None:
    """TRIAL 1. Of each act the shortest path is printed (COUNTERSIGN_SHOW_PATHS=1), and the fewest people for it."""
    people: dict[str, int] = {}
    for action in sorted(ACTS):
        path = path_to(action)
        _, held = fewest(action)
        people[action] = len([roles for roles in held if roles])
        print(f"{action}: {people[action]} people, {len(path)} acts: {' > '.join(path)}")

    printed = capsys.readouterr().out
    with capsys.disabled():
        print(printed if os.environ.get("COUNTERSIGN_SHOW_PATHS") else "", end="")
    assert printed.count("\n") == len(ACTS) == len(matrix.actions()) - len(NEVER)
    assert people["installation.found"] == 2
    assert people["installation.open"] == 3
    assert min(people[action] for action in ACTS if "installation.open" in path_to(action)) == 3


@req("GAT-02", "SIG-04")
@pytest.mark.parametrize(("use", "number"), [(1, 3), (2, 4), (3, 6), (4, 8)])
def test_the_people_that_a_gate_needs_grow_with_its_signers(use: int, number: int) -> None:
    """Distinct signers, and the owner of the installation, who signs nothing in a trial."""
    with patch.dict(ACTS, {"gate.sign": replace(ACTS["gate.sign"], signers=signers_of(use))}):
        _, held = fewest("gate.sign")

    assert len(held) == number == len(signers_of(use)) + 1


@req("SIG-14", "GAT-02")
@pytest.mark.parametrize(("action", "roles"), [
    ("installation.open", {"system_owner", "qa_auditor"}), ("read.adjudicate", {"adjudicator", "reader"}),
    ("gate.sign", {"trial_lead", "qa_auditor"}), ("unblinding.do", {"unblinded_statistician", "statistician"}),
    ("waiver.approve", {"imaging_lead", "qa_auditor"})])
def test_with_one_person_fewer_the_act_is_not_reached(action: str, roles: set[str]) -> None:
    """The number is the least: nobody can be left out, and every role the act needs is held by somebody."""
    taken, held = fewest(action)
    number = len(held)
    order = seats_to_fill(action)

    assert roles <= set().union(*held)
    assert number == 2 or _seated(
        order, {}, [{"system_owner"}, {"qa_auditor"}, *(set() for _ in range(number - 3))]) is None
    for one, other in itertools.combinations(taken, 2):
        assert taken[one] != taken[other] or not conflicts(one, other)
    for mine in held:
        assert not any(exclusion(one, other) for one, other in itertools.combinations(mine, 2))


@req("ACC-02")
@pytest.mark.parametrize(("row", "step", "action"), [
    ("P-204", "charter.approve", "read.seal"), ("P-110", "installation.open", "trial.create"),
    ("P-206", "trial.activate", "gate.sign"), ("P-803", "report.approve", "report.stamp")])
def test_a_row_taken_out_of_the_policy_leaves_acts_that_nobody_reaches(row: str, step: str, action: str) -> None:
    """The walk asks the real table at every step: it says at which one it ends."""
    without = tuple(rule for rule in TABLE if rule.id != row)

    assert len(without) == len(TABLE) - 1
    assert walked(action)
    with pytest.raises(AssertionError, match=f"{step} on the path to {action}: nobody may"):
        walked(action, without)
