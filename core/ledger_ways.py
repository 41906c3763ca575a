"""Which indexes lead to the entries a question means, so that a page of a million entries is found without a scan.

An index gives the entries of one value in order. A question with several values (a wildcard over actions, a person's
own deeds and those attested for them, a whole trial) is asked value by value, and the newest of all are merged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audit.query import Query, Term
from core.ledger_conditions import Clauses, Trials, columns_of

if TYPE_CHECKING:
    from core.ledger_queries import Reader

# Values that are asked one by one at most, and values that are listed to find them.
MOST_WAYS, FEW, MANY = 120, 500, 2_000
# Far enough to see which of two keys is the rarer one.
ENOUGH = 50_000
NOTHING = "1 = 0"


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
    each = tuple(f"{_is(clauses, trial)} AND action = {clauses.bind(name)}"
                 for trial in wanted for name in _actions_in(reader, trial))
    fewer = len(each) <= MOST_WAYS
    return Ways(each or (NOTHING,), by_trial, scoped=True) if fewer else Ways()


def _how_many(reader: Reader, clauses: Clauses, ways: Ways) -> int:
    """Entries along these ways, counted far enough to compare: for a page and the figures beside it only once."""
    branches = " UNION ALL ".join(f"SELECT seq FROM entry WHERE {way}" for way in ways.each)  # noqa: S608
    sql = f"SELECT count(*) FROM (SELECT seq FROM ({branches}) AS found LIMIT {ENOUGH}) AS counted"  # noqa: S608
    given = {name: value for name, value in clauses.given.items() if re.search(rf":{name}\b", sql)}
    known = f"{sql} {given}"
    if known not in reader.counted:
        reader.counted[known] = int(next(reader.rows(sql, **given))[0])
    return reader.counted[known]


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
    found = values_of(reader, key, most, under=_common_start(terms))
    return None if len(found) == most else [name for name in found if any(term.fits(name) for term in terms)]


def _common_start(terms: Sequence[Term]) -> str:
    """What every value that fits begins with; nothing where several patterns are asked."""
    first = terms[0].pattern[0]
    return first if len(terms) == 1 and isinstance(first, str) else ""


def _actions_in(reader: Reader, trial: str | None) -> list[str]:
    """The actions of one trial, or of no trial, by one index probe each."""
    which = "trial IS NULL" if trial is None else "trial = :trial"
    given = {} if trial is None else {"trial": trial}
    sql = (f"WITH RECURSIVE named(value) AS (SELECT min(action) FROM entry WHERE {which} UNION ALL "  # noqa: S608
           f"SELECT (SELECT min(action) FROM entry WHERE {which} AND action > named.value) FROM named "
           f"WHERE named.value IS NOT NULL) SELECT value FROM named WHERE value IS NOT NULL LIMIT {MANY}")
    return [str(row[0]) for row in reader.rows(sql, **given)]


def each_value(column: str, start: str = "") -> str:
    """`each_<column>(value)` for a recursive WITH: every value of an indexed column by one probe each, and a NULL."""
    return (f"each_{column}(value) AS (SELECT min({column}) FROM entry{start} UNION ALL "  # noqa: S608
            f"SELECT (SELECT min({column}) FROM entry WHERE {column} > each_{column}.value) FROM each_{column} "
            f"WHERE each_{column}.value IS NOT NULL)")


def values_of(reader: Reader, column: str, most: int, *, under: str = "") -> list[str]:
    """The values of an indexed column that begin with a text, at most so many, by one index probe each.

    PostgreSQL may sort by another rule than by code points, so there the beginning is looked at here, not by the index.
    """
    sqlite = reader.dialect == "sqlite"
    start = f" WHERE {column} >= :under" if sqlite and under else ""
    sql = (f"WITH RECURSIVE {each_value(column, start)} "  # noqa: S608
           f"SELECT value FROM each_{column} WHERE value IS NOT NULL LIMIT :most")
    found: list[str] = []
    for row in reader.rows(sql, most=most, **({"under": under} if start else {})):
        if str(row[0]).startswith(under):
            found.append(str(row[0]))
        elif start:
            break
    return found
