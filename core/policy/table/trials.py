"""Rows about trials (F-2nn forbids, P-2nn permits)."""

from core.policy.state import ANY_STAGE, Rule, Stage, allow, forbid, related, unrelated

# They may know the allocation and hold no role that reads, edits or signs (core/access/roles.py).
UNBLINDED = "unblinded_statistician dmc_member"
# They see results by arm once the trial is unblinded.
AFTER_UNBLINDING = ("trial_lead imaging_lead validation_lead data_manager statistician medical_monitor regulatory "
                    "qa_auditor inspector sponsor_viewer")
NO_TRIAL = frozenset({None})
SET_UP = frozenset({Stage.SET_UP})
RUNNING = frozenset({Stage.SET_UP, Stage.LIVE})
LIVE = frozenset({Stage.LIVE})
SOFT = frozenset({Stage.SOFT_LOCKED})
LOCKED = frozenset({Stage.LOCKED})
NOT_LIVE = ANY_STAGE - LIVE

ROWS: tuple[Rule, ...] = (
    forbid("F-202", "charter.approve", "You signed this charter yourself; another person approves it.",
           when=related("author")),
    forbid("F-203", "charter.sign charter.accept charter.approve",
           "The data are locked or the trial is closed; its charter is amended no more.", stages=ANY_STAGE - RUNNING),
    forbid("F-216", "charter.sign", "An amendment takes a higher version than the charter in force.",
           when=related("version_behind")),
    forbid("F-217", "amendment.assess", "Sections that concern imaging differ; the impact is minor or major.",
           when=related("impact_denied")),
    allow("P-216", "amendment.assess", "imaging_lead", "You answer for imaging in this trial.", stages=LIVE),
    allow("P-217", "amendment.approve_site", "trial_lead", "You answer for the sites of this trial.", stages=LIVE),
    forbid("F-204", "charter.sign", "The charter names another person as trial lead.",
           when=related("not_named")),
    forbid("F-205", "charter.accept", "The charter does not name you as investigator.", when=related("not_named")),
    forbid("F-206", "subject.screen subject.enrol subject.fail_screening subject.progress consent.record "
           "time_point.declare", "The trial is not live.", stages=NOT_LIVE),
    forbid("F-207", "site.activate", "No approved charter is in force in this trial.", when=related("no_charter")),
    allow("P-201", "trial.create", "trial_lead data_manager", "You set up trials that you are granted.",
          stages=NO_TRIAL),
    allow("P-202", "charter.sign", "trial_lead", "You are the trial lead.", stages=RUNNING),
    allow("P-203", "charter.accept", "investigator", "You are an investigator of this trial.", stages=RUNNING),
    allow("P-204", "charter.approve", "qa_auditor", "You approve charters as QA.", stages=RUNNING),
    allow("P-205", "configuration.test", "data_manager coordinator qc_technologist imaging_lead",
          "You use this trial's configuration.", stages=SET_UP),
    allow("P-206", "trial.activate", "trial_lead", "You are the trial lead.", stages=SET_UP),
    allow("P-207", "site.train site.activate site.close", "trial_lead", "You answer for the sites of this trial.",
          stages=RUNNING),
    allow("P-208", "scanner.qualify", "imaging_lead", "You answer for acquisition in this trial.", stages=RUNNING),
    allow("P-209", "subject.screen consent.record subject.progress", "coordinator investigator data_manager",
          "You enter subjects of this trial.", stages=LIVE),
    allow("P-210", "subject.enrol subject.fail_screening", "investigator", "You are an investigator of this trial.",
          stages=LIVE),
    allow("P-211", "time_point.declare", "imaging_lead data_manager", "You answer for completeness.", stages=LIVE),
    allow("P-212", "database.sign_lock", "data_manager statistician imaging_lead", "You sign the lock of the data.",
          stages=SOFT),
    allow("P-213", "database.lock", "qa_auditor", "You sign the lock last.", stages=SOFT),
    # Cut, lock, unlock.
    forbid("F-232", "database.soft_lock", "An interim cut is never locked; freeze a final one.",
           when=related("interim")),
    forbid("F-230", "database.soft_lock database.sign_lock database.lock", "The data have changed since this cut was "
           "frozen; freeze another cut.", when=related("cut_outdated")),
    forbid("F-231", "database.soft_lock", "Queries are open; the data are locked when each is answered.",
           when=related("open_queries")),
    forbid("F-239", "database.soft_lock", "Corrections of images are not carried out, or their impact on locked reads "
           "is not decided.", when=related("corrections_open")),
    forbid("F-233", "database.unlock", "You signed this already; the second signature is another person's.",
           when=related("signed_already")),
    forbid("F-234", "database.unlock", "Data manager and QA sign, each in their own role; this role has signed.",
           when=related("same_role")),
    # Closing.
    forbid("F-240", "trial.close", "An incident with identifiers is not certified yet.",
           when=related("incidents_open")),
    forbid("F-241", "trial.close", "A deviation of this trial is not closed yet.", when=related("deviations_open")),
    forbid("F-242", "trial.close", "The allocation is declared and the data are not unblinded.",
           when=related("still_blinded")),
    forbid("F-243", "ai.show_in_qc ai.show_to_coordinator ai.show_to_reader ai.show_in_adjudication gate.halt "
           "gate.suspend bridging.judge defect.seed", "The trial is closed: its record is read, reported and handed "
           "over, and nothing else happens in it.", stages=frozenset({Stage.CLOSED})),
    allow("P-218", "trial.close", "trial_lead", "You are the trial lead.", stages=LOCKED),
    allow("P-230", "cut.freeze database.soft_lock", "data_manager", "You answer for the data of this trial.",
          stages=LIVE),
    allow("P-231", "database.release_soft_lock", "data_manager qa_auditor", "You may let work go on before the lock.",
          stages=SOFT),
    allow("P-232", "database.unlock", "data_manager qa_auditor", "Two of you unlock the data.", stages=LOCKED),
    # Allocation.
    forbid("F-235", "allocation.import", "The data are not locked and no interim cut is frozen; the allocation stays "
           "sealed.", when=unrelated("cut_ready")),
    forbid("F-236", "unblinding.do", "The sealed allocation is not imported yet.", when=unrelated("imported")),
    forbid("F-237", "by_arm.see", "The sealed allocation is not imported; nothing can be shown by arm.",
           when=unrelated("imported")),
    forbid("F-238", "by_arm.see", "The trial is blinded: nothing is shown by arm before unblinding.",
           roles=AFTER_UNBLINDING, when=unrelated("unblinded")),
    allow("P-233", "randomisation.declare", "unblinded_statistician", "You keep the allocation of this trial.",
          stages=RUNNING),
    allow("P-234", "allocation.import", "unblinded_statistician", "You keep the allocation of this trial.",
          stages=LIVE | LOCKED),
    allow("P-235", "unblinding.do", "statistician", "You unblind the locked data.", stages=LOCKED),
    allow("P-236", "by_arm.see", f"{UNBLINDED} {AFTER_UNBLINDING}", "You may see output by arm."),
    allow("P-215", "trial.see", "trial_lead imaging_lead validation_lead data_manager qc_technologist coordinator "
          "investigator monitor qa_auditor statistician medical_monitor regulatory inspector sponsor_viewer",
          "You hold a role in this trial."),
)
