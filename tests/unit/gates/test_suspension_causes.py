"""Every cause of suspension, brought about as it comes about: a word of its room, a day that passes, a changed file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from audit.vocabulary import models, sops, validation
from audit.vocabulary.access import DelegationEnded, RoleGranted
from core.gates import queries
from core.gates.rules import SUSPENSION_CAUSES
from core.trials.queries import open_uses
from countersign.daily import look_after
from countersign.web.watch import Watch
from tests.builders import trials as build
from tests.builders.reads import DIGEST, TRIAL, charter_text, recorded, signed
from tests.house import HouseUnderTest, a_house
from tests.req import req
from tests.tampering import without_triggers

TESTS = Path(__file__).parents[2]
#: Causes whose way is long: the test that walks it, by file and name.
ELSEWHERE = {
    "drift_level_2": ("unit/drift/test_watching.py", "test_level_2_suspends_in_the_same_transaction"),
    "sentinel_overdue": ("unit/drift/test_sentinel.py", "test_a_set_that_is_missed_too_long_suspends"),
    "review_overdue": ("audit/test_trail_reviews.py", "suspend"),
    "suspect_signature": ("unit/gates/test_suspect_signatures.py", "test_a_gate_signed_with_a_suspect_key"),
    "waiver_expired": ("unit/gates/test_gate_life.py", "test_a_waiver_needs_the_owner_and_qa_and_its_end_suspends"),
    "earlier_gate_revoked": ("unit/gates/test_gate_life.py", "test_a_revoked_gate_takes_later_ones_with_it"),
    "not_in_charter": ("unit/gates/test_gate_life.py", "test_an_amendment_that_leaves_a_use_out_closes_its_gate"),
    "amendment_without_impact": (
        "unit/trials/test_amendments.py", "test_an_imaging_relevant_amendment_without_a_signed_impact_suspends"),
}
DEPUTY = "second-technologist"
NAMED = ("- {role: adjudicator, person: imaging-lead}", f"- {{role: qc_technologist, person: {DEPUTY}}}")


def refusal(cause: str, check: str) -> Callable[[HouseUnderTest], None]:
    def happens(house: HouseUnderTest) -> None:
        recorded(house, models.ModelRefused(
            lock=build.LOCK, model="lesion-at-seed", check=check, cause=cause, expected="a", found="b"), "inference")
        house.work()

    return happens


def recalled(house: HouseUnderTest) -> None:
    signed(house, "validation-lead", models.ModelRetired(lock=build.LOCK, model="lesion-at-seed", how="recalled"))
    house.work()


def suspect_run(house: HouseUnderTest) -> None:
    run = next(one.body["fields"]["run"] for one in house.entries() if one.body["action"] == "validation.concluded")
    signed(house, "validation-lead", validation.ValidationSuspect(
        run=run, cause="A driver was patched.", scope="IQ", lock=build.LOCK))
    house.work()


def deviation(house: HouseUnderTest) -> None:
    signed(house, "qa-auditor", validation.DeviationOpened(
        deviation="DEV-1", klass_name="critical", source="system", about="values", says="wrong unit"))
    house.work()


def other_software(house: HouseUnderTest) -> None:
    """The installation was changed without a release: another version runs at the daily look."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.gates.gathering.release", lambda: "99.0.0")
        assert "1 gates suspended" in look_after(house.desk, sets=False)


def a_new_procedure(house: HouseUnderTest, *trained: str) -> None:
    """A procedure that governs the disposition becomes effective, and only these people know it."""
    signed(house, "qa-auditor", sops.SopDrafted(
        sop="SOP-91", version=1, title="Disposition", owner="qa_auditor", governs=("quality.dispose",), applies_to=(),
        review_months=24, window_days=0, text=build.OBJECT))
    signed(house, "qa-auditor", sops.SopApproved(
        sop="SOP-91", version=1, text_sha256=DIGEST, effective_on="2026-01-01"))
    recorded(house, sops.SopEffective(sop="SOP-91", version=1, review_by="2028-01-01"))
    for user in trained:
        signed(house, user, sops.TrainingCompleted(sop="SOP-91", version=1, text_sha256=DIGEST, answered=0))


