"""Rows about the record and the house itself (F-0n, P-0n)."""

from core.policy.state import HouseState, Rule, allow, forbid, related, unrelated

EITHER = frozenset(HouseState)

ROWS: tuple[Rule, ...] = (
    forbid("F-01", "*", "This account is not active: it is locked, revoked or not yet enrolled.",
           when=lambda actor, facts: "inactive" in facts.relations),
    forbid("F-03", "audit_trail.review", "Everything in this range is your own deed; another person reviews it.",
           when=related("own_deeds")),
    forbid("F-04", "audit_trail.review", "The samples were drawn for another person, who signs this review.",
           when=related("others_review")),
    forbid("F-05", "audit_trail.review", "A review is a person's act; a service cannot do it.", roles="service"),
    allow("P-04", "audit_trail.review", "qa_auditor", "You review the record.", house=EITHER),
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
    allow("P-03", "*", "service", "A service of the house carries out what the rules let it.",
           when=unrelated("needs_person"), house=EITHER),
)
