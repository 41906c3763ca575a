"""A9 Variability and A14 AI beside the final; Bland-Altman and waterfall figures."""

from __future__ import annotations

from decimal import Decimal
from itertools import combinations

from core.quantities import rounded
from core.reads.state import AI_SLOTS
from reports import recompute
from reports.book import Book
from reports.change_rules import best_changes
from reports.model import Basis, Cell, Column, Figure, Point, Row, Table
from reports.quoting import BLANK, Quote, plain
from reports.read_rules import agreement_of, cited_pairs, pairs_of, slot_name
from reports.reading import accepted_reads, charter_of, courses_of, step_at
from reports.tables.reads import time_point_name

CAPTION_PLACES = 1


def slot_pairs(book: Book, trial: str) -> list[tuple[str, str]]:
    """Every two slots with opened reads, people first."""
    slots = sorted({course.slot for course in courses_of(book, trial)}, key=lambda slot: (slot in AI_SLOTS, slot))
    return list(combinations(slots, 2))


def _number(quote: Quote, trial: str, endpoint: str, one: str, other: str, what: str) -> Cell:
    digest = cited_pairs(pairs_of(quote.book, trial, endpoint, one, other))
    args = {"trial": trial, "endpoint": endpoint, "one": one, "other": other, "what": what, "entries_sha256": digest}
    basis = Basis("pairs", (), tuple(sorted(args.items())))
    return Cell(recompute.compute(quote.book, basis), basis)


def variability(book: Book, quote: Quote, trial: str) -> Table:
    """A9: agreement of every two slots, for each endpoint."""
    rows = []
    charter = charter_of(book, trial)
    for endpoint in charter.endpoints if charter else ():
        for one, other in slot_pairs(book, trial):
            if not pairs_of(book, trial, endpoint.id, one, other):
                continue
            rows.append(Row(f"{endpoint.id}, {slot_name(one)} and {slot_name(other)}", (
                plain(f"{slot_name(one)} − {slot_name(other)}"),
                plain("AI and person" if AI_SLOTS & {one, other} else "between readers"), plain(endpoint.id),
                *(_number(quote, trial, endpoint.id, one, other, what) for what in ("n", "mean", "lower", "upper")),
                plain(endpoint.unit),
                *(_number(quote, trial, endpoint.id, one, other, what) for what in ("kappa", "equal")),
            )))
    return Table(
        "A9", "Variability between readers", (
            Column("pair", "Pair", "id"), Column("kind", "Kind"), Column("endpoint", "Endpoint"),
            Column("n", "Pairs", "number"), Column("mean", "Mean difference", "number"),
            Column("lower", "95 % limit, lower", "number"), Column("upper", "upper", "number"), Column("unit", "Unit"),
            Column("kappa", "κ of response", "number"), Column("equal", "Equal responses")),
        tuple(rows), clause="16.1.10", empty="No two readers have opened reads of one time point in this range.",
        note="Mean difference and limits of agreement as Bland and Altman (mean ± 1.96 SD); κ as Cohen; share with "
             "Wilson’s 95 % interval. Pairs of one subject are not independent: intervals are too narrow by that.",
    )


def beside_final(book: Book, quote: Quote, trial: str) -> Table:
    """A14: the blinded AI read beside the read that a person signed as final."""
    accepted = {key: told for key, (_, told) in accepted_reads(book, trial).items() if told is not None}
    rows = []
    for course in courses_of(book, trial):
        for step in course.steps if course.slot in AI_SLOTS and course.counts else ():
            final = accepted.get((course.subject, step.told.time_point))
            if final is None or final.slot in AI_SLOTS:
                continue
            endpoint = course.endpoint
            mine = step_at(book, final, endpoint.id)
            both = (step.told.lines(), final.lines())
            rows.append(Row(f"{course.subject}, {time_point_name(book, step.told)}, {course.endpoint.id}", (
                quote.field(step.told.begun, "fields.subject"), plain(time_point_name(book, step.told)),
                plain(course.endpoint.id),
                *(quote.by("read.sum", x, code=True, unit=endpoint.unit, endpoint=endpoint.id) for x in both),
                quote.by("read.difference", [both[0][0], both[1][0]], endpoint=endpoint.id)
                if step.burden is not None and mine[1].burden is not None else BLANK,
                plain(endpoint.unit), *(quote.by("read.response", lines, endpoint=endpoint.id) for lines in both),
            ), group=course.subject))
    return Table(
        "A14", "AI beside the final", (
            Column("subject", "Subject", "id"), Column("time_point", "Time point"), Column("endpoint", "Endpoint"),
            Column("ai", "AI", "number"), Column("final", "Final", "number"),
            Column("difference", "AI − final", "number"),
            Column("unit", "Unit"), Column("ai_response", "AI", "category"),
            Column("final_response", "Final", "category")),
        tuple(rows), clause="16.1.9", empty="No AI read was opened beside a final in this range.",
        note="The AI’s read was sealed like any reader’s and never the final itself. By arm only after unblinding.",
    )


