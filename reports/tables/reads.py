"""A7 Reads, A7b Lesions, A8 Adjudication, A10 AI values: what each reader locked, and what was accepted."""

from __future__ import annotations

from collections.abc import Iterator

from reports.book import Book, Line
from reports.model import Cell, Column, Row, Table
from reports.quoting import BLANK, Quote, plain
from reports.read_rules import slot_name
from reports.reading import Course, Step, Told, accepted_reads, charter_of, courses_of, reads_of
from reports.tables.governance import of_trial

NO_READ = "No read was opened in this range."
# Why a read was read again, by the word that excluded it.
AGAIN = {"reread.ordered": "read again", "read.begun": "measured again by another lock"}


def time_point_name(book: Book, told: Told) -> str:
    """The label that the schedule gives, else the id."""
    charter = charter_of(book, str(told.begun.body["trial"]))
    scheduled = charter.time_point(told.time_point) if charter else None
    return scheduled.label if scheduled else told.time_point


def _who(quote: Quote, told: Told) -> tuple[Cell, Cell, Cell]:
    return (quote.field(told.begun, "fields.subject"), plain(time_point_name(quote.book, told)),
            quote.by("slot", [told.begun]))


def _key(book: Book, told: Told, *more: str) -> str:
    return ", ".join([told.subject, time_point_name(book, told), slot_name(told.slot), *more])


def in_order(book: Book, trial: str) -> list[tuple[Course, Step]]:
    """Every read of every course, by subject, endpoint, time point and slot."""
    order = {(told.subject, told.time_point): n for n, told in reversed(list(enumerate(reads_of(book, trial))))}
    steps = [(course, step) for course in courses_of(book, trial) for step in course.steps]
    return sorted(steps, key=lambda x: (x[0].subject, x[0].endpoint.id, order[x[0].subject, x[1].told.time_point],
                                        x[0].slot, x[1].told.begun.seq))


def reads(book: Book, quote: Quote, trial: str) -> Table:
    """A7: a row for each read and endpoint; reads still under seal and withdrawn ones without what they say."""
    accepted = {told.sealed.seq: line for line, told in accepted_reads(book, trial).values() if told and told.sealed}
    rows = []
    for course, step in in_order(book, trial):
        told, endpoint = step.told, course.endpoint
        lines = told.lines()
        base = course.steps[0].told.lines()
        final = accepted.get(lines[0].seq)
        value = quote.by("read.sum", lines, code=True, unit=endpoint.unit, endpoint=endpoint.id)
        rows.append(Row(_key(book, told, endpoint.id), (
            *_who(quote, told), plain(endpoint.id), value, plain(endpoint.unit),
            BLANK if step is course.steps[0] else
            quote.by("read.change", [*lines, *reversed(base)], endpoint=endpoint.id),
            quote.by("read.response", lines, endpoint=endpoint.id),
            quote.by("read.evaluable", lines, endpoint=endpoint.id), quote.field(lines[0], "at", "utc"),
            _final(quote, told, final), quote.by("entry", [lines[0]]),
        ), group=f"{told.subject}/{endpoint.id}"))
    charter = charter_of(book, trial)
    for told in reads_of(book, trial):
        if told.answer is not None and told.left_course:
            lines = told.lines()
            why = "measured again" if told.by_ai else "read again"
            rows += [Row(_key(book, told, endpoint.id, why), (
                *_who(quote, told), plain(endpoint.id),
                quote.by("read.sum", lines, code=True, unit=endpoint.unit, endpoint=endpoint.id), plain(endpoint.unit),
                BLANK, BLANK, quote.by("read.evaluable", lines, endpoint=endpoint.id),
                quote.field(lines[0], "at", "utc"), _final(quote, told, None), quote.by("entry", [lines[0]])),
                group=why) for endpoint in (charter.endpoints if charter else ())]
        if told.answer is None:
            state = "withdrawn" if told.withdrawn else "under seal" if told.sealed else "begun, not sealed"
            line = told.withdrawn or told.sealed or told.begun
            rows.append(Row(_key(book, told, state), (
                *_who(quote, told), BLANK, BLANK, BLANK, BLANK, BLANK, quote.word(state, line),
                quote.field(line, "at", "utc"), BLANK, quote.by("entry", [line])), group="not open"))
    return Table(
        "A7", "Reads", (
            Column("subject", "Subject", "id"), Column("time_point", "Time point"), Column("reader", "Reader"),
            Column("endpoint", "Endpoint"), Column("value", "Value", "number"), Column("unit", "Unit"),
            Column("change", "Change, %", "number"), Column("response", "Response", "category"),
            Column("evaluable", "Evaluable"), Column("locked", "Locked, UTC", "time"), Column("accepted", "Final"),
            Column("entry", "Entry", "number")),
        tuple(rows), clause="16.2.6", empty=NO_READ,
        note="Each reader locked each time point before anybody could compare. The value is the sum over target "
             "lesions; change is from the same reader’s baseline; the response follows from the charter’s criterion "
             "and options. Accepted: by the adjudicator’s choice or, where no trigger fired, reader 1’s; a person "
             "signs it as final. Excluded reads are kept, and count nowhere.",
    )


