"""A search for an identifier through a home: objects by their subjects' keys, and every other file as it lies.

A home lives while it is searched: a job's temporary file or SQLite's journal may go away between listing and reading,
and what it held may lie under another name by then. Such a search is no search, and is made again.

What is looked for comes from whoever looks and is kept nowhere: not in the record, not in a log, not on the screen.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select

from audit import store
from core.errors import OutsideUnavailable
from core.incidents.rules import forms_of, holds_any
from core.incidents.usecases import Searched, search_objects
from countersign.house import House

PIECE = 8 * 1024 * 1024
#: Identifiers longer than this are none; so much of a piece is read again with the next.
OVERLAP = 1024
#: So often a search is made before it says that the files do not come to rest.
SEARCHES = 20


def search_home(house: House, trial: str, subjects: tuple[str, ...], identifier: str) -> Searched:
    """Every object of these subjects, and every other file below the home: database, journal, exports, logs.

    Of PostgreSQL the entries are read, since its files are its own. Encrypted objects of other subjects are passed
    over as files too: nothing can be seen in them.

    Raises:
        UnusableInput: the identifier is too short to be looked for.
        OutsideUnavailable: files went away under every one of SEARCHES searches; nothing was found out.
    """
    for _ in range(SEARCHES):
        with suppress(FileNotFoundError):
            return _search(house, trial, subjects, identifier)
    raise OutsideUnavailable(
        f"The files of this home do not come to rest: in each of {SEARCHES} searches one went away before it was read, "
        "and what it held may lie elsewhere unread. Nothing was found out.",
        next_step="Stop what works on this home (`countersign work`, `countersign serve`), then search again.")


def _search(house: House, trial: str, subjects: tuple[str, ...], identifier: str) -> Searched:
    """One search through everything. Raises FileNotFoundError where a file went away before it was read."""
    forms = forms_of(identifier)
    searched = search_objects(house.desk.objects, trial, subjects, identifier)
    looked, holding = searched.looked, list[str]()
    for path in sorted(house.home.rglob("*")):
        # Asked of what was listed: `is_file` takes a file that went away for none.
        if stat.S_ISREG(path.lstat().st_mode):
            looked += 1
            if any(holds_any(piece, forms) for piece in _pieces(path)):
                holding.append(str(path.relative_to(house.home)))
    if house.engine.dialect.name != "sqlite":
        with house.desk.reading() as session:
            for row in session.execute(select(store.entries.c.seq, store.entries.c.data)):
                looked += 1
                if holds_any(bytes(row.data), forms):
                    holding.append(f"entry {row.seq}")
    return Searched(looked, searched.objects, tuple(holding))


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        kept = b""
        while piece := file.read(PIECE):
            yield kept + piece
            kept = piece[-OVERLAP:]