def _text(value: Decimal) -> str:
    return f"{rounded(value, CAPTION_PLACES):f}"


def bland_altman(book: Book, trial: str) -> list[Figure]:
    """One figure an endpoint for every two readers, and for reader 1 and the AI, with at least three pairs."""
    made: list[Figure] = []
    charter = charter_of(book, trial)
    for endpoint in charter.endpoints if charter else ():
        for one, other in slot_pairs(book, trial):
            if other in AI_SLOTS and one != "reader_1":
                continue  # A9 has the numbers of every pair
            pairs = pairs_of(book, trial, endpoint.id, one, other)
            agreement = agreement_of([pair.difference for pair in pairs])
            if agreement is None or len(pairs) < 3:
                continue
            outside = sum(not agreement.lower <= pair.difference <= agreement.upper for pair in pairs)
            said = (f"Mean difference {recompute.signed(agreement.mean)} {endpoint.unit}, 95 % limits "
                    f"{recompute.signed(agreement.lower)} to {recompute.signed(agreement.upper)} {endpoint.unit}, "
                    f"{len(pairs)} pairs; {outside} outside (squares).")
            made.append(Figure(
                f"fig-agreement-{len(made) + 1}",
                f"Agreement of {slot_name(one)} and {slot_name(other)}, {endpoint.id}", "bland_altman", said,
                f"Bland-Altman plot. {said}",
                tuple(Point(f"{p.subject}, {p.time_point}", _text(p.mean), _text(p.difference), "", p.seqs)
                      for p in pairs),
                (("mean", _text(agreement.mean)), ("lower", _text(agreement.lower)), ("upper", _text(agreement.upper)),
                 ("x_title", f"Mean of both, {endpoint.unit}"),
                 ("y_title", f"{slot_name(one)} − {slot_name(other)}, {endpoint.unit}")),
                after="A9",
            ))
    return made


def waterfall(book: Book, trial: str) -> list[Figure]:
    """Best change of the primary endpoint's sum in the accepted reads, a bar a subject."""
    charter = charter_of(book, trial)
    primary = next((e for e in charter.endpoints if e.kind == "primary"), None) if charter else None
    if charter is None or primary is None:
        return []
    best = {
        subject: Point(subject, "", f"{change:f}", str(course.best.best.value) if course.best else step.response,
                       (step.told.lines()[0].seq,))
        for subject, (course, step, change) in best_changes(book, trial, primary.id).items()
    }
    if not best:
        return []
    facts = [("y_title", f"Best change of {primary.measure} from baseline, %")]
    if primary.criterion == "recist11":
        facts += [("progression", "20"), ("response", "-30")]
    responders = sum(point.kind in ("PR", "CR") for point in best.values())
    return [Figure(
        "fig-waterfall", f"Best change from baseline, {primary.id}", "waterfall",
        "Accepted reads. Letters give the best overall response of the accepted reader’s course; dashed lines are the "
        "limits of the criterion.", f"Waterfall plot. {responders} of {len(best)} subjects with response.",
        tuple(best.values()), tuple(facts), after="A7",
    )]


def accepted_responses(book: Book, trial: str) -> dict[tuple[str, str], str]:
    """Response of the accepted read at each time point, for the primary endpoint."""
    charter = charter_of(book, trial)
    primary = next((e.id for e in charter.endpoints if e.kind == "primary"), "") if charter else ""
    taken = {told.begun.seq for _, told in accepted_reads(book, trial).values() if told is not None}
    return {
        (course.subject, step.told.time_point): step.response
        for course in courses_of(book, trial) if course.endpoint.id == primary
        for step in course.steps if step.told.begun.seq in taken
    }
