"""People as they live in the record: who may become able to sign, who gives what to whom, and who is stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from audit.signatures import Proof
from audit.vocabulary.ledger import ClockStepped
from core.access import enrolment, queries, recovery, usecases
from core.access.roles import Grant
from core.errors import AlreadyDone, NotAuthenticated, NotFound, Refused, UnusableInput
from core.ledger_check import check_store
from core.ledger_queries import SessionReader
from core.policy.decide import decide, permit
from core.policy.state import Actor, Facts, HouseState
from core.work import Draft, Occasion, View
from sops import usecases as sops
from tests.builders import people
from tests.builders.people import OWNER, QA
from tests.house import ORIGIN, PASSWORD, HouseUnderTest, a_house, checked
from tests.req import req

TRIAL = "T1"


@pytest.fixture(scope="module")
def founded_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    """An installation founded and opened by the real acts of three people."""
    with a_house(tmp_path_factory.mktemp("founded"), founding=True) as house:
        people.opened(house)
        yield house


@pytest.fixture
def opened(founded_once: HouseUnderTest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    """A copy of it for each test."""
    with checked(founded_once.copied(tmp_path)) as house:
        yield house


def standing(house: HouseUnderTest, user: str, action: str, trial: str | None = None) -> Facts:
    with house.desk.reading() as session:
        return queries.standing(session, Actor(user), trial, action)


# -- becoming able to sign -------------------------------------------------------------------------------------------


@req("SIG-05", "SIG-14")
def test_a_person_becomes_active_step_by_step_and_acts_in_nothing_before(opened: HouseUnderTest) -> None:
    """Registered and checked, key with two proofs, accountability: each is an entry, and none can be left out."""
    ann = people.enrolled(opened, "ann")
    people.granted(opened, "ann", "validation_lead")
    assert "inactive" in standing(opened, "ann", "sop.draft").relations
    with pytest.raises(Refused, match="not active"):
        opened.commit(sops.draft_sop(opened.desk, ann, sops.DraftSop(sops_template("SOP-01"))))

    opened.commit(enrolment.state_accountability(opened.desk, ann))

    assert "inactive" not in standing(opened, "ann", "sop.draft").relations
    with pytest.raises(UnusableInput, match="ann is active"):
        enrolment.state_accountability(opened.desk, ann)


def sops_template(number: str) -> Any:
    from sops.texts import template

    return template(number)


@req("SIG-05", "SIG-04")
def test_an_enrolment_is_proved_by_the_new_key_and_two_other_persons(opened: HouseUnderTest) -> None:
    """RECORD 4: the entry is signed by one person and carries the proofs of another and of the key itself."""
    people.enrolled(opened, "ann")

    entry = [each for each in opened.entries() if each.body["action"] == "key.enrolled"][-1]
    signer = opened.house.signer
    assert entry.body["actor"] == OWNER.user
    assert [proof["kid"] for proof in entry.body["proofs"]] == [
        signer.kid_of_person(QA.user), signer.kid_of_person("ann")]
    assert entry.body["fields"]["identity"] == "passport"
    assert "at_init" not in entry.body["fields"]


@req("SIG-05", "SIG-09")
def test_one_person_cannot_enrol_another_alone(opened: HouseUnderTest) -> None:
    """The second proof must be another person's; no key is left behind by the attempt."""
    code = people.registered(opened, "ann")

    with pytest.raises(Refused, match="two other persons"):
        enrolment.enrol_key(opened.desk, OWNER, enrolment.EnrolKey("ann", code, PASSWORD), witness=OWNER,
                            witness_proof=opened.proof("owner"))

    with pytest.raises(NotFound):
        opened.house.signer.kid_of_person("ann")
    assert opened.words()[-1] == "action.refused"


