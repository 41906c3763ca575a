"""Which indexes lead to the entries a question means, so that a page of a million entries is found without a scan.

An index gives the entries of one value in order. A question with several values (a wildcard over actions, a person's
own deeds and those attested for them, a whole trial) is asked value by value, and the newest of all are merged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from audit.query import Query, Term
from core.ledger_conditions import Clauses, Trials, columns_of

if TYPE_CHECKING:
    from core.ledger_queries import Reader

# Values that are asked one by one at most, and values that are listed to find them.
MOST_WAYS, FEW, MANY = 120, 500, 2_000
# Newest entries of a key that are looked at to see which of two keys is the rarer one.
ENOUGH = 5_000
NOTHING = "1 = 0"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ways:
    """A condition for each way (none: one pass serves all), and the keys of the question that they stand for.

    `merge` joins them: ways over one column share no entry, a person's two columns may. `scoped`: each way keeps within
    the trials that may be read by itself.
    """

    each: tuple[str, ...] = ()
    keys: frozenset[str] = frozenset()
    merge: str = "UNION ALL"
    scoped: bool = False


def ways_to(reader: Reader, query: Query, clauses: Clauses, trials: Trials) -> Ways:
    """The ways to a question's entries, within the trials that may be read; of several keys the rarer one leads."""
    groups = dict(query.groups())
    named = [term.literal for term in groups.get("trial", [])]
    wanted = _trials_wanted(named, trials)
    # Ways through trials stand for the question's own trials only where it names them: a pattern is asked besides.
    by_trial = frozenset({"trial"} if named and None not in named else ())
    found: list[Ways] = []
    for key in ("subject", "model", "reason", "action", "actor"):
        terms = groups.get(key)
        values = _literal(reader, key, terms) if terms else None
        if values is None or len(values) > MOST_WAYS:
            continue
        if key == "action" and wanted is not None and len(wanted) * len(values) <= MOST_WAYS:
            pairs = tuple(f"{_is(clauses, trial)} AND action = {clauses.bind(value)}"
                          for trial in wanted for value in values)
            found.append(Ways(pairs or (NOTHING,), by_trial | {"action"}, scoped=True))
            continue
        columns = columns_of(key)
        each = tuple(f"{column} = {clauses.bind(value)}" for value in values for column in columns)
        found.append(Ways(each or (NOTHING,), frozenset({key}), "UNION ALL" if len(columns) == 1 else "UNION"))
    if found:
        return found[0] if len(found) == 1 else min(found, key=lambda one: _how_many(reader, clauses, one))
    if wanted is None or groups.keys() & {"subject", "model", "actor", "reason", "study"}:
        return Ways()
    named_in = [(trial, _actions_in(reader, trial)) for trial in wanted]
    if any(names is None for _, names in named_in) or sum(len(names or ()) for _, names in named_in) > MOST_WAYS:
        return Ways()
    each = tuple(f"{_is(clauses, trial)} AND action = {clauses.bind(name)}"
                 for trial, names in named_in for name in names or ())
    return Ways(each or (NOTHING,), by_trial, scoped=True)


