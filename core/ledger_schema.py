"""The record's schema as it must be: compared with the one this release makes, on either store (RECORD 8).

A dropped or weakened trigger, an added one, a view or rule in place of a table, hidden rows: each is named. SQLite is
compared text by text with a fresh schema; PostgreSQL by what its catalogue says of tables, triggers and functions.
"""

from __future__ import annotations

import hashlib
import re

from audit import store
from core.ledger_queries import Reader

_TRIGGER = re.compile(
    r"CREATE TRIGGER (\w+) (BEFORE|AFTER) ([A-Z ]+) ON (\w+) (?:REFERENCING NEW TABLE AS (\w+) )?"
    r"FOR EACH (ROW|STATEMENT) EXECUTE FUNCTION (\w+)")
_FUNCTION = re.compile(r"CREATE OR REPLACE FUNCTION (\w+)\(\).*?\$\$(.*)\$\$", re.DOTALL)
# pg_trigger.tgtype: one bit for each.
_ROW, _BEFORE, _VERBS = 1, 2, {"INSERT": 4, "DELETE": 8, "UPDATE": 16, "TRUNCATE": 32}


def record_objects(reader: Reader) -> dict[str, str]:
    """Tables, indexes and protections of the record, by name."""
    if reader.dialect == "sqlite":
        return _sqlite_objects(reader)
    names = ", ".join(f"'{name}'" for name in store.APPEND_ONLY)
    columns = reader.rows(
        "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns "  # noqa: S608  constants
        f"WHERE table_schema = current_schema() AND table_name IN ({names})")
    said = {f"column {table}.{name}": f"{kind} {empty}" for table, name, kind, empty in columns}
    return _postgres_objects(reader) | said


def schema_digest(objects: dict[str, str]) -> str:
    """SHA-256 over names and definitions; pinned in the validation report of an installation."""
    return hashlib.sha256("\n".join(f"{what}\t{objects[what]}" for what in sorted(objects)).encode()).hexdigest()


def deviations(reader: Reader) -> list[str]:
    """What differs from a fresh schema of this release: missing, added or changed, in words."""
    if reader.dialect == "sqlite":
        found, right = _sqlite_objects(reader), _fresh_sqlite_objects()
    else:
        found, right = _postgres_objects(reader), _right_postgres_objects()
    return [
        *(f"{what} is missing" for what in sorted(right.keys() - found.keys())),
        *(f"{what} was added" for what in sorted(found.keys() - right.keys())),
        *(f"{what} was changed" for what in sorted(right.keys() & found.keys()) if right[what] != found[what]),
    ]


def _sqlite_objects(reader: Reader) -> dict[str, str]:
    names = ", ".join(f"'{name}'" for name in store.APPEND_ONLY)
    rows = reader.rows(f"SELECT type, name, sql FROM sqlite_master WHERE tbl_name IN ({names}) AND sql IS NOT NULL")  # noqa: S608
    return {f"{kind} {name}": " ".join(str(sql).split()) for kind, name, sql in rows}


def _fresh_sqlite_objects() -> dict[str, str]:
    from sqlalchemy import create_engine

    from core.ledger_queries import SessionReader

    fresh = create_engine("sqlite://")
    with fresh.begin() as clean:
        store.metadata.create_all(clean)
        for statement in store.protection("sqlite"):
            clean.exec_driver_sql(statement)
        right = _sqlite_objects(SessionReader(clean))
    fresh.dispose()
    return right


def _postgres_objects(reader: Reader) -> dict[str, str]:
    names = ", ".join(f"'{name}'" for name in store.APPEND_ONLY)
    here = f"c.relnamespace = current_schema()::regnamespace AND c.relname IN ({names})"
    tables = reader.rows(
        "SELECT c.relname, c.relkind::text, c.relhasrules, c.relrowsecurity, c.relhassubclass "  # noqa: S608  constants
        f"FROM pg_class c WHERE {here}")
    triggers = reader.rows(
        "SELECT t.tgname, c.relname, t.tgtype, p.proname, t.tgenabled::text, coalesce(t.tgnewtable::text, ''), "  # noqa: S608
        "t.tgqual IS NOT NULL OR t.tgnargs > 0 OR array_length(t.tgattr::int2[], 1) > 0 "
        "FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid "
        f"WHERE NOT t.tgisinternal AND {here}")
    functions = reader.rows(
        "SELECT proname, prosrc FROM pg_proc WHERE proname LIKE 'countersign_%' "
        "AND pronamespace = current_schema()::regnamespace")
    return {
        **{f"table {name}": _table(kind == "r", rules, hides or parts) for name, kind, rules, hides, parts in tables},
        **{f"trigger {name}": _trigger(table, kind, function, enabled, rows, narrowed)
           for name, table, kind, function, enabled, rows, narrowed in triggers},
        **{f"function {name}": " ".join(str(source).split()) for name, source in functions},
    }


def _table(plain: bool, rules: bool, more_or_less: bool) -> str:
    """A plain table without rewrite rules, row security or children, so that what is read is what is stored."""
    return f"plain {bool(plain)}, rules {bool(rules)}, rows of others or hidden {bool(more_or_less)}"


def _trigger(table: str, kind: int, function: str, enabled: str, rows: str, narrowed: bool) -> str:
    seen = f", sees new rows as {rows}" if rows else ""
    return f"on {table} of type {kind} calls {function}{seen}, enabled {enabled}, narrowed {bool(narrowed)}"


def _right_postgres_objects() -> dict[str, str]:
    right = {f"table {name}": _table(True, False, False) for name in store.APPEND_ONLY}
    for statement in store.protection("postgresql"):
        if found := _TRIGGER.match(statement):
            name, when, verbs, table, rows, each, function = found.groups()
            kind = (_BEFORE if when == "BEFORE" else 0) + (_ROW if each == "ROW" else 0) + sum(
                _VERBS[verb] for verb in verbs.split(" OR "))
            # A: fires even where session_replication_role is replica.
            right[f"trigger {name}"] = _trigger(table, kind, function, "A", rows or "", False)
        elif made := _FUNCTION.match(statement):
            right[f"function {made.group(1)}"] = " ".join(made.group(2).split())
    return right
