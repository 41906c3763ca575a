"""What the tables of gates are asked: gates, signatures, stops, waivers, criteria, plans of bridging, sentinel sets."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from datetime import date
from typing import Any

import pytest

from audit.vocabulary import bridging as plans
from audit.vocabulary import drift, models
from audit.vocabulary import gates as words
from audit.vocabulary.ledger import KeyEnrolled, KeyRevoked
from core.errors import NotFound
from core.gates import queries
from core.gates.bridging import Plan, plan_named, plans_of, predecessor
from core.gates.rules import Signed
from core.gates.sentinels import Watch, set_of, watch_of, watches
from tests.builders.folded import Folded
from tests.builders.locks import lock_word
from tests.builders.reads import DIGEST, TRIAL
from tests.req import req
from tests.unit.gates.test_gate_tables import criteria, disposed, finished, opened, received, requested


@pytest.fixture
def record() -> Folded:
    made = Folded()
    made.say(lock_word("LCK-0", "older"))
    return made


def ids(gates: tuple[queries.GateRow, ...]) -> list[str]:
    return [one.gate for one in gates]


@req("GAT-01", "GAT-03")
def test_gates_are_listed_by_use_and_number_and_told_apart_by_trial_and_lock(record: Folded) -> None:
    for gate, use, lock, trial in (("G3-1", 3, "LCK-1", TRIAL), ("G1-2", 1, "LCK-2", TRIAL),
                                   ("G1-1", 1, "LCK-1", TRIAL), ("X1-1", 1, "LCK-1", "OTHER-1")):
        record.say(requested(gate, use, None, lock), trial=trial)
    for gate, use, lock, trial in (("X1-1", 1, "LCK-1", "OTHER-1"), ("G3-1", 3, "LCK-1", TRIAL),
                                   ("G1-2", 1, "LCK-2", TRIAL)):
        record.say(opened(gate, use, None, lock), trial=trial)
    session = record.session

    assert ids(queries.gates_of(session, TRIAL)) == ["G1-1", "G1-2", "G3-1"]
    assert ids(queries.open_gates(session)) == ["G1-2", "G3-1", "X1-1"]
    assert ids(queries.open_gates(session, trial=TRIAL)) == ["G1-2", "G3-1"]
    assert ids(queries.open_gates(session, lock="LCK-1")) == ["G3-1", "X1-1"]
    assert ids(queries.open_gates(session, lock="LCK-1", trial=TRIAL)) == ["G3-1"]
    assert queries.gate_named(session, "X1-1").trial == "OTHER-1"
    with pytest.raises(NotFound) as missing:
        queries.gate_named(session, "G9-9")
    assert (missing.value.fact, missing.value.next_step) == (
        "There is no gate G9-9.", "`countersign gate status TRIAL` lists them.")


@req("GAT-02", "MLK-08")
def test_a_lock_is_what_its_last_word_made_of_it_or_unknown(record: Folded) -> None:
    record.say(models.ModelRetired(lock="LCK-0", model="older", how="recalled"))
    record.say(lock_word("LCK-1", "newer"))

    assert [queries.lock_state(record.session, lock) for lock in ("LCK-0", "LCK-1", "LCK-2")] == [
        "recalled", "locked", None]


@req("GAT-02", "OPS-04")
def test_what_an_opening_rested_on_a_waiver_for_is_its_own(record: Folded) -> None:
    record.say(requested("G-1"))
    record.say(words.GateOpened(gate="G-2", use=3, use_name="secondary", scope="all", lock="LCK-1",
                                criteria=criteria("met", "met", "waived"), signed=(), endpoint=None))

    assert queries.waived_when_opened(record.session, "G-1") == {"C1"}
    assert queries.waived_when_opened(record.session, "G-2") == {"C2"}
    assert queries.waived_when_opened(record.session, "G-3") == frozenset()


@req("GAT-02")
def test_criteria_are_told_as_each_step_recorded_them(record: Folded) -> None:
    record.say(requested("G-1"))
    record.say(requested("G-2"))
    record.say(opened("G-1"))

    told = queries.criteria_recorded(record.session, "G-1")
    assert told == (
        queries.RecordedCriterion("requested", "C0", "met", "found 0", "limit 0", (0, 1)),
        queries.RecordedCriterion("requested", "C1", "waived", "found 1", "limit 1", (1, 2)),
        queries.RecordedCriterion("opened", "C0", "met", "found 0", "limit 0", (0, 1)))


@req("GAT-02")
@pytest.mark.parametrize(("event", "study", "judged"), [
    (disposed("1"), "S-1", True), (finished("r1"), "S-1", True), (finished("r1", study="S-2"), "S-1", False),
    (disposed("2"), "S-1", False), (disposed("2"), "S-2", True), (finished("r1", use="secondary"), "S-1", False),
])
def test_a_study_is_judged_once_somebody_disposed_it_or_the_model_ran(
    record: Folded, event: Any, study: str, judged: bool
) -> None:
    record.say(received("1"))
    record.say(received("2", "S-2"))
    assert not queries.is_judged(record.session, TRIAL, study)

    record.say(event)

    assert queries.is_judged(record.session, TRIAL, study) is judged
    assert not queries.is_judged(record.session, "OTHER-1", study)


def signature(record: Folded, gate: str, role: str, user: str, opening: str, purpose: str = "open") -> Any:
    return record.say(words.GateSigned(gate=gate, signed_as=role, purpose=purpose, criteria_digest=DIGEST,
                                       requested=opening), user, kid=f"key-of-{user}")


@req("GAT-02", "SIG-04")
def test_signatures_count_in_the_round_that_is_open(record: Folded) -> None:
    asked, other = record.say(requested("G-1")).body["id"], record.say(requested("G-2")).body["id"]
    first = signature(record, "G-1", "trial_lead", "lead", asked)
    signature(record, "G-2", "trial_lead", "lead", other)
    second = signature(record, "G-1", "qa_auditor", "qa", asked)
    session = record.session
    gate = queries.gate_named(session, "G-1")

    assert queries.signed_of(session, gate) == (
        Signed("trial_lead", "lead", first.seq), Signed("qa_auditor", "qa", second.seq))
    assert queries.signature_ids(session, gate) == (first.body["id"], second.body["id"])

    stopped = record.say(words.GateHalted(gate="G-1", use=3, halt_rule="HALT-1", says="too many"))
    gate = queries.gate_named(session, "G-1")
    assert (queries.signed_of(session, gate), queries.signature_ids(session, gate)) == ((), ())
    again = signature(record, "G-1", "trial_lead", "lead", stopped.body["id"], "resume")
    assert queries.signature_ids(session, gate) == (again.body["id"],)
    assert queries.signatures_of(session, "G-1") == (
        ("open", Signed("trial_lead", "lead", first.seq)), ("open", Signed("qa_auditor", "qa", second.seq)),
        ("resume", Signed("trial_lead", "lead", again.seq)))


def enrolled(record: Folded, user: str) -> str:
    """A person's key on record; returns its id."""
    public = hashlib.sha256(user.encode()).digest()
    record.say(KeyEnrolled(klass="person", holder=user, public_key=b64encode(public).decode(), printed_name=user,
                           at_init=True), trial=None)
    return hashlib.sha256(public).hexdigest()