@req("SIG-05")
def test_a_replayed_enrolment_code_is_refused(opened: HouseUnderTest) -> None:
    """A one-time code makes one key; the code of another person, a wrong and a late one make none."""
    code = people.registered(opened, "ann")
    other = people.registered(opened, "ben")

    def attempt(user: str, given: str) -> None:
        enrolment.enrol_key(opened.desk, OWNER, enrolment.EnrolKey(user, given, PASSWORD, "counter"), witness=QA,
                            witness_proof=opened.proof("qa"))

    with pytest.raises(NotAuthenticated, match="wrong"):
        attempt("ann", other)
    made = enrolment.enrol_key(opened.desk, OWNER, enrolment.EnrolKey("ann", code.lower(), PASSWORD, "counter"),
                               witness=QA, witness_proof=opened.proof("qa"))
    opened.commit(made.proposal)
    with pytest.raises(AlreadyDone, match="used up"):
        attempt("ann", code)

    opened.clock.advance(hours=73)
    with pytest.raises(NotAuthenticated, match="too old"):
        attempt("ben", other)
    assert opened.words().count("key.enrolled") == 9 + 2 + 1 + 1


@req("SIG-05", "SIG-11")
def test_a_wrong_proof_of_the_second_person_enrols_nobody_and_is_on_record(opened: HouseUnderTest) -> None:
    code = people.registered(opened, "ann")

    with pytest.raises(NotAuthenticated):
        enrolment.enrol_key(opened.desk, OWNER, enrolment.EnrolKey("ann", code, PASSWORD), witness=QA,
                            witness_proof=Proof("not the password", "000000"))

    refused = opened.entries()[-1]
    assert refused.body["action"] == "action.refused"
    assert refused.body["on_behalf_of"] == QA.user
    people_key = [each for each in opened.entries() if each.body["fields"].get("holder") == "ann"]
    assert people_key == []


@req("SIG-10")
def test_a_weak_signing_password_makes_no_key_and_every_reason_is_named(opened: HouseUnderTest) -> None:
    code = people.registered(opened, "ann")

    with pytest.raises(UnusableInput) as refusal:
        enrolment.enrol_key(opened.desk, OWNER, enrolment.EnrolKey("ann", code, "ann1"), witness=QA,
                            witness_proof=opened.proof("qa"))

    assert "at least 12" in refusal.value.fact
    assert "user id" in refusal.value.fact


@req("SIG-04")
def test_a_user_id_is_never_given_twice(opened: HouseUnderTest) -> None:
    """Not even after the account was closed (21 CFR 11.100(a))."""
    people.active(opened, "ann")
    opened.commit(usecases.close_account(opened.desk, OWNER, "ann", "left the organisation"))

    with pytest.raises(AlreadyDone, match="never given a second time"):
        people.registered(opened, "ann")


@req("SIG-05")
def test_a_new_code_after_the_first_ran_out_lets_the_person_enrol(opened: HouseUnderTest) -> None:
    people.registered(opened, "ann")
    opened.clock.advance(hours=80)
    code = enrolment.new_code()
    opened.commit(enrolment.check_identity(opened.desk, QA, "ann", "staff_badge", code))

    made = enrolment.enrol_key(opened.desk, OWNER, enrolment.EnrolKey("ann", code, PASSWORD, "counter"), witness=QA,
                               witness_proof=opened.proof("qa"))
    opened.commit(made.proposal)

    assert opened.words()[-1] == "key.enrolled"


