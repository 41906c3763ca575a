"""A question as SQL conditions, alike on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from audit.query import ANY, LARGEST_SEQ, Query, Range, Term

# Trials that may be read, None among them for entries of no trial; instead of a set: everything.
Trials = frozenset[str | None] | None


class Clauses:
    """Conditions with their parameters. Times become sequence numbers first: one probe instead of a scan."""

    def __init__(self, dialect: str) -> None:
        self._dialect = dialect
        # The index of trials is in the order of actions: SQLite would sort a whole trial by it instead of going back
        # from the newest entry. Where it helps, `_ways` names trial and action together.
        self._quiet = "+" if dialect == "sqlite" else ""
        self.given: dict[str, Any] = {}

    def bind(self, value: Any) -> str:
        name = f"p{len(self.given)}"
        self.given[name] = value
        return f":{name}"

    def of(self, query: Query, trials: Trials, *, without: Container[str] = ()) -> list[str]:
        """What the question and the right to read demand, but for the wanted values of some keys."""
        return [*self.bounds(query), *self.rest(query, trials, without=without)]

    def bounds(self, query: Query) -> list[str]:
        """What it demands of numbers and times: an index that ends in the number answers it without the entry."""
        bind = self.bind
        clauses: list[str] = []
        if query.since_us is not None:
            clauses.append(f"seq >= {self._from_time(query.since_us)}")
        clauses += [f"seq < {self._from_time(us)}" for us in (query.until_us, query.as_of_us) if us is not None]
        if query.as_of_seq is not None:
            clauses.append(f"seq <= {bind(query.as_of_seq)}")
        wanted = [self._inside(span) for span in query.ranges if not span.negated]
        if wanted:
            clauses.append(f"({' OR '.join(wanted)})")
        clauses += [f"NOT {self._inside(span)}" for span in query.ranges if span.negated]
        return clauses

    def rest(self, query: Query, trials: Trials, *, without: Container[str] = ()) -> list[str]:
        """What it demands of texts, for which the entry must be looked at."""
        bind = self.bind
        clauses: list[str] = []
        if trials is not None:
            named = [bind(name) for name in sorted(trial for trial in trials if trial is not None)]
            either_of = [f"{self._quiet}trial IN ({', '.join(named)})"] if named else []
            either_of += [f"{self._quiet}trial IS NULL"] if None in trials else []
            clauses.append(f"({' OR '.join(either_of)})" if either_of else "1 = 0")
        for key, group in query.groups():
            if key not in without:
                ways = [self._fits(term, column) for term in group for column in columns_of(key)]
                clauses.append(f"({' OR '.join(ways)})")
        for term in query.terms:
            if term.negated:
                # What is absent (NULL) is not excluded.
                clauses += [f"NOT coalesce({self._fits(term, column)}, false)" for column in columns_of(term.key)]
        return clauses

    def _from_time(self, us: int) -> str:
        probe = f"SELECT seq FROM entry WHERE ts >= {self.bind(us)} ORDER BY ts, seq LIMIT 1"  # noqa: S608
        return f"coalesce(({probe}), {LARGEST_SEQ + 1})"

    def _inside(self, span: Range) -> str:
        return f"seq BETWEEN {self.bind(span.first)} AND {self.bind(span.last)}"

    def _fits(self, term: Term, column: str) -> str:
        """A comparison, with wildcards where the term has them, that tells capitals apart on both stores."""
        column = self._quiet + column if column == "trial" else column
        if term.literal is not None:
            return f"{column} = {self.bind(term.literal)}"
        if self._dialect == "sqlite":
            special = str.maketrans({"*": "[*]", "?": "[?]", "[": "[[]"})
            pattern = "".join("*" if part is ANY else part.translate(special) for part in term.pattern)
            return f"{column} GLOB {self.bind(pattern)}"
        special = str.maketrans({"%": "\\%", "_": "\\_", "\\": "\\\\"})
        pattern = "".join("%" if part is ANY else part.translate(special) for part in term.pattern)
        return f"{column} LIKE {self.bind(pattern)}"


def columns_of(key: str) -> tuple[str, ...]:
    """The columns that a key looks into. Deeds that a service attested for a person are the person's too."""
    return ("actor", "on_behalf_of") if key == "actor" else (key,)
