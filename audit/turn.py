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
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.elements import ClauseElement

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGresult

Row = tuple[Any, ...]
_LOCK = "SELECT pg_advisory_xact_lock(7246573)"
_BEGIN = f"BEGIN ISOLATION LEVEL READ COMMITTED; {_LOCK}".encode()
_TURN, _FAILED, _PREPARED = "countersign_turn", "countersign_failed", "countersign_prepared"
# After these the driver throws away whatever is prepared on the connection, its own statements and ours.
_FORGETTING = ("ROLLBACK", "DROP", "ALTER", "DISCARD", "DEALLOCATE")
_WORTH_A_COPY = 8


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
        return _checked(connection, connection.pgconn.exec_(message))


def _turn_of(session: Connection) -> Turn | None:
    """The turn of a session by `locked`; None for any other, which goes by SQLAlchemy alone."""
    found: Turn | None = session.get_execution_options().get(_TURN)
    return found


def lock(session: Connection) -> None:
    """Take the sequencer's lock; on SQLite the transaction itself began IMMEDIATE."""
    if session.dialect.name == "postgresql":
        session.exec_driver_sql(_LOCK)


@contextmanager
def locked(engine: Engine) -> Iterator[Connection]:
    """A transaction to write in whose first statement took the sequencer's lock (RECORD 2).

    On PostgreSQL its begin and the lock are one message, what it wrote last and COMMIT another: the driver is told to
    begin nothing by itself, and rolls back whatever was begun and not committed.
    """
    turn = Turn()
    options: dict[str, Any] = {"countersign_write": True, _TURN: turn}
    if engine.dialect.name != "postgresql":
        with engine.connect().execution_options(**options) as session, session.begin():
            yield session
        return
    options["isolation_level"] = "AUTOCOMMIT"
    with engine.connect().execution_options(**options) as session, session.begin():
        _say(session, turn, _BEGIN, "BEGIN")
        yield session
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
class _Composed:
    """A statement in the words of one driver. `order`: its names as its marks come, where marks have no names."""

    sql: str
    order: tuple[str, ...] | None
    names: tuple[str, ...]
    constants: dict[str, Any]

    def bound(self, given: dict[str, Any]) -> Any:
        given = self.constants | given
        return given if self.order is None else tuple([given[name] for name in self.order])

    def with_values(self, literals: Sequence[str]) -> str:
        """The text with a value for each name, as SQL says it."""
        constants = {name: str(value) for name, value in self.constants.items()}
        return self.sql % (constants | dict(zip(self.names, literals, strict=True)))


class Fixed:
    """A statement that is composed once for each store: composing it anew costs more than running it. What is constant
    in it is a whole number."""

    _count = 0

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._composed: dict[str, _Composed] = {}
        Fixed._count += 1
        self._name = f"countersign_{Fixed._count}"

    def ask(self, session: Connection, given: dict[str, Any]) -> Sequence[Row]:
        """The rows. `given`: a value for each bound name."""
        turn, composed = _turn_of(session), self._for(session)
        if turn is None:
            return [tuple(row) for row in session.exec_driver_sql(composed.sql, composed.bound(given))]
        if session.dialect.name != "postgresql":
            return _run(session, composed.sql, composed.bound(given))
        self._prepare(session, composed)
        values = ", ".join(_literals(session, [given[name] for name in composed.names]))
        return _rows(_say(session, turn, f"EXECUTE {self._name}({values})".encode(), self._name))

    def look(self, engine: Engine, number: int) -> Sequence[Row]:
        """The rows as they are committed now, for a statement of one whole number: one view, in no transaction."""
        with engine.connect() as session:
            composed = self._for(session)
            if session.dialect.name != "postgresql":
                return _run(session, composed.sql, composed.bound({composed.names[0]: number}))
            self._prepare(session, composed)
            driver = _driver(session)
            try:
                result = driver.pgconn.exec_prepared(self._name.encode(), [b"%d" % number])
                return _rows(_checked(driver, result))
            except session.dialect.loaded_dbapi.Error as error:
                _tell(session, error, self._name)

    def put(self, session: Connection, given: dict[str, Any]) -> None:
        """Run a statement that gives nothing back; in a turn it may wait for the next message."""
        turn, composed = _turn_of(session), self._for(session)
        if turn is None:
            session.exec_driver_sql(composed.sql, composed.bound(given))
        elif session.dialect.name != "postgresql":
            _run(session, composed.sql, composed.bound(given))
        else:
            said = composed.with_values(_literals(session, [given[name] for name in composed.names]))
            turn.waiting.append(said.encode())

    def _for(self, session: Connection) -> _Composed:
        name = session.dialect.name
        if name not in self._composed:
            made: Any = self._statement.compile(dialect=session.dialect)
            order = getattr(made, "positiontup", None)
            constants = {one: value for one, value in made.params.items() if value is not None}
            names = tuple(one for one in made.params if one not in constants)
            self._composed[name] = _Composed(str(made), tuple(order) if order else None, names, constants)
        return self._composed[name]

    def _prepare(self, session: Connection, composed: _Composed) -> None:
        """Once for a connection, and again after what may have thrown it away: the server then keeps its plan."""
        prepared = session.connection.info.setdefault(_PREPARED, set())
        if self._name in prepared:
            return
        sql = composed.with_values([f"${place}" for place in range(1, len(composed.names) + 1)])
        driver = _driver(session)
        there = f"SELECT FROM pg_prepared_statements WHERE name = '{self._name}'"
        try:
            if not _checked(driver, driver.pgconn.exec_(there.encode())).ntuples:
                _checked(driver, driver.pgconn.prepare(self._name.encode(), sql.encode()))
        except session.dialect.loaded_dbapi.Error as error:
            _tell(session, error, self._name)
        prepared.add(self._name)


