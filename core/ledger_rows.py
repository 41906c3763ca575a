"""An entry as one row: the same columns for command line, API and exports. Only the standard library."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TextIO

from core.ledger_changes import said_changes
from core.ledger_queries import Line, Reader
from core.ledger_suspects import Suspicion, suspicion_of
from core.ledger_words import evidence_code, sentence_of, utc

COLUMNS = ("seq", "recorded_at", "signed_at", "actor", "on_behalf_of", "role", "action", "trial", "reason", "rule",
           "sentence", "changes", "evidence", "leaf", "suspect")
# Entries whose changes are asked for in one question.
TOGETHER = 100


def rows_of(
    reader: Reader, lines: Iterable[Line], said: Mapping[tuple[str, int], str], marks: Mapping[str, Suspicion], *,
    bodies: bool = False,
) -> Iterator[dict[str, Any]]:
    """The columns of entries, some at a time. `changes` says old → new where one changed what an earlier entry had set;
    `suspect` is the number of the entry that made its key suspect from before it on; `bodies` adds what was signed."""
    rest = iter(lines)
    while some := list(islice(rest, TOGETHER)):
        for line, changes in zip(some, said_changes(reader, some), strict=True):
            row = _row(line, changes, said, suspicion_of(line, marks))
            yield row | {"body": dict(line.body)} if bodies else row


def _row(
    line: Line, changes: str, said: Mapping[tuple[str, int], str], suspicion: Suspicion | None
) -> dict[str, Any]:
    body = line.body
    return {
        "seq": line.seq, "recorded_at": utc(line.ts), "signed_at": body["at"], "actor": body["actor"],
        "on_behalf_of": body.get("on_behalf_of"), "role": body["role"], "action": body["action"],
        "trial": body.get("trial"), "reason": body.get("reason"), "rule": body["rule"],
        "sentence": sentence_of(body, said), "changes": changes or None,
        "evidence": evidence_code(line.leaf), "leaf": line.leaf.hex(),
        "suspect": suspicion.by if suspicion else None,
    }


def write_csv(rows: Iterable[Mapping[str, Any]], file: TextIO, columns: Sequence[str] = COLUMNS) -> int:
    """Comma-separated, one row a line (RFC 4180), of entries unless `columns` says otherwise; returns how many.

    A cell that a spreadsheet would take for a formula is written as text, with an apostrophe before it.
    """
    writer = csv.DictWriter(file, columns, lineterminator="\r\n")
    writer.writeheader()
    count = 0
    for row in rows:
        writer.writerow({name: _cell(row[name]) for name in columns})
        count += 1
    return count


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