@req("SIG-10", "SIG-05")
def test_a_lost_key_is_recovered_by_two_persons_after_a_day_and_says_so_for_ever(opened: HouseUnderTest) -> None:
    """RECORD 4: the old key is revoked at once, the new one waits, and the enrolment is marked as a recovery."""
    ann = people.active(opened, "ann")
    old = opened.house.signer.kid_of_person("ann")
    command = recovery.BeginRecovery("ann", "second factor lost", "staff_badge")
    with pytest.raises(Refused, match="not on its holder"):
        recovery.begin_recovery(opened.desk, OWNER, recovery.BeginRecovery("owner", "mine", "passport"))
    opened.commit(recovery.begin_recovery(opened.desk, OWNER, command))
    assert opened.words()[-2:] == ["recovery.begun", "key.revoked"]
    with pytest.raises((Refused, NotFound)):
        usecase_training(opened, ann)

    def enrol(witness: Actor = QA) -> None:
        made = enrolment.enrol_key(
            opened.desk, OWNER, enrolment.EnrolKey("ann", command.code, "nine lamps, grey harbour", "counter"),
            witness=witness, witness_proof=opened.proof(witness.user))
        opened.secrets["ann"], opened.counters["ann"] = made.key.one_time_secret, 0
        opened.commit(made.proposal)

    with pytest.raises(UnusableInput, match="so that its holder can object"):
        enrol()
    opened.clock.advance(hours=25)
    with pytest.raises(Refused, match="two other persons"):
        enrol(witness=OWNER)
    enrol()

    entry = opened.entries()[-1].body
    assert entry["action"] == "key.enrolled"
    assert entry["fields"]["recovered"] is True
    assert len(entry["proofs"]) == 2
    assert opened.house.signer.kid_of_person("ann") != old
    with opened.desk.reading() as session:
        assert "enrolled by others after an earlier one was lost" in check_store(
            SessionReader(session), ORIGIN).in_words()
    assert "inactive" in standing(opened, "ann", "training.complete").relations, "the new key is tested by a statement"
    proof = Proof("nine lamps, grey harbour", opened.proof("ann").code)
    opened.desk.commit(enrolment.state_accountability(opened.desk, ann), proof)
    assert "inactive" not in standing(opened, "ann", "training.complete").relations


# -- nobody signs for somebody else ----------------------------------------------------------------------------------


@req("SIG-09")
def test_an_administrator_cannot_sign_for_a_user(opened: HouseUnderTest) -> None:
    """With the owner's own proof, a changed table and the house's keys at hand, no entry of another person comes about.

    21 CFR 11.200(a)(2): the signature of a person can be made by that person only.
    """
    ann = people.active(opened, "ann")
    proposal = sops.complete_training(opened.desk, ann, sops.CompleteTraining("SOP-01"))
    with pytest.raises(NotAuthenticated):
        opened.desk.commit(proposal, opened.proof("owner"))

    record = opened.house.home / "signer" / "person"
    (record / "ann.json").write_bytes((record / "owner.json").read_bytes())
    proposal = sops.complete_training(opened.desk, ann, sops.CompleteTraining("SOP-01"))
    with pytest.raises((NotAuthenticated, Refused)):
        opened.desk.commit(proposal, opened.proof("owner"))

    with opened.desk.open(Actor.of_service("house"), on_behalf_of="ann", asked="training.complete") as work:
        facts = queries.standing(work.session, Actor.of_service("house"), None, "training.complete")
        decision = decide(Actor.of_service("house"), "training.complete", facts)
    assert decision.rule == "F-111"
    assert not [each for each in opened.entries() if each.body["action"] == "training.completed"
                and each.body["actor"] == "ann"]


@req("SIG-11", "ACC-06")
def test_five_wrong_passwords_close_signing_and_both_are_on_record(opened: HouseUnderTest) -> None:
    """21 CFR 11.300(d): attempts are entries at once, and so is the lock-out; the right proof is then refused too."""
    ann = people.active(opened, "ann")

    def attempt(proof: Proof) -> None:
        opened.desk.commit(sops.complete_training(opened.desk, ann, sops.CompleteTraining("SOP-01")), proof)

    for left in (4, 3, 2, 1, 0):
        with pytest.raises(NotAuthenticated) as failure:
            attempt(Proof("wrong password, wrong", "000000"))
        assert (f"{left} attempts left" if left else "Signing is closed until") in failure.value.fact
    with pytest.raises(NotAuthenticated, match="locked until"):
        attempt(opened.proof("ann"))

    locked = [each.body for each in opened.entries() if each.body["action"] == "person.locked_out"]
    assert [(each["fields"]["user"], each["fields"]["failures"]) for each in locked] == [("ann", 5)]
    refused = [each.body for each in opened.entries() if each.body["action"] == "action.refused"]
    assert {each["on_behalf_of"] for each in refused} == {"ann"}
    opened.clock.advance(minutes=16)
    attempt(opened.proof("ann"))


