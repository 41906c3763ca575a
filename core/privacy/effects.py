"""What follows from a signed erasure: the key is destroyed, that is recorded, and holders of copies get notice.

Committed first, carried out after: killed anywhere in between, the worker does the rest (RECORD 6).
"""

from __future__ import annotations

from audit import store
from audit.vocabulary import privacy as words
from core.access.queries import standing
from core.objects import owner
from core.outbox import follows
from core.policy.decide import permit
from core.privacy import queries
from core.projection import Recorded
from core.work import HOUSE, Desk, Work

#: The key and its copy.
FOLDERS = 2


@follows(words.PrivacyErased, "destroy-key")
def destroy_key(desk: Desk, entry: Recorded, event: words.PrivacyErased) -> None:
    """Carry a signed erasure out."""
    if entry.trial is not None:
        carry_out(desk, entry.trial, event.subject, entry.id)


def carry_out(desk: Desk, trial: str, subject: str, erased: str) -> bool:
    """Destroy the subject's key wherever it lies, record it, and give notice. Idempotent.

    Returns whether a key was found or the destruction was not on record yet.
    """
    keys, whose = desk.objects.keys, owner(trial, subject)
    found = keys.is_there(whose)
    keys.destroy(whose, {"trial": trial, "subject": subject, "erased": erased})
    with desk.reading() as session:
        before = queries.the_subject(session, trial, subject)
    if found or before.destroyed is None:
        with desk.open(HOUSE, asked="privacy.destroy") as work:
            now = queries.the_subject(work.session, trial, subject)
            again = now.destroyed is not None or now.erased is None
            event = words.PrivacyDestroyed(
                subject=subject, erased=erased, folders=FOLDERS, again=True if again else None
            )
            facts = standing(work.session, HOUSE, trial, "privacy.destroy")
            under, cause = permit(HOUSE, "privacy.destroy", facts), _here(work, erased)
            work.record(event, under=under, trial=trial, caused_by=cause)
    _tell_holders(desk, trial, subject, erased)
    _empty_journal(desk)
    return found or before.destroyed is None


def reapply(desk: Desk) -> int:
    """Carry out again what copies that came back have undone: call after every restore, and before any other work.

    Where a key of an erased subject is there again, it is destroyed again. Where the record is older than the
    destruction, the marks beside the keys say what was erased, and the record gets its entry. Returns how many.
    """
    keys, done = desk.objects.keys, 0
    with desk.reading() as session:
        ordered = {(one.trial, one.subject): one for one in queries.subjects_of(session) if one.erased is not None}
        marked = {
            (str(mark["trial"]), str(mark["subject"])): str(mark["erased"]) for mark in keys.marks().values()
            if queries.privacy_of(session, str(mark["trial"]), str(mark["subject"])) is not None
        }
    for (trial, subject), one in ordered.items():
        if one.destroyed is None or keys.is_there(owner(trial, subject)):
            done += carry_out(desk, trial, subject, str(one.erased))
        elif (trial, subject) not in marked:
            # A folder of keys from before: no key of this subject, and nothing that keeps one from being made.
            keys.destroy(owner(trial, subject), {"trial": trial, "subject": subject, "erased": str(one.erased)})
    for (trial, subject), erased in marked.items():
        if (trial, subject) not in ordered:
            done += carry_out(desk, trial, subject, erased)
    keys.complete()
    return done


def _here(work: Work, erased: str) -> str | None:
    """The order as cause, where this record has it."""
    return erased if store.entry_by_id(work.session, erased) is not None else None


def _tell_holders(desk: Desk, trial: str, subject: str, erased: str) -> None:
    """One signed notice for each copy on record, once."""
    with desk.reading() as session:
        told = queries.notices_of(session, erased)
        if all(copy.copy_entry in told for copy in queries.copies_that_cover(session, trial, subject)):
            return
    with desk.open(HOUSE, asked="privacy.notify") as work:
        told = queries.notices_of(work.session, erased)
        facts = standing(work.session, HOUSE, trial, "privacy.notify")
        for copy in tuple(queries.copies_that_cover(work.session, trial, subject)):
            if copy.copy_entry not in told:
                event = words.PrivacyNotified(
                    subject=subject, erased=erased, kind=copy.kind, copy_entry=copy.copy_entry, holder=copy.holder
                )
                work.record(event, under=permit(HOUSE, "privacy.notify", facts), trial=trial)


def _empty_journal(desk: Desk) -> None:
    """SQLite: bring the journal into the database and cut it to nothing; freed pages are overwritten (secure_delete).

    PostgreSQL keeps old row versions and its journal until vacuum; neither ever held a key or a text in clear.
    """
    if desk.engine.dialect.name == "sqlite":
        with desk.engine.connect() as session:
            session.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
