"""Rows about reports (F-8nn forbids, P-8nn permits)."""

from core.policy.state import Rule, allow, forbid, related, unrelated

DRAWERS = "trial_lead qa_auditor imaging_lead data_manager statistician regulatory"
READERS_OF_PAPERS = f"{DRAWERS} inspector validation_lead medical_monitor"

ROWS: tuple[Rule, ...] = (
    forbid("F-801", "report.approve", "You prepared this paper; another person approves it.", when=related("preparer")),
    forbid("F-802", "report.approve report.issue", "The paper is not signed as prepared and complete yet.",
           when=related("unprepared")),
    forbid("F-803", "report.issue", "QA has not approved the paper yet.", when=related("unapproved")),
    forbid("F-804", "report.prepare report.approve report.issue",
           "A name under a paper is a person's; a service cannot give it.", roles="service"),
    forbid("F-805", "report.prepare report.approve", "You have put your name to this part of the paper already.",
           when=related("signed_already")),
    forbid("F-806", "report.draw report.prepare report.approve report.issue report.see",
           "Papers of this trial show reads that stay hidden from you.", when=related("reads_hidden")),
    forbid("F-807", "report.issue", "Another person approved this paper; who approves it issues it.",
           when=related("approved_by_another")),
    forbid("F-808", "report.issue", "This paper is issued already.", when=related("issued")),
    forbid("F-809", "report.stamp", "Only an issued paper gets a time stamp.", when=unrelated("issued")),
    allow("P-801", "report.draw", DRAWERS, "You may draw papers of this trial from the record."),
    allow("P-802", "report.prepare", "trial_lead", "You lead this trial."),
    allow("P-803", "report.approve report.issue", "qa_auditor", "You are QA of this trial."),
    allow("P-805", "report.stamp", DRAWERS, "You may have papers of this trial time-stamped."),
    allow("P-804", "report.see", READERS_OF_PAPERS, "You may read the papers issued in this trial."),
)
