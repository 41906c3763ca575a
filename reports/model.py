"""The page model of a paper: what it says, where each number comes from, and the digest of it all.

Nothing here knows of PDF. The content digest is taken over the canonical JSON of `content()`, which holds every
printed cell with the rule that makes it again from the entries; fonts, page breaks and signatures are not part of it,
so the same range of the record gives the same digest on every machine (RPT-02).
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from audit.entry import canonical

FORMAT = "countersign-content/1"
NOTHING = "The range holds no such entry."
Kind = Literal["text", "number", "category", "id", "code", "time"]


@dataclass(frozen=True, slots=True)
class Basis:
    """How a printed cell follows from the record: the rule's name, its arguments, the entries it rests on."""

    rule: str
    entries: tuple[int, ...]
    args: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """One printed cell. `code` is the evidence code of the entry that decided it (the first of `basis.entries`)."""

    text: str = ""
    basis: Basis | None = None
    code: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's printed head; `name` is the machine's name of it in CSV and in messages. `prose`: so many signs a line
    for text that is read as sentences; without it, wrapped text gets what its longest cell asks, up to a third."""

    name: str
    title: str
    kind: Kind = "text"
    prose: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A row; `key` says which row it is in words ("S-001, week 8, Reader 1"). Equal `group`s stay together."""

    key: str
    cells: tuple[Cell, ...]
    group: str = ""
    level: Literal["", "sum"] = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A listing. `note` stands below it; `empty` says in words why it has no rows. `wide`: on a landscape page."""

    id: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...] = ()
    note: str = ""
    empty: str = NOTHING
    clause: str = ""
    wide: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Point:
    """One mark of a figure: numbers as decimal text, and the cell it shows again."""

    label: str
    x: str
    y: str
    kind: str = ""
    entries: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as data; `figures.py` draws it. `facts` are the numbers its template needs besides the points."""

    id: str
    title: str
    template: Literal["bland_altman", "waterfall", "timelines"]
    caption: str
    description: str
    points: tuple[Point, ...]
    facts: tuple[tuple[str, str], ...] = ()
    after: str = ""


@dataclass(frozen=True, slots=True)
class Range:
    """The part of the record that a paper is drawn from: entries 0 .. size − 1 of one log."""

    origin: str
    size: int
    root: str
    last_entry_at: str
    last_code: str = ""


@dataclass(frozen=True, slots=True)
class Signing:
    """One signature block on the cover: made (with entry, or in the file) or still needed."""

    name: str
    meaning: str
    role: str
    lines: tuple[str, ...] = ()
    entry: int | None = None
    code: str = ""
    # The signature is one of the file itself: no entry before it can be named.
    in_file: bool = False


@dataclass(frozen=True, slots=True)
class Cover:
    """Who, what, from which range. Everything here but the signatures is content."""

    trial: str
    document: str
    version: str
    title: str
    subtitle: str
    status: str
    evidence_class: str
    range: Range
    facts: tuple[tuple[str, str], ...] = ()
    release: str = ""
    # Which tables this kind of paper has and how they are filled; a change of either is a new edition.
    edition: str = "1"
    # Which kind of paper it is; empty for the imaging appendix.
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Paper:
    """A whole paper."""

    cover: Cover
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...] = ()
    signings: tuple[Signing, ...] = field(default=(), compare=False)


def cell_content(cell: Cell) -> dict[str, Any]:
    """A cell in content.json: text, and where it rests on the record: unit, code, rule, arguments, entries."""
    out: dict[str, Any] = {"text": cell.text}
    if cell.unit:
        out["unit"] = cell.unit
    if cell.code:
        out["code"] = cell.code
    if cell.basis is not None:
        out["rule"] = cell.basis.rule
        out["entries"] = list(cell.basis.entries)
        out["args"] = dict(cell.basis.args)
    return out


def table_content(table: Table) -> dict[str, Any]:
    """A table in content.json."""
    return {
        "id": table.id, "title": table.title, "clause": table.clause, "note": table.note,
        "empty": "" if table.rows else table.empty,
        "columns": [{"name": c.name, "title": c.title, "kind": c.kind} for c in table.columns],
        "rows": [
            {"key": row.key, "group": row.group, "level": row.level, "cells": [cell_content(c) for c in row.cells]}
            for row in table.rows
        ],
    }


def figure_content(figure: Figure) -> dict[str, Any]:
    """A figure in content.json: its data, from which the drawing follows."""
    return {
        "id": figure.id, "title": figure.title, "template": figure.template, "caption": figure.caption,
        "description": figure.description, "after": figure.after,
        "facts": [{"name": name, "value": value} for name, value in figure.facts],
        "points": [
            {"label": p.label, "x": p.x, "y": p.y, "kind": p.kind, "entries": list(p.entries)} for p in figure.points
        ],
    }


def content(paper: Paper) -> dict[str, Any]:
    """The paper as data, without its signatures: what the content digest covers."""
    cover = paper.cover
    return {
        "format": FORMAT,
        "cover": {
            **({"kind": cover.kind} if cover.kind else {}),
            "trial": cover.trial, "document": cover.document, "version": cover.version, "title": cover.title,
            "subtitle": cover.subtitle, "status": cover.status, "evidence_class": cover.evidence_class,
            "release": cover.release, "edition": cover.edition,
            "facts": [{"name": name, "value": value} for name, value in cover.facts],
            "range": {
                "origin": cover.range.origin, "size": cover.range.size, "root": cover.range.root,
                "last_entry_at": cover.range.last_entry_at, "last_code": cover.range.last_code,
            },
        },
        "tables": [table_content(table) for table in paper.tables],
        "figures": [figure_content(figure) for figure in paper.figures],
    }


def content_bytes(paper: Paper) -> bytes:
    """Canonical JSON of the content. Raises MalformedEntry where a text is not in the profile of RECORD 1."""
    return canonical(content(paper), "content")


def content_digest(paper: Paper) -> str:
    """Lower-case hex SHA-256 of the canonical content."""
    return hashlib.sha256(content_bytes(paper)).hexdigest()


def table_csv(table: Table) -> bytes:
    """A table as CSV (RFC 4180, UTF-8): each cell, and for cells with a basis its evidence code and entries."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    heads: list[str] = ["row"]
    for column in table.columns:
        heads += [column.name, f"{column.name}_evidence", f"{column.name}_entries"]
    writer.writerow(heads)
    for row in table.rows:
        line = [row.key]
        for cell in row.cells:
            entries = cell.basis.entries if cell.basis else ()
            line += [_plain(cell.text), cell.code, " ".join(str(seq) for seq in entries)]
        writer.writerow(line)
    return out.getvalue().encode()


def _plain(text: str) -> str:
    """Typographic minus back to the hyphen that machines read; a leading formula sign is defused."""
    plain = text.replace("\u2212", "-") if text[1:2].isdigit() else text
    # A spreadsheet would execute =, @ and the like; a signed number is none of them.
    return "'" + plain if plain[:1] in "=@\t\r" or (plain[:1] in "+-" and not plain[1:2].isdigit()) else plain


def cells_of(table: Table) -> Iterator[tuple[Row, Column, Cell]]:
    """Every cell with its row and column."""
    for row in table.rows:
        if len(row.cells) != len(table.columns):
            raise ValueError(f"table {table.id}, {row.key}: {len(row.cells)} cells under {len(table.columns)} heads.")
        for column, cell in zip(table.columns, row.cells, strict=True):
            yield row, column, cell
