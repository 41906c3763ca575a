"""Rows about the record and the house itself (F-0n, P-0n)."""

from core.policy.state import HouseState, Rule, allow, forbid, related, unrelated

EITHER = frozenset(HouseState)
# What people sign, beside the rows that say so for their own room (F-05, F-07, F-111, F-307, F-550, F-804, F-903).
SIGNED_BY_PEOPLE = (
    "trial.create trial.activate charter.sign charter.accept charter.approve configuration.test database.sign_lock "
    "database.lock site.train site.activate site.close scanner.qualify subject.enrol subject.fail_screening "
    "time_point.declare cohort.select cohort.decide_eligibility gate.request gate.sign gate.withdraw gate.revoke "
    "waiver.request waiver.approve evidence.file defect.seed model.register model.lock model.retire protocol.draft "
    "protocol.review protocol.approve test_set.seal test_set.open deviation.close validation.review release.sign "
    "step.observe capa.open capa.close change.assess "
    "validation.review_periodically "
    "reader.qualify read.assign reread.order seed.place seal.open_early seals.renew "
    "drift.baseline sentinel.declare bridging.plan bridging.sign "
    "server.enrol server.withdraw model.reproduce "
    "read.begin read.seal series.release person.close key.enrol key.revoke access.review"
)

ROWS: tuple[Rule, ...] = (
    forbid("F-01", "*", "This account is not active: it is locked, revoked or not yet enrolled.",
           when=lambda actor, facts: "inactive" in facts.relations),
    forbid("F-03", "audit_trail.review", "Everything in this range is your own deed; another person reviews it.",
           when=related("own_deeds")),
    forbid("F-04", "audit_trail.review", "The samples were drawn for another person, who signs this review.",
           when=related("others_review")),
    forbid("F-05", "audit_trail.review", "A review is a person's act; a service cannot do it.", roles="service"),
    forbid("F-08", SIGNED_BY_PEOPLE, "This is a person's act; a service cannot do it.", roles="service"),
    allow("P-04", "audit_trail.review", "qa_auditor", "You review the record."),
    forbid("F-06", "ledger.continue", "You have signed this already; it needs another person.",
           when=related("signed_already")),
    forbid("F-07", "ledger.continue ledger.resume", "This is a person's act; a service cannot do it.",
           roles="service"),
    allow("P-01", "ledger.read ledger.export ledger.verify",
           "qa_auditor trial_lead validation_lead inspector regulatory system_owner data_manager monitor",
           "You may read the record of what you are granted.", house=EITHER),
    allow("P-02", "clock.confirm ledger.export ledger.rebuild backup.make", "system_owner qa_auditor",
           "You look after this installation.", house=EITHER),
    allow("P-05", "ledger.continue", "system_owner", "The owner signs first.", when=unrelated("first_signed"),
          house=EITHER),
    allow("P-06", "ledger.continue", "qa_auditor", "QA signs last.", when=related("first_signed"), house=EITHER),
    allow("P-07", "ledger.resume", "system_owner qa_auditor", "You look after this installation.", house=EITHER),
    allow("P-03", "*", "service", "A service of the house carries out what the rules let it.", house=EITHER),
)