def _final(quote: Quote, told: Told, final: Line | None) -> Cell:
    """Accepted as final, or excluded by rule: the slot went to another reader, or it was read or measured again."""
    if final is not None:
        return quote.word({"read.signed": "final, signed"}.get(final.action, "accepted"), final)
    if told.excluded is not None:
        why = AGAIN.get(told.excluded.action, "reader replaced")
        return quote.word(f"excluded, {why}", told.excluded)
    return BLANK


def lesions(book: Book, quote: Quote, trial: str) -> Table:
    """A7b: every target of every opened read."""
    rows = []
    charter = charter_of(book, trial)
    for told in sorted((t for t in reads_of(book, trial) if t.answer), key=lambda t: (t.subject, t.slot, t.begun.seq)):
        lines = told.lines()
        for n, target in enumerate(told.answer["targets"] if told.answer else ()):
            for endpoint in charter.endpoints if charter else ():
                if endpoint.id in target["sizes"]:
                    rows.append(Row(_key(book, told, target["lesion"], endpoint.id), (
                        *_who(quote, told), quote.by("read.member", lines, path=f"targets.{n}.lesion"),
                        quote.by("read.member", lines, path=f"targets.{n}.location"),
                        quote.by("read.member", lines, path=f"targets.{n}.state", style="words"), plain(endpoint.id),
                        quote.by("read.sizes", lines, code=True, unit=endpoint.unit, target=str(n),
                                 endpoint=endpoint.id), plain(endpoint.unit),
                    ), group=f"{told.subject}/{told.begun.seq}"))
    return Table(
        "A7b", "Target lesions", (
            Column("subject", "Subject", "id"), Column("time_point", "Time point"), Column("reader", "Reader"),
            Column("lesion", "Lesion"), Column("place", "Place (at baseline)"), Column("state", "State"),
            Column("endpoint", "Endpoint"), Column("size", "Size", "number"), Column("unit", "Unit")),
        tuple(rows), clause="16.2.6", empty=NO_READ,
        note="Sizes as the reader locked them; several where a lesion split.",
    )


def adjudications(book: Book, quote: Quote, trial: str) -> Table:
    """A8: each comparison that fired a trigger, what each reader's read gave, and whom the adjudicator chose."""
    by_seal = {told.sealed.id: told for told in reads_of(book, trial) if told.sealed is not None}
    made = {str(line.get("compared")): line for line in of_trial(book, trial, "read.adjudicated")}
    rows = []
    for line in of_trial(book, trial, "read.compared"):
        if not line.get("fired"):
            continue
        told = [by_seal[identity] for identity in line.get("sealed") if identity in by_seal]
        for n, fired in enumerate(line.get("fired")):
            decided = made.get(line.id)
            rows.append(Row(f"{line.get('subject')}, {line.get('time_point') or 'course'}, {fired['trigger']}", (
                quote.field(line, "fields.subject"),
                plain(time_point_name(book, told[0])) if line.get("time_point") and told else plain("whole course"),
                quote.field(line, f"fields.fired.{n}.trigger"), quote.field(line, f"fields.fired.{n}.kind", "words"),
                *(_said(quote, each, fired["endpoint"], bool(line.get("time_point"))) for each in _two(told)),
                *_decision(quote, decided), quote.entry(decided or line),
            ), group=str(line.seq)))
    compared = of_trial(book, trial, "read.compared")
    return Table(
        "A8", "Adjudication", (
            Column("subject", "Subject", "id"), Column("time_point", "Time point"), Column("trigger", "Trigger"),
            Column("kind", "Kind"), Column("one", "First read"), Column("other", "Second read"),
            Column("chosen", "Chosen"), Column("adjudicator", "By"), Column("reason", "Reason"),
            Column("at", "Recorded, UTC", "time"), Column("entry", "Entry", "number")),
        tuple(rows), clause="16.2.6", empty="No comparison fired a trigger of the charter.",
        note=f"{sum(bool(x.get('fired')) for x in compared)} of {len(compared)} comparisons fired a trigger. The "
             "adjudicator chooses one whole read, never a mixture.",
    )


