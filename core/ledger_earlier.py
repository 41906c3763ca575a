"""The newest earlier entries about the same things, for all rows of a page in one question to the database.

An entry is looked for within a window: the entries of its subject or model before a row, or of some actions in its
trial, at most so many back. The database gives those whose bytes hold the wanted pieces; whether one is meant, who asks
decides, and is given more of them until then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.ledger_queries import Line, Reader

# Rows given for each that is looked for: first the newest, which nearly always is the one, then so many times as many.
FIRST, FURTHER = 1, 16


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for before an entry.

    `column` (subject or model) with `value` leads the search by its own index; without, the actions do. `holding` are
    pieces that the stored bytes must contain: cheaper to look for than to parse. `trial` None: an entry of the house.
    """

    before: int
    actions: tuple[str, ...]
    trial: str | None
    column: str | None
    value: str | None
    holding: tuple[str, ...]

    @property
    def kind(self) -> str:
        return self.column or ("house" if self.trial is None else "trial")


def newest_before(
    reader: Reader, wanted: Sequence[Wanted], meant: Callable[[int, Line], bool], *, back: int | None = None
) -> list[Line | None]:
    """For each that is wanted the newest line for which `meant` (its place in `wanted`, the line) holds, or None.

    `back` ends each search after so many entries of the window; None: at the beginning of the record.
    """
    found: list[Line | None] = [None] * len(wanted)
    left = list(range(len(wanted)))
    many = FIRST
    while left:
        given: dict[int, list[Line]] = {number: [] for number in left}
        for number, line in _asked(reader, wanted, left, many, back):
            given[number].append(line)
        for number, lines in given.items():
            lines.sort(key=lambda line: -line.seq)
            found[number] = next((line for line in lines if meant(number, line)), None)
        left = [number for number in left if found[number] is None and len(given[number]) == many]
        many *= FURTHER
    return found


def _asked(
    reader: Reader, wanted: Sequence[Wanted], left: Sequence[int], many: int, back: int | None
) -> Iterator[tuple[int, Line]]:
    """Up to `many` newest lines for each place in `wanted` that is left."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for number in left:
        one = wanted[number]
        kinds.setdefault(one.kind, []).append({
            "n": number, "before": one.before, "value": one.value, "trial": one.trial, "actions": one.actions,
            "holding": one.holding})
    if reader.dialect == "sqlite":
        most = max(len(wanted[number].actions) for number in left)
        branches = [_on_sqlite(kind, many, back, most) for kind in sorted(kinds)]
    else:
        branches = [_on_postgresql(kind, many, back) for kind in sorted(kinds)]
    sql = " UNION ALL ".join(branches)
    for number, *row in reader.rows(sql, **{kind: json.dumps(asked) for kind, asked in kinds.items()}):
        yield number, Line.of(row)


_OF_TRIAL = {"trial": "trial = w.trial", "house": "trial IS NULL"}


def _on_sqlite(kind: str, many: int, back: int | None, most: int) -> str:
    """A question for all that are wanted in one way: their texts and numbers come as one JSON text. `most`: actions of
    one of them.
    """
    end = f"ORDER BY seq DESC LIMIT {-1 if back is None else back}"
    fields = ", ".join(f"json_extract(value, '$.{name}') AS {name}"
                       for name in ("n", "before", "value", "trial", "actions", "holding"))
    if kind in _OF_TRIAL:
        # Action by action, each in the order of its index: SQLite takes from all in turn and ends at the limit.
        each = " UNION ALL ".join(f"SELECT seq FROM entry WHERE {_OF_TRIAL[kind]} AND seq < w.before "  # noqa: S608
                                  f"AND action = json_extract(w.actions, '$[{place}]')" for place in range(most))
        window = f"SELECT seq, data FROM entry WHERE seq IN ({each} {end})"  # noqa: S608
        fitting = "1 = 1"
    else:
        window = f"SELECT seq, data, action, trial FROM entry WHERE {kind} = w.value AND seq < w.before {end}"  # noqa: S608
        fitting = "trial IS w.trial AND action IN (SELECT value FROM json_each(w.actions))"
    holding = "NOT EXISTS (SELECT 1 FROM json_each(w.holding) AS h WHERE instr(data, CAST(h.value AS BLOB)) = 0)"
    return (f"SELECT w.n, e.seq, e.ts, e.leaf, e.data FROM (SELECT {fields} FROM json_each(:{kind})) AS w "  # noqa: S608
            f"CROSS JOIN entry AS e ON e.seq IN (SELECT seq FROM ({window}) WHERE {fitting} "
            f"AND {holding} ORDER BY seq DESC LIMIT {many})")


def _on_postgresql(kind: str, many: int, back: int | None) -> str:
    """The same with its lateral joins and its own way to read JSON."""
    end = "ORDER BY seq DESC" + ("" if back is None else f" LIMIT {back}")
    if kind in _OF_TRIAL:
        # The window by the index alone: of its entries mostly one is read.
        window = (f"(SELECT x.seq FROM unnest(w.actions) AS a(action) CROSS JOIN LATERAL (SELECT seq FROM entry "  # noqa: S608
                  f"WHERE {_OF_TRIAL[kind]} AND action = a.action AND seq < w.before {end}) AS x {end}) AS near "
                  "JOIN entry AS e USING (seq)")
        fitting = "true"
    else:
        window = f"(SELECT * FROM entry WHERE {kind} = w.value AND seq < w.before {end}) AS e"  # noqa: S608
        fitting = "e.trial IS NOT DISTINCT FROM w.trial AND e.action = ANY(w.actions)"
    holding = ("NOT EXISTS (SELECT FROM unnest(w.holding) AS h(piece) "
               "WHERE position(convert_to(h.piece, 'UTF8') IN e.data) = 0)")
    return (f"SELECT w.n, found.seq, ts, leaf, data FROM jsonb_to_recordset(CAST(:{kind} AS jsonb)) AS "  # noqa: S608
            "w(n int, before bigint, value text, trial text, actions text[], holding text[]) "
            f"CROSS JOIN LATERAL (SELECT seq, ts, leaf, data FROM {window} WHERE {fitting} AND {holding} "
            f"ORDER BY seq DESC LIMIT {many}) AS found")