def _how_many(reader: Reader, clauses: Clauses, ways: Ways) -> int:
    """Entries along these ways: counted where they are few, else judged by how far back the newest of them reach. For a
    page and the figures beside it that is asked only once."""
    sql = (f"SELECT count(*), min(seq), (SELECT max(seq) FROM entry) FROM ({merged(reader, ways, [], ENOUGH)}) "  # noqa: S608
           "AS newest")
    given = named_in(sql, clauses.given)
    number, lowest, last = _once(reader, f"{sql} {given}", lambda: tuple(next(reader.rows(sql, **given))))
    return int(number if number < ENOUGH else number * (last + 1) // (last + 1 - lowest))


def named_in(sql: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a text names, `:name`."""
    return {name: value for name, value in given.items() if re.search(rf":{name}\b", sql)}


def merged(reader: Reader, ways: Ways, conditions: Sequence[str], limit: int, columns: str = "seq") -> str:
    """The newest entries along some ways, newest first; their numbers alone an index gives without the entries.

    SQLite takes from all ways in turn, each in the order of its index, and ends at the limit. PostgreSQL would read
    each way to its end where they may share entries, so there each has the limit by itself.
    """
    each = [f"SELECT {columns} FROM entry WHERE {' AND '.join([way, *conditions])}"  # noqa: S608
            for way in ways.each or ("1 = 1",)]
    if reader.dialect != "sqlite":
        each = [f"SELECT {columns} FROM ({way} ORDER BY seq DESC LIMIT {limit}) AS way{number}"  # noqa: S608
                for number, way in enumerate(each)]
    return f"{f' {ways.merge} '.join(each)} ORDER BY seq DESC LIMIT {limit}"


def _trials_wanted(named: Sequence[str | None], trials: Trials) -> list[str | None] | None:
    """The trials that can hold an answer, None where that is not limited to named ones."""
    if not named or None in named:
        found = trials
    else:
        found = frozenset(named) if trials is None else frozenset(named) & trials
    return None if found is None else sorted(found, key=lambda name: name or "")


def _is(clauses: Clauses, trial: str | None) -> str:
    return "trial IS NULL" if trial is None else f"trial = {clauses.bind(trial)}"


def _literal(reader: Reader, key: str, terms: Sequence[Term]) -> list[str] | None:
    """The values that a key's terms mean, None where they cannot be listed."""
    values = [term.literal for term in terms]
    if None not in values:
        return sorted({value for value in values if value is not None})
    if key in ("actor", "reason"):
        return None
    most = MANY if key == "action" else FEW
    under = _common_start(terms)
    found = _once(reader, f"{key} under {under}", lambda: _values_of(reader, key, most, under))
    return None if found is None else [name for name in found if any(term.fits(name) for term in terms)]


def _common_start(terms: Sequence[Term]) -> str:
    """What every value that fits begins with; nothing where several patterns are asked."""
    first = terms[0].pattern[0]
    return first if len(terms) == 1 and isinstance(first, str) else ""


def _actions_in(reader: Reader, trial: str | None) -> list[str] | None:
    """The actions of one trial, or of no trial, by one index probe each; None where there are too many."""
    which = "trial IS NULL" if trial is None else "trial = :trial"
    given = {} if trial is None else {"trial": trial}
    sql = (f"WITH RECURSIVE named(value) AS (SELECT min(action) FROM entry WHERE {which} UNION ALL "  # noqa: S608
           f"SELECT (SELECT min(action) FROM entry WHERE {which} AND action > named.value) FROM named "
           f"WHERE named.value IS NOT NULL) SELECT value FROM named WHERE value IS NOT NULL LIMIT {MANY}")
    found = _once(reader, f"actions in {trial}", lambda: [str(row[0]) for row in reader.rows(sql, **given)])
    return None if len(found) == MANY else found


def _once(reader: Reader, what: str, ask: Callable[[], T]) -> T:
    """What was asked before of this reader: a page asks the ways of its question for rows, figures and days."""
    if what not in reader.known:
        reader.known[what] = ask()
    found: T = reader.known[what]
    return found


def each_value(column: str, start: str = "", more: str = "") -> str:
    """`each_<column>(value)` for a recursive WITH: every value of an indexed column by one probe each, and a NULL."""
    return (f"each_{column}(value) AS (SELECT min({column}) FROM entry{start} UNION ALL "  # noqa: S608
            f"SELECT (SELECT min({column}) FROM entry WHERE {column} > each_{column}.value) FROM each_{column} "
            f"WHERE each_{column}.value IS NOT NULL{more})")


def _values_of(reader: Reader, column: str, most: int, under: str) -> list[str] | None:
    """The values of an indexed column that begin with a text, by one index probe each; None where more than so many
    would have to be looked at.

    Where the index has the order of code points it is entered at the beginning and left after it, else read whole.
    """
    start = more = ""
    given: dict[str, Any] = {"most": most}
    if under and _in_code_points(reader):
        start, given["under"] = f" WHERE {column} >= :under", under
        more = f" AND substr(each_{column}.value, 1, length(:under)) = :under"
    sql = (f"WITH RECURSIVE {each_value(column, start, more)} "  # noqa: S608
           f"SELECT value FROM each_{column} WHERE value IS NOT NULL LIMIT :most")
    found = [str(row[0]) for row in reader.rows(sql, **given)]
    return None if len(found) == most else [value for value in found if value.startswith(under)]


def _in_code_points(reader: Reader) -> bool:
    """Whether the database sorts texts by code points: SQLite does, PostgreSQL where its collation is C or like it. No
    order of a language has capitals of one letter before another letter.
    """
    return reader.dialect == "sqlite" or _once(
        reader, "sorted by code points", lambda: bool(next(reader.rows("SELECT 'B' < 'a' AND 'a-b' < 'aa'"))[0]))
