"""Scene 3: a trial is set up, its people named, its charter signed, its sites activated, its subjects enrolled."""

from __future__ import annotations

from importlib.resources import files

from core.phantoms import SCANNERS
from core.trials.sites import QualifyScanner, activate_site, qualify_scanner, train_site
from core.trials.subjects import RecordConsent, ScreenSubject, enrol_subject, record_consent, screen_subject
from core.trials.usecases import (
    CreateTrial,
    SignConfigurationTest,
    accept_charter,
    activate_trial,
    approve_charter,
    create_trial,
    sign_charter,
    sign_configuration_test,
)
from countersign.demonstration.cast import CAST, actor
from countersign.demonstration.founding import grant, train
from countersign.demonstration.lives import LIVES
from countersign.demonstration.stage import Stage

TRIAL = "DEMO-301"
LEAD, QA, INVESTIGATOR, COORDINATOR = "trial-lead", "qa-auditor", "investigator-1", "coordinator"
SITES = ("101", "102", "103")


def charter_text() -> str:
    """The charter that ships with the demonstration."""
    return (files("countersign.demonstration") / "demo-301.yaml").read_text()


def set_up(stage: Stage) -> None:
    """From nothing to a live trial with active sites."""
    with stage.scene("Trial: people, charter, sites, go-live"):
        grant(stage, QA, LEAD, "trial_lead", TRIAL)
        for site in SITES:
            grant(stage, QA, INVESTIGATOR, "investigator", TRIAL, site)
        for user in (LEAD, INVESTIGATOR):
            train(stage, user)
        stage.signed(create_trial(stage.desk, actor(LEAD), CreateTrial(
            TRIAL, "Response of soft-tissue lesions (demonstration)", demonstration=True)))
        stage.signed(sign_charter(stage.desk, actor(LEAD), charter_text()))
        stage.refused("approving a charter that no investigator has accepted",
                      lambda: approve_charter(stage.desk, actor(QA), TRIAL))
        stage.signed(accept_charter(stage.desk, actor(INVESTIGATOR), TRIAL))
        stage.signed(approve_charter(stage.desk, actor(QA), TRIAL))
        for user, _, roles in CAST:
            for role in roles:
                if not role.startswith("@") and role not in ("trial_lead", "investigator"):
                    # The lead answers for these tasks: this signature delegates them as well.
                    grant(stage, LEAD, user, role, TRIAL)
                    train(stage, user)
        for site in SITES:
            stage.signed(train_site(stage.desk, actor(LEAD), TRIAL, site))
            scanner = SCANNERS[next(life.scanner for life in LIVES if life.site == site)]
            for modality in ("CT", "PT"):
                stage.signed(qualify_scanner(stage.desk, actor("imaging-lead"), QualifyScanner(
                    TRIAL, site, scanner.serial, modality, scanner.manufacturer, "2027-12-31",
                    f"phantom scan of {scanner.model}")))
            stage.signed(activate_site(stage.desk, actor(LEAD), TRIAL, site, "2026-01-01"))
        stage.refused("going live before the configuration was tested",
                      lambda: activate_trial(stage.desk, actor(LEAD), TRIAL))
        stage.signed(sign_configuration_test(stage.desk, actor("data-manager"), SignConfigurationTest(
            TRIAL, 2, ("a dummy subject was entered and its windows were compared with the charter",
                       "a dummy study was sent and its findings were compared with the rules"))))
        stage.signed(activate_trial(stage.desk, actor(LEAD), TRIAL))
    with stage.scene("Subjects: screened, consented, enrolled"):
        for life in LIVES:
            screened = life.scanned_on("BL").isoformat()
            screen_subject(stage.desk, actor(COORDINATOR), ScreenSubject(TRIAL, life.subject, life.site, screened))
            record_consent(stage.desk, actor(COORDINATOR), RecordConsent(
                TRIAL, life.subject, "1.0", screened, ("images", "ai")))
            stage.signed(enrol_subject(
                stage.desk, actor(INVESTIGATOR), TRIAL, life.subject, life.enrolled_on().isoformat()))
        stage.note("subjects enrolled", len(LIVES))