@req("GAT-02", "GAT-04", "SIG-10")
def test_a_signature_is_suspect_from_the_entry_that_the_revocation_names_on(record: Folded) -> None:
    kids = {user: enrolled(record, user) for user in ("lead", "qa", "val")}
    asked = record.say(requested("G-1")).body["id"]
    entries = {}
    for role, user in (("trial_lead", "lead"), ("validation_lead", "val"), ("qa_auditor", "qa")):
        entries[user] = record.say(words.GateSigned(
            gate="G-1", signed_as=role, purpose="open", criteria_digest=DIGEST, requested=asked), user,
            kid=kids[user])
    session = record.session
    gate = queries.gate_named(session, "G-1")
    assert queries.suspect_signatures(session, gate) == ()

    record.say(KeyRevoked(kid=kids["lead"], because="lost", suspect_from=entries["lead"].seq), trial=None)
    record.say(KeyRevoked(kid=kids["val"], because="lost", suspect_from=entries["val"].seq + 1), trial=None)
    record.say(KeyRevoked(kid=kids["qa"], because="left"), trial=None)

    assert queries.suspect_signatures(session, gate) == (entries["lead"].seq,)
    assert [one.person for one in queries.signed_of(session, gate)] == ["val", "qa"]
    assert queries.signature_ids(session, gate) == (entries["val"].body["id"], entries["qa"].body["id"])


