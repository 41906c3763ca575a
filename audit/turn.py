"""One turn at the sequencer: the lock, and what is said to the database meanwhile, in as few messages as it allows.

On PostgreSQL each message is an exchange with another process. What an append asks is one statement, prepared once for
a connection; what it writes last waits, and is said together with COMMIT in one message of the simple protocol: where a
statement of it fails the server goes no further, and the transaction ends rolled back (design record 0144). On SQLite
nothing waits: to say something there is a call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy import Connection, Dialect, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.elements import ClauseElement

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import Escaping, PGresult

Row = tuple[Any, ...]
Columns = list[tuple[int, Callable[[bytes], Any]]]
_LOCK = "SELECT pg_advisory_xact_lock(7246573)"
_BEGIN = f"BEGIN ISOLATION LEVEL READ COMMITTED; {_LOCK}".encode()
_TURN, _FAILED, _PREPARED, _QUOTING = (
    "countersign_turn", "countersign_failed", "countersign_prepared", "countersign_quoting")
# After these the driver throws away whatever is prepared on the connection, its own statements and ours.
_FORGETTING = ("ROLLBACK", "DROP", "ALTER", "DISCARD", "DEALLOCATE")
_WORTH_A_COPY = 8
_WELL = (1, 2)  # PGRES_COMMAND_OK, PGRES_TUPLES_OK


class Turn:
    """One transaction under the lock. `waiting` is what goes ahead of its next message; nothing is read past it."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: list[bytes] = []

    def say(self, connection: psycopg.Connection[Any], last: bytes) -> PGresult:
        """What waits, then `last`, in one message; the result of the last. Raises what the driver raises for a failure,
        which is that of the first statement that failed: none after it was begun."""
        message = b"; ".join((*self.waiting, last))
        self.waiting.clear()
        return checked(connection, connection.pgconn.exec_(message))


def _turn_of(session: Connection) -> Turn | None:
    """The turn of a session by `locked`; None for any other, which goes by SQLAlchemy alone."""
    found: Turn | None = session.get_execution_options().get(_TURN)
    return found


def lock(session: Connection) -> None:
    """Take the sequencer's lock; on SQLite the transaction itself began IMMEDIATE."""
    if session.dialect.name == "postgresql":
        session.exec_driver_sql(_LOCK)


@contextmanager
def locked(engine: Engine, *, at_once: bool = True) -> Iterator[Connection]:
    """A transaction to write in whose first statement takes the sequencer's lock (RECORD 2).

    On PostgreSQL begin and lock are one message with each other, what is written last is one with COMMIT; the driver
    finds a transaction begun, or none left to end. What fails is rolled back.

    Args:
        at_once: False lets begin and lock go with whatever is said first, which saves an exchange there; nothing that
            is read before, outside of this session, is then under the lock.
    """
    turn = Turn()
    with engine.connect().execution_options(**{"countersign_write": True, _TURN: turn}) as session, session.begin():
        if engine.dialect.name != "postgresql":
            yield session
            return
        turn.waiting.append(_BEGIN)
        if at_once:
            _say(session, turn, turn.waiting.pop(), "BEGIN")
        yield session
        if turn.waiting == [_BEGIN]:
            return  # nothing was said
        ended = _say(session, turn, b"COMMIT", "COMMIT")
        if ended.command_status != b"COMMIT":  # so a server answers COMMIT in a transaction that had failed
            raise RuntimeError(f"Nothing was committed: the server answered {ended.command_status!r}.")


def listen(engine: Engine) -> None:
    """Let whatever is executed on this engine come after what waits, and every failure be told in one way."""

    def before(cursor: Any, statement: str, *told: Any) -> None:
        context = told[-1]
        if _FAILED in context.execution_options:
            raise context.execution_options[_FAILED]
        turn = context.execution_options.get(_TURN)
        if turn is not None and turn.waiting:
            turn.say(cursor.connection, turn.waiting.pop())
        if statement.lstrip()[:10].upper().startswith(_FORGETTING):
            context.root_connection.connection.info.pop(_PREPARED, None)

    def rolled_back(session: Connection) -> None:
        if not session.invalidated:
            session.connection.info.pop(_PREPARED, None)

    def left(driver: Any, record: ConnectionPoolEntry, _state: Any) -> None:
        if driver.pgconn.transaction_status:  # not idle: the pool rolls it back
            record.info.pop(_PREPARED, None)

    for name in ("do_execute", "do_execute_no_params", "do_executemany"):
        event.listen(engine, name, before)
    if engine.dialect.name == "postgresql":
        event.listen(engine, "do_executemany", _copy_many)
        event.listen(engine, "rollback", rolled_back)
        event.listen(engine, "reset", left)


