"""Rows about subjects' data: what a restriction stops, and who decides, lifts and erases (F-9nn, P-9nn)."""

from core.policy.state import Rule, allow, forbid, related

NEW_USE = (
    "run.request read.begin seed.place cohort.select cohort.decide_eligibility subject.use object.export"
)

ROWS: tuple[Rule, ...] = (
    forbid("F-902", f"{NEW_USE} consent.record subject.progress subject.enrol subject.fail_screening "
           "time_point.declare quality.dispose", "This subject was erased; nothing of it is used or added any more.",
           when=related("erased")),
    forbid("F-901", NEW_USE, "The use of this subject's data is restricted by a signed decision; they are kept and not "
           "used until it is lifted.", when=related("restricted")),
    forbid("F-903", "privacy.decide privacy.erase privacy.lift", "This is a person's act; a service cannot do it.",
           roles="service"),
    forbid("F-907", "privacy.decide privacy.erase privacy.lift", "This subject was erased already.",
           when=related("erased")),
    forbid("F-904", "privacy.decide privacy.erase", "A retention duty stands; the data cannot be erased. Restrict them "
           "instead: countersign privacy restrict TRIAL SUBJECT.", when=related("retained")),
    forbid("F-906", "privacy.erase", "The newest decision about this subject is not to erase; the privacy officer "
           "decides first.", when=related("undecided")),
    forbid("F-905", "privacy.erase", "You decided on this request; another person signs the erasure.",
           when=related("decider")),
    forbid("F-908", "privacy.lift", "The data of this subject are not restricted.", when=related("not_restricted")),
    allow("P-901", "privacy.decide privacy.lift", "privacy_officer", "You decide on requests of data subjects."),
    allow("P-902", "privacy.erase", "qa_auditor", "You sign an erasure as the second person."),
    allow("P-903", "privacy.see", "privacy_officer qa_auditor trial_lead regulatory inspector",
          "You may see what was decided about subjects' data."),
)
