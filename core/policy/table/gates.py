"""Rows about gates and about what AI may do at each door in each phase (F-6nn forbids, P-6nn permits).

The doors of AI are actions `ai.*`; a room asks for its door with facts of the endpoint at hand, so that an open use of
another endpoint opens nothing. Relations: `for_qc`, `for_cohort`, `for_secondary`, `for_primary`, `shadow` (computed,
sealed, shown to nobody), `exploratory`, `reads_locked` (both human reads are locked), `display_none` and
`own_mark_missing` (what the charter's ai_display asks of this reader now), `adjudication_hidden`. Source: TRIAL 2.
"""

from core.policy.state import Actor, Condition, Facts, HouseState, Rule, Stage, allow, forbid, related, use_closed

OPENING = frozenset({Stage.SET_UP, Stage.LIVE})
SIGNERS = "trial_lead validation_lead statistician imaging_lead medical_monitor regulatory qa_auditor"


def _without_gate(relation: str, use: str) -> Condition:
    closed = use_closed(use)

    def needs(actor: Actor, facts: Facts) -> bool:
        return relation in facts.relations and not facts.relations & {"shadow", "exploratory"} and closed(actor, facts)

    needs.__doc__ = f"{relation}, neither shadow nor exploratory, and AI use not open: {use}"
    return needs


def _sealed(actor: Actor, facts: Facts) -> bool:
    """of a primary endpoint while a human read is not locked"""
    return "for_primary" in facts.relations and "reads_locked" not in facts.relations


def _never_counts(actor: Actor, facts: Facts) -> bool:
    """shadow or exploratory: computed, and counted nowhere"""
    return bool(facts.relations & {"shadow", "exploratory"})


def _closed_secondary(actor: Actor, facts: Facts) -> bool:
    """AI use not open: secondary, for a reader's screen before both reads are locked"""
    return use_closed("secondary")(actor, facts) and "reads_locked" not in facts.relations


