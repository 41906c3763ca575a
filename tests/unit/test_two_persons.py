"""What every act of two persons shares: which signature waits, and who may give the second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import in_words
from core.errors import Refused
from core.policy.state import Actor, Facts
from core.two_persons import OneSignature, permit_signature, waiting
from tests.req import req

FIRST = OneSignature("e-1", 7, "owner", "system_owner", False, in_words(1_000_000_000_000_000))


def facts(*roles: str):
    return lambda relations: Facts(roles=frozenset(roles), relations=relations)


@given(st.booleans(), st.integers(-10**12, 10**12))
def test_only_a_first_signature_waits_and_only_until_its_time_is_over(second: bool, late_us: int) -> None:
    one = OneSignature("e-1", 7, "owner", "system_owner", second, FIRST.at)
    since = 1_000_000_000_000_000 + late_us
    assert (waiting(one, since_us=since) == one) is (not second and late_us <= 0)
    assert (waiting(one) == one) is (not second)
    assert waiting(None) is None


@req("SIG-09", "ACC-04")
@pytest.mark.parametrize("action", ["key.sign_rotation", "seals.renew", "seals.recover"])
def test_the_second_is_another_person_in_the_other_role_and_of_the_newest_first(action: str) -> None:
    """The table of acts says no for each of them; without them both roles may sign."""
    assert permit_signature(Actor("qa"), action, facts("qa_auditor"), FIRST, newest=FIRST).role == "qa_auditor"
    assert permit_signature(Actor("owner"), action, facts("system_owner"), None).role == "system_owner"
    with pytest.raises(Refused, match="role"):
        permit_signature(Actor("owner-2"), action, facts("system_owner"), FIRST)
    with pytest.raises(Refused):
        permit_signature(Actor("owner"), action, facts("system_owner"), FIRST)
    if action != "key.sign_rotation":
        later = OneSignature("e-2", 9, "owner", "system_owner", False, FIRST.at)
        with pytest.raises(Refused):
            permit_signature(Actor("qa"), action, facts("qa_auditor"), FIRST, newest=later)


@req("SIG-09")
def test_nobody_signs_both_parts_whatever_roles_they_hold() -> None:
    for action, rule in (("key.sign_rotation", "F-115"), ("seal.open_early", "F-536"), ("test_set.open", "F-711")):
        with pytest.raises(Refused) as refusal:
            permit_signature(Actor("owner"), action, facts("system_owner", "qa_auditor", "imaging_lead"), FIRST)
        assert refusal.value.rule == rule
