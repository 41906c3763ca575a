"""Each word about gates, and each word of another room that gates stand on, leaves these rows and no others."""

from __future__ import annotations

from typing import Any

import pytest

from audit.vocabulary import bridging as plans
from audit.vocabulary import corrections, drift, imaging, incidents, models, sops, validation
from audit.vocabulary import gates as words
from audit.vocabulary.registry import ObjectRef
from core.gates import projections as tables
from tests.builders.folded import Folded
from tests.builders.locks import lock_word
from tests.builders.reads import DIGEST, TRIAL
from tests.req import req

OBJECT = ObjectRef(sha256=DIGEST, bytes=7, media="text/plain")
KEPT = f"{DIGEST} 7 text/plain"


@pytest.fixture
def record() -> Folded:
    made = Folded()
    made.say(lock_word("LCK-0", "older"))  # so that no number of an entry is nought
    return made


def criteria(*states: str) -> tuple[words.JudgedCriterion, ...]:
    return tuple(words.JudgedCriterion(
        id=f"C{number}", state=state, found=f"found {number}", limit=f"limit {number}", entries=(number, number + 1),
        waiver="W-1" if state == "waived" else None) for number, state in enumerate(states))


def requested(gate: str, use: int = 3, endpoint: str | None = "volume", lock: str = "LCK-1") -> words.GateRequested:
    return words.GateRequested(
        gate=gate, use=use, use_name="secondary", scope="sites:101", lock=lock, model="lesion-at-seed",
        criteria=criteria("met", "waived"), endpoint=endpoint)


def opened(gate: str, use: int = 3, endpoint: str | None = "volume", lock: str = "LCK-1") -> words.GateOpened:
    return words.GateOpened(gate=gate, use=use, use_name="secondary", scope="sites:101", lock=lock,
                            criteria=criteria("met"), signed=(), endpoint=endpoint)


def one(record: Folded, table: Any, **key: Any) -> dict[str, Any]:
    (row,) = [row for row in record.rows(table) if all(row[name] == value for name, value in key.items())]
    return row


@req("GAT-01", "GAT-03")
def test_a_gate_is_what_its_words_made_of_it(record: Folded) -> None:
    """Two gates: what happens to one leaves the other as it was."""
    first, other = record.say(requested("G-1"), "lead"), record.say(requested("G-2", endpoint=None), "lead")
    begun: dict[str, Any] = {
        "gate": "G-1", "trial": TRIAL, "use": 3, "use_name": "secondary", "endpoint": "volume", "scope": "sites:101",
        "lock": "LCK-1", "model": "lesion-at-seed", "state": "requested", "says": None, "round": first.body["id"],
        "requested_by": "lead", "opened_entry": None, "entry": first.seq,
    }
    assert one(record, tables.gates, gate="G-1") == begun
    untouched = begun | {"gate": "G-2", "endpoint": None, "round": other.body["id"], "entry": other.seq}

    now = begun
    for event, change in (
        (opened("G-1"), {"state": "open", "opened_entry": True}),
        (words.GateSuspended(gate="G-1", use=3, cause="lock_revoked", says="recalled"),
         {"state": "suspended", "says": "recalled", "round": True}),
        (words.GateHalted(gate="G-1", use=3, halt_rule="HALT-1", says="too many"),
         {"state": "halted", "says": "too many", "round": True}),
        (words.GateResumed(gate="G-1", use=3, criteria=(), signed=()), {"state": "open", "says": None}),
        (words.GateWithdrawn(gate="G-1"), {"state": "withdrawn"}),
        (words.GateRevoked(gate="G-1", use=3), {"state": "revoked", "says": "misuse"}),
    ):
        entry = record.say(event, reason="misuse" if isinstance(event, words.GateRevoked) else None)
        marks = {"opened_entry": entry.seq, "round": entry.body["id"]}
        now = now | {name: marks[name] if value is True else value for name, value in change.items()} | {
            "entry": entry.seq}
        assert one(record, tables.gates, gate="G-1") == now
        assert one(record, tables.gates, gate="G-2") == untouched


