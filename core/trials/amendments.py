"""Amendments of a live trial's charter: imaging impact signed, in effect per site from its approval (TRIAL 2)."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Connection

from audit.vocabulary import amendments as words
from audit.vocabulary.trials import TimePointExpected, TimePointMoved, TimePointRescheduled
from core.errors import AlreadyDone, NotFound, Refused, UnusableInput
from core.policy.decide import permit
from core.policy.state import Actor
from core.trials import queries, views
from core.trials.acting import allowed, draft, iso_day
from core.trials.rules import (
    ENDED,
    IMPACTS,
    expected_time_points,
    imaging_sections,
    rescheduled,
    version_number,
)
from core.work import HOUSE, Desk, Draft, Occasion, Proposal, Work


def assess_amendment(desk: Desk, actor: Actor, trial: str, impact: str, because: str) -> Proposal:
    """The imaging lead signs what the newest charter text means for imaging.

    Raises:
        NotFound: no amendment of this trial is signed.
        Refused: impact none, although sections that concern imaging differ.
    """
    if impact not in IMPACTS:
        raise UnusableInput(f"{impact!r} is no imaging impact; write {', '.join(IMPACTS)}.")
    if not because.strip():
        raise UnusableInput("An imaging impact says why.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        queries.the_trial(session, trial)
        found = queries.amendments_of(session, trial)
        if not found:
            raise NotFound(f"The charter of {trial} is not amended.",
                           next_step="The trial lead signs an amended text with `countersign charter sign FILE`.")
        newest = found[-1]
        changed = imaging_sections(newest.before.charter, newest.signed.charter)
        hidden = ("impact_denied",) if changed and impact == "none" else ()
        under = allowed(session, actor, "amendment.assess", trial, *hidden)
        if newest.impact is not None:
            raise AlreadyDone(f"The impact of charter {newest.signed.version} is signed: {newest.impact}.")
        event = words.AmendmentAssessed(
            charter_version=newest.signed.version, digest=newest.signed.digest, signed=newest.signed.entry_id,
            impact=impact, because=because.strip(), changed=changed)
        return draft(
            session, actor, "amendment.assess", trial, event, under=under, meaning="review",
            caused_by=newest.signed.entry_id, view=views.lines(
                "Imaging impact of an amendment", "trial/amendment", ("Trial", trial),
                ("Charter", f"{newest.before.version} -> {newest.signed.version}"),
                ("Sections that concern imaging and differ", ", ".join(changed) or "none"),
                ("Imaging impact", impact), ("Because", because.strip()),
                ("SHA-256 of the text", newest.signed.digest)))

    return desk.prepare(actor, propose, asked="amendment.assess")


def approve_at_site(desk: Desk, actor: Actor, trial: str, site: str, version: str, effective_on: str) -> Proposal:
    """An approved amendment is in effect at a site from the day of its approval there."""
    day = iso_day(effective_on, "The day of approval").isoformat()

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = queries.site_of(session, trial, site)
        if row is None:
            raise NotFound(f"Trial {trial} has no site {site}.")
        under = allowed(session, actor, "amendment.approve_site", trial)
        if row.state != "activated":
            raise Refused(f"Site {site} is {row.state.replace('_', ' ')}; an amendment takes effect at active sites.",
                          rule="F-201")
        signed = next((one for one in queries.charters_of(session, trial)
                       if one.version == version and one.approved_entry is not None), None)
        if signed is None:
            raise NotFound(f"Trial {trial} has no approved charter {version}.")
        held = queries.versions_at(session, trial, site)
        last = held[-1]
        if version_number(version) <= version_number(last[1]):
            raise AlreadyDone(f"Site {site} works under charter {last[1]} from {last[0]}.")
        if day < last[0] or day > occasion.at[:10]:
            raise UnusableInput(f"A version takes effect after the one before it ({last[0]}), and not in the future.")
        event = words.AmendmentApproved(
            site=site, charter_version=version, digest=signed.digest, effective_on=day)
        return draft(
            session, actor, "amendment.approve_site", trial, event, under=under, meaning="responsibility",
            view=views.site("Amendment in effect at a site", trial, (
                ("Site", site), ("Charter", f"{last[1]} -> {version}"), ("From", day),
                ("SHA-256 of the text", signed.digest))))

    def then(work: Work) -> None:
        cause = str(work.entries[0].body["id"])
        for one in queries.subjects_of(work.session, trial):
            if one.site == site and one.enrolled_on is not None and one.state not in ENDED:
                reschedule(work, trial, one.subject, version, day, cause)

    return desk.prepare(actor, propose, asked="amendment.approve_site", then=then)


def reschedule(work: Work, trial: str, subject: str, version: str, effective_on: str, cause: str) -> None:
    """Windows of time points that have not come yet follow the schedule in effect at the site now."""
    session = work.session
    row = queries.subject_of(session, trial, subject)
    charter = next(one.charter for one in queries.charters_of(session, trial)
                   if one.version == version and one.approved_entry is not None)
    assert row is not None
    assert row.enrolled_on is not None
    points = queries.time_points_of(session, trial, subject)
    known = {one.time_point: (one.state, one.label, _day(one.earliest_on), _day(one.latest_on)) for one in points
             if one.occasion != "unscheduled"}
    events = {one.id: one.event for one in charter.schedule}
    amended = expected_time_points(charter.schedule, {"enrolment": date.fromisoformat(row.enrolled_on)})
    found = rescheduled(known, amended, date.fromisoformat(effective_on))
    under = permit(HOUSE, "time_point.move", queries.facts_for(session, HOUSE, "time_point.move", trial))
    made: list[TimePointExpected | TimePointRescheduled | TimePointMoved] = []
    for kind, several in ((TimePointRescheduled, found.moved), (TimePointExpected, found.new)):
        made += [kind(
            subject=subject, time_point=one.id, label=one.label, occasion=events[one.id],
            target_on=one.target.isoformat(), earliest_on=one.earliest.isoformat(), latest_on=one.latest.isoformat(),
            charter_version=version) for one in several]
    made += [TimePointMoved(subject=subject, time_point=one, became="superseded", charter_version=version)
             for one in found.dropped]
    for event in made:
        work.record(event, under=under, trial=trial, caused_by=cause)


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None
