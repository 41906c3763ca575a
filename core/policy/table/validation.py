"""Rows about validation (F-7nn forbids, P-7nn permits). Qualifying an installation is a founding act (TRIAL 1)."""

from core.policy.state import HouseState, Rule, allow, forbid, related

EITHER = frozenset(HouseState)
AUTHORS = "system_owner validation_lead statistician qa_auditor"

ROWS: tuple[Rule, ...] = (
    forbid("F-701", "protocol.review protocol.approve",
           "You wrote this protocol; another person reviews and approves it.", when=related("author")),
    forbid("F-702", "protocol.review protocol.approve", "You signed this protocol already; another person is next.",
           when=related("signed_already")),
    forbid("F-703", "protocol.review protocol.approve",
           "This signature is not the next one that the protocol asks for.", when=related("out_of_turn")),
    forbid("F-704", "validation.run", "The protocol is not approved: criteria are signed before anything runs.",
           when=related("unapproved")),
    forbid("F-705", "validation.run", "The protocol was replaced by a newer version.", when=related("superseded")),
    forbid("F-706", "validation.run", "The test set of this protocol is still sealed; two persons open it.",
           when=related("sealed_test_set")),
    forbid("F-707", "validation.run", "The model was trained on cases of this test set.",
           when=related("not_independent")),
    forbid("F-708", "validation.run", "The lock at hand is not the one that the protocol names.",
           when=related("other_lock")),
    forbid("F-709", "validation.run", "What the protocol requires first has not passed.",
           when=related("requires_first")),
    forbid("F-711", "test_set.open", "You opened this test set as the first person; the second is another.",
           when=related("first_opener")),
    forbid("F-712", "test_set.seal test_set.open", "You trained this model; others keep its test set.",
           when=related("trainer")),
    forbid("F-713", "test_set.open", "No approved protocol names this test set.", when=related("unapproved")),
    forbid("F-721", "deviation.close", "The deviation arose in your own run; another person closes it.",
           when=related("tester")),
    forbid("F-731", "release.sign",
           "A run that this release rests on did not pass, is suspect, or has an open deviation.",
           when=related("not_passed")),
    forbid("F-732", "release.sign", "You ran or wrote what this release rests on; QA is another person.",
           when=related("tester", "author")),
    allow("P-701", "protocol.draft", AUTHORS, "You write validation protocols.", house=EITHER),
    allow("P-702", "protocol.review", "statistician validation_lead system_owner",
          "You review validation protocols.", house=EITHER),
    allow("P-703", "protocol.approve", "validation_lead qa_auditor", "You approve validation protocols.", house=EITHER),
    allow("P-704", "validation.run", "validation_lead system_owner statistician", "You run approved protocols.",
          house=EITHER),
    allow("P-705", "test_set.seal test_set.open", "validation_lead qa_auditor statistician",
          "You keep the test sets."),
    allow("P-706", "deviation.open", "validation_lead qa_auditor system_owner trial_lead imaging_lead statistician "
          "qc_technologist data_manager monitor", "Whoever sees a deviation reports it.", house=EITHER),
    allow("P-707", "deviation.close", "qa_auditor validation_lead", "You close deviations.", house=EITHER),
    allow("P-708", "validation.suspect", "validation_lead qa_auditor system_owner model_custodian",
          "You report what makes a validation suspect.", house=EITHER),
    allow("P-709", "release.sign", "qa_auditor", "QA signs the release.", house=EITHER),
    allow("P-710", "validation.see", AUTHORS + " inspector trial_lead model_custodian imaging_lead regulatory monitor",
          "You may see what was validated.", house=EITHER),
)