@req("GAT-02")
def test_criteria_are_kept_in_their_order_as_they_stood_at_each_step(record: Folded) -> None:
    steps = [("requested", record.say(requested("G-1")).seq), ("opened", record.say(opened("G-1")).seq)]
    resumed = words.GateResumed(gate="G-1", use=3, criteria=criteria("open", "met"), signed=())
    steps.append(("resumed", record.say(resumed).seq))

    def row(at: str, entry: int, position: int, state: str) -> dict[str, Any]:
        return {"gate": "G-1", "at": at, "position": position, "criterion": f"C{position}", "state": state,
                "found": f"found {position}", "wanted": f"limit {position}",
                "entries": f"[{position}, {position + 1}]", "waiver": "W-1" if state == "waived" else None,
                "entry": entry}

    assert sorted(record.rows(tables.criteria), key=lambda each: (each["entry"], each["position"])) == [
        row(*steps[0], 0, "met"), row(*steps[0], 1, "waived"), row(*steps[1], 0, "met"), row(*steps[2], 0, "open"),
        row(*steps[2], 1, "met")]


@req("GAT-02", "SIG-04")
def test_a_signature_is_kept_with_its_person_key_and_round(record: Folded) -> None:
    asked = record.say(requested("G-1"))
    entry = record.say(words.GateSigned(
        gate="G-1", signed_as="qa_auditor", purpose="open", criteria_digest=DIGEST, requested=asked.body["id"]),
        "qa", kid="key-of-qa")

    assert record.rows(tables.signatures) == [{
        "gate": "G-1", "round": asked.body["id"], "purpose": "open", "signed_as": "qa_auditor", "person": "qa",
        "kid": "key-of-qa", "entry_id": entry.body["id"], "entry": entry.seq}]


@req("GAT-04", "GAT-05")
def test_a_stop_is_kept_and_is_over_when_its_own_gate_resumes(record: Folded) -> None:
    suspended = record.say(words.GateSuspended(gate="G-1", use=3, cause="lock_revoked", says="recalled")).seq
    halted = record.say(words.GateHalted(gate="G-2", use=3, halt_rule="HALT-1", says="too many")).seq
    first = {"gate": "G-1", "kind": "suspended", "cause": "lock_revoked", "says": "recalled", "resumed": False,
             "entry": suspended}
    second = {"gate": "G-2", "kind": "halted", "cause": "HALT-1", "says": "too many", "resumed": False,
              "entry": halted}
    assert record.rows(tables.stops) == [first, second]

    record.say(words.GateResumed(gate="G-2", use=3, criteria=(), signed=()))
    assert record.rows(tables.stops) == [first, second | {"resumed": True}]


@req("GAT-02")
def test_a_document_is_kept_with_the_role_that_filed_it_and_all_it_speaks_of(record: Folded) -> None:
    entry = record.say(words.EvidenceFiled(
        kind="reader_study", title="A study", document=OBJECT, document_date="2026-01-01", evidence_class="study",
        use=3, endpoint="volume", display="after_own", cases=40, lock="LCK-1"), "stat", role="statistician")

    assert record.rows(tables.filings) == [{
        "trial": TRIAL, "kind": "reader_study", "title": "A study", "role": "statistician", "use": 3,
        "endpoint": "volume", "display": "after_own", "cases": 40, "lock": "LCK-1", "evidence_class": "study",
        "document": KEPT, "entry": entry.seq}]


@req("GAT-02", "OPS-04")
def test_a_waiver_is_approved_by_its_owner_and_by_qa_each_in_their_own_column(record: Folded) -> None:
    def asked(waiver: str) -> words.WaiverRequested:
        return words.WaiverRequested(waiver=waiver, use=1, criterion="privacy", because="soon", risk="none",
                                     ends_on="2026-12-31", owner="trial_lead")

    first = record.say(asked("W-1"), "imaging")
    other = record.say(asked("W-2"), "imaging")
    row = {"waiver": "W-1", "trial": TRIAL, "use": 1, "criterion": "privacy", "owner": "trial_lead", "because": "soon",
           "risk": "none", "ends_on": "2026-12-31", "requested_by": "imaging", "owner_by": None, "qa_by": None,
           "entry_id": first.body["id"], "entry": first.seq}
    assert one(record, tables.waivers, waiver="W-1") == row
    for role, user, column in (("qa_auditor", "qa", "qa_by"), ("trial_lead", "lead", "owner_by")):
        entry = record.say(words.WaiverApproved(waiver="W-1", signed_as=role), user)
        row = row | {column: user, "entry": entry.seq}
        assert one(record, tables.waivers, waiver="W-1") == row
    assert one(record, tables.waivers, waiver="W-2") == row | {
        "waiver": "W-2", "owner_by": None, "qa_by": None, "entry_id": other.body["id"], "entry": other.seq}


