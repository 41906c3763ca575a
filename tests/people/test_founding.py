"""From `init` every act of founding is reachable by three people, by no two, and nothing leads back."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from audit.signatures import Proof
from core.access import enrolment, founding, queries, recovery, usecases
from core.access.roles import Grant, may_grant
from core.access.rules import Account, Founder, Installation, opening_gaps
from core.errors import AlreadyDone, NotAuthenticated, Refused, UnusableInput
from core.policy.decide import decide
from core.policy.state import Actor, Facts, HouseState
from core.policy.table import TABLE
from sops import rules as sop_rules
from sops import usecases as sops
from sops.rules import State
from sops.texts import template
from tests.builders import people
from tests.builders.people import OWNER, QA
from tests.house import PASSWORD, HouseUnderTest, a_house
from tests.req import req

# -- a small model of founding whose every yes and no comes from the real tables ------------------------------------


@dataclass(frozen=True)
class Model:
    """What founding has come to. `accounts` in the order owner, qa, third, …"""

    accounts: tuple[tuple[str, Account | None], ...]
    roles: frozenset[tuple[str, str]]
    founded: frozenset[str] = frozenset()
    opened: tuple[str, ...] = ()
    sop: State | None = None
    author: str = ""
    reviewer: str = ""
    trained: frozenset[str] = frozenset()
    over: bool = False  # an act that only ends something; not followed further

    def account(self, user: str) -> Account | None:
        return dict(self.accounts)[user]

    def with_account(self, user: str, account: Account) -> Model:
        return replace(self, accounts=tuple((who, account if who == user else now) for who, now in self.accounts))

    def may(self, user: str, action: str, *relations: str) -> bool:
        """The real policy table on the facts of the model."""
        state = HouseState.OPENED if len(self.opened) == 2 else HouseState.FOUNDING
        known = set(relations)
        active = self.account(user) is Account.ACTIVE
        stating = action in ("accountability.state", "installation.found") and self.account(user) is Account.ENROLLED
        if not active and not stating:
            known.add("inactive")
        if len(self.founded) < 2:
            known.add("unfounded")
        held = frozenset(role for who, role in self.roles if who == user)
        untrained = self.sop is State.EFFECTIVE and action.startswith("sop.") and user not in self.trained
        gaps = dict.fromkeys(held, "untrained") if untrained else {}
        return decide(Actor(user), action, Facts(
            house=state, roles=held, gaps=gaps, relations=frozenset(known))).allowed

    def lacks(self) -> bool:
        who = tuple(
            Founder(user, account, tuple(Grant(role) for one, role in self.roles if one == user),
                    () if user in self.trained or self.sop is not State.EFFECTIVE else ("SOP-01",))
            for user, account in self.accounts if account is not None
        )
        effective = ("SOP-01",) if self.sop is State.EFFECTIVE else ()
        return bool(opening_gaps(Installation.FOUNDING, who, effective, bool(effective)))


Act = tuple[str, ...]  # word first, then who: ("key.enrolled", "third", "owner", "qa")


def acts(now: Model) -> Iterator[tuple[Act, Model]]:
    """Everything that somebody can do next."""
    if now.over or len(now.opened) == 2:
        return
    users = [user for user, _ in now.accounts]
    for who in users:
        yield from account_acts(now, who, users)
        yield from document_acts(now, who)
        if now.may(who, "installation.found", *({"signed_already"} if who in now.founded else ())):
            after = now.with_account(who, Account.ACTIVE)
            yield ("installation.founded", who), replace(after, founded=now.founded | {who})
        known = {"incomplete"} if now.lacks() else set()
        known |= {"first_signed"} if now.opened else set()
        known |= {"signed_already"} if who in now.opened else set()
        if now.may(who, "installation.open", *known):
            yield ("installation.opened", who), replace(now, opened=(*now.opened, who))


def account_acts(now: Model, who: str, users: list[str]) -> Iterator[tuple[Act, Model]]:
    if now.account(who) is Account.ENROLLED and now.may(who, "accountability.state"):
        yield ("accountability.stated", who), now.with_account(who, Account.ACTIVE)
    if now.account(who) is Account.ACTIVE and now.may(who, "password.renew"):
        yield ("password.renewed", who), replace(now, over=True)
    for user in users:
        same = {"self"} if user == who else set()
        if now.account(user) is Account.ACTIVE and now.may(who, "recovery.begin", *same):
            yield ("recovery.begun", user, who), replace(now, over=True)
        if now.account(user) is None and now.may(who, "person.register") and now.may(who, "identity.check", *same):
            yield ("person.registered", user, who), now.with_account(user, Account.CHECKED)
        for second in users:
            pair = same | ({"same_person"} if second == who else set()) | ({"self"} if user == second else set())
            if now.account(user) is Account.CHECKED and now.may(who, "key.enrol", *pair) and now.may(
                    second, "key.enrol", *pair):
                yield ("key.enrolled", user, who, second), now.with_account(user, Account.ENROLLED)
        mine = [Grant(role) for one, role in now.roles if one == who]
        able = same | ({"may_grant"} if may_grant(Grant("validation_lead"), mine) else set())
        if now.account(user) is not None and not any(one == user for one, _ in now.roles) and now.may(
                who, "role.grant", *able):
            yield ("role.granted", user, who), replace(now, roles=now.roles | {(user, "validation_lead")})
        if (user, "validation_lead") in now.roles and now.may(who, "role.revoke", *able):
            yield ("role.revoked", user, who), replace(now, over=True)
        if now.account(user) is Account.ACTIVE and now.may(who, "person.close", *same):
            yield ("person.closed", user, who), replace(now, over=True)


def document_acts(now: Model, who: str) -> Iterator[tuple[Act, Model]]:
    hands = {name for name, hand in (("author", now.author), ("reviewer", now.reviewer)) if hand == who}

    def can(action: str, word: str) -> bool:
        return sop_rules.next_state(now.sop, word) is not None and now.may(who, action, *hands)

    if can("sop.draft", "sop.drafted"):
        yield ("sop.drafted", who), replace(now, sop=State.DRAFT, author=who)
    if can("sop.review", "sop.reviewed"):
        yield ("sop.reviewed", who), replace(now, sop=State.IN_REVIEW, reviewer=who)
    if can("sop.return", "sop.returned"):
        yield ("sop.returned", who), replace(now, over=True)
    if can("sop.approve", "sop.approved"):
        yield ("sop.approved", who), replace(now, sop=State.EFFECTIVE)
    if can("sop.retire", "sop.retired"):
        yield ("sop.retired", who), replace(now, over=True)
    if now.sop is State.EFFECTIVE and who not in now.trained and now.may(who, "training.complete"):
        yield ("training.completed", who), replace(now, trained=now.trained | {who})


def paths(number: int) -> dict[str, tuple[Act, ...]]:
    """Word -> shortest path from `init` with so many people, breadth first."""
    users = ["owner", "qa", "third", "fourth"][:number]
    start = Model(
        accounts=tuple((user, Account.ENROLLED if user in ("owner", "qa") else None) for user in users),
        roles=frozenset({("owner", "system_owner"), ("qa", "qa_auditor")}),
    )
    queue: deque[tuple[Model, tuple[Act, ...]]] = deque([(start, ())])
    seen, found = {start}, dict[str, tuple[Act, ...]]()
    while queue:
        now, path = queue.popleft()
        for act, after in acts(now):
            longer: tuple[Act, ...] = (*path, act)
            word = act[0]
            done = word not in ("installation.founded", "installation.opened") or len(
                after.founded if word == "installation.founded" else after.opened) == 2
            if done and word not in found:
                found[word] = longer
            if after not in seen:
                seen.add(after)
                queue.append((after, longer))
    return found


# What people write of themselves and of documents before the installation is open. Identity is checked with the
# registration, and a document becomes effective with its approval.
FOUNDING_WORDS = {
    "installation.founded", "installation.opened", "person.registered", "person.closed", "accountability.stated",
    "role.granted", "role.revoked", "sop.drafted", "sop.reviewed", "sop.returned", "sop.approved", "sop.retired",
    "training.completed", "password.renewed", "recovery.begun",
}


@req("SIG-14", "SOP-03", "GAT-02")
def test_every_act_of_founding_is_reachable_from_init_by_three_people(capsys: pytest.CaptureFixture[str]) -> None:
    """TRIAL 1: prints the shortest path to each act with the number of people it needs."""
    by_number = {number: paths(number) for number in (2, 3)}
    for word in sorted(FOUNDING_WORDS):
        number = next((number for number in by_number if word in by_number[number]), None)
        assert number is not None, f"{word} cannot be reached by three people"
        steps = " > ".join(f"{act[0]}({', '.join(act[1:])})" for act in by_number[number][word])
        print(f"{word}: {number} people, {len(by_number[number][word])} acts: {steps}")

    printed = capsys.readouterr().out
    assert "installation.opened: 3 people" in printed
    with capsys.disabled():
        print(printed if os.environ.get("COUNTERSIGN_SHOW_PATHS") else "", end="")

    assert "installation.opened" not in by_number[2]
    assert "sop.approved" not in by_number[2]


@req("SIG-14", "SOP-03", "SIG-05")
def test_the_shortest_path_to_the_opening_is_one_that_the_real_acts_take(tmp_path: Path) -> None:
    """The path found in the model is walked through the use cases, each act signed by its own person."""
    path = paths(3)["installation.opened"]
    codes: dict[str, str] = {}
    with a_house(tmp_path, founding=True) as house:
        people.founders(house)
        for act in path:
            before = len(house.words())
            perform(house, act, codes)
            assert act[0] in house.words()[before:]

        with house.desk.reading() as session:
            assert queries.installation_state(session) is Installation.OPEN
        with pytest.raises(Refused, match="founding never returns"):
            founding.open_installation(house.desk, QA)
        with pytest.raises(Refused, match="founding never returns"):
            founding.found_installation(house.desk, OWNER)


def perform(house: HouseUnderTest, act: Act, codes: dict[str, str]) -> None:
    word, who = act[0], Actor(act[1])
    by = Actor(act[2]) if len(act) > 2 else who
    if word == "person.registered":
        codes[who.user] = people.registered(house, who.user, by)
    elif word == "key.enrolled":
        made = enrolment.enrol_key(
            house.desk, by, enrolment.EnrolKey(who.user, codes[who.user], PASSWORD, "counter"),
            witness=Actor(act[3]), witness_proof=house.proof(act[3]))
        house.secrets[who.user], house.counters[who.user] = made.key.one_time_secret, 0
        house.commit(made.proposal)
    else:
        house.commit({
            "installation.founded": lambda: founding.found_installation(house.desk, who),
            "installation.opened": lambda: founding.open_installation(house.desk, who),
            "accountability.stated": lambda: enrolment.state_accountability(house.desk, who),
            "role.granted": lambda: usecases.grant_role(
                house.desk, by, usecases.GrantRole(who.user, "validation_lead", "needed")),
            "sop.drafted": lambda: sops.draft_sop(
                house.desk, who, sops.DraftSop(template("SOP-01"), 0)),
            "sop.reviewed": lambda: sops.review_sop(house.desk, who, "SOP-01"),
            "sop.approved": lambda: sops.approve_sop(house.desk, who, "SOP-01"),
            "training.completed": lambda: sops.complete_training(
                house.desk, who, sops.CompleteTraining("SOP-01")),
        }[word]())


# -- what founding refuses --------------------------------------------------------------------------------------------


@req("SIG-14")
def test_opening_too_early_names_every_gap_and_who_can_supply_it(tmp_path: Path) -> None:
    with a_house(tmp_path, founding=True) as house:
        people.founded(house)

        with pytest.raises(Refused) as refusal:
            founding.open_installation(house.desk, OWNER)

        assert refusal.value.rule == "F-107"
        for part in ("1 missing", "system_owner: countersign user add", "No SOP is effective", "countersign sop draft"):
            assert part in refusal.value.fact
        assert house.words()[-1] == "action.refused"


@req("SIG-05", "SIG-14")
def test_founding_needs_two_people_and_qa_opens_last(tmp_path: Path) -> None:
    with a_house(tmp_path, founding=True) as house:
        people.founders(house)
        with pytest.raises(Refused, match="not active"):
            people.registered(house, "ann")
        house.commit(founding.found_installation(house.desk, OWNER))
        with pytest.raises(Refused, match="another person"):
            founding.found_installation(house.desk, OWNER)
        with pytest.raises(Refused, match="not founded"):
            people.registered(house, "ann")
        house.commit(founding.found_installation(house.desk, QA))
        with pytest.raises(Refused):
            founding.found_installation(house.desk, QA)
        third = people.active(house, "third")
        people.granted(house, "third", "validation_lead")
        people.effective_sop(house, "SOP-01", author=third, reviewer=OWNER)
        for one in (OWNER, QA, third):
            people.trained(house, one, "SOP-01")

        with pytest.raises(Refused):
            founding.open_installation(house.desk, QA)
        house.commit(founding.open_installation(house.desk, OWNER))
        with pytest.raises(Refused):
            founding.open_installation(house.desk, third)
        house.commit(founding.open_installation(house.desk, QA))

        first, last = [each.body for each in house.entries() if each.body["action"] == "installation.opened"]
        assert (first["actor"], last["actor"]) == ("owner", "qa")
        assert last["fields"]["first"] == first["id"]


@req("SIG-05")
def test_enrolments_by_the_root_key_alone_are_flagged_and_happen_once(tmp_path: Path) -> None:
    """RECORD 4: root alone only at init; the flag stays in the record."""
    with a_house(tmp_path, founding=True) as house:
        people.founders(house)
        flagged = [each.body for each in house.entries()
                   if each.body["action"] == "key.enrolled" and each.body["fields"]["class"] == "person"]
        assert [each["fields"]["at_init"] for each in flagged] == [True, True]
        assert all(len(each["proofs"]) == 1 for each in flagged)

        with pytest.raises(AlreadyDone):
            people.founders(house)
        with pytest.raises(UnusableInput, match="two people"):
            founding.enrol_founders(
                house.desk, founding.Founder("one", "One", "grey harbour, nine lamps"),
                founding.Founder("one", "One", "grey harbour, nine lamps"))


@req("GAT-03")
def test_only_the_words_of_founding_are_permitted_in_founding() -> None:
    """Every permit row in force in founding is for an act of founding, the record's upkeep, or validation."""
    nouns = {"person", "identity", "key", "password", "recovery", "accountability", "role", "sop", "training",
             "installation", "ledger", "clock", "backup"}
    validation = {"protocol", "run", "step", "deviation", "capa", "evidence", "release", "requirements", "validation",
                  "qualification"}
    for rule in TABLE:
        if rule.effect == "permit" and HouseState.FOUNDING in rule.house and rule.id != "P-03":
            assert {action.split(".")[0] for action in rule.actions} <= nouns | validation, rule.id


@req("REC-01", "SOP-03")
def test_founding_and_its_tables_are_the_same_on_postgresql(tmp_path: Path) -> None:
    """The whole founding, a lock-out and a recovery on the production store; the exit check folds it all again."""
    from tests.conftest import need

    need("postgres")
    from tests.postgres import fresh_database

    with a_house(tmp_path, fresh_database(), founding=True) as house:
        people.opened(house)
        people.active(house, "ann")
        house.commit(recovery.begin_recovery(house.desk, OWNER, recovery.BeginRecovery("ann", "lost", "passport")))
        for _ in range(5):
            with pytest.raises(NotAuthenticated):
                house.desk.commit(sops.complete_training(house.desk, QA, sops.CompleteTraining("SOP-01")),
                                  Proof("wrong password, wrong", "000000"))

        assert house.words()[-1] == "person.locked_out"
        with house.desk.reading() as session:
            assert queries.installation_state(session) is Installation.OPEN
