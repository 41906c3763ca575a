"""Who may hold what beside what, which passwords are refused, when an account closes, how founding ends."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.access import roles, rules
from core.access.roles import ROLES, Grant, Scope
from core.access.rules import Account, Attempts, Founder, Installation
from core.policy.state import HouseState
from core.policy.table import TABLE
from tests.req import req

names = st.sampled_from(list(ROLES))
grants = st.builds(Grant, role=names, trial=st.sampled_from(["", "T1", "T2"]), site=st.sampled_from(["", "S1"]))


@req("ACC-03", "SIG-09")
@given(grants, st.lists(grants, max_size=3), st.lists(grants, max_size=4))
def test_nobody_grants_to_self(grant, held, mine):
    """Whatever somebody holds, a grant to themself is refused."""
    assert roles.grant_refusals(grant, to="ann", held=held, by="ann", by_grants=mine)


@req("ACC-09")
@given(names, st.sampled_from(["", "T1"]))
def test_who_may_see_the_allocation_does_no_blinded_work_in_that_trial(other, trial):
    for sees in sorted(roles.SEES_ALLOCATION):
        refusals = roles.grant_refusals(
            Grant(other, trial, "S1" if ROLES[other].scope is Scope.SITE and trial else ""), to="ben",
            held=[Grant(sees, "T1")], by="ann", by_grants=[Grant("qa_auditor"), Grant("system_owner")])
        if other in roles.IMAGE_WORKERS | roles.CHARTER_EDITORS | roles.GATE_SIGNERS:
            assert refusals, f"{sees} beside {other}"


@req("ACC-09")
def test_the_exclusion_is_of_the_trial_not_of_the_person():
    refusals = roles.grant_refusals(
        Grant("reader", "T2"), to="ben", held=[Grant("dmc_member", "T1")], by="ann", by_grants=[Grant("qa_auditor")])

    assert refusals == ()


@req("ACC-03")
@given(names)
def test_a_system_owner_holds_nothing_else(other):
    if other != "system_owner":
        assert roles.exclusion("system_owner", other)
        assert roles.exclusion(other, "system_owner")


@req("ACC-02")
@given(grants)
def test_a_grant_is_never_wider_than_its_role(grant):
    refused = roles.scope_refusal(grant) is not None
    scope = ROLES[grant.role].scope

    if grant.site and not grant.trial:
        assert refused
    elif scope is Scope.HOUSE:
        assert refused == bool(grant.trial)
    elif scope is Scope.TRIAL:
        assert refused == (not grant.trial)
    elif scope is Scope.SITE:
        assert refused == (not grant.site)


@req("ACC-02")
def test_a_lead_of_one_trial_grants_nothing_in_another():
    lead = [Grant("trial_lead", "T1")]

    assert not roles.grant_refusals(Grant("reader", "T1"), to="ben", held=(), by="ann", by_grants=lead)
    assert roles.grant_refusals(Grant("reader", "T2"), to="ben", held=(), by="ann", by_grants=lead) == (
        "Reader is granted by: imaging_lead, trial_lead, qa_auditor.",)


@req("ACC-02")
def test_an_investigator_grants_only_at_their_own_site():
    mine = [Grant("investigator", "T1", "S1")]

    assert roles.may_grant(Grant("site_user", "T1", "S1"), mine)
    assert not roles.may_grant(Grant("site_user", "T1", "S2"), mine)


@req("ACC-03")
def test_the_system_owner_alone_gives_nobody_a_view_of_a_trial():
    owner = [Grant("system_owner")]
    given_by_owner = {name for name in ROLES if roles.may_grant(Grant(name, "T1", "S1"), owner)}

    assert given_by_owner == {"qa_auditor", "service"}


@req("ACC-01")
def test_the_catalogue_is_the_one_of_the_design():
    assert list(ROLES) == [
        "system_owner", "qa_auditor", "trial_lead", "imaging_lead", "validation_lead", "model_custodian",
        "statistician", "unblinded_statistician", "medical_monitor", "regulatory", "data_manager", "qc_technologist",
        "coordinator", "reader", "adjudicator", "investigator", "site_user", "monitor", "sponsor_viewer",
        "dmc_member", "inspector", "privacy_officer", "service"]
    assert {name for name in ROLES if roles.is_untrained(name)} == {
        "inspector", "dmc_member", "sponsor_viewer", "site_user", "service"}
    for role in ROLES.values():
        assert set(role.granted_by) <= set(ROLES)


@req("SOP-04")
def test_delegation_is_for_trial_work_and_not_for_lookers_on():
    assert roles.needs_delegation("reader", "T1")
    assert not roles.needs_delegation("inspector", "T1")
    assert not roles.needs_delegation("validation_lead", "")
    assert roles.may_delegate("reader", "imaging_lead")
    assert not roles.may_delegate("trial_lead", "trial_lead")


# -- passwords ---------------------------------------------------------------------------------------------------


@req("SIG-10")
@pytest.mark.parametrize(("password", "because"), [
    ("short-Pass1", "at least 12"),
    ("aaaaaaaaaaaaaaaaaa", "different characters"),
    ("abcdefghijklmnop", "first that are guessed"),
    ("Password1234!", "first that are guessed"),
    ("my-reader-1-secret", "user id"),
    ("long demonstration words", "part of your name"),
    ("with a \x07 bell inside", "control characters"),
    ("x" * 64 + "y" * 65, "at most 128"),
])
def test_a_guessable_signing_password_is_refused_with_its_reason(password, because):
    reasons = rules.password_refusals(password, "reader-1", "Reader 1 (demonstration)")

    assert any(because in reason for reason in reasons)


@req("SIG-10")
@given(st.text(min_size=1, max_size=40))
def test_a_reason_never_repeats_the_password(password):
    reasons = rules.password_refusals(password, "reader-1", "Reader One")

    others = [rules.password_refusals(each, "reader-1", "Reader One")
              for each in ("q", "a" * 200, "abcdefghijklmnop", "my-reader-1-\x07")]
    assert set(reasons) <= {reason for each in others for reason in each}


@req("SIG-10")
def test_a_long_ordinary_phrase_is_accepted_and_ages():
    assert rules.password_refusals("grey harbour, nine lamps", "reader-1", "Reader 1 (demonstration)") == []
    born = datetime(2026, 1, 1, tzinfo=UTC)
    assert not rules.password_is_old(born, born + timedelta(days=365))
    assert rules.password_is_old(born, born + timedelta(days=366))


# -- lock-out ----------------------------------------------------------------------------------------------------


@req("SIG-11", "ACC-06")
@given(st.lists(st.integers(0, 10 * 60 * 1_000_000), min_size=1, max_size=30))
def test_no_pace_of_guessing_gives_more_than_five_tries_in_fifteen_minutes(pauses):
    """Guesses made while locked count for nothing; whatever the pauses, five failures are followed by a closed time."""
    attempts, now, tried = Attempts(), 0, []
    for pause in pauses:
        now += pause
        if not attempts.locked(now):
            attempts = rules.after_failure(attempts, now)
            tried.append(now)

    for fifth, sixth in zip(tried[4::5], tried[5::5], strict=False):
        assert sixth - fifth >= rules.LOCK_US


@req("SIG-04")
@pytest.mark.parametrize("user", ["R", "Reader-1", "reader--1", "-reader", "reader-", "root", "re ader", "x" * 41,
                                  "réader"])
def test_an_unusable_user_id_is_refused(user):
    assert rules.user_id_refusal(user)


@req("SIG-05", "SIG-14")
def test_nobody_becomes_active_without_identity_key_and_accountability():
    """Every path to an active account holds the three, in this order."""
    paths: list[tuple[tuple[str, ...], Account | None]] = [((), None)]
    for _ in range(6):
        paths += [
            ((*taken, word), after) for taken, state in paths for (before, word), after in rules.ACCOUNTS.items()
            if before == state and len(taken) < 6]
    active = [taken for taken, state in paths if state is Account.ACTIVE]

    assert active
    for taken in active:
        in_order = tuple(word for word in dict.fromkeys(taken) if word != "recovery.begun")
        assert in_order == ("person.registered", "identity.checked", "key.enrolled", "accountability.stated")
        if "recovery.begun" in taken:
            assert "key.enrolled" in taken[taken.index("recovery.begun"):], "the lost key is not the one that counts"


# -- founding ----------------------------------------------------------------------------------------------------


def _people(*, third: Account = Account.ACTIVE, untrained: tuple[str, ...] = ()) -> tuple[Founder, ...]:
    return (
        Founder("owner", Account.ACTIVE, grants=(Grant("system_owner"),)),
        Founder("qa", Account.ACTIVE, grants=(Grant("qa_auditor"),)),
        Founder("third", third, grants=(Grant("validation_lead"),), untrained_in=untrained),
    )


@req("SIG-14", "SOP-03")
def test_an_installation_opens_only_when_nothing_is_missing():
    assert rules.opening_gaps(Installation.FOUNDING, _people(), ("SOP-01",), True) == ()


@req("SIG-14", "SOP-03")
@pytest.mark.parametrize(("people", "sops", "document_sop", "what", "who"), [
    (_people()[:2], ("SOP-01",), True, "1 missing", "user add"),
    (_people(third=Account.ENROLLED), ("SOP-01",), True, "third is enrolled", "third: countersign user state"),
    (_people(untrained=("SOP-01",)), ("SOP-01",), True, "read-and-understood on SOP-01",
     "third: countersign sop train"),
    (_people(), (), False, "No SOP is effective", "sop draft"),
    (_people(), ("SOP-07",), False, "governs the approval of documents", "SOP-01"),
    ((*_people()[1:], Founder("x", Account.ACTIVE)), ("SOP-01",), True,
     "Nobody holds the role system_owner", "role grant"),
    ((*_people(), Founder("x", Account.ACTIVE)), ("SOP-01",), True, "x holds no role", "role grant"),
])
def test_what_is_missing_is_named_with_the_one_who_can_supply_it(people, sops, document_sop, what, who):
    gaps = rules.opening_gaps(Installation.FOUNDING, people, sops, document_sop)

    assert any(what in gap.what and who in gap.supplied_by for gap in gaps)


@req("GAT-03")
def test_founding_never_returns_and_no_trial_exists_in_it():
    assert rules.opening_gaps(Installation.OPEN, _people(), ("SOP-01",), True)
    possible = {action for rule in TABLE if rule.effect == "permit" and HouseState.FOUNDING in rule.house
                for action in rule.actions}
    assert {"person.register", "sop.approve", "training.complete", "protocol.approve"} <= possible
    for noun in ("trial", "charter", "series", "quality", "model", "ai", "gate", "read", "delegation", "access"):
        assert not [action for action in possible if action.startswith(f"{noun}.")]
