"""What follows from a finding and from a signed order; and what a restored copy makes necessary again."""

from __future__ import annotations

from audit.vocabulary import incidents as words
from audit.vocabulary.imaging import SeriesRefused
from core.access.queries import standing
from core.incidents import queries
from core.incidents.queries import IncidentRow
from core.incidents.rules import read_listing
from core.outbox import follows
from core.policy.decide import permit
from core.projection import Recorded
from core.work import HOUSE, Desk

LEFT = "identifiers-left"


@follows(SeriesRefused, "open-incident")
def open_after_finding(desk: Desk, entry: Recorded, event: SeriesRefused) -> None:
    """The leak check found what cleaning missed: nothing was kept, and somebody answers for it all the same."""
    if entry.reason != LEFT or entry.trial is None:
        return
    with desk.open(HOUSE, asked="incident.open") as work:
        open_ones = [
            one for one in queries.incidents_of(work.session, entry.trial)
            if one.source == "finding" and one.state == "nothing_kept" and one.subject == event.subject
            and one.time_point == event.time_point and one.places == event.places
        ]
        if open_ones:
            return  # the same delivery again, or a retry of this effect
        number = len(queries.incidents_of(work.session, entry.trial)) + 1
        facts = standing(work.session, HOUSE, entry.trial, "incident.open")
        work.record(words.IncidentOpened(
            incident=f"{entry.trial}-INC-{number:04d}", source="finding", kind="other", count=0, series=(),
            places=event.places, subject=event.subject, time_point=event.time_point),
            under=permit(HOUSE, "incident.open", facts), trial=entry.trial, caused_by=entry.id)


@follows(words.DestructionOrdered, "destroy-objects")
def destroy_objects(desk: Desk, entry: Recorded, event: words.DestructionOrdered) -> None:
    """Carry a signed order out."""
    if entry.trial is not None:
        with desk.reading() as session:
            row = queries.the_incident(session, entry.trial, event.incident)
        _destroy(desk, row)


def _destroy(desk: Desk, row: IncidentRow) -> int:
    """Destroy what the order lists. Idempotent: recorded where it was not on record, or something had come back."""
    assert row.listing is not None  # ordered
    listed = read_listing(desk.objects.get(row.listing).decode())
    gone = sum(desk.objects.destroy(one.sha256) for one in listed)
    if gone or row.state == "ordered":
        again = True if row.state != "ordered" else None
        with desk.open(HOUSE, asked="destruction.do") as work:
            facts = standing(work.session, HOUSE, row.trial, "destruction.do")
            work.record(words.DestructionDone(
                incident=row.incident, destroyed=gone, absent=len(listed) - gone, again=again),
                under=permit(HOUSE, "destruction.do", facts), trial=row.trial)
    return gone


def destroy_again(desk: Desk) -> int:
    """Destroy again what a restored copy brought back: call where erasures are carried out again. Returns how many."""
    with desk.reading() as session:
        rows = [one for one in queries.incidents_of(session) if one.state in ("destroyed", "certified")]
    return sum(_destroy(desk, one) for one in rows if one.listing is not None)
