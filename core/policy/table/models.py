"""Rows about models and their runs (F-4nn forbids, P-4nn permits). What a run may be used for: table/gates.py."""

from core.policy.state import Rule, Stage, allow, forbid, related

RUNNERS = "qc_technologist coordinator imaging_lead validation_lead model_custodian data_manager reader"

ROWS: tuple[Rule, ...] = (
    forbid("F-401", "model.lock", "You trained this model; somebody else locks it.", when=related("trainer")),
    forbid("F-402", "model.lock", "This version is locked for this environment already.", when=related("locked")),
    forbid("F-403", "run.request ai.run", "This lock is retired or recalled; it runs no more.",
           when=related("lock_not_valid")),
    forbid("F-405", "run.request", "A series of this time point is not accepted at quality control.",
           when=related("not_accepted")),
    forbid("F-406", "run.request ai.run", "The open gate is for another lock. Run that one, or this one in shadow.",
           when=related("other_lock")),
    forbid("F-415", "server.enrol", "This lock is retired or recalled; no server answers for it.",
           when=related("lock_not_valid")),
    forbid("F-407", "run.request ai.run", "A subject never has values of two locks in one series. Run the lock of its "
           "earlier time points, or the new one in shadow.", when=related("second_lock")),
    forbid("F-408", "run.request", "The follower of this lock serves this endpoint; this one serves only subjects that "
           "it began with.", when=related("follower_serves")),
    allow("P-401", "model.register", "model_custodian", "You keep the models of this installation."),
    allow("P-402", "model.lock", "model_custodian validation_lead", "You may lock a model that you did not train."),
    allow("P-403", "model.retire", "model_custodian validation_lead qa_auditor", "You may take a lock out of use."),
    allow("P-406", "model.reproduce", "model_custodian validation_lead qa_auditor",
          "You may show that a lock still answers as it was locked."),
    allow("P-404", "model.see model.verify", "model_custodian validation_lead qa_auditor trial_lead imaging_lead "
          "statistician system_owner inspector regulatory", "You may see models, their locks and runs."),
    allow("P-415", "server.enrol server.withdraw", "model_custodian validation_lead",
          "You keep the models of this installation and the servers they run on."),
    allow("P-405", "run.request", RUNNERS, "You may ask for a run in this trial.", stages=frozenset({Stage.LIVE})),
)
