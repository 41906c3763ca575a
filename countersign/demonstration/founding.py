"""Scene 1: an installation is founded by two people, its documents approved and learned, and opened."""

from __future__ import annotations

from core.access import queries
from core.access.enrolment import EnrolKey, RegisterPerson, enrol_key, register_person, state_accountability
from core.access.founding import Founder, enrol_founders, found_installation, open_installation
from core.access.usecases import GrantRole, grant_role
from core.reads.seal_keys import enrol_recovery_key
from countersign.demonstration.cast import CAST, actor
from countersign.demonstration.stage import Stage
from sops.texts import templates
from sops.usecases import CompleteTraining, DraftSop, approve_sop, complete_training, draft_sop, review_sop

OWNER, QA, SECOND = "system-owner", "qa-auditor", "validation-lead"
NAMES = {user: name for user, name, _ in CAST}


def found(stage: Stage) -> None:
    """From an empty home to an opened installation, in which everybody of the cast has a key."""
    with stage.scene("Founding: two people, their keys, the controlled documents"):
        founders = [
            Founder(user, NAMES[user], stage.pockets.new_password(user), one_time_kind="counter")
            for user in (OWNER, QA)
        ]
        for key in enrol_founders(stage.desk, *founders):
            stage.pockets.take(key)
        for user, share in zip((OWNER, QA), enrol_recovery_key(stage.desk, OWNER, QA), strict=True):
            stage.pockets.keep_share(user, share)
        for user in (OWNER, QA):
            stage.signed(found_installation(stage.desk, actor(user)))
        stage.refused(
            "opening the installation with two people and no document",
            lambda: stage.signed(open_installation(stage.desk, actor(OWNER))),
        )
        enrol(stage, SECOND)
        for user, _, roles in CAST:
            if user in (SECOND,):
                for role in roles:
                    grant(stage, QA, user, role)
        documents = templates()
        drafts = [DraftSop(each, window_days=0) for each in documents.values()]
        stage.signed(draft_sop(stage.desk, actor(OWNER), *drafts))
        stage.signed(review_sop(stage.desk, actor(SECOND), *documents))
        stage.signed(approve_sop(stage.desk, actor(QA), *documents))
        for user in (OWNER, QA, SECOND):
            train(stage, user)
        for user in (OWNER, QA):
            stage.signed(open_installation(stage.desk, actor(user)))
    with stage.scene("People: each enrols with a key of their own"):
        for user, _, roles in CAST:
            if user in (OWNER, QA, SECOND):
                continue
            enrol(stage, user)
            for role in roles:
                if role.startswith("@"):
                    grant(stage, QA, user, role)
            train(stage, user)
        stage.note("people with a key of their own", len(CAST))
        stage.refused(
            "QA granting a role to themself",
            lambda: grant(stage, QA, QA, "@validation_lead"),
        )


def enrol(stage: Stage, user: str) -> None:
    """Registered by the owner, identity checked, key born with its holder, witnessed by QA, accountability stated."""
    command = RegisterPerson(user, NAMES[user], "in_person")
    stage.signed(register_person(stage.desk, actor(OWNER), command))
    password = stage.pockets.new_password(user)
    enrolment = enrol_key(
        stage.desk, actor(OWNER), EnrolKey(user, command.code, password, one_time_kind="counter"),
        witness=actor(QA), witness_proof=stage.pockets.proof(QA),
    )
    stage.pockets.take(enrolment.key)
    stage.signed(enrolment.proposal)
    stage.signed(state_accountability(stage.desk, actor(user)))


def grant(stage: Stage, by: str, user: str, role: str, trial: str | None = None, site: str | None = None) -> None:
    """A role, for the house (@) or the trial."""
    command = GrantRole(user, role.removeprefix("@"), "named in the plan of the demonstration", trial=trial, site=site)
    stage.signed(grant_role(stage.desk, actor(by), command))


def train(stage: Stage, user: str, trial: str | None = None) -> None:
    """Read and understood, for every effective document that binds one of the person's roles."""
    with stage.desk.reading() as session:
        roles = {grant.role for grant in queries.grants_of(session, user)}
        lacking = {
            (binding.sop, binding.version) for role in roles for binding in queries.untrained_in(session, user, role)
        }
    if lacking:
        documents = templates()
        commands = [CompleteTraining(sop, version, dict(documents[sop].questions)) for sop, version in sorted(lacking)]
        stage.signed(complete_training(stage.desk, actor(user), *commands))