def _copy_many(cursor: Any, statement: str, rows: Any, _context: Any) -> bool:
    """Many rows go by COPY, where the statement says so."""
    if not statement.startswith("COPY "):
        return False
    with cursor.copy(statement) as stream:
        for row in rows:
            stream.write_row(row)
    return True


@dataclass(frozen=True, slots=True)
class Composed:
    """A statement in the words of one driver. `order`: its names as its marks come, where marks have no names."""

    sql: str
    order: tuple[str, ...] | None
    names: tuple[str, ...]
    constants: dict[str, Any]

    def bound(self, given: dict[str, Any]) -> Any:
        given = self.constants | given
        return given if self.order is None else tuple([given[name] for name in self.order])

    def numbered(self) -> str:
        """The text to prepare on PostgreSQL: the names as $1 and so on, constants as they are."""
        marks = {name: f"${place}" for place, name in enumerate(self.names, 1)}
        return self.sql % (self.constants | marks)


class Fixed:
    """A statement that is composed once for each store: composing it anew costs more than running it. What is constant
    in it is a whole number."""

    _count = 0

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._composed: dict[str, Composed] = {}
        self._columns: Columns | None = None
        Fixed._count += 1
        self._name = f"countersign_{Fixed._count}"

    def ask(self, session: Connection, given: dict[str, Any]) -> Sequence[Row]:
        """The rows. `given`: a value for each bound name."""
        turn, composed = _turn_of(session), self.composed_for(session.dialect)
        if turn is None:
            return [tuple(row) for row in session.exec_driver_sql(composed.sql, composed.bound(given))]
        if session.dialect.name != "postgresql":
            return _run(session, composed.sql, composed.bound(given))
        return self.rows_of(_say(session, turn, self._executed(session, composed, given), self._name))

    def look(self, engine: Engine, number: int) -> Sequence[Row]:
        """The rows as they are committed now, for a statement of one whole number: one view, in no transaction."""
        with engine.connect() as session:
            composed = self.composed_for(session.dialect)
            if session.dialect.name != "postgresql":
                return _run(session, composed.sql, composed.bound({composed.names[0]: number}))
            _prepare(session, self._name, composed.numbered)
            driver = _driver(session)
            try:
                result = driver.pgconn.exec_prepared(self._name.encode(), [b"%d" % number])
                return self.rows_of(checked(driver, result))
            except session.dialect.loaded_dbapi.Error as error:
                _tell(session, error, self._name)

    def put(self, session: Connection, given: dict[str, Any]) -> None:
        """Run a statement that gives nothing back; in a turn it may wait for the next message."""
        turn, composed = _turn_of(session), self.composed_for(session.dialect)
        if turn is None:
            session.exec_driver_sql(composed.sql, composed.bound(given))
        elif session.dialect.name != "postgresql":
            _run(session, composed.sql, composed.bound(given))
        else:
            turn.waiting.append(self._executed(session, composed, given))

    def rows_of(self, result: PGresult) -> list[Row]:
        """What PostgreSQL answered this statement in text; of a prepared statement it keeps the types."""
        if self._columns is None:
            self._columns = _columns_of(result)
        columns, value = self._columns, result.get_value
        return [
            tuple([None if (said := value(line, place)) is None else read(said) for place, read in columns])
            for line in range(result.ntuples)
        ]

    def composed_for(self, dialect: Dialect) -> Composed:
        """The statement in the words of a store's driver."""
        name = dialect.name
        if name not in self._composed:
            made: Any = self._statement.compile(dialect=dialect)
            order = getattr(made, "positiontup", None)
            constants = {one: value for one, value in made.params.items() if value is not None}
            names = tuple(one for one in made.params if one not in constants)
            self._composed[name] = Composed(str(made), tuple(order) if order else None, names, constants)
        return self._composed[name]

    def _executed(self, session: Connection, composed: Composed, given: dict[str, Any]) -> bytes:
        """What to say on PostgreSQL."""
        _prepare(session, self._name, composed.numbered)
        return _execute(session, self._name, [given[name] for name in composed.names])


