"""Opening the seals of a time point, all at once, and comparing what they held."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import Connection

from audit import store
from audit.vocabulary import reads as words
from core.errors import RecordDamaged
from core.policy.decide import permit
from core.reads import queries, rules, seal_queries
from core.reads.acting import READS, carry_on, facts_of
from core.reads.disagreement import Fired
from core.reads.ports import keeper_of
from core.reads.sealing import Sealed, open_seal
from core.reads.state import AI_SLOTS
from core.trials import queries as trials
from core.trials.charter import Charter
from core.work import Desk, Work

#: States in which a time point will not be read any more, or has been.
SETTLED = ("read", "adjudicated", "frozen", "missed", "not_evaluable", "superseded")


def open_reads(desk: Desk, trial: str, subject: str, time_point: str) -> bool:
    """Open every seal of a time point if all required ones are committed, compare, and move the time point on.

    Returns whether anything was opened; asked twice, the second time does nothing.

    Raises:
        Refused: the signer does not find a required seal committed.
        RecordDamaged: a seal does not open to what was committed to; nothing is recorded as opened.
    """
    with desk.reading() as session:
        closed = _seals(session, trial, subject, time_point, is_open=False)
        if not closed or not seal_queries.all_seals_in(session, trial, subject, time_point):
            return False
        if queries.impact_awaited(session, trial, subject, time_point):
            return False  # sealed on images that were corrected since: first somebody decides whether they stand
        already = _seals(session, trial, subject, time_point, is_open=True)
        released = keeper_of(desk.signer).release(trial, subject, time_point, [*already, *closed])
        wanted = [each for each in released if each[0] in closed]
        for sealed, key, nonce in wanted:
            check_seal(session, sealed, key, nonce)
    with desk.open(READS, asked="read.open") as work:
        if _seals(work.session, trial, subject, time_point, is_open=False) != closed:
            return False
        under = permit(READS, "read.open", facts_of(work.session, READS, "read.open", trial))
        work.record_all([words.ReadOpened(sealed=sealed, key=key, nonce=nonce) for sealed, key, nonce in wanted],
                        under=under, trial=trial)
        if any(_of_a_person(work.session, sealed) for sealed in closed):
            _compare(work, trial, subject, time_point)
    return True


def _of_a_person(session: Connection, sealed: str) -> bool:
    """Whether a seal is a person's. Where the AI alone measured again, the reads stay compared as they were."""
    task = seal_queries.read_of_seal(session, sealed)
    return task is None or task.slot not in AI_SLOTS


def _seals(session: Connection, trial: str, subject: str, time_point: str, *, is_open: bool) -> list[str]:
    """Ids of the seals of locked reads of a time point, marks included."""
    begun = [each.assignment for each in queries.tasks_of(session, trial, subject, time_point) if each.locked]
    return [row.sealed for row in queries.seals_of(session, begun) if row.open is is_open]


def check_seal(session: Connection, sealed: str, key: str, nonce: str) -> None:
    """Open against the entry itself, not against a table. Raises RecordDamaged where it does not fit."""
    entry = store.entry_by_id(session, sealed)
    if entry is None:
        raise RecordDamaged(f"The record holds no entry {sealed}.")
    fields = entry.body["fields"]
    open_seal(Sealed(fields["commit"], fields["iv"], fields["ct"]), key=key, nonce=nonce)


def _compare(work: Work, trial: str, subject: str, time_point: str) -> None:
    """Record which triggers fired at this time point, and over the course when nothing more is to come."""
    session = work.session
    # People's reads alone: the AI may have measured again under a later version of the charter.
    here = [each for each in queries.current_tasks(session, trial, subject, time_point) if each.slot not in AI_SLOTS]
    charter = queries.charter_for(session, trial, here[-1].charter_version)
    answers = queries.answers_by_slot(session, trial, subject, until=here[-1].acquired_on)
    sealed = tuple(str(each.sealed) for each in here)
    compared = _record(work, trial, subject, time_point, charter, sealed, rules.fired_at(charter, answers, time_point))
    carry_on(work, trial, subject, time_point, "time_point.read", compared)
    _compare_later(work, trial, subject, charter, here[-1].acquired_on)
    expected = trials.time_points_of(session, trial, subject)
    if rules.has_course_triggers(charter) and all(each.state in SETTLED for each in expected):
        _compare_course(work, trial, subject, charter)


def _compare_later(work: Work, trial: str, subject: str, charter: Charter, after: date) -> None:
    """A time point that was read again moves baseline or nadir of later ones: those whose triggers change with it
    are compared anew."""
    later = {
        each.time_point: each.acquired_on
        for each in queries.current_tasks(work.session, trial, subject)
        if each.acquired_on > after and each.state == "opened"
    }
    for time_point, on in sorted(later.items(), key=lambda each: each[1]):
        known = queries.comparison_of(work.session, trial, subject, time_point)
        answers = queries.answers_by_slot(work.session, trial, subject, until=on)
        if known is None or not all(time_point in {one.time_point for one in given} for given in answers.values()):
            continue
        fired = rules.fired_at(charter, answers, time_point)
        if {(each.trigger, each.endpoint) for each in fired} != {(each.trigger, each.endpoint) for each in known.fired}:
            _record(work, trial, subject, time_point, charter, known.sealed, fired)


def _record(
    work: Work, trial: str, subject: str, time_point: str | None, charter: Charter, sealed: tuple[str, ...],
    fired: Sequence[Fired],
) -> str:  # fmt: skip
    criteria = {each.id: rules.criterion_of(charter, each) for each in charter.endpoints}
    under = permit(READS, "read.compare", facts_of(work.session, READS, "read.compare", trial))
    entry = work.record(
        words.ReadCompared(
            subject=subject, time_point=time_point, charter_version=charter.version, sealed=sealed,
            criteria=tuple(f"{name}={each.id}/{each.version}" for name, each in criteria.items()),
            options_sha256=tuple(each.options_sha256 for each in criteria.values()),
            fired=tuple(
                words.FiredTrigger(trigger=each.trigger, endpoint=each.endpoint, kind=each.kind) for each in fired
            ),
        ),
        under=under, trial=trial,
    )  # fmt: skip
    return str(entry.body["id"])


def compare_course(desk: Desk, trial: str, subject: str) -> str:
    """Compare the whole courses of a subject's readers, once no more time point is to come. Returns the comparison.

    It happens by itself with the last read; this is for a subject whose last time point was declared missed. The same
    reads are compared once: asked again, it gives the comparison that there is.
    """
    with desk.reading() as session:
        known = queries.comparison_of(session, trial, subject, None)
        if known is not None and known.sealed == _sealed_of(session, trial, subject):
            return known.compared
    with desk.open(READS, asked="read.compare") as work:
        return _compare_course(work, trial, subject, trials.charter_of(work.session, trial))


def _sealed_of(session: Connection, trial: str, subject: str) -> tuple[str, ...]:
    """Ids of the opened human reads of a course, by its present holders."""
    held = queries.current_tasks(session, trial, subject)
    return tuple(str(each.sealed) for each in held if each.slot not in AI_SLOTS and each.state == "opened")


def _compare_course(work: Work, trial: str, subject: str, charter: Charter) -> str:
    answers = queries.answers_by_slot(work.session, trial, subject)
    sealed = _sealed_of(work.session, trial, subject)
    return _record(work, trial, subject, None, charter, sealed, rules.fired_over(charter, answers))