@req("GAT-02", "MLK-08")
def test_a_lock_is_superseded_by_its_follower_only_while_it_is_in_use(record: Folded) -> None:
    def states() -> dict[str, tuple[str, int]]:
        return {row["lock"]: (row["state"], row["entry"]) for row in record.rows(tables.locks)}

    first = record.say(lock_word("LCK-1", "lesion-at-seed", demonstration=False)).seq
    assert one(record, tables.locks, lock="LCK-1") == {
        "lock": "LCK-1", "model": "lesion-at-seed", "state": "locked", "demonstration": False, "entry": first}

    second = record.say(lock_word("LCK-2", "lesion-at-seed", supersedes="LCK-1")).seq
    assert states() == {"LCK-0": ("locked", 0), "LCK-1": ("superseded", second), "LCK-2": ("locked", second)}
    gone = record.say(models.ModelRetired(lock="LCK-2", model="lesion-at-seed", how="recalled")).seq
    assert states() == {"LCK-0": ("locked", 0), "LCK-1": ("superseded", second), "LCK-2": ("recalled", gone)}
    third = record.say(lock_word("LCK-3", "lesion-at-seed", supersedes="LCK-2")).seq
    assert states()["LCK-2"] == ("recalled", gone), "a follower takes no recall back"
    assert states()["LCK-3"] == ("locked", third)


def concluded(run: str, evidence_class: str = "study", lock: str | None = "LCK-1") -> validation.ValidationConcluded:
    def judged(criterion: str, metric: str, verdict: str) -> validation.CriterionVerdict:
        return validation.CriterionVerdict(
            criterion=criterion, requirement="VAL-01", stratum="s", measure="volume", metric=metric, judged_on="bound",
            limit="1", subjects=60, method="exact", verdict=verdict, says="")

    return validation.ValidationConcluded(
        run=run, protocol="P", version=1, digest=DIGEST, protocol_seq=0, kind="PQ", target="model", verdict="passed",
        strata=(validation.StratumVerdict(stratum="liver", measure="volume", subjects=60, verdict="passed",
                                          says="enough"),),
        criteria=(judged("1", "later", "met"), judged("2", "dice", "met"), judged("3", "dice", "met"),
                  judged("4", "bias", "not_met")),
        steps=1, steps_failed=0, deviations=(), evidence_class=evidence_class, report=OBJECT, lock=lock, use=3,
        endpoint="volume")


def begun(record: Folded, run: str) -> None:
    record.say(validation.ProtocolDrafted(
        protocol=f"P-{run}", version=1, title="PQ", kind="PQ", target="model", document=OBJECT, digest=DIGEST,
        evidence_class="study", signers=()))
    record.say(validation.ValidationStarted(
        run=run, protocol=f"P-{run}", version=1, digest=DIGEST, kind="PQ", target="model", protocol_seq=0,
        environment=OBJECT, evidence_class="study", lock="LCK-1"))


@req("GAT-02", "VAL-06")
def test_what_a_run_showed_is_kept_and_an_exploratory_run_shows_nothing(record: Folded) -> None:
    begun(record, "run-1")
    entry = record.say(concluded("run-1")).seq
    begun(record, "run-x")
    record.say(concluded("run-x", "exploratory"))

    assert record.rows(tables.validations) == [{
        "run": "run-1", "kind": "PQ", "lock": "LCK-1", "use": 3, "endpoint": "volume", "verdict": "passed",
        "strata": '[["liver", "volume", 60, "passed", "enough"]]', "metrics_met": '["dice", "later"]',
        "evidence_class": "study", "suspect": None, "entry": entry}]


