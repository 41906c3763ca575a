"""PostgreSQL asked through its driver alone: for the command line, whose time is mostly that of what it imports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from core.errors import OutsideUnavailable


@lru_cache(maxsize=256)
def for_psycopg(sql: str) -> str:
    """A text with its parameters, `:name`, as the driver writes them. `::` is a cast."""
    return re.sub(r"(?<!:):(\w+)", r"%(\1)s", sql.replace("%", "%%"))


#: A statement with this option of its execution is planned once for a connection (countersign/database.py).
PLANNED_ONCE = "countersign_planned_once"
_BRANCHES = 8


def planned_once(sql: str) -> bool:
    """Whether the server takes longer to plan a statement than to answer it, and any values get the same plan.

    That is so of one branch for each of many values: each goes along the index of its column.
    """
    return sql.count(" UNION ") > _BRANCHES


class PsycopgReader:
    """A database opened for reading: one consistent view for all questions of this reader.

    Raises OutsideUnavailable where it does not answer.
    """

    dialect = "postgresql"

    def __init__(self, url: str) -> None:
        import psycopg

        self.known: dict[str, Any] = {}
        self._failed = psycopg.Error
        with self._said():
            self._connection = psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://", 1))
            self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            self._connection.read_only = True

    def rows(self, sql: str, /, **parameters: Any) -> Iterator[Sequence[Any]]:
        with self._said():
            found = self._connection.execute(for_psycopg(sql), parameters).fetchall()
        yield from found

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _said(self) -> Iterator[None]:
        """What the driver raises, as what a person may meet; its text may hold the address, so it is not repeated."""
        try:
            yield
        except self._failed as error:
            raise OutsideUnavailable(
                f"The database does not answer: {type(error).__name__}.",
                next_step="Start it, or correct COUNTERSIGN_DATABASE_URL.") from error