@req("GAT-04", "GAT-05")
def test_stops_of_a_gate_are_told_oldest_first(record: Folded) -> None:
    first = record.say(words.GateSuspended(gate="G-1", use=3, cause="lock_revoked", says="recalled")).seq
    record.say(words.GateSuspended(gate="G-2", use=3, cause="lock_revoked", says="recalled"))
    second = record.say(words.GateHalted(gate="G-1", use=3, halt_rule="HALT-1", says="too many")).seq

    assert queries.stops_of(record.session, "G-1") == (
        queries.StopRow("G-1", "suspended", "lock_revoked", "recalled", False, first),
        queries.StopRow("G-1", "halted", "HALT-1", "too many", False, second))


@req("GAT-02", "OPS-04")
def test_a_waiver_is_approved_by_two_and_by_no_fewer(record: Folded) -> None:
    def asked(waiver: str, trial: str = TRIAL) -> None:
        record.say(words.WaiverRequested(waiver=waiver, use=1, criterion="privacy", because="soon", risk="none",
                                         ends_on="2026-12-31", owner="trial_lead"), trial=trial)

    def approved() -> list[bool]:
        return [one.approved for one in queries.waivers_of(record.session, TRIAL)]

    for waiver, trial in (("W-2", TRIAL), ("W-1", TRIAL), ("W-9", "OTHER-1")):
        asked(waiver, trial)
    assert [one.waiver for one in queries.waivers_of(record.session, TRIAL)] == ["W-1", "W-2"]
    record.say(words.WaiverApproved(waiver="W-1", signed_as="qa_auditor"), "qa")
    record.say(words.WaiverApproved(waiver="W-2", signed_as="trial_lead"), "lead")
    assert approved() == [False, False]
    record.say(words.WaiverApproved(waiver="W-2", signed_as="qa_auditor"), "qa")
    assert approved() == [False, True]
    assert queries.waiver_named(record.session, "W-9").trial == "OTHER-1"
    with pytest.raises(NotFound, match=r"^There is no waiver W-7\."):
        queries.waiver_named(record.session, "W-7")


@req("GAT-01")
def test_a_use_is_named_by_number_or_name() -> None:
    assert [queries.use_named(name) for name in ("1", "qc", "primary", "3")] == [1, 1, 4, 3]
    with pytest.raises(NotFound) as missing:
        queries.use_named("tertiary")
    assert missing.value.fact == "There is no AI use tertiary; uses: qc, cohort, secondary, primary."


def planned(record: Folded, plan: str, trial: str = TRIAL) -> Any:
    return record.say(plans.BridgingPlanned(
        plan=plan, use="secondary", endpoint="volume", from_lock="LCK-0", to_lock="LCK-1", strategy="recompute",
        because="better"), "stat", trial=trial)


@req("MLK-08", "GAT-02")
def test_a_plan_is_in_force_when_two_more_signed_and_passed_when_it_was_judged_so(record: Folded) -> None:
    first, second = planned(record, "B-2"), planned(record, "B-1")
    planned(record, "B-9", "OTHER-1")

    def now(plan: str = "B-2") -> tuple[bool, bool]:
        found = plan_named(record.session, plan)
        return found.in_force, found.passed

    assert plans_of(record.session, TRIAL)[0] == Plan(
        "B-2", TRIAL, "secondary", "volume", "LCK-0", "LCK-1", "recompute", "stat", None, None, None, None,
        first.body["id"], first.seq)
    assert [one.plan for one in plans_of(record.session, TRIAL)] == ["B-2", "B-1"]
    assert plan_named(record.session, "B-1").entry == second.seq
    with pytest.raises(NotFound) as missing:
        plan_named(record.session, "B-7")
    assert (missing.value.fact, missing.value.next_step) == (
        "There is no bridging plan B-7.", "`countersign bridge list TRIAL` shows them.")

    def judged(verdict: str) -> None:
        record.say(plans.BridgingJudged(plan="B-2", from_lock="LCK-0", to_lock="LCK-1", verdict=verdict, sealed=False,
                                        says="alike"))

    judged("passed")
    record.say(plans.BridgingSigned(plan="B-2", signed_as="qa_auditor", planned=first.body["id"]), "qa")
    assert now() == (False, False)
    record.say(plans.BridgingSigned(plan="B-2", signed_as="validation_lead", planned=first.body["id"]), "val")
    assert now() == (True, True)
    judged("failed")
    assert now() == (True, False)
    record.say(plans.BridgingSigned(plan="B-1", signed_as="validation_lead", planned=second.body["id"]), "val")
    assert now("B-1") == (False, False)


