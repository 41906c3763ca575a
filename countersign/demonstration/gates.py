"""Gates: evidence filed by who answers for it, requests judged by the ledger, signatures in order, QA last."""

from __future__ import annotations

from core.errors import Refused
from core.gates.evidence import FileEvidence, file_evidence
from core.gates.queries import gates_of
from core.gates.rules import USES, signers_of
from core.gates.usecases import RequestGate, request_gate, sign_gate
from countersign.demonstration.cast import actor
from countersign.demonstration.stage import Stage
from countersign.demonstration.trial import LEAD, TRIAL

PERSON_OF = {
    "trial_lead": LEAD, "validation_lead": "validation-lead", "statistician": "statistician",
    "imaging_lead": "imaging-lead", "medical_monitor": "medical-monitor", "regulatory": "regulatory",
    "qa_auditor": "qa-auditor",
}
MEDIA = "text/plain; charset=utf-8"


def file(stage: Stage, by: str, kind: str, title: str, **more: object) -> None:
    """A document from outside the system, filed and signed by the role that answers for it."""
    text = f"{title}\nDemonstration, not for clinical use. Stands for the document that an organisation would file.\n"
    document = stage.desk.objects.put(text.encode(), MEDIA)
    command = FileEvidence(TRIAL, kind, title, document, "2026-01-15", **more)  # type: ignore[arg-type]
    stage.signed(file_evidence(stage.desk, actor(by), command))


def refuse(stage: Stage, use: int, endpoint: str | None = None, trial: str = TRIAL) -> str:
    """A request that has to be refused now, for the reasons that the ledger gives."""
    command = RequestGate(trial, USES[use], str(stage.notes["lock"]), endpoint)
    return stage.refused(
        f"opening gate {use} ({USES[use]}{f', {endpoint}' if endpoint else ''}) of {trial}",
        lambda: request_gate(stage.desk, actor(LEAD), command), expect=Refused,
    )


def open_gate(stage: Stage, use: int, endpoint: str | None = None) -> None:
    """Request, then every signature; QA out of turn is refused."""
    command = RequestGate(TRIAL, USES[use], str(stage.notes["lock"]), endpoint)
    stage.signed(request_gate(stage.desk, actor(LEAD), command))
    with stage.desk.reading() as session:
        gate = gates_of(session, TRIAL)[-1].gate
    if use == 1:
        stage.refused("QA signing a gate before the trial lead",
                      lambda: sign_gate(stage.desk, actor("qa-auditor"), gate, "qa_auditor"))
    for role in signers_of(use):
        stage.signed(sign_gate(stage.desk, actor(PERSON_OF[role]), gate, role))
    with stage.desk.reading() as session:
        state = next(row.state for row in gates_of(session, TRIAL) if row.gate == gate)
    stage.must(state == "open", f"gate {gate} is open after its last signature")
    stage.note(f"gate {use} open", f"{USES[use]}{f', {endpoint}' if endpoint else ''}: {gate}")


def phase_1(stage: Stage) -> None:
    """AI on the QC dashboard."""
    with stage.scene("Gate 1: quality control"):
        refuse(stage, 1)
        file(stage, "qa-auditor", "privacy_assessment", "Data protection impact assessment")
        open_gate(stage, 1)


def phase_2(stage: Stage) -> None:
    """AI on the coordinator's work-list, after a run-in in which people judged before they saw a flag."""
    with stage.scene("Gate 2: cohort selection"):
        open_gate(stage, 2)


def phase_3(stage: Stage) -> None:
    """AI beside the reader for the secondary endpoint."""
    with stage.scene("Gate 3: secondary endpoint"):
        refuse(stage, 3, "volume")
        file(stage, "statistician", "reader_study", "Reader study in the display mode after own marks",
             use=3, endpoint="volume", display="after_own", cases=6)
        file(stage, "regulatory", "device_determination", "Determination of device status", use=3)
        file(stage, "regulatory", "consent_covers_ai", "Consent form that covers AI", use=3)
        open_gate(stage, 3, "volume")
        # A gate that stays shut for a real reason: the lock's cells are too coarse for RECIST's 5 mm.
        stage.notes["shut"] = refuse(stage, 3, "response")
        stage.note("gate that stays shut", "secondary, response: the lock is too coarse for a change of 5 mm")


def phase_4(stage: Stage) -> None:
    """AI as a sealed third reader of the primary endpoint."""
    with stage.scene("Gate 4: primary endpoint"):
        file(stage, "statistician", "noninferiority_assessment", "Assessment of non-inferiority",
             use=4, endpoint="volume_response")
        file(stage, "regulatory", "protocol_names_ai", "Protocol that names the AI", use=4)
        file(stage, "statistician", "sap_names_ai", "Analysis plan that names the AI", use=4)
        file(stage, "regulatory", "regulator_advice", "Advice of the regulator", use=4)
        open_gate(stage, 4, "volume_response")
