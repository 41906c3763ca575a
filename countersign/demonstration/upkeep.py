"""Scene: the record is looked after: an audit-trail review, a new key, a lost seal secret, a backup brought back."""

from __future__ import annotations

import shutil

from audit.query import parse
from audit.signatures import Proof
from core.access.rotation import RotateKey, rotate_key
from core.drift.queries import evaluations_of
from core.drift.usecases import SignBaseline, evaluate_due, sign_baseline
from core.errors import CountersignError, NotAuthenticated
from core.gates.queries import gates_of
from core.ledger_rehash import rehash
from core.policy.state import Decision
from core.reads.seal_keys import recover_seals
from core.reviews.rules import Found
from core.reviews.usecases import OpenReview, SignReview, open_review, sign_review
from countersign.backup import make_backup
from countersign.demonstration.cast import actor
from countersign.demonstration.founding import OWNER, QA
from countersign.demonstration.stage import Stage
from countersign.demonstration.trial import TRIAL
from countersign.restore import restore
from reports.query_export import export_query

READER, SAMPLES = "reader-1", 8


def look_after(stage: Stage) -> None:
    """What an installation does between two visits, each by the ordinary use case."""
    with stage.scene("Upkeep: review of the audit trail, keys, seals, second hash, backup and restore"):
        _watch(stage)
        _review(stage)
        _rotate(stage)
        _recover(stage)
        under = Decision(True, "P-03", "A service of the house looks after the record.", "service")
        _, covered = rehash(stage.desk, under=under, on_behalf_of=OWNER)
        stage.say(f"   the root of {covered} entries is stated under a second hash")
        _restore(stage)


def _watch(stage: Stage) -> None:
    """What the model met before gate 4 is the baseline; what it met since is judged, inside the seal where it was
    blinded. Whatever is found stands: a demonstration of few studies shows the monitor, not stability."""
    lock = str(stage.notes["lock"])
    with stage.desk.reading() as session:
        opened = max(row.opened_entry or 0 for row in gates_of(session, TRIAL))
    stage.signed(sign_baseline(stage.desk, actor("statistician"), SignBaseline(TRIAL, lock, last=opened)))
    evaluate_due(stage.desk)
    with stage.desk.reading() as session:
        found = evaluations_of(session, trial=TRIAL, lock=lock)
    stage.must(bool(found), "what the model met since its baseline was evaluated")
    for one in found:
        stage.note(f"drift, use {one.use}", f"{one.studies} studies{' under seal' if one.sealed else ''}: {one.says}")


def _review(stage: Stage) -> None:
    """QA reviews the trail of the trial; the samples were drawn before anybody looked, and can be drawn again."""
    drawn = open_review(stage.desk, actor(QA), OpenReview(trial=TRIAL, samples=SAMPLES))
    stage.refused(
        "signing a review as in order that names a major finding",
        lambda: sign_review(stage.desk, actor(QA), SignReview(
            drawn.review, "in_order", "Nothing to report.", _finding(drawn.samples[0]))),
        expect=CountersignError,
    )
    stage.signed(sign_review(stage.desk, actor(QA), SignReview(
        drawn.review, "in_order_with_findings",
        f"{len(drawn.samples)} of {drawn.fitting} entries were followed to their inputs.",
        _finding(drawn.samples[0], grade="minor"))))
    made = export_query(
        stage.desk, parse("action:gate.*"), stage.folder / "gates.pdf", person=actor(QA), through="console",
        origin=stage.desk.signer.origin,
    )
    stage.note("audit-trail review", f"{len(drawn.samples)} samples of {drawn.fitting} entries, signed by QA")
    stage.note("the gates on paper", made.path)


def _finding(seq: int, grade: str = "major") -> tuple[Found, ...]:
    return (Found(seq, "legible", grade, "the sentence could name the series"),)


def _rotate(stage: Stage) -> None:
    """A reader replaces their key under a new password; what the old one signed stays good, and it signs no more."""
    reader, token = actor(READER), stage.pockets.tokens[READER]
    old, fresh = token.password, stage.pockets.another_password()
    stage.signed(rotate_key(stage.desk, reader, RotateKey(fresh)).proposal)
    token.password = fresh
    page = rotate_key(stage.desk, reader, RotateKey(fresh)).proposal
    stage.refused(
        "signing with the password of a replaced key",
        lambda: stage.desk.commit(page, Proof(old, token.proof().code)), expect=NotAuthenticated,
    )
    stage.say("   reader 1 replaced their key: signed by the old one, proven by the new one")


def _recover(stage: Stage) -> None:
    """A seal secret is lost on the signer's disk; the shares of owner and QA bring it back."""
    lost = sorted((stage.house.home / "signer" / "seal").glob("*.json"))[0]
    lost.unlink()
    found = None
    for user in (OWNER, QA):
        share = stage.pockets.shares[user]
        recovery = recover_seals(stage.desk, actor(user), share, "a secret of a seal was lost in a drill")
        found = recovery.finish(stage.signed(recovery.proposal))
    stage.must(found is not None and found.restored == 1 and lost.exists(), "a lost seal secret is restored")
    stage.say("   a lost seal secret was restored by the shares of owner and QA")


def _restore(stage: Stage) -> None:
    """A copy made while in use becomes a home again, checked to the last digest, and appends nothing yet."""
    scratch = stage.folder / "restored"
    said = make_backup(stage.house, stage.folder / "backup")
    back = restore(
        stage.folder / "backup", scratch, subject_keys=stage.house.settings.subject_key_folders[1],
        now_us=stage.desk.clock.now(),
    )
    stage.must(back.about.size > 0, "the restored home holds the record")
    stage.say(f"   {str(said).splitlines()[0]}")
    stage.note("restore drill", f"{back.about.size} entries and {back.objects} objects, every digest checked")
    shutil.rmtree(scratch)
    shutil.rmtree(stage.folder / "backup")
