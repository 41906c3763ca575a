"""What a disk refuses, in our words: full, or not to be written. One place for system errors, one for the stores'."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import CountersignError, DiskFull, DiskReadOnly

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
# SQLSTATE classes of PostgreSQL: disk_full; read_only_sql_transaction.
FULL_STATES, READ_ONLY_STATES = {"53100"}, {"25006"}


def system_error(error: OSError, where: str = "") -> CountersignError | None:
    """The same in our words, or None where the disk has nothing to do with it."""
    where = where or (str(error.filename) if error.filename else "the home")
    if error.errno in FULL:
        return DiskFull(f"There is no room left to write {where}.")
    if error.errno in READ_ONLY:
        return DiskReadOnly(f"{where} cannot be written: {error.strerror}.")
    return None


def store_error(error: BaseException | None) -> CountersignError | None:
    """What SQLite or PostgreSQL says of its disk, or None.

    A write beyond a file-size limit comes from SQLite as a plain input/output error; its extended code tells.
    """
    if isinstance(error, sqlite3.Error):
        name = str(getattr(error, "sqlite_errorname", ""))
        if name == "SQLITE_FULL":
            return DiskFull("There is no room left to write the database.")
        if name in ("SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_TRUNCATE"):
            return DiskFull(f"The disk refused a write to the database ({name}): it is full, limited or failing.")
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
            return DiskReadOnly(f"The database cannot be opened for writing ({name}).")
        return None
    state = getattr(error, "sqlstate", None)
    if state in FULL_STATES:
        return DiskFull("The database server has no room left.")
    if state in READ_ONLY_STATES:
        return DiskReadOnly("The database server takes no writes.")
    return None


@contextmanager
def in_words(where: Path | str = "") -> Iterator[None]:
    """Errors of the disk inside leave as DiskFull or DiskReadOnly."""
    try:
        yield
    except OSError as error:
        said = system_error(error, str(where))
        if said is None:
            raise
        raise said from error