@req("MLK-08")
def test_the_lock_before_is_the_one_whose_gate_opened_last_before_this_ones_first(record: Folded) -> None:
    for gate, use, endpoint, lock, trial in (
        ("A", 3, "volume", "LCK-1", TRIAL), ("B", 3, "volume", "LCK-2", TRIAL), ("C", 3, "volume", "LCK-3", TRIAL),
        ("D", 3, "volume", "LCK-1", TRIAL), ("E", 3, "other", "LCK-4", TRIAL), ("F", 4, "volume", "LCK-5", TRIAL),
        ("G", 3, "volume", "LCK-6", "OTHER-1"), ("H", 3, "volume", "LCK-7", TRIAL),
    ):
        record.say(requested(gate, use, endpoint, lock), trial=trial)
        if gate != "H":  # asked for and not opened: nobody's predecessor
            record.say(opened(gate, use, endpoint, lock), trial=trial)

    def before(lock: str, use: int = 3, endpoint: str = "volume", trial: str = TRIAL) -> str | None:
        return predecessor(record.session, trial, use, endpoint, lock)

    assert [before(lock) for lock in ("LCK-1", "LCK-2", "LCK-3")] == [None, "LCK-1", "LCK-2"]
    assert [before("LCK-7"), before("LCK-8")] == ["LCK-1", "LCK-1"], "not opened yet: after the last that was"
    assert [before("LCK-8", use=4), before("LCK-8", endpoint="other"), before("LCK-8", trial="OTHER-1")] == [
        "LCK-5", "LCK-4", "LCK-6"]
    assert before("LCK-8", use=4, endpoint="other") is None


def declared(record: Folded, lock: str, number: int = 20) -> Any:
    return record.say(drift.SentinelDeclared(lock=lock, model="m", generator_sha256=DIGEST, number=number, cases=()))


@req("MLK-02", "GAT-04")
def test_a_lock_is_watched_from_its_first_gate_until_it_is_retired(record: Folded) -> None:
    session = record.session
    for lock in ("LCK-2", "LCK-1", "LCK-3"):
        record.say(lock_word(lock, "m", supersedes="LCK-1" if lock == "LCK-3" else None))
    assert (watches(session), set_of(session, "LCK-1")) == ((), None)
    begun = {lock: record.say(opened(f"G-{lock}", lock=lock)) for lock in ("LCK-2", "LCK-1")}
    said = declared(record, "LCK-1")
    declared(record, "LCK-3")
    day = date.fromisoformat(said.body["at"][:10])

    first = Watch("LCK-1", day, said.body["id"], 20, day, True, said.seq)
    assert watches(session) == (first, Watch("LCK-2", day, None, 0, None, None, begun["LCK-2"].seq))
    assert (watch_of(session, "LCK-1"), watch_of(session, "LCK-3")) == (first, None)
    assert (set_of(session, "LCK-1"), set_of(session, "LCK-2")) == (said.seq, None)
    assert queries.lock_state(session, "LCK-1") == "superseded", "what it began it serves, and is watched"

    record.say(models.ModelRetired(lock="LCK-1", model="m", how="retired"))
    assert [one.lock for one in watches(session)] == ["LCK-2"]
    assert set_of(session, "LCK-1") == said.seq


@req("MLK-02", "GAT-04")
def test_days_are_missed_from_the_last_answer_of_a_set_that_is_large_enough() -> None:
    watched = Watch("LCK-1", date(2026, 1, 1), "id", 20, date(2026, 1, 10), True, 5)

    assert [watched.since(20), watched.since(21)] == [date(2026, 1, 10), date(2026, 1, 1)]
    assert [watched.missed_days(date(2026, 1, day), 20) for day in (10, 11, 12, 14)] == [0, 0, 1, 3]
    assert watched.missed_days(date(2026, 1, 12), 21) == 10
    assert [watched.due(date(2026, 1, day)) for day in (10, 11)] == [False, True]
