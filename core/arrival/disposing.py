"""The technologist's signed disposition of a case, and the release of what was held."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Connection

from audit.vocabulary import imaging as words
from core.access.queries import basis
from core.arrival import queries, views
from core.arrival.matching import still_held
from core.arrival.recording import INTAKE
from core.arrival.rules import DISPOSITIONS, REASONS, relations_of_disposition
from core.arrival.storing import trial_key_of
from core.errors import UnusableInput
from core.policy.decide import permit
from core.policy.state import Actor
from core.trials.acting import move_time_point
from core.trials.queries import charter_at
from core.work import Desk, Draft, Occasion, Proposal, View, Work


@dataclass(frozen=True, slots=True)
class DisposeCase:
    """A technologist's verdict on a case: accepted, queried or rejected, with a coded reason.

    `comment` is free text, of a query the text to the site; it is kept under the subject's key alone.
    """

    trial: str
    case: str
    disposition: str
    reason: str
    comment: str | None = None


def dispose_case(desk: Desk, actor: Actor, command: DisposeCase) -> Proposal:
    """What a technologist is about to sign; `desk.commit(signed)` asks again and records it.

    Raises:
        UnusableInput: no such disposition or reason.
        Refused: own upload, held, a rule that bars acceptance, an outdated check, or no role.
    """
    if command.disposition not in DISPOSITIONS:
        raise UnusableInput(f"{command.disposition!r} is no disposition; choose {', '.join(DISPOSITIONS)}.")
    known = sorted({reason for reasons in REASONS.values() for reason in reasons})
    if command.reason not in known:
        raise UnusableInput(f"{command.reason!r} is no reason; for {command.disposition} choose "
                            f"{', '.join(REASONS[command.disposition])}.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        case = queries.case_of(session, command.trial, command.case)
        row = queries.the_series(session, command.trial, case.series)
        relations = relations_of_disposition(
            command.disposition, command.reason, case.rules, held=row.held is not None, own=row.sent_by == actor.user,
            outdated=row.manifest_sha256 != case.manifest_sha256, in_read=queries.time_point_in_read(session, row),
            reassigned=row.reassigned is not None,
        )
        facts = queries.quality_facts(session, actor, "quality.dispose", command.trial, row, relations)
        decision = permit(actor, "quality.dispose", facts)
        event = words.QualityDisposed(
            case=case.case_id, subject=case.subject, study=case.study, series=case.series, time_point=case.time_point,
            modality=case.modality, disposition=command.disposition, manifest_sha256=case.manifest_sha256,
            not_met=tuple(rule.rule for rule in case.rules if rule.outcome == "not_met"),
            comment=desk.conceal(command.comment, command.trial, case.subject, occasion),
        )
        rests_on = basis(session, actor.user, decision.role, "quality.dispose", command.trial)
        view: View = views.disposition(
            case, row, command.disposition, command.reason, command.comment,
            queries.ai_shown_of(session, command.trial, case.case_id, actor.user))
        meaning = "rejection" if command.disposition == "rejected" else "review"
        return Draft(event, under=decision, meaning=meaning, view=view, trial=command.trial, reason=command.reason,
                     trainings=rests_on.trainings, delegation=rests_on.delegation)

    def follow(work: Work) -> None:
        _after_disposition(work, command.trial, command.case)

    return desk.prepare(actor, propose, asked="quality.dispose", then=follow)


def _after_disposition(work: Work, trial: str, case_id: str) -> None:
    """The time point is ready for reading when every expected modality has an accepted series, and else not."""
    case = queries.case_of(work.session, trial, case_id)
    rows = queries.series_of(work.session, trial, case.subject, case.time_point)
    charter = charter_at(work.session, trial, rows[0].site, rows[0].acquired_on) if rows else None
    scheduled = charter.charter.time_point(case.time_point) if charter else None
    expected = scheduled.modalities if scheduled else tuple(Counter(row.modality for row in rows))
    ready = bool(rows) and not queries.lacking_modalities(rows, expected, accepted=True)
    facts = queries.quality_facts(work.session, work.actor, "time_point.move", trial)
    under = permit(work.actor, "time_point.move", facts)
    word = "time_point.ready" if ready else "time_point.checked"
    move_time_point(work, trial, case.subject, case.time_point, word, under=under,
                    caused_by=work.entries[0].body["id"])


@dataclass(frozen=True, slots=True)
class ReleaseSeries:
    """A held series whose site is active and whose scanner is qualified by now."""

    trial: str
    series: str


def release_series(desk: Desk, actor: Actor, command: ReleaseSeries) -> None:
    """Take a series off hold when the reason for holding is gone.

    Raises:
        NotFound: no such series. Refused: it is not held, the reason is still there, or no role.
    """
    with desk.reading() as session:
        row = queries.the_series(session, command.trial, command.series)
        key = trial_key_of(session, desk.objects, command.trial)
    if row.held is None or row.reassigned is not None:
        raise UnusableInput("The series is not held.", next_step="Nothing is to be done.")
    with desk.open(INTAKE, on_behalf_of=actor.user, asked="series.release") as work:
        relations = frozenset({"still_held"}) if still_held(work.session, row, key) else frozenset[str]()
        permit(actor, "series.release",
               queries.quality_facts(work.session, actor, "series.release", command.trial, row, relations))
        under = permit(INTAKE, "series.receive",
                       queries.quality_facts(work.session, INTAKE, "series.receive", command.trial))
        event = words.SeriesReleased(subject=row.subject, study=row.study, series=row.series,
                                     time_point=row.time_point, modality=row.modality)
        work.record(event, under=under, trial=command.trial)