@req("GAT-04", "VAL-06")
def test_a_suspicion_marks_the_run_and_each_release_that_rests_on_it_once(record: Folded) -> None:
    def released(*runs: str, target: str = "installation") -> validation.ReleaseSigned:
        return validation.ReleaseSigned(target=target, what="0.1.0", runs=runs, conclusion="fit",
                                        evidence_class="study")

    for run in ("run-1", "run-2"):
        begun(record, run)
        record.say(concluded(run))
    both, second = record.say(released("run-1", "run-2")).seq, record.say(released("run-2")).seq
    record.say(released("run-1", target="model"))

    def marks() -> list[int | None]:
        return [row["suspect"] for row in (*record.rows(tables.validations), *record.rows(tables.releases))]

    assert record.rows(tables.releases) == [
        {"what": "0.1.0", "runs": '["run-1", "run-2"]', "suspect": None, "evidence_class": "study", "entry": both},
        {"what": "0.1.0", "runs": '["run-2"]', "suspect": None, "evidence_class": "study", "entry": second}]
    first = record.say(validation.ValidationSuspect(run="run-1", cause="c", scope="PQ", lock="LCK-1")).seq
    assert marks() == [first, None, first, None]
    later = record.say(validation.ValidationSuspect(run="run-2", cause="c", scope="PQ", lock="LCK-1")).seq
    assert marks() == [first, later, first, later], "what was suspect first stays so since then"


@req("GAT-02", "OPS-04")
def test_procedures_and_deviations_are_kept_and_a_closing_closes_its_own(record: Folded) -> None:
    effective = record.say(sops.SopEffective(sop="SOP-90", version=2, review_by="2028-01-01"), trial=None).seq
    assert record.rows(tables.procedures) == [{"sop": "SOP-90", "version": 2, "entry": effective}]

    def deviation(name: str) -> validation.DeviationOpened:
        return validation.DeviationOpened(deviation=name, klass_name="critical", source="system", about="values",
                                          says="wrong", lock="LCK-1")

    first, second = record.say(deviation("D-1")).seq, record.say(deviation("D-2")).seq
    closed = record.say(validation.DeviationClosed(
        deviation="D-2", cause="c", impact="i", action="a", conclusion="done")).seq
    assert record.rows(tables.deviations) == [
        {"deviation": f"D-{number}", "trial": TRIAL, "klass_name": "critical", "lock": "LCK-1", "closed": end,
         "entry": entry} for number, end, entry in ((1, None, first), (2, closed, second))]


def received(series: str, study: str = "S-1") -> imaging.SeriesReceived:
    return imaging.SeriesReceived(
        intake="i", subject="101-001", study=study, series=series, site="101", time_point="BL", modality="CT",
        acquired_on="2026-03-01", scanner="SN", charter_version="1.0", instances=1, bytes=1, manifest=OBJECT,
        manifest_sha256=DIGEST, content_sha256=DIGEST)


def disposed(series: str) -> imaging.QualityDisposed:
    return imaging.QualityDisposed(
        case="C", subject="101-001", study="S-1", series=series, time_point="BL", modality="CT",
        disposition="rejected", manifest_sha256=DIGEST, not_met=())


RAN: dict[str, Any] = {
    "lock": "LCK-1", "model": "lesion-at-seed", "subject": "101-001", "time_point": "BL", "lesion": "L1",
    "sealed": False, "input_sha256": DIGEST, "took": "1.0 s"}


def finished(run: str, study: str = "S-1", use: str = "qc", standing: str = "gated", **more: Any) -> Any:
    return models.RunFinished(run=run, study=study, use=use, standing=standing, environment_sha256=DIGEST,
                              output_sha256=DIGEST, values_said="1 ml", **RAN, **more)


def undecided(run: str, study: str = "S-1", use: str = "qc", **more: Any) -> Any:
    return models.RunUndecided(run=run, study=study, use=use, standing="gated", environment_sha256=DIGEST,
                               cause="domain", found="1", limit="0", **RAN, **more)


def failed(run: str, study: str = "S-1", use: str = "qc") -> Any:
    return models.RunFailed(run=run, study=study, use=use, standing="gated", cause="memory", detail="none", **RAN)