ROWS: tuple[Rule, ...] = (
    # What AI may do: phase by phase.
    forbid("F-610", "ai.run", "AI use for quality control is not open in this trial.",
           when=_without_gate("for_qc", "qc")),
    forbid("F-611", "ai.run", "AI use for cohort selection is not open in this trial.",
           when=_without_gate("for_cohort", "cohort")),
    forbid("F-612", "ai.run", "AI use for this secondary endpoint is not open.",
           when=_without_gate("for_secondary", "secondary")),
    forbid("F-613", "ai.run", "AI use for this primary endpoint is not open.",
           when=_without_gate("for_primary", "primary")),
    forbid("F-620", "ai.show_in_qc", "AI use for quality control is not open in this trial.", when=use_closed("qc")),
    forbid("F-621", "ai.show_to_coordinator", "AI use for cohort selection is not open in this trial.",
           when=use_closed("cohort")),
    forbid("F-622", "ai.show_to_reader", "An AI read of a primary endpoint is sealed until both reads are locked.",
           when=_sealed),
    forbid("F-623", "ai.show_to_reader", "AI use for this endpoint is not open.", when=_closed_secondary),
    forbid("F-624", "ai.show_to_reader", "The charter shows no AI for this endpoint.", when=related("display_none")),
    forbid("F-625", "ai.show_to_reader", "The charter shows AI only after the reader's own mark.",
           when=related("own_mark_missing")),
    forbid("F-626", "ai.show_to_reader ai.show_in_qc ai.show_to_coordinator ai.enter_result",
           "A shadow or exploratory result is shown to nobody in the trial and counts nowhere.", when=_never_counts),
    forbid("F-627", "ai.show_in_adjudication", "The charter hides AI from the adjudicator.",
           when=related("adjudication_hidden")),
    # What AI never does, in any phase.
    forbid("F-630", "ai.select_subject", "AI includes and excludes nobody; a coordinator signs each selection."),
    forbid("F-631", "ai.enter_result", "An AI value is no result; a named person signs each value.",
           when=lambda actor, facts: "human_signed" not in facts.relations),
    forbid("F-632", "ai.accept_all", "Each AI value is accepted, adjusted or rejected by itself."),
    forbid("F-633", "ai.break_tie", "AI decides between no two readers; the adjudicator does."),
    forbid("F-634", "ai.write_eligibility", "A candidate flag writes no eligibility field."),
    forbid("F-635", "ai.*", "The installation is not opened; no trial and no use of AI exists yet.",
           house=frozenset({HouseState.FOUNDING})),
    forbid("F-636", "ai.run ai.seal_read", "The data of this trial are locked; nothing is computed for it any more.",
           stages=frozenset({Stage.SOFT_LOCKED, Stage.LOCKED, Stage.CLOSED})),
    allow("P-610", "ai.show_in_qc", "qc_technologist imaging_lead", "You see AI flags on the QC dashboard."),
    allow("P-611", "ai.show_to_coordinator", "coordinator", "You work the candidate list."),
    allow("P-612", "ai.show_to_reader", "reader", "The charter shows AI for this endpoint."),
    allow("P-613", "ai.show_in_adjudication", "adjudicator", "The charter shows AI as an anonymous third read."),
    # Gates themselves.
    forbid("F-602", "gate.request gate.sign", "A criterion of this gate is open.", when=related("criterion_open")),
    forbid("F-603", "gate.sign", "This signature is not possible now.", when=related("signature_refused")),
    forbid("F-604", "waiver.request", "This criterion can never be waived.", when=related("never_waivable")),
    forbid("F-605", "waiver.approve", "You asked for this waiver; others approve it.", when=related("requester")),
    forbid("F-606", "evidence.file", "This kind of evidence is filed by another role.", when=related("not_owner")),
    forbid("F-643", "defect.seed", "This study was disposed or run before; a defect is declared seeded before anybody "
           "judges it.", when=related("judged")),
    allow("P-600", "gate.see", SIGNERS + " inspector data_manager model_custodian", "You hold a role in this trial."),
    allow("P-601", "gate.request gate.withdraw", "trial_lead", "You are the trial lead.", stages=OPENING),
    allow("P-602", "gate.sign", SIGNERS, "You are one of the signers of gates in this trial.", stages=OPENING),
    allow("P-603", "gate.halt", SIGNERS + " data_manager", "Anyone who answers for the trial may halt AI."),
    allow("P-604", "gate.revoke", "qa_auditor", "QA revokes a gate for cause."),
    allow("P-605", "gate.suspend", "qa_auditor trial_lead validation_lead system_owner",
          "You report a lost precondition; the gate is suspended at once."),
    allow("P-606", "waiver.request", "trial_lead imaging_lead validation_lead", "You may ask for a waiver.",
          stages=OPENING),
    allow("P-607", "waiver.approve", SIGNERS + " privacy_officer", "You own this criterion, or approve as QA.",
          stages=OPENING),
    allow("P-608", "evidence.file", "trial_lead validation_lead statistician imaging_lead medical_monitor regulatory "
          "qa_auditor privacy_officer data_manager", "You file what your role answers for.", stages=OPENING),
    allow("P-609", "defect.seed", "imaging_lead validation_lead", "You plan the run-in."),
    # Drift.
    allow("P-650", "drift.baseline", "statistician validation_lead", "You answer for what later studies are compared "
          "with.", stages=frozenset({Stage.LIVE})),
    allow("P-651", "sentinel.declare", "validation_lead model_custodian", "You answer for the locks in use."),
    # Model change.
    allow("P-652", "bridging.plan", "statistician", "You plan how a changed model follows.", stages=OPENING),
    allow("P-653", "bridging.sign", "validation_lead qa_auditor", "You sign plans of bridging.", stages=OPENING),
    allow("P-654", "bridging.judge", "statistician validation_lead", "You may have both locks compared."),
    # Cohort.
    allow("P-620", "cohort.select", "coordinator", "You sign who is selected.", stages=frozenset({Stage.LIVE})),
    allow("P-621", "cohort.decide_eligibility", "investigator", "Eligibility is the investigator's decision.",
          stages=frozenset({Stage.LIVE})),
    forbid("F-640", "cohort.select", "This candidate is decided already.", when=related("decided")),
)
