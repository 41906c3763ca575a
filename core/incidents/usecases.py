"""Commands of incidents: close off what holds identifiers, order its destruction, certify it (TRIAL 3, corrections)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from audit.vocabulary import incidents as words
from audit.vocabulary.corrections import CorrectedSeries
from core.arrival.queries import SeriesRow, manifest_of, the_series
from core.arrival.storing import trial_key_of
from core.corrections.rules import Place
from core.corrections.taking_out import take_out
from core.errors import NotFound, UnusableInput
from core.incidents import queries
from core.incidents.queries import IncidentRow
from core.incidents.rules import (
    ANSWERS,
    KINDS,
    Listed,
    follow,
    forms_of,
    holds_any,
    listing_text,
    mark_of,
    read_listing,
)
from core.objects import ObjectStore, owner
from core.policy.state import Actor
from core.reads.queries import parts_of
from core.trials.acting import allowed, draft
from core.work import Desk, Draft, Occasion, Proposal, View, Work

LISTING = "text/plain"


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search for an identifier looked through, and which objects and files hold it; never the identifier."""

    looked: int
    objects: tuple[Listed, ...]
    elsewhere: tuple[str, ...]

    @property
    def found(self) -> int:
        return len(self.objects) + len(self.elsewhere)


def search_objects(objects: ObjectStore, trial: str, subjects: Iterable[str], identifier: str) -> Searched:
    """Look for an identifier in every object that opens with the keys of these subjects. Nothing is recorded.

    Raises UnusableInput where it is too short to be looked for.
    """
    forms, looked, found = forms_of(identifier), 0, list[Listed]()
    for subject in subjects:
        for sha256, size, data in objects.of_subject(owner(trial, subject)):
            looked += 1
            if holds_any(data, forms):
                found.append(Listed(sha256, size))
    return Searched(looked, tuple(sorted(found)), ())


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """Series in which identifiers were left: of which kind, in which places (attributes, "pixels"), never what.

    `identifier` is taken only to make its mark; it is not kept. None where it is no text.
    """

    trial: str
    series: tuple[str, ...]
    kind: str
    places: tuple[str, ...]
    identifier: str | None = None
    comment: str | None = None