@req("SIG-10")
def test_a_signing_password_ages_and_is_renewed_by_its_holder_alone(opened: HouseUnderTest) -> None:
    """21 CFR 11.300(b): an outdated password signs nothing but its own renewal; the key stays the same."""
    ann = people.active(opened, "ann")
    kid = opened.house.signer.kid_of_person("ann")
    training = usecase_training(opened, ann)
    opened.commit(training)
    opened.clock.advance(days=366)
    with opened.desk.open(Actor.of_service("house")) as work:
        allowed = decide(Actor.of_service("house"), "clock.confirm", Facts())
        work.record(ClockStepped(microseconds=0, because="a year went by"), under=allowed)
    with pytest.raises(Refused, match="older than the installation allows"):
        usecase_training(opened, ann)

    with pytest.raises(NotAuthenticated):
        recovery.renew_password(opened.desk, ann, Proof("a wrong old password", "000000"), "nine lamps, grey harbour")
    with pytest.raises(UnusableInput, match="is the old one"):
        recovery.renew_password(opened.desk, ann, Proof(PASSWORD, "000000"), PASSWORD)
    recovery.renew_password(opened.desk, ann, opened.proof("ann"), "nine lamps, grey harbour")

    assert opened.words()[-1] == "password.renewed"
    assert opened.house.signer.kid_of_person("ann") == kid
    page = usecase_training(opened, ann)
    with pytest.raises(NotAuthenticated):
        opened.desk.commit(page, opened.proof("ann"))
    code = opened.proof("ann").code
    opened.desk.commit(page, Proof("nine lamps, grey harbour", code))


def usecase_training(house: HouseUnderTest, actor: Actor) -> Any:
    return sops.complete_training(house.desk, actor, sops.CompleteTraining("SOP-01"))


# -- roles -----------------------------------------------------------------------------------------------------------


@req("ACC-03", "ACC-04")
def test_nobody_grants_a_role_to_themself(opened: HouseUnderTest) -> None:
    with pytest.raises(Refused, match="themself") as refusal:
        people.granted(opened, "qa", "trial_lead", by=QA, trial=TRIAL)

    assert refusal.value.rule == "F-101"
    assert opened.words()[-1] == "action.refused"


@req("ACC-03", "ACC-09")
@pytest.mark.parametrize(("first", "second", "because"), [
    ("dmc_member", "reader", "must not know"),
    ("reader", "unblinded_statistician", "must not know"),
    ("inspector", "adjudicator", "takes no part"),
])
def test_roles_that_exclude_each_other_are_not_held_together(
    opened: HouseUnderTest, first: str, second: str, because: str
) -> None:
    people.active(opened, "ann")
    people.granted(opened, "ann", first, trial=TRIAL)

    with pytest.raises(Refused, match=because) as refusal:
        people.granted(opened, "ann", second, trial=TRIAL)

    assert refusal.value.rule == "F-102"


@req("ACC-02", "ACC-03")
def test_a_role_is_granted_only_by_those_who_may_and_where_it_belongs(opened: HouseUnderTest) -> None:
    people.active(opened, "ann")
    with pytest.raises(Refused, match="granted by: imaging_lead, trial_lead, qa_auditor"):
        people.granted(opened, "ann", "reader", by=OWNER, trial=TRIAL)
    with pytest.raises(Refused, match="granted per trial"):
        people.granted(opened, "ann", "reader")
    with pytest.raises(Refused, match="name the trial and the site"):
        people.granted(opened, "ann", "investigator", trial=TRIAL)
    with pytest.raises(Refused, match="no role `king`"):
        people.granted(opened, "ann", "king")

    assert standing(opened, "ann", "read.seal", TRIAL).roles == frozenset()


@req("ACC-04")
def test_a_revoked_role_ends_at_once_and_stays_on_record(opened: HouseUnderTest) -> None:
    people.active(opened, "ann")
    people.granted(opened, "ann", "reader", trial=TRIAL)
    assert standing(opened, "ann", "read.seal", TRIAL).roles == {"reader"}

    opened.commit(usecases.revoke_role(
        opened.desk, QA, usecases.GrantRole("ann", "reader", "assigned elsewhere", TRIAL)))

    assert standing(opened, "ann", "read.seal", TRIAL).roles == frozenset()
    assert opened.words().count("role.granted") == 4
    with pytest.raises(NotFound, match="does not hold"):
        usecases.revoke_role(opened.desk, QA, usecases.GrantRole("ann", "reader", "again", TRIAL))