class Rows:
    """How rows are added to one table, each a tuple in the order of its columns."""

    def __init__(self, table: str, columns: Sequence[str]) -> None:
        names = ", ".join(columns)
        # OR FAIL: see the trigger entry_next. A transaction that meets it is rolled back whole.
        self._sqlite = f"INSERT OR FAIL INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
        self._postgres = f"INSERT INTO {table} ({names}) VALUES "  # noqa: S608
        self._unnamed, self._numbered = (
            f"({', '.join(marks)})" for marks in (["%s"] * len(columns), [f"${n}" for n in range(1, len(columns) + 1)]))
        self._copy = f"COPY {table} ({names}) FROM STDIN"
        self._name = f"countersign_{table}"

    def put(self, session: Connection, rows: Sequence[Row]) -> None:
        """Add them in order. One row may wait in a turn; many go at once."""
        turn = _turn_of(session)
        if session.dialect.name != "postgresql":
            if turn is None:
                session.exec_driver_sql(self._sqlite, list(rows))
            else:
                _run(session, self._sqlite, rows, many=True)
        elif len(rows) >= _WORTH_A_COPY:
            session.exec_driver_sql(self._copy, list(rows))
        elif turn is None:
            session.exec_driver_sql(self._postgres + self._unnamed, list(rows))
        else:
            _prepare(session, self._name, lambda: self._postgres + self._numbered)
            turn.waiting.extend(_execute(session, self._name, row) for row in rows)


def _prepare(session: Connection, name: str, sql: Callable[[], str]) -> None:
    """Once for a connection, and again after what may have thrown it away: the server then keeps its plan."""
    prepared = session.connection.info.setdefault(_PREPARED, set())
    if name in prepared:
        return
    driver = _driver(session)
    there = f"SELECT FROM pg_prepared_statements WHERE name = '{name}'"
    try:
        if not checked(driver, driver.pgconn.exec_(there.encode())).ntuples:
            checked(driver, driver.pgconn.prepare(name.encode(), sql().encode()))
    except session.dialect.loaded_dbapi.Error as error:
        _tell(session, error, name)
    prepared.add(name)


def _execute(session: Connection, name: str, values: Iterable[Any]) -> bytes:
    return f"EXECUTE {name}({', '.join(_literals(session, values))})".encode()


def _driver(session: Connection) -> Any:
    """The driver's own connection below SQLAlchemy's."""
    return session.connection.driver_connection


def _run(session: Connection, sql: str, bound: Any, *, many: bool = False) -> Sequence[Row]:
    """On SQLite, by the driver itself."""
    try:
        if many:
            _driver(session).executemany(sql, bound)
            return ()
        rows: Sequence[Row] = _driver(session).execute(sql, bound).fetchall()
        return rows
    except session.dialect.loaded_dbapi.Error as error:
        _tell(session, error, sql)


def _say(session: Connection, turn: Turn, last: bytes, called: str) -> PGresult:
    try:
        return turn.say(_driver(session), last)
    except session.dialect.loaded_dbapi.Error as error:
        _tell(session, error, called)


def _tell(session: Connection, error: Exception, called: str) -> NoReturn:
    """A failure, as SQLAlchemy tells of its own and judges the connection by it. No value is told."""
    session.exec_driver_sql(called, execution_options={_FAILED: error})
    raise error


def checked(connection: psycopg.Connection[Any], result: PGresult) -> PGresult:
    if result.status in _WELL:
        return result
    from psycopg import OperationalError, errors, pq

    if connection.pgconn.status == pq.ConnStatus.BAD:
        raise OperationalError(result.get_error_message() or "The connection to the server is lost.")
    raise errors.error_from_result(result, connection.info.encoding)


@cache
def _escaping() -> type[Escaping]:
    """Of the driver, which is there only where PostgreSQL is."""
    from psycopg import pq

    return pq.Escaping


def _literals(session: Connection, values: Iterable[Any]) -> list[str]:
    """Values as SQL says them, texts quoted by the driver's library for this very connection."""
    kept = session.connection.info.get(_QUOTING)
    if kept is None:
        connection = _driver(session)
        kept = _escaping()(connection.pgconn).escape_literal, connection.info.encoding
        session.connection.info[_QUOTING] = kept
    quote, encoding = kept
    out = []
    for value in values:
        if value is None:
            out.append("NULL")
        elif type(value) is int:
            out.append(str(value))
        elif type(value) is bytes:
            out.append(f"decode('{value.hex()}', 'hex')")
        else:
            out.append(quote(value.encode(encoding)).decode(encoding))
    return out


def _columns_of(result: PGresult) -> Columns:
    """How each column is read: whole numbers, bytes and yes/no as such, all else as text."""
    readers: dict[int, Callable[[bytes], Any]] = {
        16: _is_true, 17: _escaping()().unescape_bytea, 20: int, 21: int, 23: int}
    return [(place, readers.get(result.ftype(place), bytes.decode)) for place in range(result.nfields)]


def _is_true(said: bytes) -> bool:
    return said == b"t"
