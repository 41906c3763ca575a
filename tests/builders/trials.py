"""A trial set up by its real commands, and the entries of other rooms that its gates ask for."""

from __future__ import annotations

from pathlib import Path

from audit.vocabulary import drift, imaging, models, sops, validation
from audit.vocabulary.registry import ObjectRef
from core.data_lock.usecases import FreezeCut, freeze_cut, sign_lock, soft_lock
from core.gates.evidence import FileEvidence, file_evidence
from core.gates.usecases import RequestGate, request_gate, sign_gate
from core.policy.state import Actor
from core.trials import sites, subjects, usecases
from core.work import Receipt, release
from tests.builders.locks import lock_word
from tests.builders.reads import DIGEST, TRIAL, charter_text, recorded, signed
from tests.house import HouseUnderTest

LOCK = "LCK-1"
OBJECT = ObjectRef(sha256=DIGEST, bytes=1, media="text/plain")
LEAD, QA, INVESTIGATOR = Actor("trial-lead"), Actor("qa-auditor"), Actor("investigator-1")
COORDINATOR, MANAGER, IMAGING = Actor("coordinator"), Actor("data-manager"), Actor("imaging-lead")
ROLES = {
    "trial-lead": "trial_lead", "qa-auditor": "qa_auditor", "investigator-1": "investigator",
    "coordinator": "coordinator", "data-manager": "data_manager", "imaging-lead": "imaging_lead",
    "validation-lead": "validation_lead", "statistician": "statistician", "medical-monitor": "medical_monitor",
    "regulatory": "regulatory", "technologist": "qc_technologist", "adjudicator": "adjudicator",
}
SET_UP = ("trial-lead", "qa-auditor", "investigator-1", "coordinator", "data-manager", "imaging-lead")
SIGNERS = ("trial-lead", "validation-lead", "statistician", "imaging-lead", "medical-monitor", "regulatory",
           "qa-auditor")


def people(house: HouseUnderTest, *users: str) -> None:
    """These people (or everybody) with a key and their role in the trial."""
    for user in users or ROLES:
        house.person(user, ROLES[user], trial=TRIAL)


def set_up(house: HouseUnderTest, text: str | None = None) -> None:
    """The trial with its charter in force."""
    house.commit(usecases.create_trial(house.desk, LEAD, usecases.CreateTrial(TRIAL, "A trial", demonstration=True)))
    house.commit(usecases.sign_charter(house.desk, LEAD, text or charter_text()))
    house.commit(usecases.accept_charter(house.desk, INVESTIGATOR, TRIAL))
    house.commit(usecases.approve_charter(house.desk, QA, TRIAL))


def ready_site(house: HouseUnderTest, site: str = "101") -> None:
    """A site trained, its scanners qualified, activated."""
    house.commit(sites.train_site(house.desk, LEAD, TRIAL, site))
    for modality in ("CT", "PT"):
        house.commit(sites.qualify_scanner(house.desk, IMAGING, sites.QualifyScanner(
            TRIAL, site, f"SN-{site}", modality, "Acme Scanners", "2030-01-01", "phantom scan")))
    house.commit(sites.activate_site(house.desk, LEAD, TRIAL, site, "2026-01-01"))


def live(house: HouseUnderTest, text: str | None = None) -> None:
    """People, charter, one site, tested configuration, live."""
    people(house, *SET_UP)
    set_up(house, text)
    ready_site(house)
    house.commit(usecases.sign_configuration_test(house.desk, MANAGER, usecases.SignConfigurationTest(
        TRIAL, 2, ("a dummy subject was entered",))))
    house.commit(usecases.activate_trial(house.desk, LEAD, TRIAL))


def enrolled(house: HouseUnderTest, subject: str = "101-001", on: str = "2026-03-02") -> None:
    """A subject screened, consented and enrolled."""
    subjects.screen_subject(house.desk, COORDINATOR, subjects.ScreenSubject(TRIAL, subject, subject[:3], on))
    subjects.record_consent(house.desk, COORDINATOR, subjects.RecordConsent(TRIAL, subject, "1", on, ("images", "ai")))
    house.commit(subjects.enrol_subject(house.desk, INVESTIGATOR, TRIAL, subject, on))


def soft_locked(house: HouseUnderTest, cut: str = "cut-1", until: str = "2026-03-31") -> None:
    """A final cut frozen and soft-locked."""
    house.commit(freeze_cut(house.desk, MANAGER, FreezeCut(TRIAL, cut, "final", until)))
    house.commit(soft_lock(house.desk, MANAGER, TRIAL, cut))


def locked(house: HouseUnderTest, cut: str = "cut-1") -> None:
    """The four signatures on a soft-locked cut."""
    for user in ("data-manager", "statistician", "imaging-lead", "qa-auditor"):
        house.commit(sign_lock(house.desk, Actor(user), TRIAL, cut, ROLES[user]))


def procedures(house: HouseUnderTest) -> None:
    """One effective procedure that governs what gates ask for, and everybody trained on it."""
    governed = ("gate.sign", "gate.request", "quality.dispose", "read.seal")
    signed(house, "qa-auditor", sops.SopDrafted(
        sop="SOP-90", version=1, title="Gates", owner="qa_auditor", governs=governed, applies_to=(), review_months=24,
        window_days=0, text=OBJECT))
    signed(house, "qa-auditor", sops.SopApproved(
        sop="SOP-90", version=1, text_sha256=DIGEST, effective_on="2026-01-01"))
    recorded(house, sops.SopEffective(sop="SOP-90", version=1, review_by="2028-01-01"))
    for user in ROLES:
        signed(house, user, sops.TrainingCompleted(sop="SOP-90", version=1, text_sha256=DIGEST, answered=0))


