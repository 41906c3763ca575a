"""What other rooms record stands in the appendix, told from their entries alone."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from audit.vocabulary.models import RunRequested
from audit.vocabulary.registry import ObjectRef
from audit.vocabulary.validation import (
    CriterionVerdict,
    DeviationClosed,
    ProtocolDrafted,
    StratumVerdict,
    ValidationConcluded,
    ValidationStarted,
)
from core.policy.state import Actor
from core.reads import usecases
from core.reads.ai_reads import seal_ai_read
from core.reads.locking import LockAnswer, show_ai_values
from reports import csr_appendix, recompute
from reports.model import Paper, Table, cells_of
from reports.read_rules import agreement_of, kappa_of
from reports.reading import burden_of
from tests.builders import arrival, reads
from tests.builders.papers import LOCK, a_told_trial, book_of, notes
from tests.house import HouseUnderTest, a_house
from tests.req import req

TRIAL, SUBJECT, DIGEST = reads.TRIAL, reads.SUBJECT, reads.DIGEST


def table(house: HouseUnderTest, name: str) -> Table:
    paper = csr_appendix.build(book_of(house), TRIAL, "0.1.0")
    every_cell_is_made_again(house, paper)
    return next(one for one in paper.tables if one.id == name)


def every_cell_is_made_again(house: HouseUnderTest, paper: Paper) -> None:
    book = book_of(house).of_trial(TRIAL)
    for one in paper.tables:
        for row, column, cell in cells_of(one):
            if cell.basis is not None:
                assert recompute.compute(book, cell.basis) == cell.text, (one.id, row.key, column.title)


def texts(found: Table) -> dict[str, list[str]]:
    return {row.key: [cell.text for cell in row.cells] for row in found.rows}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    with a_house(tmp_path_factory.mktemp("told")) as house:
        a_told_trial(house)
        yield house


@req("RPT-02", "RDG-04")
def test_reads_show_sum_change_and_response_of_each_reader(told: HouseUnderTest) -> None:
    """50.0 mm to 30.0 is −40.0 % (PR); 45.0 is 15.0 mm over the nadir, +50 %: PD."""
    rows = texts(table(told, "A7"))
    assert rows["101-001, Baseline, Reader 1, response"][4:8] == ["50.0", "mm", "", ""]
    assert rows["101-001, Week 8, Reader 1, response"][4:8] == ["30.0", "mm", "−40.0", "PR"]
    assert rows["101-001, Week 16, Reader 1, response"][4:8] == ["45.0", "mm", "−10.0", "PD"]
    assert rows["101-001, Week 16, Reader 2, response"][4:8] == ["28.0", "mm", "−46.2", "PR"]
    assert rows["101-001, Week 8, Reader 1, response"][10] == "accepted"


@req("RDG-05", "RPT-03")
def test_an_adjudication_stands_with_both_reads_and_the_choice(told: HouseUnderTest) -> None:
    rows = texts(table(told, "A8"))
    first = next(row for key, row in rows.items() if key.startswith("101-001, W16") and "ADJ-1" in key)
    assert first[4:6] == ["PD, 45.0 mm", "PR, 28.0 mm"]
    assert first[6] in ("Reader 1", "Reader 2")
    assert first[8] == "measurement"


@req("RDG-08")
def test_agreement_is_computed_as_bland_and_altman_did(told: HouseUnderTest) -> None:
    """Differences −2, −2, −3.4, 17 mm: mean 2.4, SD 9.746, limits −16.7 and 21.5."""
    row = texts(table(told, "A9"))["response, Reader 1 and Reader 2"]
    assert row[3:7] == ["4", "+2.4", "−16.7", "+21.5"]


def test_agreement_needs_two_pairs_and_kappa_a_spread_of_categories() -> None:
    assert agreement_of([Decimal(1)]) is None
    assert kappa_of([]) is None
    assert kappa_of([("PR", "PR"), ("PR", "PR")]) is None
    # Observed 3/4, by chance 5/16: (3/4 − 5/16) / (11/16) = 7/11.
    assert kappa_of([("PR", "PR"), ("SD", "SD"), ("PR", "SD"), ("PD", "PD")]) == Decimal(7) / 11


def test_a_sum_with_a_lesion_that_was_not_imaged_is_no_sum() -> None:
    measured = {"state": "measured", "sizes": {"response": ["10.0 mm"]}}
    for state, total in (("not_imaged", None), ("not_assessable", None), ("too_small", "15.0"), ("gone", "10.0"),
                         ("merged", "10.0")):
        found = burden_of({"targets": [measured, {"state": state, "sizes": {}}]}, "response", "recist11")
        assert (str(found) if found is not None else None) == total, state


@req("RPT-05")
def test_validation_and_deviations_stand_with_bound_and_closing(told: HouseUnderTest) -> None:
    verdict = CriterionVerdict(
        criterion="V-1", requirement="VAL-10", stratum="generated", measure="volume", metric="ccc", judged_on="low",
        limit="0.85", subjects=60, method="bootstrap", verdict="met", says="ok", estimate="0.97", low="0.95",
        high="0.98")
    document = ObjectRef(sha256=DIGEST, bytes=1, media="text/yaml")
    reads.signed(told, "qa", ProtocolDrafted(
        protocol="PQ-1", version=1, title="A protocol", kind="PQ", target="model", document=document, digest=DIGEST,
        evidence_class="demonstration", signers=("qa_auditor",), lock=LOCK))
    notes(told, ValidationStarted(
        run="R-1", protocol="PQ-1", version=1, digest=DIGEST, kind="PQ", target="model", protocol_seq=1,
        environment=document, evidence_class="demonstration", lock=LOCK), trial=None)
    notes(told, ValidationConcluded(
        run="R-1", protocol="PQ-1", version=1, digest=DIGEST, protocol_seq=1, kind="PQ", target="model",
        verdict="passed", strata=(StratumVerdict(stratum="generated", measure="volume", subjects=60, verdict="passed",
                                                 says="ok"),), criteria=(verdict,), steps=3, steps_failed=0,
        deviations=(), evidence_class="demonstration", report=document,
        lock=LOCK), trial=None)
    row = texts(table(told, "A5"))["PQ-1, run R-1, V-1"]
    assert row[2:9] == ["V-1", "generated", "60", "0.85", "0.97", "0.95 to 0.98", "met"]
    assert texts(table(told, "A12"))["DEV-1"][6] == "open"
    reads.signed(told, "qa", DeviationClosed(deviation="DEV-1", cause="late", impact="none", action="none needed",
                                             conclusion="closed"))
    assert texts(table(told, "A12"))["DEV-1"][6:9] == ["none", "none needed", "Qa"]


@req("RPT-03", "RDG-10")
def test_ai_values_and_overrides_stand_in_full_and_the_blinded_ai_beside_the_final(house: HouseUnderTest) -> None:
    reads.a_live_trial(house)
    reads.assign(house, reads.BOTH)
    reads.open_gate(house, 3, "secondary", "volume")
    reads.open_gate(house, 4, "primary", "response")
    reads.a_run(house, "run-1", "BL", "61230.0 mm3")
    seal_ai_read(house.desk, LockAnswer(TRIAL, SUBJECT, "BL", reads.baseline_answer("49.0", "61.2")))
    assignment = reads.begin(house, "reader-1")
    reads.mark(house, "reader-1", reads.baseline_answer())
    show_ai_values(house.desk, Actor("reader-1"), assignment, "volume")
    decided = {"endpoint": "volume", "run": "run-1", "use": "adjust", "reason": "boundary_too_wide"}
    reads.seal(house, "reader-1", {"targets": [reads.target("T01", "50.0", "58.0", location="liver", ai=[decided])]})
    reads.begin(house, "reader-2")
    reads.seal(house, "reader-2", reads.baseline_answer("51.0", "59.0"))
    house.work()

    (row,) = table(house, "A10").rows
    assert [cell.text for cell in row.cells][5:9] == ["61.2", "58.0", "adjust", "boundary too wide"]
    pair = texts(table(house, "A14"))["101-001, Baseline, response"]
    assert pair[3:6] == ["49.0", "50.0", "−1.0"]


@req("RDG-07", "RPT-03")
def test_a_read_that_was_ordered_again_stays_in_the_table_and_counts_nowhere(house: HouseUnderTest) -> None:
    reads.a_live_trial(house)
    reads.assign(house, reads.BOTH)
    reads.read_by_both(house, reads.baseline_answer("50.0"), reads.baseline_answer("52.0", "64.0"))
    reads.read_by_both(house, reads.follow_up("45.0", "50.0"), reads.follow_up("28.0", "18.2"), "W08")
    order = usecases.OrderReread(TRIAL, SUBJECT, "W08", "reader_2", "this", "images_corrected")
    house.commit(usecases.order_reread(house.desk, Actor("imaging-lead"), order))
    reads.begin(house, "reader-2", "W08")
    reads.seal(house, "reader-2", reads.follow_up("46.0", "51.0"), "W08")
    house.work()

    rows = texts(table(house, "A7"))
    assert rows["101-001, Week 8, Reader 2, response, read again"][4:11:6] == ["28.0", "excluded, read again"]
    assert rows["101-001, Week 8, Reader 2, response"][4:8] == ["46.0", "mm", "−11.5", "SD"]
    # 50 − 52 and 45 − 46: the excluded 28.0 is in no pair.
    assert texts(table(house, "A9"))["response, Reader 1 and Reader 2"][3:5] == ["2", "−1.5"]


@req("RDG-11", "RPT-03")
def test_every_series_that_was_not_taken_as_it_came_is_listed(house: HouseUnderTest, tmp_path: Path) -> None:
    arrival.a_trial_that_receives(house)
    arrival.write_study(tmp_path / "in")
    arrival.take_in(house, tmp_path / "in")
    cases = [entry.body["fields"]["case"] for entry in house.entries() if entry.body["action"] == "quality.checked"]
    arrival.dispose(house, cases[0])
    arrival.dispose(house, cases[1], "rejected", "protocol_deviation")

    counts = {row[2]: row[4:10] for row in texts(table(house, "A3")).values()}
    assert sorted(sum(int(row[n]) for row in counts.values()) for n in (0, 2, 4)) == [1, 1, 2]
    (row,) = table(house, "A3b").rows
    assert [cell.text for cell in row.cells][3:5] == ["rejected", "protocol deviation"]


@req("RPT-05", "MLK-01")
def test_a_model_change_is_listed_with_the_result_of_each_lock_alone(tmp_path: Path) -> None:
    """TRIAL 2: both locks listed, with a sensitivity analysis; every number is made again from the entries."""
    other = "b" * 64

    def asked(run: str, subject: str, lock: str, time_point: str = "BL") -> RunRequested:
        return RunRequested(
            run=run, lock=lock, model="lesion-unet", subject=subject, time_point=time_point, study="1.2", lesion="T1",
            tracking_uid="2.25.1", seed="0 0 0", seed_by="imaging-lead", inputs=(), use="secondary", standing="gated",
            sealed=False, input_sha256=DIGEST, endpoint="volume", gate="G-3")

    with a_house(tmp_path) as house:
        a_told_trial(house)
        notes(house, asked("R1", "101-001", LOCK), asked("R2", "101-002", LOCK))
        assert not table(house, "A4e").rows
        notes(house, asked("R3", "101-002", other), on_behalf_of="imaging-lead")
        by_subject, found = table(house, "A4d"), table(house, "A4e")
        drawn = next(one for one in csr_appendix.build(book_of(house), TRIAL, "0.1.0").figures
                     if one.id == "fig-waterfall")

    assert [row.key for row in by_subject.rows] == [
        f"volume, 101-001, {LOCK}", f"volume, 101-002, {LOCK}", f"volume, 101-002, {other}"]
    rows = texts(found)
    assert [row[2] for row in rows.values()] == ["2", "2", "1"]
    assert list(rows) == ["volume, all", f"volume, {LOCK}", f"volume, {other}"]
    # One subject was followed up; the other lock's subject has a baseline alone, which is no change.
    assert rows["volume, all"][3:] == rows[f"volume, {LOCK}"][3:]
    assert rows[f"volume, {other}"][3:] == ["0", "", ""]
    assert rows["volume, all"][3] == "1"
    assert Decimal(rows["volume, all"][4].replace("\u2212", "-")) < 0
    assert [point.label for point in drawn.points] == ["101-001"]