class Rows:
    """How rows are added to one table, each a tuple in the order of its columns."""

    def __init__(self, table: str, columns: Sequence[str]) -> None:
        names = ", ".join(columns)
        # OR FAIL: see the trigger entry_next. A transaction that meets it is rolled back whole.
        self._sqlite = f"INSERT OR FAIL INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
        self._postgres = f"INSERT INTO {table} ({names}) VALUES "  # noqa: S608
        self._one = f"({', '.join(['%s'] * len(columns))})"
        self._copy = f"COPY {table} ({names}) FROM STDIN"

    def put(self, session: Connection, rows: Sequence[Row]) -> None:
        """Add them in order; few of them may wait in a turn."""
        turn = _turn_of(session)
        if session.dialect.name != "postgresql":
            if turn is None:
                session.exec_driver_sql(self._sqlite, list(rows))
            else:
                _run(session, self._sqlite, rows, many=True)
        elif len(rows) >= _WORTH_A_COPY:
            session.exec_driver_sql(self._copy, list(rows))
        elif turn is None:
            session.exec_driver_sql(self._postgres + self._one, list(rows))
        else:
            said = ", ".join(f"({', '.join(_literals(session, row))})" for row in rows)
            turn.waiting.append((self._postgres + said).encode())


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


def _checked(connection: psycopg.Connection[Any], result: PGresult) -> PGresult:
    from psycopg import OperationalError, errors, pq

    if result.status in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
        return result
    if connection.pgconn.status == pq.ConnStatus.BAD:
        raise OperationalError(result.get_error_message() or "The connection to the server is lost.")
    raise errors.error_from_result(result, connection.info.encoding)


def _literals(session: Connection, values: Iterable[Any]) -> list[str]:
    """Values as SQL says them, texts quoted by the driver's library for this very connection."""
    from psycopg.pq import Escaping

    connection = _driver(session)
    quote, encoding = Escaping(connection.pgconn).escape_literal, connection.info.encoding
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


def _rows(result: PGresult) -> list[Row]:
    """What the server answered in text; whole numbers, bytes and yes/no as such, all else as text."""
    from psycopg.pq import Escaping

    readers: dict[int, Callable[[bytes], Any]] = {
        16: lambda said: said == b"t", 17: Escaping().unescape_bytea, 20: int, 21: int, 23: int}
    columns = [(place, readers.get(result.ftype(place), bytes.decode)) for place in range(result.nfields)]
    value = result.get_value
    return [
        tuple([None if (said := value(line, place)) is None else read(said) for place, read in columns])
        for line in range(result.ntuples)
    ]