@req("SOP-04")
def test_a_role_granted_by_qa_waits_for_the_leads_delegation(opened: HouseUnderTest) -> None:
    """The grant opens the door of the system; the tasks are delegated by the one who answers for them."""
    lead = people.active(opened, "tia")
    people.granted(opened, "tia", "trial_lead", trial=TRIAL)
    people.active(opened, "ann")
    people.granted(opened, "ann", "reader", trial=TRIAL)
    facts = standing(opened, "ann", "read.seal", TRIAL)
    assert "not delegated" in facts.gaps["reader"]
    assert "tia: countersign role delegate ann reader --trial T1" in facts.gaps["reader"]

    opened.commit(usecases.delegate_tasks(
        opened.desk, lead, usecases.DelegateTasks("ann", "reader", TRIAL, "2026-01-01", "2026-12-31")))

    assert standing(opened, "ann", "read.seal", TRIAL).gaps == {}
    with opened.desk.reading() as session:
        found = queries.basis(session, "ann", "reader", "read.seal", TRIAL)
    assert found.delegation == opened.entries()[-1].body["id"]
    opened.clock.advance(days=400)
    opened.commit(enrolment.register_person(
        opened.desk, OWNER, enrolment.RegisterPerson("later", "Later (test)", "passport")))
    assert "not delegated" in standing(opened, "ann", "read.seal", TRIAL).gaps["reader"]


@req("SOP-04")
def test_a_grant_by_the_trial_lead_delegates_with_the_same_signature_and_can_be_taken_back(
    opened: HouseUnderTest,
) -> None:
    lead = people.active(opened, "tia")
    people.granted(opened, "tia", "trial_lead", trial=TRIAL)
    people.active(opened, "ann")
    people.granted(opened, "ann", "reader", by=lead, trial=TRIAL)
    assert standing(opened, "ann", "read.seal", TRIAL).gaps == {}

    opened.commit(usecases.end_delegation(
        opened.desk, lead, usecases.GrantRole("ann", "reader", "maternity leave", TRIAL)))

    assert "not delegated" in standing(opened, "ann", "read.seal", TRIAL).gaps["reader"]


@req("SOP-04", "ACC-02")
def test_a_lead_delegates_in_their_own_trial_only_and_never_to_themself(opened: HouseUnderTest) -> None:
    lead = people.active(opened, "tia")
    people.granted(opened, "tia", "trial_lead", trial=TRIAL)
    people.granted(opened, "tia", "imaging_lead", trial=TRIAL)
    people.active(opened, "ann")
    people.granted(opened, "ann", "reader", trial="T2")

    with pytest.raises(Refused):
        usecases.delegate_tasks(opened.desk, lead, usecases.DelegateTasks("ann", "reader", "T2", "2026-01-01"))
    with pytest.raises(Refused, match="themself"):
        usecases.delegate_tasks(
            opened.desk, lead, usecases.DelegateTasks("tia", "imaging_lead", TRIAL, "2026-01-01"))


@req("ACC-05")
def test_an_access_review_lists_every_grant_and_what_is_to_end(opened: HouseUnderTest) -> None:
    people.active(opened, "ann")
    people.granted(opened, "ann", "reader", trial=TRIAL)

    opened.commit(usecases.review_access(
        opened.desk, QA, "one grant is no longer needed", to_end=frozenset({("ann", Grant("reader", TRIAL))})))

    fields = opened.entries()[-1].body["fields"]
    assert fields["count"] == 4
    assert [each["user"] for each in fields["grants"] if not each["stays"]] == ["ann"]


@req("SIG-10")
def test_a_closed_account_has_no_key_and_no_standing(opened: HouseUnderTest) -> None:
    ann = people.active(opened, "ann")
    opened.commit(usecases.close_account(opened.desk, QA, "ann", "left the organisation"))

    assert opened.words()[-2:] == ["person.closed", "key.revoked"]
    with pytest.raises(Refused, match="not active"):
        sops.complete_training(opened.desk, ann, sops.CompleteTraining("SOP-01"))
    with pytest.raises(Refused):
        usecases.close_account(opened.desk, QA, "qa", "closing oneself")