def nobody_trained(house: HouseUnderTest) -> None:
    a_new_procedure(house)
    assert "1 gates suspended" in look_after(house.desk, sets=False)


def tampered(house: HouseUnderTest) -> None:
    """Somebody who owns the database file rewrites a column; the watch of the server finds it."""
    watch = Watch(house.desk)
    assert watch.look().fault is None
    assert "gate.suspended" not in house.words()
    with closing(sqlite3.connect(house.home / "ledger.db")) as connection:
        without_triggers(connection, lambda: connection.execute("UPDATE entry SET actor = 'nobody' WHERE seq = 3"))
    assert watch.look().fault_seq == 3


CAUSES: dict[str, Callable[[HouseUnderTest], None]] = {
    "digest_mismatch": refusal("digest_mismatch", "files"),
    "environment_mismatch": refusal("environment_mismatch", "environment"),
    "input_not_finite": refusal("input_not_finite", "contract"),
    "marks_edited": refusal("marks_edited", "marks"),
    "lock_revoked": recalled,
    "validation_suspect": suspect_run,
    "critical_deviation": deviation,
    "unreleased_software": other_software,
    "nobody_left": nobody_trained,
    "ledger_failure": tampered,
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    """A live trial whose first gate is open; each test takes a copy."""
    with a_house(tmp_path_factory.mktemp("opened")) as house:
        build.live(house)
        build.evidence_of_use_1(house)
        build.opened(house, "qc")
        yield house


@req("GAT-04")
@pytest.mark.parametrize("cause", sorted(CAUSES))
def test_each_cause_suspends_by_its_own_way(opened: HouseUnderTest, tmp_path: Path, cause: str) -> None:
    house = opened.copied(tmp_path)
    try:
        CAUSES[cause](house)

        with house.desk.reading() as session:
            (gate,) = queries.gates_of(session, TRIAL)
            (stop,) = queries.stops_of(session, gate.gate)
            assert (gate.state, stop.kind, stop.cause) == ("suspended", "suspended", cause)
            assert open_uses(session, TRIAL) == ()
    finally:
        house.house.close()


@req("GAT-04")
def test_no_cause_is_without_its_test() -> None:
    assert set(CAUSES) | set(ELSEWHERE) == set(SUSPENSION_CAUSES)
    assert not set(CAUSES) & set(ELSEWHERE)
    for cause, (file, test) in ELSEWHERE.items():
        text = (TESTS / file).read_text(encoding="utf-8")
        assert f'"{cause}"' in text, (cause, file)
        assert test in text, (cause, file)


@req("GAT-04", "SOP-04")
@pytest.mark.parametrize("named", [True, False])
def test_a_deputy_of_the_charter_keeps_a_gate_open_and_a_stranger_does_not(
    house: HouseUnderTest, named: bool
) -> None:
    """Role and training alike; the signed charter is the deputy's delegation, and its end is the gate's."""
    build.live(house, charter_text().replace(*NAMED) if named else None)
    build.evidence_of_use_1(house)
    build.opened(house, "qc")
    house.person(DEPUTY)
    signed(house, "qa-auditor", RoleGranted(user=DEPUTY, role="qc_technologist", because="stands in"))
    signed(house, DEPUTY, sops.TrainingCompleted(sop="SOP-90", version=1, text_sha256=DIGEST, answered=0))
    a_new_procedure(house, DEPUTY)

    look_after(house.desk, sets=False)
    assert ("gate.suspended" in house.words()) is not named
    if named:
        signed(house, "trial-lead", DelegationEnded(user=DEPUTY, role="qc_technologist", because="left"))
        look_after(house.desk, sets=False)
    assert house.entries()[-1].body["fields"]["cause"] == "nobody_left"
