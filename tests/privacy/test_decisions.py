"""Who decides what about a subject's data, what a retention duty stops, and what a restriction closes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from core.access.queries import standing
from core.cohort.usecases import FlagCandidate, flag_candidate, select_candidate
from core.errors import CountersignError, Refused, UnusableInput
from core.policy.decide import decide as ask
from core.policy.state import Actor
from core.privacy import queries
from core.privacy.rules import EVENTS, Duty, duty_that_holds
from core.privacy.usecases import DecideRequest, decide_request, erase_subject, lift_restriction
from core.reads.usecases import BeginRead, begin_read
from core.trials.queries import facts_for
from core.trials.subjects import withdraw_consent
from countersign.cli import app
from tests.builders import privacy as build
from tests.builders import reads
from tests.builders import trials as trial_build
from tests.builders.arrival import SUBJECT
from tests.builders.reads import TRIAL
from tests.req import req

days = st.dates().map(lambda day: day.isoformat())
duties = st.one_of(
    st.just(Duty("none")), st.builds(lambda day: Duty("until", until=day), days),
    st.builds(lambda name, day: Duty("event", event=name, happened_on=day), st.sampled_from(EVENTS),
              st.none() | days),
)  # fmt: skip


@req("PRV-03")
@given(st.lists(duties, max_size=4), duties, days)
def test_one_more_duty_never_frees_data_save_by_its_event(known, more, day):
    """GDPR 17(3)(b): whatever is added, what stood stands, unless the addition says that the event has happened."""
    before, after = duty_that_holds(known, day), duty_that_holds([*known, more], day)
    if before is not None and after is None:
        assert more.retention == "event"
        assert more.happened_on is not None
        assert more.happened_on <= day


@req("PRV-03")
def test_while_a_retention_duty_stands_erasure_is_refused_and_restriction_offered(clinic):
    """A later decision cannot forget an earlier duty; the clock or a replaced entry ends it."""
    first = build.decide(clinic, "refuse", Duty("until", until="2051-01-31"), basis="gdpr_17_3_b")

    for duty in (Duty("none"), Duty("until", until="2060-01-01"), Duty("event", event="trial_closed")):
        with pytest.raises(Refused, match="Restrict them instead") as refusal:
            build.decide(clinic, "erase", duty)
        assert refusal.value.rule == "F-904"
    assert clinic.words()[-1] == "action.refused"
    build.decide(clinic, "erase", replaces=first.id)
    clinic.commit(erase_subject(clinic.desk, build.QA, TRIAL, SUBJECT))


@req("PRV-03")
def test_a_duty_that_ends_with_an_event_ends_when_it_is_recorded_to_have_happened(clinic):
    build.decide(clinic, "restrict", Duty("event", event="authorisation_ended"))
    with pytest.raises(Refused, match="retention duty"):
        build.decide(clinic, "erase")

    build.decide(clinic, "erase", Duty("event", event="authorisation_ended", happened_on="2026-01-01"))


@req("PRV-03", "ACC-02")
def test_an_erasure_takes_two_persons_of_two_roles(clinic):
    """The officer decides, QA signs; neither alone, nobody else, and nothing without a decision to erase."""
    both = clinic.person("both", "privacy_officer", "qa_auditor", trial=TRIAL)
    command = DecideRequest(TRIAL, SUBJECT, "erasure", "gdpr_17_1_b", "erase")
    with pytest.raises(Refused, match="newest decision"):
        clinic.commit(erase_subject(clinic.desk, build.QA, TRIAL, SUBJECT))
    with pytest.raises(Refused):
        decide_request(clinic.desk, Actor("coordinator"), command)
    clinic.commit(decide_request(clinic.desk, both, command))

    for person, rule in ((both, "F-905"), (build.OFFICER, "default-deny"), (Actor("trial-lead"), "default-deny")):
        with pytest.raises(Refused) as refusal:
            erase_subject(clinic.desk, person, TRIAL, SUBJECT)
        assert refusal.value.rule == rule
    build.decide(clinic, "restrict")
    with pytest.raises(Refused) as refusal:
        erase_subject(clinic.desk, build.QA, TRIAL, SUBJECT)
    assert refusal.value.rule == "F-906"


@req("PRV-03")
def test_withdrawal_of_consent_erases_nothing(clinic, tmp_path):
    """Images acquired before stay readable, and no key is touched (GDPR 7(3))."""
    planted = build.plant(clinic, tmp_path / "in")

    withdraw_consent(clinic.desk, Actor("coordinator"), TRIAL, SUBJECT, "2026-04-01")
    clinic.work()

    with clinic.desk.reading() as session:
        assert queries.text_of(session, clinic.desk.objects.keys, planted.disposed.id) == build.COMMENT
        assert queries.the_subject(session, TRIAL, SUBJECT).state == "held"


@pytest.mark.parametrize("action", ["run.request", "read.begin", "seed.place", "cohort.select", "subject.use",
                                    "cohort.decide_eligibility", "object.export"])
@req("PRV-03", "ACC-02")
def test_every_door_of_new_use_is_closed_by_its_own_row(clinic, action):
    """For people and for services, whatever else permits; open again when it is lifted. Services have no part in what
    people do (F-08), before and after."""
    by_people = action in ("read.begin", "seed.place", "cohort.select", "cohort.decide_eligibility")

    def answer(actor):
        with clinic.desk.reading() as session:
            return ask(actor, action, facts_for(session, actor, action, TRIAL, about=SUBJECT))

    build.decide(clinic, "restrict")
    assert answer(Actor("imaging-lead")).rule == "F-901"
    assert answer(Actor.of_service("inference")).rule == ("F-08" if by_people else "F-901")

    clinic.commit(lift_restriction(clinic.desk, build.OFFICER, TRIAL, SUBJECT, "objection_settled"))
    assert "F-901" not in {answer(Actor("imaging-lead")).rule, answer(Actor.of_service("inference")).rule}
    assert answer(Actor.of_service("inference")).allowed is not by_people
    with pytest.raises(Refused, match="not restricted"):
        lift_restriction(clinic.desk, build.OFFICER, TRIAL, SUBJECT, "objection_settled")


@req("PRV-03", "RDG-03")
def test_no_read_of_a_restricted_subject_begins(house):
    reads.a_live_trial(house)
    build.people(house)
    reads.assign(house, reads.BOTH)
    build.decide(house, "restrict")

    with pytest.raises(Refused) as refusal:
        begin_read(house.desk, Actor("reader-1"), BeginRead(TRIAL, SUBJECT, "BL"))
    assert refusal.value.rule == "F-901"
    house.commit(lift_restriction(house.desk, build.OFFICER, TRIAL, SUBJECT, "request_taken_back"))
    begin_read(house.desk, Actor("reader-1"), BeginRead(TRIAL, SUBJECT, "BL"))


@req("PRV-03")
def test_no_restricted_subject_is_flagged_or_selected(house):
    from tests.unit.cohort.test_candidates import FLAG, open_cohort

    trial_build.live(house)
    trial_build.enrolled(house)
    build.people(house)
    open_cohort(house)
    flag_candidate(house.desk, FLAG)
    build.decide(house, "restrict")

    with pytest.raises(Refused) as refusal:
        select_candidate(house.desk, trial_build.COORDINATOR, f"{TRIAL}-C0001", "selected", "meets_imaging_criteria")
    assert refusal.value.rule == "F-901"
    with pytest.raises(Refused) as refusal:
        flag_candidate(house.desk, FlagCandidate(TRIAL, SUBJECT, "2.25.2", True, "0.9", trial_build.LOCK, "R2"))
    assert refusal.value.rule == "F-901"


@pytest.mark.parametrize("wrong", [
    {"request": "please"}, {"basis": "none"}, {"decision": "delete"}, {"duty": Duty("forever")},
    {"duty": Duty("until")}, {"duty": Duty("until", until="soon")}, {"duty": Duty("event", event="some day")},
    {"duty": Duty("none", happened_on="2026-01-01")}, {"subject": "999-999"}, {"replaces": "no-such-entry"},
])  # fmt: skip
@req("PRV-03")
def test_a_decision_that_is_not_made_of_known_codes_is_refused_with_a_next_step(clinic, wrong):
    given_fields = {"trial": TRIAL, "subject": SUBJECT, "request": "erasure", "basis": "gdpr_17_1_b",
                    "decision": "restrict", "duty": Duty("none")} | wrong
    before = len(clinic.words())

    with pytest.raises(CountersignError) as refusal:
        decide_request(clinic.desk, build.OFFICER, DecideRequest(**given_fields))

    assert refusal.value.next_step
    assert len(clinic.words()) == before


@req("PRV-03", "SIG-01")
def test_the_commands_from_request_to_erasure(clinic, tmp_path):
    """Words of the request are shown while the key lives, and are the tombstone afterwards."""
    build.plant(clinic, tmp_path / "in")

    def run(user, *words, meaning="approval", code=0):
        proof = clinic.proof(user)
        done = CliRunner().invoke(app, [*words, "--as", user, "--home", str(clinic.home)], env={
            "COUNTERSIGN_MEANING": meaning, "COUNTERSIGN_PASSWORD": proof.password, "COUNTERSIGN_CODE": proof.code})
        if "list" in words or "status" in words or code:
            clinic.counters[user] -= 1
        assert done.exit_code == code, done.output
        return done.output

    officer, qa = build.OFFICER.user, build.QA.user
    run(officer, "privacy", "restrict", TRIAL, SUBJECT, "--text", build.REQUEST)
    assert build.REQUEST in run(officer, "privacy", "status", TRIAL, SUBJECT)
    run(officer, "privacy", "lift", TRIAL, SUBJECT, "--reason", "request_taken_back")
    run(officer, "privacy", "decide", TRIAL, SUBJECT, "--request", "erasure", "--basis", "gdpr_17_1_b",
        "--decision", "erase")
    assert "erasure -> erase by privacy-officer" in run(qa, "privacy", "list", TRIAL)
    erased = run(qa, "privacy", "erase", TRIAL, SUBJECT)

    assert "101-001 of DEMO-301: erased; its key is not there." in erased
    assert "[erased]" in erased
    assert build.REQUEST not in erased
    shown = json.loads(run(officer, "privacy", "status", TRIAL, SUBJECT, "--json"))
    assert (shown["state"], shown["key"]) == ("erased", False)
    run("coordinator", "privacy", "status", TRIAL, SUBJECT, code=1)


@req("PRV-03")
def test_who_may_see_decisions_is_a_row_of_the_table(clinic):
    with clinic.desk.reading() as session:
        for user, may in ((build.OFFICER.user, True), ("trial-lead", True), ("coordinator", False)):
            actor = Actor(user)
            assert ask(actor, "privacy.see", standing(session, actor, TRIAL, "privacy.see")).allowed is may


@req("PRV-02")
def test_a_comment_about_a_subject_has_a_limit_and_is_never_recorded_in_clear(clinic):
    with pytest.raises(UnusableInput, match="at most 4000"):
        build.decide(clinic, "refuse", text="x" * 4001)
    build.decide(clinic, "refuse", text=build.REQUEST)
    entry = clinic.entries()[-1]

    assert b"Quetzalli" not in entry.raw
    assert set(entry.body["fields"]["comment"]) == {"ct", "iv", "kid"}
    assert set(entry.body["manifest"]["view"]) == {"sha256", "bytes", "media"}


@req("PRV-02", "PRV-03")
def test_every_act_that_takes_words_about_a_subject_records_them_as_ciphertext(house):
    """Missed time points and deviations; a deviation's words about a subject need the subject."""
    from core.trials.subjects import declare_gap
    from validation.releases import OpenDeviation, open_deviation

    reads.a_live_trial(house, subjects=())
    reads.a_subject(house, SUBJECT, ready=())
    build.people(house)
    said = "Quetzalli was abroad with her sister"
    deviation = OpenDeviation("DEV-7", "minor", "read", "a time point", "A scan was missed.", TRIAL)
    with pytest.raises(UnusableInput, match="names the subject"):
        open_deviation(house.desk, build.QA, replace(deviation, comment=said))

    receipts = [
        house.commit(declare_gap(
            house.desk, Actor("imaging-lead"), TRIAL, SUBJECT, "BL", "not_acquired", comment=said)),
        house.commit(open_deviation(house.desk, build.QA, replace(deviation, subject=SUBJECT, comment=said))),
    ]

    for receipt in receipts:
        assert said.encode() not in house.entries()[receipt.seq].raw
        with house.desk.reading() as session:
            assert queries.text_of(session, house.desk.objects.keys, receipt.id) == said
    build.erase(house)
    with house.desk.reading() as session:
        assert {queries.text_of(session, house.desk.objects.keys, one.id) for one in receipts} == {"[erased]"}