def adjudication_rate(book: Book, quote: Quote, trial: str) -> Table:
    """A8b: how often readers differed enough, with its interval, and how often each slot was chosen."""
    in_trial = f"trial={trial}"
    rows = [
        Row("rate", (plain("Comparisons that fired a trigger"),
                     quote.share("read.compared", where=in_trial, hit="fields.fired!=[]"))),
        Row("decided", (plain("Adjudications"), quote.count("read.adjudicated", where=in_trial))),
        Row("finals", (plain("Finals signed"), quote.count("read.signed", where=in_trial))),
    ] if of_trial(book, trial, "read.compared") else []
    return Table("A8b", "Rate of adjudication", (Column("item", "Item", "id"), Column("share", "In the record")),
                 tuple(rows), empty="No reads were compared in this range.",
                 note="Share with Wilson’s 95 % interval; time points of one subject are not independent.")


def _two(told: list[Told]) -> list[Told | None]:
    people = [one for one in told if not one.by_ai]
    return [*people, None, None][:2]


def _said(quote: Quote, told: Told | None, endpoint: str, at_time_point: bool) -> Cell:
    if told is None or told.opened is None:
        return BLANK
    if told.left_course:
        # It has left its course, so no response follows from it any more; its value stays.
        return quote.by("read.sum", told.lines(), endpoint=endpoint)
    return quote.by("read.said", told.lines(), endpoint=endpoint, course="no" if at_time_point else "yes")


def _decision(quote: Quote, decided: Line | None) -> tuple[Cell, Cell, Cell, Cell]:
    if decided is None:
        return plain("open"), BLANK, BLANK, BLANK
    return (quote.by("slot.chosen", [decided]), quote.person(decided), quote.field(decided, "reason", "words"),
            quote.recorded(decided))


def uses_of_ai(book: Book, trial: str) -> Iterator[tuple[Told, int, int, Line]]:
    """Every decision of a reader about an AI value: read, target, decision, and the run that gave the value."""
    runs = {str(line.get("run")): line for line in of_trial(book, trial, "run.finished")}
    for told in sorted((t for t in reads_of(book, trial) if t.answer and not t.by_ai),
                       key=lambda t: (t.subject, t.begun.seq)):
        for n, target in enumerate(told.answer["targets"] if told.answer else ()):
            for m, use in enumerate(target.get("ai", ())):
                if use["run"] in runs:
                    yield told, n, m, runs[use["run"]]


def overrides(book: Book, quote: Quote, trial: str) -> Table:
    """A10: every AI value that a reader was shown and decided upon; nothing is left out."""
    rows = []
    for told, n, m, run in uses_of_ai(book, trial):
        lines = told.lines()
        assert told.answer is not None
        target = told.answer["targets"][n]
        endpoint, at = target["ai"][m]["endpoint"], f"targets.{n}.ai.{m}"
        rows.append(Row(_key(book, told, target["lesion"], endpoint), (
            *_who(quote, told), quote.by("read.member", lines, path=f"targets.{n}.lesion"), plain(endpoint),
            quote.by("run.value", [run], code=True, endpoint=endpoint, trial=trial),
            quote.by("read.sizes", lines, code=True, target=str(n), endpoint=endpoint),
            quote.by("read.member", lines, path=f"{at}.use", style="words"),
            quote.by("read.member", lines, path=f"{at}.reason", style="words"), quote.person(lines[0]),
        ), group=told.subject))
    kinds = [r.cells[7].text for r in rows]
    said = ", ".join(f"{kinds.count(kind)} {word}" for kind, word in
                     (("accept", "accepted"), ("adjust", "adjusted"), ("reject", "rejected")))
    return Table(
        "A10", "AI values shown and what the readers did", (
            Column("subject", "Subject", "id"), Column("time_point", "Time point"), Column("reader", "Reader"),
            Column("lesion", "Lesion"), Column("endpoint", "Endpoint"), Column("ai", "AI", "number"),
            Column("final", "Reader", "number"), Column("deed", "Deed"), Column("reason", "Reason"),
            Column("person", "By")),
        tuple(rows), clause="16.2.6", empty="No AI value was shown to a reader in this range.",
        note=f"{len(rows)} AI values: {said}. Each is decided by itself, with a coded reason where it is not taken "
             "as it is." if rows else "",
    )

