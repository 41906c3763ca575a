"""Two pages shown at the same moment: what one signature changes, the other does not overrule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.access import enrolment, queries, usecases
from core.errors import AlreadyDone, CountersignError, NotFound, Refused, Stale, UnusableInput
from core.policy.state import Actor
from core.work import Proposal
from sops import texts
from sops import usecases as sops
from tests.builders import people
from tests.builders.people import OWNER, QA, THIRD
from tests.house import HouseUnderTest, a_house, checked
from tests.req import req


@pytest.fixture(scope="module")
def founded_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    with a_house(tmp_path_factory.mktemp("founded"), founding=True) as house:
        people.opened(house)
        people.active(house, "ann")
        people.active(house, "tia")
        people.granted(house, "tia", "trial_lead", trial="T1")
        house.commit(sops.draft_sop(house.desk, OWNER, sops.DraftSop(texts.template("SOP-07"), 0)))
        yield house


@pytest.fixture
def opened(founded_once: HouseUnderTest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    with checked(founded_once.copied(tmp_path)) as house:
        yield house


Prepare = Callable[[HouseUnderTest], Proposal]


def _grant(user: str, role: str, by: Actor, trial: str | None = "T1") -> Prepare:
    return lambda house: usecases.grant_role(
        house.desk, by, usecases.GrantRole(user, role, "needed", trial))


RACES: dict[str, tuple[Prepare, Prepare, str]] = {
    "two roles that exclude each other": (
        _grant("ann", "dmc_member", QA), _grant("ann", "reader", Actor("tia")), "role.granted"),
    "the same role twice": (_grant("ann", "reader", QA), _grant("ann", "reader", Actor("tia")), "role.granted"),
    "two reviewers of one version": (
        lambda house: sops.review_sop(house.desk, QA, "SOP-07"),
        lambda house: sops.review_sop(house.desk, THIRD, "SOP-07"), "sop.reviewed"),
    "two drafts of one number": (
        lambda house: sops.draft_sop(house.desk, OWNER, sops.DraftSop(texts.template("SOP-08"), 0)),
        lambda house: sops.draft_sop(house.desk, THIRD, sops.DraftSop(texts.template("SOP-08"), 0)), "sop.drafted"),
    "an id registered twice": (
        lambda house: enrolment.register_person(
            house.desk, OWNER, enrolment.RegisterPerson("ben", "Ben (test)", "passport")),
        lambda house: enrolment.register_person(
            house.desk, QA, enrolment.RegisterPerson("ben", "Benno (test)", "passport")), "person.registered"),
    "an account closed while its holder signs": (
        lambda house: usecases.close_account(house.desk, QA, "ann", "left"),
        lambda house: sops.complete_training(house.desk, Actor("ann"), sops.CompleteTraining("SOP-01")),
        "person.closed"),
    "a role taken while its holder grants": (
        lambda house: usecases.revoke_role(house.desk, QA, usecases.GrantRole("tia", "trial_lead", "ends", "T1")),
        _grant("ann", "reader", Actor("tia")), "role.revoked"),
}


@req("ACC-03", "ACC-04", "SIG-09")
@pytest.mark.parametrize("race", RACES)
def test_of_two_signatures_that_exclude_each_other_exactly_one_is_recorded(opened: HouseUnderTest, race: str) -> None:
    """Everything is asked again under the lock (RECORD 2): the later signature finds the earlier one."""
    first, second, word = RACES[race]
    pages = first(opened), second(opened)
    before = opened.words()

    opened.commit(pages[0])
    with pytest.raises((Refused, Stale, AlreadyDone, UnusableInput, NotFound)) as refusal:
        opened.commit(pages[1])

    assert isinstance(refusal.value, CountersignError)
    after = opened.words()[len(before):]
    assert after.count(word) == 1
    assert set(after) <= {word, "identity.checked", "key.revoked", "action.refused"}
    with opened.desk.reading() as session:
        assert len(queries.grants_of(session, "ann")) <= 1
