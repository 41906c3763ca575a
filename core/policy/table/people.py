"""Rows about people, founding and controlled documents (F-1nn forbids, P-1nn permits)."""

from core.policy.state import HouseState, Rule, allow, forbid, related, unrelated

EITHER = frozenset(HouseState)
FOUNDING = frozenset({HouseState.FOUNDING})
GRANTERS = "system_owner qa_auditor trial_lead imaging_lead validation_lead investigator"
AUTHORS = (
    "system_owner qa_auditor trial_lead imaging_lead validation_lead model_custodian statistician medical_monitor "
    "regulatory data_manager privacy_officer"
)

ROWS: tuple[Rule, ...] = (
    forbid("F-101", "role.grant role.revoke delegation.sign", "Nobody grants, takes or delegates a role to themself.",
           when=related("self")),
    forbid("F-102", "role.grant", "The person holds a role that excludes this one.", when=related("excluded")),
    forbid("F-103", "role.grant", "This role cannot be granted there.", when=related("out_of_scope")),
    forbid("F-104", "sop.review sop.return", "You wrote this version; another person reviews it.",
           when=related("author")),
    forbid("F-105", "sop.approve", "You wrote or reviewed this version; another person approves it.",
           when=related("author", "reviewer")),
    forbid("F-106", "key.enrol identity.check recovery.begin",
           "An enrolment rests on two other persons, not on its holder.", when=related("self", "same_person")),
    forbid("F-107", "installation.open", "Founding is not complete.", when=related("incomplete")),
    forbid("F-108", "installation.found installation.open", "The installation was opened; founding never returns.",
           house=frozenset({HouseState.OPENED})),
    forbid("F-109", "installation.found installation.open", "You have signed this already; it needs another person.",
           when=related("signed_already")),
    forbid("F-110", "person.* identity.check key.enrol recovery.* role.* delegation.* sop.* training.* "
           "installation.open", "The installation is not founded: owner and QA sign that first.",
           when=related("unfounded")),
    forbid("F-111", "person.* identity.* recovery.* accountability.* role.* delegation.* training.* installation.* "
           "access.* sop.draft sop.review sop.return sop.approve sop.retire key.rotate key.sign_rotation "
           "key.enrol_passkey key.revoke_passkey",
           "This is a person's act; a service cannot do it.", roles="service"),
    forbid("F-112", "person.close role.revoke",
           "Nobody else holds this role for the installation; grant it to another person first.",
           when=related("last_holder")),
    forbid("F-113", "*", "Your signing password is older than the installation allows; renew it first: "
           "countersign key password.", when=related("password_old")),
    forbid("F-114", "key.rotate", "This account is locked after failed proofs; wait until it opens again.",
           when=related("locked_out")),
    forbid("F-115", "key.sign_rotation", "You have signed this already; it needs another person.",
           when=related("signed_already")),
    forbid("F-116", "key.sign_rotation", "Your role has signed this already; owner and QA both sign.",
           when=related("same_role")),
    allow("P-101", "person.register identity.check key.enrol", "system_owner qa_auditor",
          "You look after the accounts of this installation.", house=EITHER),
    allow("P-115", "recovery.begin", "system_owner qa_auditor", "You look after the accounts of this installation.",
          house=EITHER),
    allow("P-102", "person.close key.revoke", "system_owner qa_auditor",
          "You look after the accounts of this installation.", when=unrelated("self"), house=EITHER),
    allow("P-103", "key.revoke", "*", "It is your own key.", when=related("self"), house=EITHER),
    allow("P-116", "key.rotate", "*", "It is your own key.", when=related("self"), house=EITHER),
    allow("P-118", "key.enrol_passkey key.revoke_passkey", "*", "It is your own passkey.", when=related("self"),
          house=EITHER),
    allow("P-119", "key.revoke_passkey", "system_owner qa_auditor", "You look after the accounts of this installation.",
          when=unrelated("self"), house=EITHER),
    allow("P-117", "key.sign_rotation", "system_owner qa_auditor",
          "Owner and QA together replace a key of this installation.", house=EITHER),
    allow("P-104", "accountability.state", "*", "You speak for yourself.", house=EITHER),
    allow("P-105", "role.grant role.revoke", GRANTERS, "Your role grants this one.",
          when=related("may_grant"), house=EITHER),
    allow("P-106", "delegation.sign delegation.end", "trial_lead imaging_lead investigator",
          "You answer for the tasks of this role.", when=related("may_delegate")),
    allow("P-107", "access.review", "system_owner qa_auditor", "You review who may do what."),
    allow("P-108", "installation.found", "system_owner qa_auditor", "You found this installation.", house=FOUNDING),
    allow("P-109", "installation.open", "system_owner", "The owner signs first.",
          when=unrelated("first_signed"), house=FOUNDING),
    allow("P-110", "installation.open", "qa_auditor", "QA signs last.", when=related("first_signed"), house=FOUNDING),
    allow("P-111", "sop.draft sop.review sop.return", AUTHORS, "You write and review controlled documents.",
          house=EITHER),
    allow("P-112", "sop.approve sop.retire", "qa_auditor", "QA approves controlled documents.", house=EITHER),
    allow("P-114", "password.renew", "*", "It is your own password.", house=EITHER),
    allow("P-113", "training.complete", "*", "You sign what you have read and understood.", house=EITHER),
)
