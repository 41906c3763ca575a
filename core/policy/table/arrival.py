"""Rows about arrival and quality control (F-3nn forbids, P-3nn permits)."""

from core.policy.state import ANY_STAGE, Rule, Stage, allow, forbid, related

LIVE = frozenset({Stage.LIVE})
SENDERS = "site_user coordinator investigator qc_technologist data_manager"
LOOKERS = (
    "qc_technologist imaging_lead trial_lead data_manager coordinator investigator monitor qa_auditor validation_lead "
    "medical_monitor inspector"
)

ROWS: tuple[Rule, ...] = (
    forbid("F-301", "quality.dispose", "You sent this series yourself; another technologist disposes it.",
           when=related("own_upload")),
    forbid("F-302", "quality.dispose", "The series is held; it is accepted when its site is active and its scanner "
           "qualified.", when=related("accepts_held")),
    forbid("F-303", "quality.dispose", "A rule is not met whose breach the charter answers with rejection; the series "
           "can be queried or rejected.", when=related("accepts_barred")),
    forbid("F-304", "quality.dispose", "Rules are not met: an acceptance then says why they do not matter.",
           when=related("accepts_unexplained")),
    forbid("F-305", "quality.dispose", "The series has changed since it was checked.", when=related("check_outdated")),
    forbid("F-306", "series.send series.receive", "The trial is not live; nothing is received.",
           stages=ANY_STAGE - LIVE),
    forbid("F-307", "quality.dispose", "This is a person's act; a service cannot do it.", roles="service"),
    forbid("F-308", "quality.dispose", "This reason does not fit this disposition.", when=related("unfit_reason")),
    forbid("F-309", "series.release", "The reason for holding the series is still there.", when=related("still_held")),
    forbid("F-310", "quality.dispose", "Reads of this time point have begun; a correction needs its own procedure.",
           when=related("in_read")),
    forbid("F-311", "quality.dispose", "A correction took this series out of its place; dispose of what stands for it.",
           when=related("reassigned")),
    allow("P-301", "quality.dispose", "qc_technologist", "You are a QC technologist of this trial.", stages=LIVE),
    allow("P-302", "series.send", SENDERS, "You send images to this trial.", stages=LIVE),
    allow("P-303", "quality.see", LOOKERS, "You hold a role in this trial."),
    allow("P-304", "series.release", "qc_technologist imaging_lead trial_lead", "You answer for what is held.",
          stages=LIVE),
)
