"""Documents, seeded defects and waivers: what each command records and shows, and to whom it says no, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from audit.vocabulary import sops
from audit.vocabulary.registry import ObjectRef
from core.errors import AlreadyDone, CountersignError, NotFound, Refused, UnusableInput
from core.gates import evidence
from core.gates.evidence import FileEvidence, RequestWaiver
from core.policy.state import Actor
from core.proposal import Proposal
from tests.builders import gates as homes
from tests.builders import trials as build
from tests.builders.gates import copy_of, last
from tests.builders.reads import DIGEST, TRIAL, recorded, signed
from tests.house import HouseUnderTest
from tests.req import req

LEAD, QA, IMAGING, STATISTICIAN = build.LEAD, build.QA, build.IMAGING, Actor("statistician")
DOCUMENT = ObjectRef(sha256=DIGEST, bytes=7, media="text/plain")
PRIVACY = FileEvidence(TRIAL, "privacy_assessment", "An assessment", DOCUMENT, "2026-01-01")
STUDY = FileEvidence(TRIAL, "reader_study", "A study", DOCUMENT, "2026-02-01", use=3, endpoint="volume",
                     display="after_own", cases=40, lock="LCK-1")
ASKED = RequestWaiver(TRIAL, 1, "privacy", "being written", "none for generated images", "2100-01-01")


def before_mutants() -> None:
    homes.ready()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[HouseUnderTest]:
    with copy_of(homes.ready(), tmp_path) as made:
        yield made


def refusal_of(house: HouseUnderTest, told: pytest.ExceptionInfo[Refused], asked: str) -> tuple[str, str | None]:
    """What was said, which the record says as well."""
    fields = last(house, "action.refused")["fields"]
    assert (fields["asked"], fields["because"]) == (asked, told.value.fact)
    return told.value.fact, told.value.rule


def lines(proposal: Proposal) -> dict[str, str]:
    return dict(proposal.views[0].lines)


@req("GAT-02", "SIG-05")
def test_a_document_is_filed_by_its_role_with_all_that_it_states(house: HouseUnderTest) -> None:
    proposal = evidence.file_evidence(house.desk, STATISTICIAN, STUDY)
    assert (proposal.views[0].title, proposal.views[0].template) == ("Document filed as evidence", "gates/evidence")
    assert lines(proposal) == {
        "Trial": TRIAL, "Kind": "reader_study", "Title": "A study", "Date": "2026-02-01", "SHA-256": DIGEST,
        "Evidence class": "demonstration", "AI use": "3", "Endpoint": "volume", "Display mode": "after_own",
        "Cases": "40"}
    house.commit(proposal)

    body = last(house, "evidence.filed")
    assert body["fields"] == {
        "kind": "reader_study", "title": "A study", "document": {"sha256": DIGEST, "bytes": 7, "media": "text/plain"},
        "document_date": "2026-02-01", "evidence_class": "demonstration", "use": 3, "endpoint": "volume",
        "display": "after_own", "cases": 40, "lock": "LCK-1"}
    assert (body["rule"], body["role"], body["trial"], body["manifest"]["meaning"]) == (
        "P-608", "statistician", TRIAL, "responsibility")
    assert body["manifest"]["delegation"]


@req("GAT-02", "SIG-05")
def test_what_a_document_does_not_state_is_shown_as_such(house: HouseUnderTest) -> None:
    shown = lines(evidence.file_evidence(house.desk, QA, PRIVACY))

    assert {name: shown[name] for name in ("AI use", "Endpoint", "Display mode", "Cases")} == {
        "AI use": "any", "Endpoint": "any", "Display mode": "not stated", "Cases": "not stated"}
    none_of_many = replace(STUDY, cases=0)
    assert lines(evidence.file_evidence(house.desk, STATISTICIAN, none_of_many))["Cases"] == "0"


@req("GAT-02")
@pytest.mark.parametrize(("command", "fact"), [
    (replace(PRIVACY, kind="gossip"), f"'gossip' is no kind of evidence; known: {', '.join(evidence.EVIDENCE_KINDS)}."),
    (replace(PRIVACY, document_date="1.1.2026"),
     "date of the document: '1.1.2026' is no date of the form YYYY-MM-DD."),
    (replace(STUDY, cases=None), "A reader study states its cases and its display mode."),
    (replace(STUDY, display=None), "A reader study states its cases and its display mode."),
])
def test_a_document_that_lacks_what_its_kind_needs_is_not_filed(
    house: HouseUnderTest, command: FileEvidence, fact: str
) -> None:
    with pytest.raises(UnusableInput) as told:
        evidence.file_evidence(house.desk, STATISTICIAN, command)
    assert told.value.fact == fact


@req("GAT-02")
def test_a_document_of_another_role_is_refused_and_a_second_role_does_not_hide_the_first(
    house: HouseUnderTest
) -> None:
    for actor, command in ((LEAD, PRIVACY), (LEAD, replace(PRIVACY, kind="device_determination"))):
        with pytest.raises(Refused) as told:
            evidence.file_evidence(house.desk, actor, command)
        assert refusal_of(house, told, "evidence.file") == (
            "This kind of evidence is filed by another role.", "F-606")
    with pytest.raises(Refused) as told:
        evidence.file_evidence(house.desk, Actor("technologist"), PRIVACY)
    refusal_of(house, told, "evidence.file")

    house.grant("trial-lead", "regulatory", trial=TRIAL)
    house.commit(evidence.file_evidence(house.desk, LEAD, replace(PRIVACY, kind="device_determination")))
    assert last(house, "evidence.filed")["role"] == "regulatory", "filed in the role that answers for it"
    assert "display" not in last(house, "evidence.filed")["fields"]


@req("GAT-02", "SIG-05")
def test_a_defect_is_declared_seeded_before_anybody_judges_its_study_and_not_after(house: HouseUnderTest) -> None:
    proposal = evidence.seed_defect(house.desk, IMAGING, TRIAL, "2.25.1")
    assert (proposal.views[0].title, proposal.views[0].template, lines(proposal)) == (
        "Seeded defect", "gates/act", {"Trial": TRIAL, "Study": "2.25.1"})
    house.commit(proposal)
    body = last(house, "defect.seeded")
    assert (body["fields"], body["rule"], body["trial"], body["manifest"]["meaning"]) == (
        {"study": "2.25.1"}, "P-609", TRIAL, "authorship")
    assert body["manifest"]["delegation"]

    build.run_in_study(house, 2, site="101", defective=False, flagged=False)
    with pytest.raises(Refused) as told:
        evidence.seed_defect(house.desk, IMAGING, TRIAL, "2.25.2")
    assert refusal_of(house, told, "defect.seed")[1] == "F-643"
    with pytest.raises(Refused) as told:
        evidence.seed_defect(house.desk, build.COORDINATOR, TRIAL, "2.25.3")
    refusal_of(house, told, "defect.seed")


@req("GAT-02", "OPS-04", "SIG-05")
def test_a_waiver_is_asked_for_with_its_reason_risk_and_end(house: HouseUnderTest) -> None:
    proposal = evidence.request_waiver(house.desk, LEAD, ASKED)
    assert (proposal.views[0].title, proposal.views[0].template) == ("Request of a waiver", "gates/waiver")
    assert lines(proposal) == {
        "Waiver": f"{TRIAL}-W001", "Criterion": "Privacy assessment on file", "AI use": "1",
        "Because": "being written", "Risk": "none for generated images", "Until": "2100-01-01",
        "Approved by": "privacy_officer and qa_auditor"}
    house.commit(proposal)

    body = last(house, "waiver.requested")
    assert body["fields"] == {
        "waiver": f"{TRIAL}-W001", "use": 1, "criterion": "privacy", "because": "being written",
        "risk": "none for generated images", "ends_on": "2100-01-01", "owner": "privacy_officer"}
    assert (body["rule"], body["role"], body["trial"], body["manifest"]["meaning"]) == (
        "P-606", "trial_lead", TRIAL, "authorship")
    assert body["manifest"]["delegation"]
    house.commit(evidence.request_waiver(house.desk, IMAGING, replace(ASKED, criterion="technologists")))
    assert last(house, "waiver.requested")["fields"]["waiver"] == f"{TRIAL}-W002"


@req("GAT-02", "OPS-04")
@pytest.mark.parametrize(("command", "error", "fact"), [
    (replace(ASKED, criterion="luck"), NotFound, "Use 1 has no criterion luck; those that can be waived: "),
    (replace(ASKED, criterion="agreement_pairs"), NotFound,
     "Use 1 has no criterion agreement_pairs; those that can be waived: "),
    (replace(ASKED, ends_on="soon"), UnusableInput, "end: 'soon' is no date of the form YYYY-MM-DD."),
    (replace(ASKED, ends_on="2020-01-01"), UnusableInput, "A waiver until 2020-01-01 is over already."),
])
def test_a_waiver_of_nothing_or_without_an_end_is_none(
    house: HouseUnderTest, command: RequestWaiver, error: type[CountersignError], fact: str
) -> None:
    with pytest.raises(error) as told:
        evidence.request_waiver(house.desk, LEAD, command)
    assert told.value.fact.startswith(fact)
    if error is NotFound:
        listed = told.value.fact.removeprefix(fact).removesuffix(".").split(", ")
        assert {"privacy", "technologists"} <= set(listed)
        assert not {"lock", "release", "agreement_pairs", "run_in_studies"} & set(listed)


@req("GAT-02", "OPS-04")
def test_a_waiver_may_end_today(house: HouseUnderTest) -> None:
    today = house.desk.occasion().at[:10]

    house.commit(evidence.request_waiver(house.desk, LEAD, replace(ASKED, ends_on=today)))
    assert last(house, "waiver.requested")["fields"]["ends_on"] == today


@req("GAT-02", "OPS-04")
def test_who_may_not_ask_and_what_is_never_waived_is_refused_on_record(house: HouseUnderTest) -> None:
    for actor, criterion, rule in ((LEAD, "lock", "F-604"), (QA, "privacy", None)):
        with pytest.raises(Refused) as told:
            evidence.request_waiver(house.desk, actor, replace(ASKED, criterion=criterion))
        found = refusal_of(house, told, "waiver.request")
        assert rule is None or found[1] == rule


@req("GAT-02", "OPS-04", "SIG-05")
def test_a_waiver_is_approved_by_its_owner_and_qa_who_are_two_others(house: HouseUnderTest) -> None:
    waiver = f"{TRIAL}-W001"
    house.commit(evidence.request_waiver(house.desk, IMAGING, replace(ASKED, criterion="technologists")))
    asked = last(house, "waiver.requested")
    assert asked["fields"]["owner"] == "imaging_lead"
    house.person("second-imaging", "imaging_lead", trial=TRIAL)
    second = Actor("second-imaging")

    def told(actor: Actor, signed_as: str) -> tuple[str, str | None]:
        with pytest.raises(Refused) as refusal:
            evidence.approve_waiver(house.desk, actor, waiver, signed_as)
        return refusal_of(house, refusal, "waiver.approve")

    assert told(IMAGING, "imaging_lead") == ("You asked for this waiver; others approve it.", "F-605")
    assert told(LEAD, "imaging_lead") == (f"You do not hold the role imaging_lead in {TRIAL}.", "F-603")
    with pytest.raises(UnusableInput) as wrong:
        evidence.approve_waiver(house.desk, QA, waiver, "statistician")
    assert wrong.value.fact == f"Waiver {waiver} is approved as imaging_lead and as qa_auditor."
    with pytest.raises(NotFound):
        evidence.approve_waiver(house.desk, QA, "W-9", "qa_auditor")

    proposal = evidence.approve_waiver(house.desk, second, waiver, "imaging_lead")
    assert (proposal.views[0].title, proposal.views[0].template) == ("Approval of a waiver", "gates/waiver")
    assert lines(proposal) == {
        "Waiver": waiver, "Criterion": "technologists", "Because": "being written",
        "Risk": "none for generated images", "Until": "2100-01-01", "Asked by": "imaging-lead"}
    house.commit(proposal)
    body = last(house, "waiver.approved")
    assert (body["fields"], body["rule"], body["role"], body["trial"], body["caused_by"]) == (
        {"waiver": waiver, "signed_as": "imaging_lead"}, "P-607", "imaging_lead", TRIAL, asked["id"])
    assert body["manifest"]["meaning"] == "approval"
    assert body["manifest"]["delegation"]

    with pytest.raises(AlreadyDone) as again:
        evidence.approve_waiver(house.desk, second, waiver, "imaging_lead")
    assert again.value.fact == f"Waiver {waiver} is approved as imaging_lead."
    house.grant("second-imaging", "qa_auditor", trial=TRIAL)
    assert told(second, "qa_auditor") == ("Another person gives the second approval.", "F-603")
    house.commit(evidence.approve_waiver(house.desk, QA, waiver, "qa_auditor"))
    assert last(house, "waiver.approved")["fields"]["signed_as"] == "qa_auditor"
    with pytest.raises(AlreadyDone):
        evidence.approve_waiver(house.desk, QA, waiver, "qa_auditor")


@req("GAT-02", "SOP-03")
def test_an_approval_names_the_training_it_rests_on(house: HouseUnderTest) -> None:
    """Where a procedure governs approvals, nobody approves who has not read it."""
    house.commit(evidence.request_waiver(house.desk, LEAD, replace(ASKED, criterion="technologists")))
    signed(house, "qa-auditor", sops.SopDrafted(
        sop="SOP-92", version=1, title="Waivers", owner="qa_auditor", governs=("waiver.approve",), applies_to=(),
        review_months=24, window_days=0, text=build.OBJECT))
    signed(house, "qa-auditor", sops.SopApproved(
        sop="SOP-92", version=1, text_sha256=DIGEST, effective_on="2026-01-01"))
    recorded(house, sops.SopEffective(sop="SOP-92", version=1, review_by="2028-01-01"))
    with pytest.raises(Refused, match="SOP-92"):
        evidence.approve_waiver(house.desk, QA, f"{TRIAL}-W001", "qa_auditor")
    receipt = signed(house, "qa-auditor", sops.TrainingCompleted(
        sop="SOP-92", version=1, text_sha256=DIGEST, answered=0))

    house.commit(evidence.approve_waiver(house.desk, QA, f"{TRIAL}-W001", "qa_auditor"))

    assert last(house, "waiver.approved")["manifest"]["trainings"] == [receipt.id]
