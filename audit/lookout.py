"""A look at what is committed, over a connection of its own that stays open: a signer looks once for each checkpoint.

What the look costs is its exchange with the server and the ways of the pool, more than the question. So the connection
is kept, and on PostgreSQL the question may be sent as soon as the lock is held, to be answered beside what is done
until the note is wanted (design record 0144).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from select import POLLIN, poll
from threading import Lock
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, event

from audit.turn import Composed, Fixed, Row, checked

if TYPE_CHECKING:
    from sqlalchemy import PoolProxiedConnection

_NAME = b"countersign_lookout"


@dataclass(frozen=True, slots=True, eq=False)
class Glance:
    """A question that is under way, for this number."""

    number: int


class Lookout:
    """Asks one statement of one whole number, each time in a view and a transaction of its own.

    Where its connection fails it is given up, and the question is asked by a connection of the pool, which also tells
    of a failure in the usual way.
    """

    def __init__(self, engine: Engine, statement: Fixed) -> None:
        self._engine, self._statement = engine, statement
        self._composed: Composed = statement.composed_for(engine.dialect)
        self._open: PoolProxiedConnection | None = None
        self._under_way: Glance | None = None
        self._alone = Lock()
        event.listen(engine, "engine_disposed", lambda _engine: self.close())

    def ask_ahead(self, number: int) -> Glance | None:
        """Send the question and do not wait; None where that saves nothing."""
        if self._engine.dialect.name != "postgresql":
            return None
        with self._alone:
            try:
                self._send(number)
            except self._engine.dialect.loaded_dbapi.Error:
                self._give_up()
                return None
            self._under_way = Glance(number)
            return self._under_way

    def rows(self, number: int, glance: Glance | None = None) -> Sequence[Row]:
        """The rows as they were committed when `glance` asked, where that is the last that did, for this number; else
        as they are now."""
        with self._alone:
            try:
                if self._engine.dialect.name != "postgresql":
                    return self._call(number)
                if glance is None or glance is not self._under_way or glance.number != number:
                    self._send(number)
                return self._receive()
            except self._engine.dialect.loaded_dbapi.Error:
                self._give_up()
        return self._statement.look(self._engine, number)

    def close(self) -> None:
        """Give the connection up; the next question opens another."""
        with self._alone:
            self._give_up()

    def _give_up(self) -> None:
        opened, self._open, self._under_way = self._open, None, None
        if opened is not None:
            opened.close()

    def _driver(self) -> Any:
        if self._open is None:
            self._open = self._engine.raw_connection()
            # The pool does without it: it is neither counted there, nor rolled back, nor used by anybody else.
            self._open.detach()
            if self._engine.dialect.name == "postgresql":
                driver: Any = self._open.dbapi_connection
                checked(driver, driver.pgconn.prepare(_NAME, self._composed.numbered().encode()))
        return self._open.dbapi_connection

    def _call(self, number: int) -> Sequence[Row]:
        found: Sequence[Row] = self._driver().execute(
            self._composed.sql, self._composed.bound({self._composed.names[0]: number})).fetchall()
        return found

    def _send(self, number: int) -> None:
        driver = self._driver()
        if self._under_way is not None:  # of a transaction that ended without its note
            self._receive()
        driver.pgconn.send_query_prepared(_NAME, [b"%d" % number])

    def _receive(self) -> list[Row]:
        self._under_way = None
        driver = self._driver()
        server = driver.pgconn
        if server.is_busy():
            # libpq alone would wait without letting other threads go on. Not `select`: it knows 1,024 descriptors.
            answered = poll()
            answered.register(server.socket, POLLIN)
            while server.is_busy():
                answered.poll()
                server.consume_input()
        result = server.get_result()
        while server.get_result() is not None:
            pass
        if result is None:
            raise self._engine.dialect.loaded_dbapi.OperationalError("The question was not answered.")
        return self._statement.rows_of(checked(driver, result))
