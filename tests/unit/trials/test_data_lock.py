"""Cut, soft lock, lock, unlock, sealed allocation, unblinding: each step in its place, each other one refused."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from audit.vocabulary import data_lock, imaging
from audit.vocabulary import trials as trial_words
from audit.vocabulary.incidents import DestructionCertified, IncidentOpened
from audit.vocabulary.validation import DeviationClosed, DeviationOpened
from core.access.roles import SEES_ALLOCATION
from core.data_lock import queries, unblinding, usecases
from core.data_lock.closing import close_trial
from core.data_lock.rules import (
    CutLine,
    by_arm,
    differing,
    digest_of,
    listing_text,
    read_allocation,
    read_listing,
    sealed_allocation,
)
from core.errors import AlreadyDone, Refused, UnusableInput
from core.policy.state import Actor, Stage
from core.trials.queries import the_trial
from core.trials.rules import ALLOCATION, CUT, TIME_POINT, TRIAL, next_state, standing_in
from countersign.cli import app
from tests.builders import trials as build
from tests.builders.reads import DIGEST, recorded, signed
from tests.builders.reads import TRIAL as DEMO
from tests.house import HouseUnderTest
from tests.req import req

KEEPER, STATISTICIAN = Actor("unblinded-statistician"), Actor("statistician")
ROWS = "subject,arm\n101-001,A\n101-002,B\n"
NONCE = "0123456789abcdef" * 4


def a_trial(house: HouseUnderTest) -> None:
    """Live, two subjects enrolled, everybody who locks and unblinds at hand."""
    build.live(house)
    build.people(house, "statistician")
    house.person(KEEPER.user, "unblinded_statistician", trial=DEMO)
    for subject in ("101-001", "101-002"):
        build.enrolled(house, subject)


def refused(house: HouseUnderTest, rule: str, act) -> str:
    """The sentence of a refusal by this rule, which is an entry itself."""
    house.clock.at_us += 61_000_000  # the same refusal is recorded once a minute
    with pytest.raises(Refused) as refusal:
        act()
    assert refusal.value.rule == rule, refusal.value.fact
    assert house.words()[-1] == "action.refused"
    return refusal.value.fact


def cut(house: HouseUnderTest, name: str, kind: str = "final", until: str = "2026-03-31"):
    house.commit(usecases.freeze_cut(house.desk, build.MANAGER, usecases.FreezeCut(DEMO, name, kind, until)))
    with house.desk.reading() as session:
        return queries.the_cut(session, DEMO, name)


def unlock(house: HouseUnderTest, actor: Actor, difference: str = "the reads of 101-001 at baseline"):
    return usecases.unlock(house.desk, actor, DEMO, "error_found", difference)


@req("REC-13")
def test_a_cut_says_what_is_in_and_only_the_newest_state_of_the_data_is_locked(house: HouseUnderTest) -> None:
    a_trial(house)
    first = cut(house, "interim-1", "interim")
    build.enrolled(house, "101-003", on="2026-03-03")
    build.enrolled(house, "101-004", on="2026-04-02")
    late = cut(house, "final-1")

    assert (first.subjects, first.previous, first.changed) == (2, None, None)
    assert {("subject", "enrolled", 3)} <= set(late.states)
    # One subject more, with the time points expected of it by then; the one screened later is in no cut.
    listed = queries.lines_of(house.desk.objects, late)
    assert {one.subject for one in listed} == {"101-001", "101-002", "101-003"}
    assert (late.previous, late.changed) == ("interim-1", sum(one.subject == "101-003" for one in listed))
    assert refused(house, "F-232", lambda: usecases.soft_lock(house.desk, build.MANAGER, DEMO, "interim-1"))
    with pytest.raises(AlreadyDone):
        cut(house, "final-1")
    with pytest.raises(UnusableInput, match="lies in the future"):
        cut(house, "too-early", until="2099-01-01")

    build.enrolled(house, "101-005", on="2026-03-04")
    refused(house, "F-230", lambda: usecases.soft_lock(house.desk, build.MANAGER, DEMO, "final-1"))
    cut(house, "final-2")
    house.commit(usecases.soft_lock(house.desk, build.MANAGER, DEMO, "final-2"))
    with house.desk.reading() as session:
        assert the_trial(session, DEMO).stage is Stage.SOFT_LOCKED
    # Nothing is entered any more; another cut is not signed for.
    refused(house, "F-206", lambda: build.enrolled(house, "101-006"))
    refused(house, "F-230", lambda: usecases.sign_lock(house.desk, build.MANAGER, DEMO, "interim-1", "data_manager"))


@req("REC-13", "RDG-11")
def test_an_open_query_is_listed_with_the_cut_and_stands_against_the_soft_lock(house: HouseUnderTest) -> None:
    a_trial(house)
    build.people(house, "technologist")
    recorded(house, imaging.SeriesReceived(
        intake="i", subject="101-001", study="2.25.1", series="2.25.1.1", site="101", time_point="BL", modality="CT",
        acquired_on="2026-03-01", scanner="SN", charter_version="1.0", instances=1, bytes=1, manifest=build.OBJECT,
        manifest_sha256=DIGEST, content_sha256=DIGEST), "intake")

    def disposed(disposition: str) -> None:
        signed(house, "technologist", imaging.QualityDisposed(
            case="C1", subject="101-001", study="2.25.1", series="2.25.1.1", time_point="BL", modality="CT",
            disposition=disposition, manifest_sha256=DIGEST, not_met=()))

    disposed("queried")
    asked = house.entries()[-1].seq
    row = cut(house, "final-1")
    assert [one.entry for one in row.open_queries] == [asked]
    refused(house, "F-231", lambda: usecases.soft_lock(house.desk, build.MANAGER, DEMO, "final-1"))
    disposed("accepted")
    house.commit(usecases.soft_lock(house.desk, build.MANAGER, DEMO, "final-1"))


@req("REC-13")
def test_a_released_soft_lock_withdraws_its_cut(house: HouseUnderTest) -> None:
    a_trial(house)
    build.soft_locked(house)
    house.commit(usecases.sign_lock(house.desk, build.MANAGER, DEMO, "cut-1", "data_manager"))
    with pytest.raises(UnusableInput):
        usecases.release_soft_lock(house.desk, build.QA, DEMO, "no such code")
    house.commit(usecases.release_soft_lock(house.desk, build.QA, DEMO, "late_data"))

    refused(house, "F-201", lambda: usecases.soft_lock(house.desk, build.MANAGER, DEMO, "cut-1"))
    build.soft_locked(house, "cut-2")
    # A signature on the withdrawn cut counts for no other.
    said = refused(house, "F-212", lambda: usecases.sign_lock(house.desk, build.QA, DEMO, "cut-2", "qa_auditor"))
    assert "data_manager, statistician, imaging_lead" in said


@req("REC-13")
def test_two_persons_unlock_with_reason_and_difference_and_the_next_cut_says_what_changed(
    house: HouseUnderTest,
) -> None:
    a_trial(house)
    refused(house, "default-deny", lambda: unlock(house, build.QA))
    build.soft_locked(house)
    build.locked(house)
    refused(house, "default-deny", lambda: unlock(house, build.LEAD))
    house.commit(unlock(house, build.MANAGER))
    with house.desk.reading() as session:
        assert the_trial(session, DEMO).stage is Stage.LOCKED
    refused(house, "F-233", lambda: unlock(house, build.MANAGER))
    house.person("data-manager-2", "data_manager", trial=DEMO)
    refused(house, "F-234", lambda: unlock(house, Actor("data-manager-2")))
    # Another difference is another act: it begins with a first signature and unlocks nothing.
    house.commit(unlock(house, build.QA, "something else"))
    assert house.words()[-1] == "database.unlock_requested"

    house.commit(unlock(house, build.MANAGER, "something else"))
    entry = house.entries()[-1].body
    assert (entry["action"], entry["reason"], entry["fields"]["difference"]) == (
        "database.unlocked", "error_found", "something else")
    with house.desk.reading() as session:
        assert the_trial(session, DEMO).stage is Stage.LIVE
        assert queries.the_cut(session, DEMO, "cut-1").state == "unlocked"
    build.enrolled(house, "101-003", on="2026-03-04")
    assert cut(house, "cut-2").changed


@req("REC-13", "ACC-01")
def test_nothing_is_shown_by_arm_before_lock_import_and_unblinding(house: HouseUnderTest) -> None:
    a_trial(house)
    text = sealed_allocation(DEMO, ROWS, NONCE)
    viewers = {role: Actor(user) for user, role in build.ROLES.items() if user in build.SET_UP}
    viewers |= {"statistician": STATISTICIAN, "inspector": house.person("inspector", "inspector", trial=DEMO)}
    viewers |= {"dmc_member": house.person("committee", "dmc_member", trial=DEMO), "unblinded_statistician": KEEPER}
    outside = {"investigator", "coordinator"}

    def shown() -> set[str]:
        seen = set()
        for role, actor in viewers.items():
            with suppress(Refused):
                assert unblinding.show_by_arm(house.desk, actor, DEMO).rows
                seen.add(role)
        return seen

    def brought(content: str = text):
        return unblinding.import_allocation(house.desk, KEEPER, DEMO, content)

    refused(house, "default-deny", lambda: unblinding.declare_randomisation(
        house.desk, STATISTICIAN, DEMO, digest_of(text)))
    house.commit(unblinding.declare_randomisation(house.desk, KEEPER, DEMO, digest_of(text)))
    with pytest.raises(AlreadyDone):
        unblinding.declare_randomisation(house.desk, KEEPER, DEMO, DIGEST)
    assert shown() == set()
    refused(house, "F-235", brought)
    build.soft_locked(house)
    refused(house, "F-235", brought)
    build.locked(house)
    refused(house, "F-236", lambda: unblinding.unblind(house.desk, STATISTICIAN, DEMO))
    swapped = sealed_allocation(DEMO, "101-001,B\n101-002,A\n", NONCE)
    refused(house, "F-239", lambda: brought(swapped))
    refused(house, "default-deny", lambda: unblinding.import_allocation(house.desk, STATISTICIAN, DEMO, text))
    house.commit(brought())
    assert shown() == set(SEES_ALLOCATION)
    assert house.words().count("allocation.shown") == len(SEES_ALLOCATION)
    refused(house, "F-238", lambda: unblinding.show_by_arm(house.desk, STATISTICIAN, DEMO))
    refused(house, "default-deny", lambda: unblinding.unblind(house.desk, KEEPER, DEMO))

    house.commit(unblinding.unblind(house.desk, STATISTICIAN, DEMO))
    assert shown() == set(viewers) - outside
    found = unblinding.show_by_arm(house.desk, STATISTICIAN, DEMO)
    assert (found.report, [(one.arm, one.subjects) for one in found.rows]) == ("open", [("A", 1), ("B", 1)])
    # The record itself tells no arm, and the stored object is ciphertext.
    told = json.dumps([one.body for one in house.entries() if one.body["action"].startswith(("alloc", "unbl", "rand"))])
    assert '"A"' not in told
    assert "101-001" not in told
    with house.desk.reading() as session:
        kept = queries.allocation_of(session, DEMO)
    assert kept is not None
    assert kept.allocation is not None
    assert b"101-001" not in house.desk.objects.stored_bytes(kept.allocation)


@req("REC-13")
def test_an_interim_closed_report_is_for_unblinded_roles_and_the_blind_holds(house: HouseUnderTest) -> None:
    a_trial(house)
    text = sealed_allocation(DEMO, ROWS, NONCE)
    house.commit(unblinding.declare_randomisation(house.desk, KEEPER, DEMO, digest_of(text)))
    cut(house, "interim-1", "interim")
    house.commit(unblinding.import_allocation(house.desk, KEEPER, DEMO, text))

    closed = unblinding.show_by_arm(house.desk, KEEPER, DEMO)
    assert (closed.report, closed.cut) == ("closed", "interim-1")
    assert house.entries()[-1].body["fields"] == {"cut": "interim-1", "report": "closed"}
    for actor in (STATISTICIAN, build.QA, build.LEAD):
        refused(house, "F-238", lambda one=actor: unblinding.show_by_arm(house.desk, one, DEMO))
    refused(house, "default-deny", lambda: unblinding.unblind(house.desk, STATISTICIAN, DEMO))
    refused(house, "F-201", lambda: unblinding.import_allocation(house.desk, KEEPER, DEMO, text))


@req("REC-13")
def test_an_allocation_that_lacks_a_subject_or_names_an_unknown_arm_is_not_imported(house: HouseUnderTest) -> None:
    a_trial(house)
    text = sealed_allocation(DEMO, "101-001,A\n", NONCE)
    house.commit(unblinding.declare_randomisation(house.desk, KEEPER, DEMO, digest_of(text)))
    build.soft_locked(house)
    build.locked(house)

    with pytest.raises(UnusableInput, match="lacks enrolled subjects of cut cut-1: 101-002"):
        unblinding.import_allocation(house.desk, KEEPER, DEMO, text)
    assert house.words().count("allocation.imported") == 0


@req("REC-13")
def test_from_cut_to_unblinding_at_the_command_line(
    house: HouseUnderTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    a_trial(house)
    for name in ("trial", "data_lock"):
        monkeypatch.setattr(f"countersign.cli.{name}.house", lambda home: house.house)
    (tmp_path / "rows.csv").write_text(ROWS)
    file = str(tmp_path / "sealed.txt")

    def call(*words: str, user: str = "", meaning: str = "", exit_code: int = 0) -> str:
        proof = house.proof(user) if meaning else None
        done = CliRunner().invoke(app, list(words), env={
            "COUNTERSIGN_USER": user, "COUNTERSIGN_MEANING": meaning,
            "COUNTERSIGN_PASSWORD": proof.password if proof else "", "COUNTERSIGN_CODE": proof.code if proof else ""})
        assert done.exit_code == exit_code, done.output
        return done.output

    digest = call("allocation", "seal", DEMO, str(tmp_path / "rows.csv"), file).split()[1]
    assert "never overwritten" in call("allocation", "seal", DEMO, str(tmp_path / "rows.csv"), file, exit_code=1)
    call("allocation", "declare", DEMO, digest, user=KEEPER.user, meaning="responsibility")
    call("trial", "cut", DEMO, "c1", "--until", "2026-03-31", user="data-manager", meaning="responsibility")
    call("trial", "soft-lock", DEMO, "c1", user="data-manager", meaning="responsibility")
    call("trial", "release", DEMO, "other", user="data-manager", meaning="responsibility")
    call("trial", "cut", DEMO, "c2", "--until", "2026-03-31", user="data-manager", meaning="responsibility")
    call("trial", "soft-lock", DEMO, "c2", user="data-manager", meaning="responsibility")
    for user in ("data-manager", "statistician", "imaging-lead", "qa-auditor"):
        call("trial", "lock", DEMO, "c2", "--role", build.ROLES[user], user=user, meaning="approval")
    assert "stays sealed" not in call("allocation", "import", DEMO, file, user=KEEPER.user, meaning="execution")
    assert "nothing is shown by arm" in call("allocation", "show", DEMO, user="statistician", exit_code=1)
    call("allocation", "unblind", DEMO, user="statistician", meaning="responsibility")
    told = call("allocation", "show", DEMO, user="statistician")
    assert told.startswith("open report, cut c2")
    assert "A: 1 subjects" in told
    listed = json.loads(call("trial", "cuts", DEMO, "--json"))
    assert [(one["cut"], one["state"]) for one in listed["cuts"]] == [("c1", "withdrawn"), ("c2", "locked")]
    assert listed["allocation"] == "unblinded"
    for user in ("qa-auditor", "data-manager"):
        call("trial", "unlock", DEMO, "other", "--difference", "none", user=user, meaning="approval")
    assert "stage live" in call("trial", "show", DEMO)


WORDS = sorted({word for _, word in (*TRIAL, *CUT, *ALLOCATION)})


@req("REC-13")
@given(st.lists(st.sampled_from(WORDS), max_size=40))
def test_in_whatever_order_words_are_tried_nothing_is_locked_without_a_cut_and_a_soft_lock(words) -> None:
    """The three tables together, as the commands use them: a word counts only where each table that knows it agrees."""
    trial: str | None = "live"
    state: str | None = None
    past: list[str] = []
    for word in words:
        here, there = next_state(TRIAL, trial, word), next_state(CUT, state, word)
        in_trial, in_cut = (any(word == one for _, one in table) for table in (TRIAL, CUT))
        if (in_trial and here is None) or (in_cut and there is None) or not (in_trial or in_cut):
            continue
        trial, state = here if in_trial else trial, there if in_cut else state
        past.append(word)
    if "database.locked" in past:
        before = past[: past.index("database.locked")]
        assert before.index("cut.frozen") < before.index("database.soft_locked")
    assert (trial == "locked") <= (state == "locked")


lines = st.lists(
    st.builds(CutLine, st.sampled_from(["s1", "s2", "s3"]), st.sampled_from(["", "BL", "W8"]),
              st.sampled_from(["enrolled", "frozen"])),
    unique_by=lambda one: (one.subject, one.time_point), max_size=9)


@req("REC-13")
@given(lines, lines, st.dictionaries(st.sampled_from(["s1", "s2", "s3"]), st.sampled_from(["A", "B"]), min_size=1))
def test_a_listing_is_read_back_and_every_line_is_counted_in_one_arm(before, now, arms) -> None:
    text = listing_text(now)
    assert read_listing(text) == tuple(sorted(now))
    assert listing_text(list(reversed(now))) == text
    assert (differing(before, now) == 0) == (digest_of(listing_text(before)) == digest_of(text))
    rows = "".join(f"{subject},{arm}\n" for subject, arm in arms.items())
    counted = by_arm(now, read_allocation(sealed_allocation("T1", rows, NONCE)))
    assert sum(one.subjects + one.time_points for one in counted) == len(now)


@req("REC-13")
@pytest.mark.parametrize(("text", "said"), [
    ("subject,arm\n101-001,A\n", "Line 1 is not"),
    (f"countersign-allocation/1 T1 {NONCE}\n101-001,A\n", "Line 2 is not"),
    (f"countersign-allocation/1 T1 {NONCE}\nsubject,arm\n101-001,A\n101-001,B\n", "Line 4 names a subject a second"),
    (f"countersign-allocation/1 T1 {NONCE}\nsubject,arm\n101-001\n", "Line 3 is not one subject and one arm"),
    (f"countersign-allocation/1 T1 {NONCE}\nsubject,arm\n", "names no subject"),
    (f"countersign-allocation/1 T1 {NONCE[:-2]}\nsubject,arm\n101-001,A\n", "nonce of 64"),
])
def test_a_damaged_allocation_is_refused_without_telling_an_arm(text: str, said: str) -> None:
    with pytest.raises(UnusableInput) as problem:
        read_allocation(text)
    assert said in problem.value.fact
    assert ",A" not in problem.value.fact


@req("REC-13", "RDG-11")
def test_what_was_read_is_frozen_by_the_lock_and_by_its_end_no_more(house: HouseUnderTest) -> None:
    """TRIAL 3: no entry of its own; `database.locked` is that of every time point which its cut lists."""
    a_trial(house)
    recorded(house, trial_words.TimePointMoved(subject="101-001", time_point="BL", became="read"))

    def shown() -> dict[str, str]:
        said = CliRunner().invoke(app, ["subject", "list", DEMO, "--home", str(house.home), "--json"])
        return {f"{one['subject']} {point['time_point']}": point["today"] for one in json.loads(said.output)
                for point in one["time_points"]}

    before = shown()
    build.soft_locked(house)
    assert shown() == before
    build.locked(house)
    locked_words = house.words()
    frozen = shown()
    for actor in (build.MANAGER, build.QA):
        house.commit(unlock(house, actor))

    assert (before["101-001 BL"], frozen["101-001 BL"]) == ("read", "frozen")
    assert {name: state for name, state in frozen.items() if name != "101-001 BL"} == {
        name: state for name, state in before.items() if name != "101-001 BL"}
    assert locked_words[-1] == "database.locked"
    assert shown() == before


@req("REC-13", "RDG-11")
@given(st.sampled_from(sorted({*TIME_POINT.values()})), st.sampled_from(sorted(Stage)))
def test_nothing_but_what_was_read_is_ever_frozen_and_only_while_the_data_are_locked(state: str, stage: Stage) -> None:
    after = standing_in(state, stage)

    assert (after == "frozen") == (state in ("read", "adjudicated") and stage in (Stage.LOCKED, Stage.CLOSED))
    assert after in (state, "frozen")


@req("REC-13")
def test_a_trial_is_closed_when_its_data_are_locked_and_nothing_is_open_and_then_nothing_happens_in_it(
    house: HouseUnderTest,
) -> None:
    """Each thing that is open is told; after the closing no stage of it comes back."""
    a_trial(house)
    build.soft_locked(house)

    def close(by: Actor = build.LEAD) -> None:
        house.commit(close_trial(house.desk, by, DEMO))

    refused(house, "default-deny", close)
    build.locked(house)
    refused(house, "default-deny", lambda: close(build.MANAGER))
    signed(house, "qa-auditor", DeviationOpened(
        deviation="DEV-1", klass_name="minor", source="quality", about="a visit", says="late"))
    refused(house, "F-241", close)
    signed(house, "qa-auditor", DeviationClosed(
        deviation="DEV-1", cause="c", impact="none", action="a", conclusion="closed"))
    recorded(house, IncidentOpened(
        incident="INC-1", source="finding", kind="other", count=0, series=(), places=("(0010,0010)",)))
    refused(house, "F-240", close)
    signed(house, "qa-auditor", DestructionCertified(
        incident="INC-1", objects=0, digest="", copies=(), searched=0, found=0))
    signed(house, "trial-lead", data_lock.RandomisationDeclared(digest=DIGEST))
    refused(house, "F-242", close)
    signed(house, "statistician", data_lock.AllocationImported(
        cut="cut-1", digest=DIGEST, declared="d", subjects=2, allocation=build.OBJECT))
    signed(house, "statistician", data_lock.UnblindingDone(cut="cut-1", imported="i", digest=DIGEST))
    proof = house.proof("trial-lead")

    typed = CliRunner().invoke(app, ["trial", "close", DEMO, "--as", "trial-lead", "--home", str(house.home)], env={
        "COUNTERSIGN_MEANING": "approval", "COUNTERSIGN_PASSWORD": proof.password, "COUNTERSIGN_CODE": proof.code})

    assert typed.exit_code == 0, typed.output
    with house.desk.reading() as session:
        assert the_trial(session, DEMO).stage is Stage.CLOSED
    refused(house, "default-deny", close)
    refused(house, "default-deny",
            lambda: usecases.unlock(house.desk, build.MANAGER, DEMO, "error_found", "one date"))
    (ended,) = [one.body for one in house.entries() if one.body["action"] == "trial.closed"]
    assert ended["fields"] == {"charter_version": "1.0", "cut": "cut-1"}