@req("GAT-02")
def test_a_study_of_the_run_in_is_its_series_their_dispositions_and_what_the_model_made_of_them(
    record: Folded
) -> None:
    first, second = record.say(received("1")).seq, record.say(received("2")).seq
    row = {"trial": TRIAL, "series": "1", "study": "S-1", "site": "101", "disposition": None, "disposed_entry": None,
           "entry": first}
    assert record.rows(tables.studies) == [row, row | {"series": "2", "entry": second}]
    said = record.say(disposed("2")).seq
    assert record.rows(tables.studies) == [
        row, row | {"series": "2", "entry": second, "disposition": "rejected", "disposed_entry": said}]

    entries = [record.say(each).seq for each in (
        finished("r1", standing="shadow"), undecided("r2"), failed("r3"), finished("r4", use="secondary"),
        failed("r5", use="secondary"))]
    run = {"trial": TRIAL, "study": "S-1", "lock": "LCK-1", "standing": "gated"}
    assert record.rows(tables.qc_runs) == [
        run | {"run": "r1", "standing": "shadow", "flagged": False, "entry": entries[0]},
        run | {"run": "r2", "flagged": True, "entry": entries[1]},
        run | {"run": "r3", "flagged": True, "entry": entries[2]}]


@req("GAT-05")
def test_runs_with_an_answer_are_kept_for_the_share_that_is_undecided(record: Folded) -> None:
    entries = [record.say(each).seq for each in (
        finished("r1", standing="shadow", use="secondary", endpoint="volume"), undecided("r2"), failed("r3"))]

    assert record.rows(tables.run_locks) == [
        {"entry": entries[0], "trial": TRIAL, "lock": "LCK-1", "endpoint": "volume", "standing": "shadow",
         "undecided": False},
        {"entry": entries[1], "trial": TRIAL, "lock": "LCK-1", "endpoint": None, "standing": "gated",
         "undecided": True}]


@req("GAT-02")
def test_a_defect_is_seeded_once_by_its_last_word(record: Folded) -> None:
    record.say(words.DefectSeeded(study="S-1"))
    other = record.say(words.DefectSeeded(study="S-2")).seq
    again = record.say(words.DefectSeeded(study="S-1")).seq

    assert record.rows(tables.seeded) == [{"trial": TRIAL, "study": "S-1", "entry": again},
                                          {"trial": TRIAL, "study": "S-2", "entry": other}]


def series(*names: str) -> tuple[corrections.CorrectedSeries, ...]:
    return tuple(corrections.CorrectedSeries(series=one, modality="CT", instances=1, manifest_sha256=DIGEST)
                 for one in names)


@req("GAT-02", "PRV-04")
@pytest.mark.parametrize("out_of_place", [
    corrections.StudyReassigned(study="S-1", kind="wrong_subject", subject="101-001", time_point="BL",
                                became="expected", count=1, series=series("1", "2"), ai_values=0, pulled=0, locked=0),
    incidents.IncidentOpened(incident="I-1", source="site", kind="identifier", count=1, series=series("1", "2"),
                             places=(), study="S-1"),
])
def test_a_study_out_of_its_place_is_none_of_the_run_in(record: Folded, out_of_place: Any) -> None:
    for number in ("1", "2", "3"):
        record.say(received(number, "S-2" if number == "3" else "S-1"))
    record.say(finished("r1"))
    record.say(finished("r2", study="S-2"))
    record.say(finished("r3"), trial="OTHER-1")

    record.say(out_of_place)

    assert [row["series"] for row in record.rows(tables.studies)] == ["3"]
    assert [row["run"] for row in record.rows(tables.qc_runs)] == ["r2", "r3"]


@req("GAT-05")
def test_a_look_is_kept_with_what_it_found(record: Folded) -> None:
    entry = record.say(words.HaltEvaluated(
        halt_rule="HALT-5", look=8, metric="undecided_rate", found="0.125", limit="> 0.10", fired=True)).seq

    assert record.rows(tables.looks) == [
        {"trial": TRIAL, "halt_rule": "HALT-5", "look": 8, "found": "0.125", "fired": True, "entry": entry}]