def open_incident(desk: Desk, actor: Actor, command: OpenIncident) -> Proposal:
    """What is signed by whoever sees identifiers in stored images: they are closed off at once, with all copies.

    Raises:
        NotFound: no such series. UnusableInput: no kind, no place, several time points, or a place that quotes.
        Refused: no role, or the series are closed off already.
    """
    if command.kind not in KINDS:
        raise UnusableInput(f"{command.kind!r} is no kind of identifier; one of: {', '.join(KINDS)}.")
    if not command.series or not command.places:
        raise UnusableInput("An incident names the series, and the places in which identifiers are left.")
    if command.identifier is not None:
        forms = forms_of(command.identifier)
        if holds_any("\n".join((*command.places, command.comment or "")).encode(), forms):
            raise UnusableInput("A place or the comment quotes the identifier; it is not written down anywhere.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        rows = queries.related_series(session, command.trial, command.series)
        named = [the_series(session, command.trial, one) for one in command.series]
        if len({(row.study, row.subject, row.time_point) for row in named}) != 1:
            raise UnusableInput("The series belong to several studies or time points; open an incident for each.")
        relations = {
            "closed_off": any(row.closed_by is not None for row in rows),
            "reader_of_subject": bool(parts_of(session, command.trial, named[0].subject, actor.user)),
        }
        under = allowed(session, actor, "incident.open", command.trial, *(n for n, true in relations.items() if true))
        mark = None
        if command.identifier is not None:
            mark = mark_of(trial_key_of(session, desk.objects, command.trial), command.identifier)
        event = words.IncidentOpened(
            incident=_next(session, command.trial), source="person", kind=command.kind, count=len(rows),
            series=_pieces(rows), places=command.places, subject=named[0].subject, study=named[0].study,
            time_point=named[0].time_point, mark=mark,
            comment=desk.conceal(command.comment, command.trial, named[0].subject, occasion))
        view = View("Identifiers left in images", "incidents/open", (
            ("Trial", command.trial), ("Incident", event.incident), ("Kind of identifier", _said(command.kind)),
            *((f"Place {number}", one) for number, one in enumerate(command.places, 1)),
            *((f"Series {number}", f"{row.subject}, {row.time_point}, {row.modality}, {row.instances} instances")
              for number, row in enumerate(rows, 1)),
            ("From here on", "the series are closed off; what was derived from them counts no more"),
            *((("Comment", command.comment),) if command.comment else ()),
        ))
        return draft(session, actor, "incident.open", command.trial, event, under=under, meaning="responsibility",
                     view=view, reason=command.kind)

    def then(work: Work) -> None:
        cause = str(work.entries[0].body["id"])
        rows = queries.related_series(work.session, command.trial, command.series)
        for place in dict.fromkeys(Place(row.subject, row.time_point) for row in rows):
            take_out(work, command.trial, place, place, cause)

    return desk.prepare(actor, propose, asked="incident.open", then=then)


def _next(session: Connection, trial: str) -> str:
    return f"{trial}-INC-{len(queries.incidents_of(session, trial)) + 1:04d}"


def _pieces(rows: Sequence[SeriesRow]) -> tuple[CorrectedSeries, ...]:
    return tuple(CorrectedSeries(series=row.series, modality=row.modality, instances=row.instances,
                                 manifest_sha256=row.manifest_sha256) for row in rows)


def _said(code: str) -> str:
    return code.replace("_", " ")


def objects_of(session: Connection, objects: ObjectStore, row: IncidentRow) -> tuple[Listed, ...]:
    """The stored objects of an incident's series: each instance, and what came under their UIDs with other content."""
    rows = queries.related_series(session, row.trial, row.series)
    found = [Listed(line.object.sha256, line.object.bytes)
             for one in rows for line in manifest_of(objects, one).instances]
    kept = queries.quarantined_of(session, row.trial, frozenset(one.series for one in rows))
    return tuple(sorted({*found, *(Listed(one.sha256, one.bytes) for one in kept)}))


def order_destruction(
    desk: Desk, actor: Actor, trial: str, incident: str, searched: Searched | None = None
) -> Proposal:
    """What the privacy officer signs: every object of the closed-off series, and every other one in which a search
    found the identifier, is to be destroyed. The worker does it.

    Raises NotFound, Refused.
    """
    with desk.reading() as session:
        row = queries.the_incident(session, trial, incident)
        listed = objects_of(session, desk.objects, row) if row.state == "open" else ()
    extra = tuple(one for one in (searched.objects if searched else ()) if one not in listed)
    text = listing_text((*listed, *extra))
    listing = desk.objects.put(text.encode(), LISTING)

    def propose(session: Connection, occasion: Occasion) -> Draft:
        now = queries.the_incident(session, trial, incident)
        under = allowed(session, actor, "destruction.order", trial)
        follow(incident, now.state, "destruction.ordered")
        event = words.DestructionOrdered(
            incident=incident, objects=len(read_listing(text)), bytes=sum(one.bytes for one in read_listing(text)),
            listing=listing, digest=listing.sha256)
        view = View("Order the destruction of objects", "incidents/order", (
            ("Trial", trial), ("Incident", incident), ("Kind of identifier", _said(now.kind)),
            ("Opened by", f"{now.opened_by}, entry {now.entry}"), ("Objects", str(event.objects)),
            ("Of these found by search alone", str(len(extra))), ("Bytes", str(event.bytes)),
            ("SHA-256 of the listing", event.digest),
            ("What follows", "They are overwritten and removed; their digests stay in the record."),
        ))
        return draft(session, actor, "destruction.order", trial, event, under=under, meaning="approval", view=view)

    return desk.prepare(actor, propose, asked="destruction.order")


@dataclass(frozen=True, slots=True)
class CertifyDestruction:
    """`answers`: what holders said, by the entry of their copy; `searched` and `identifier` where it can be searched.

    `identifier` is compared with the incident's mark and not kept.
    """

    trial: str
    incident: str
    answers: Mapping[str, str]
    identifier: str | None = None
    searched: Searched | None = None


def certify_destruction(desk: Desk, actor: Actor, command: CertifyDestruction) -> Proposal:
    """The certificate that ends an incident: signed by QA, who did not order it, when nothing is left to answer.

    Raises:
        NotFound: no such incident, or an answer for a copy that is none. UnusableInput: an answer that is none, another
        identifier than the incident's. Refused: a copy without answer, a hit, no search of what can be searched.
    """
    wrong = sorted(set(command.answers.values()) - set(ANSWERS))
    if wrong:
        raise UnusableInput(f"{', '.join(wrong)} is no answer of a holder; one of: {', '.join(ANSWERS)}.")

    def propose(session: Connection, occasion: Occasion) -> Draft:
        row = queries.the_incident(session, command.trial, command.incident)
        copies = tuple(
            words.CopyAnswer(copy_entry=one.copy_entry, kind=one.kind, holder=one.holder,
                             answer=command.answers.get(one.copy_entry, ""))
            for one in queries.copies_to_answer(session, row))
        unknown = sorted(set(command.answers) - {one.copy_entry for one in copies})
        if unknown:
            raise NotFound(f"Entry {', '.join(unknown)} is no copy that this incident concerns.")
        mark = None
        if command.identifier is not None and row.mark is not None:
            mark = mark_of(trial_key_of(session, desk.objects, command.trial), command.identifier)
            if mark != row.mark:
                raise UnusableInput("This is another identifier than the one that the incident was opened for.")
        found = command.searched.found if command.searched else 0
        relations = {
            "orderer": row.ordered_by == actor.user, "unanswered": any(not one.answer for one in copies),
            "still_found": found > 0,
            "not_searched": row.mark is not None and (mark is None or command.searched is None),
        }
        under = allowed(session, actor, "destruction.certify", command.trial,
                        *(name for name, true in relations.items() if true))
        follow(command.incident, row.state, "destruction.certified")
        event = words.DestructionCertified(
            incident=row.incident, objects=row.objects or 0, digest=row.digest or "", copies=copies,
            searched=command.searched.looked if command.searched else 0, found=found, mark=mark)
        view = View("Certificate of destruction", "incidents/certify", (
            ("Trial", command.trial), ("Incident", row.incident), ("Kind of identifier", _said(row.kind)),
            *((f"Place {number}", one) for number, one in enumerate(row.places, 1)),
            ("Ordered by", f"{row.ordered_by}, entry {row.ordered_entry}" if row.ordered_by else "nothing was kept"),
            ("Objects destroyed", str(event.objects)), ("SHA-256 of their listing", event.digest or "none"),
            *((f"{one.kind.capitalize()}, entry {one.copy_entry}, {one.holder}", _said(one.answer)) for one in copies),
            ("Searched", f"{event.searched} objects and files for the identifier, {event.found} hold it"
             if event.searched else "not searchable: the identifier is no text"),
        ))
        return draft(session, actor, "destruction.certify", command.trial, event, under=under, meaning="approval",
                     view=view)

    return desk.prepare(actor, propose, asked="destruction.certify")