@req("ACC-03")
def test_the_installation_is_never_left_without_owner_or_qa(opened: HouseUnderTest) -> None:
    """The last holder of either role is closed or revoked only after another person holds it."""
    with pytest.raises(Refused, match="another person first"):
        usecases.close_account(opened.desk, QA, "owner", "left")
    with pytest.raises(Refused, match="another person first"):
        usecases.revoke_role(opened.desk, OWNER, usecases.GrantRole("qa", "qa_auditor", "left"))

    people.active(opened, "ann")
    people.granted(opened, "ann", "qa_auditor", by=OWNER)
    opened.commit(usecases.revoke_role(opened.desk, OWNER, usecases.GrantRole("qa", "qa_auditor", "left")))

    assert standing(opened, "qa", "sop.approve").roles == frozenset()


@req("SIG-10")
def test_a_person_revokes_their_own_lost_key_at_once(opened: HouseUnderTest) -> None:
    ann = people.active(opened, "ann")

    opened.commit(usecases.revoke_key(opened.desk, ann, "ann", "token lost", suspect_from=20))

    with pytest.raises((Refused, NotFound)):
        opened.commit(sops.complete_training(opened.desk, ann, sops.CompleteTraining("SOP-01")))
    assert opened.entries()[-1].body["action"] in ("key.revoked", "action.refused")


# -- training --------------------------------------------------------------------------------------------------------


@req("SOP-03")
def test_an_untrained_person_is_refused_in_words_that_name_the_sop_and_who_can_supply_it(
    opened: HouseUnderTest,
) -> None:
    """21 CFR 11.10(i); the refusal itself is on record."""
    ann = people.active(opened, "ann")
    people.granted(opened, "ann", "validation_lead")

    with pytest.raises(Refused) as refusal:
        sops.draft_sop(opened.desk, ann, sops.DraftSop(sops_template("SOP-01")))

    assert refusal.value.rule == "F-02"
    assert "ann has not signed read-and-understood on SOP-01 version 1 (Document control)." in refusal.value.fact
    assert "countersign sop train SOP-01 --as ann" in refusal.value.fact
    assert opened.words()[-1] == "action.refused"
    people.trained(opened, ann, "SOP-01")
    opened.commit(sops.draft_sop(opened.desk, ann, sops.DraftSop(sops_template("SOP-01"))))
    assert opened.entries()[-1].body["manifest"]["trainings"]


@req("SOP-03")
def test_training_does_not_apply_to_those_who_look_on(opened: HouseUnderTest) -> None:
    people.active(opened, "ann")
    people.granted(opened, "ann", "inspector")

    assert standing(opened, "ann", "sop.draft").gaps == {}


# -- floors ----------------------------------------------------------------------------------------------------------


@req("GAT-03")
def test_before_founding_only_the_two_founders_can_sign_and_only_that(tmp_path: Path) -> None:
    with a_house(tmp_path, founding=True) as house:
        people.founders(house)
        facts = standing(house, "qa", "sop.draft")
        assert facts.house is HouseState.FOUNDING
        assert not decide(QA, "role.grant", facts).allowed
        with pytest.raises(Refused):
            permit(QA, "trial.create", standing(house, "qa", "trial.create", TRIAL))


@req("REC-01")
def test_an_account_set_active_by_sql_is_found(opened: HouseUnderTest) -> None:
    """A table is only a projection: the fold of the ledger disagrees."""
    people.registered(opened, "ann")
    with opened.desk.engine.begin() as session:
        session.execute(text("UPDATE person SET account = 'active' WHERE \"user\" = 'ann'"))

    assert opened.house.compare().tables == ("person",)

    opened.house.rebuild()


def test_a_person_entry_without_policy_does_not_exist(opened: HouseUnderTest) -> None:
    """A draft under a refusal is never shown for signing."""

    def propose(session: Any, occasion: Occasion) -> Draft:
        decision = decide(QA, "trial.destroy", queries.standing(session, QA, None, "trial.destroy"))
        return Draft(object(), under=decision, meaning="approval", view=View("x", "x", ()))

    with pytest.raises(Refused):
        opened.desk.prepare(QA, propose, asked="trial.destroy")