@req("MLK-02", "GAT-04")
def test_the_watch_over_a_lock_begins_once_and_follows_its_answers(record: Folded) -> None:
    def watch(lock: str = "LCK-1") -> dict[str, Any]:
        return one(record, tables.sentinels, lock=lock)

    def declared(number: int) -> drift.SentinelDeclared:
        return drift.SentinelDeclared(lock="LCK-1", model="m", generator_sha256=DIGEST, number=number, cases=())

    def answered(same: bool) -> drift.SentinelChecked:
        return drift.SentinelChecked(lock="LCK-1", model="m", declared="id", number=20, same=same, says="")

    begun = record.say(opened("G-1"))
    record.say(opened("G-9", lock="LCK-9"))
    now = {"lock": "LCK-1", "watched_from": begun.body["at"][:10], "declared": None, "declared_entry": None,
           "number": 0, "checked_on": None, "same": None, "entry": begun.seq}
    other = watch("LCK-9")
    assert (watch(), other["watched_from"]) == (now, now["watched_from"])

    record.days = 1
    record.say(opened("G-2"))
    assert watch() == now, "a second opening begins nothing"
    said = record.say(declared(20))
    now |= {"declared": said.body["id"], "declared_entry": said.seq, "number": 20,
            "checked_on": said.body["at"][:10], "same": True, "entry": said.seq}
    assert watch() == now
    record.days = 2
    asked = record.say(answered(False))
    now |= {"checked_on": asked.body["at"][:10], "same": False, "entry": asked.seq}
    assert (watch(), watch("LCK-9")) == (now, other)


@req("MLK-02")
def test_a_set_declared_before_the_first_gate_waits_for_it(record: Folded) -> None:
    said = record.say(drift.SentinelDeclared(lock="LCK-1", model="m", generator_sha256=DIGEST, number=5, cases=()))
    assert one(record, tables.sentinels, lock="LCK-1")["watched_from"] is None
    begun = record.say(opened("G-1"))

    assert one(record, tables.sentinels, lock="LCK-1") == {
        "lock": "LCK-1", "watched_from": begun.body["at"][:10], "declared": said.body["id"],
        "declared_entry": said.seq, "number": 5, "checked_on": said.body["at"][:10], "same": True, "entry": begun.seq}


@req("MLK-08")
def test_a_plan_of_bridging_holds_its_signers_and_its_verdict(record: Folded) -> None:
    def planned(plan: str) -> plans.BridgingPlanned:
        return plans.BridgingPlanned(plan=plan, use="secondary", endpoint="volume", from_lock="LCK-0",
                                     to_lock="LCK-1", strategy="recompute", because="better")

    first, other = record.say(planned("B-1"), "stat"), record.say(planned("B-2"), "stat")
    row = {"plan": "B-1", "trial": TRIAL, "use": "secondary", "endpoint": "volume", "from_lock": "LCK-0",
           "to_lock": "LCK-1", "strategy": "recompute", "planned_by": "stat", "validation_lead_by": None,
           "qa_auditor_by": None, "verdict": None, "judged_entry": None, "entry_id": first.body["id"],
           "entry": first.seq}
    assert one(record, tables.bridgings, plan="B-1") == row

    record.say(plans.BridgingSigned(plan="B-1", signed_as="qa_auditor", planned=first.body["id"]), "qa")
    row |= {"qa_auditor_by": "qa"}
    assert one(record, tables.bridgings, plan="B-1") == row
    record.say(plans.BridgingSigned(plan="B-1", signed_as="validation_lead", planned=first.body["id"]), "house",
               on_behalf_of="val")
    judged = record.say(plans.BridgingJudged(plan="B-1", from_lock="LCK-0", to_lock="LCK-1", verdict="passed",
                                             sealed=False, says="alike")).seq
    row |= {"validation_lead_by": "val", "verdict": "passed", "judged_entry": judged}
    assert one(record, tables.bridgings, plan="B-1") == row
    assert one(record, tables.bridgings, plan="B-2") == row | {
        "plan": "B-2", "validation_lead_by": None, "qa_auditor_by": None, "verdict": None, "judged_entry": None,
        "entry_id": other.body["id"], "entry": other.seq}