def a_lock(house: HouseUnderTest, lock: str = LOCK, model: str = "lesion-at-seed") -> None:
    """A locked model."""
    signed(house, "validation-lead", lock_word(lock, model))


def sentinel_answered(house: HouseUnderTest, lock: str = LOCK) -> None:
    """The sentinel set of a lock in use is answered today."""
    signed(house, "validation-lead", drift.SentinelDeclared(
        lock=lock, model="lesion-at-seed", generator_sha256=DIGEST, number=20, cases=()))


def concluded(
    house: HouseUnderTest, kind: str, verdict: str = "passed", *, lock: str | None = LOCK, use: int | None = None,
    strata: tuple[tuple[str, str, int, str], ...] = (), endpoint: str | None = None,
) -> None:
    """A validation run of the lock."""
    run = f"{kind}-{use}-{endpoint}-{len(house.words())}"
    signed(house, "validation-lead", validation.ProtocolDrafted(
        protocol=f"P-{run}", version=1, title=kind, kind=kind, target="model", document=OBJECT, digest=DIGEST,
        evidence_class="demonstration", signers=(), lock=lock, use=use, endpoint=endpoint))
    recorded(house, validation.ValidationStarted(
        run=run, protocol=f"P-{run}", version=1, digest=DIGEST, kind=kind, target="model", protocol_seq=0,
        environment=OBJECT, evidence_class="demonstration", lock=lock), "validation")
    recorded(house, validation.ValidationConcluded(
        run=run, protocol=f"P-{run}", version=1, digest=DIGEST, protocol_seq=0,
        kind=kind, target="model", verdict=verdict, criteria=(), steps=1, steps_failed=0, deviations=(),
        strata=tuple(validation.StratumVerdict(stratum=a, measure=b, subjects=c, verdict=d, says="") for a, b, c, d in
                     strata),
        evidence_class="demonstration", report=OBJECT, lock=lock, use=use, endpoint=endpoint), "validation")


def evidence_of_use_1(house: HouseUnderTest) -> None:
    """Everything gate 1 asks for."""
    people(house, *(user for user in ROLES if user not in SET_UP))
    procedures(house)
    a_lock(house)
    concluded(house, "IQ")
    concluded(house, "OQ")
    signed(house, "qa-auditor", validation.ReleaseSigned(
        target="installation", what=release(), runs=(), conclusion="fit", evidence_class="demonstration"))
    filed(house, QA, "privacy_assessment")


def filed(house: HouseUnderTest, actor: Actor, kind: str, **more: str | int) -> None:
    """A document filed by its role."""
    reference = house.desk.objects.put(kind.encode(), "text/plain")
    house.commit(file_evidence(house.desk, actor, FileEvidence(
        TRIAL, kind, kind.replace("_", " "), reference, "2026-01-01", **more)))  # type: ignore[arg-type]


def opened(house: HouseUnderTest, use: str, *, endpoint: str | None = None, lock: str = LOCK) -> str:
    """A gate requested and signed by everybody it needs; returns its id."""
    receipt = house.commit(request_gate(house.desk, LEAD, RequestGate(TRIAL, use, lock, endpoint)))
    gate = str(house.entries()[receipt.seq].body["fields"]["gate"])
    sign_all(house, gate)
    return gate


def sign_all(house: HouseUnderTest, gate: str) -> list[Receipt]:
    """Every signature that the gate's use asks for."""
    wanted = {"1": ("trial-lead", "qa-auditor"), "2": ("trial-lead", "validation-lead", "qa-auditor"),
              "3": ("trial-lead", "validation-lead", "statistician", "imaging-lead", "qa-auditor"), "4": SIGNERS}
    return [house.commit(sign_gate(house.desk, Actor(one), gate)) for one in wanted[gate.split("-G")[1][0]]]


def run_in_study(house: HouseUnderTest, number: int, *, site: str, defective: bool, flagged: bool) -> None:
    """A study received, disposed, then judged by the model in quality control."""
    study, series, subject = f"2.25.{number}", f"2.25.{number}.1", f"{site}-{number:03d}"
    recorded(house, imaging.SeriesReceived(
        intake="i", subject=subject, study=study, series=series, site=site, time_point="BL", modality="CT",
        acquired_on="2026-03-01", scanner="SN", charter_version="1.0", instances=1, bytes=1, manifest=OBJECT,
        manifest_sha256=DIGEST, content_sha256=DIGEST), "intake")
    signed(house, "technologist", imaging.QualityDisposed(
        case=f"C{number}", subject=subject, study=study, series=series, time_point="BL", modality="CT",
        disposition="rejected" if defective else "accepted", manifest_sha256=DIGEST, not_met=()))
    common = {
        "run": f"R{number}", "lock": LOCK, "model": "lesion-at-seed", "subject": subject, "time_point": "BL",
        "study": study, "lesion": "L1", "use": "qc", "standing": "gated", "sealed": False, "input_sha256": DIGEST,
        "environment_sha256": DIGEST, "took": "1.0 s",
    }
    event = (models.RunUndecided(**common, cause="domain", found="1", limit="0") if flagged  # type: ignore[arg-type]
             else models.RunFinished(**common, output_sha256=DIGEST, values_said="1 ml"))  # type: ignore[arg-type]
    recorded(house, event, "inference")


def charter_path() -> Path:
    """The demonstration's charter file."""
    return Path(__file__).parents[2] / "countersign" / "demonstration" / "charter.yaml"
