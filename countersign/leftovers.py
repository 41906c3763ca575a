"""What commands that were killed left in a home: folders of work that is thrown away, files that never got their name.

Whoever works holds a lock of the kernel on its folder or file (flock), which ends with the process however it ends,
also by a restart of the machine. So what is not locked, and was not made just now, belongs to nobody.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

# Between the making of a folder or file and its lock lies a moment; nothing younger is touched.
YOUNG_S = 60
_FOLDER = re.compile(r"\.(rebuild|backup)-\w+")
_FILE = re.compile(r"\..+\.[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something nobody works on: a folder with all that is in it, or a file."""

    path: Path
    bytes: int


@contextmanager
def scratch(home: Path, kind: str) -> Iterator[Path]:
    """A folder `.KIND-…` in the home for work that is thrown away, removed at the end. `kind`: rebuild or backup.

    What earlier such commands left is removed first.
    """
    remove(home)
    with tempfile.TemporaryDirectory(prefix=f".{kind}-", dir=home) as name, held(Path(name)):
        yield Path(name)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Say that this folder is in use as long as this process lives and the block lasts."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        hold(descriptor)
        yield
    finally:
        os.close(descriptor)


def hold(descriptor: int) -> None:
    """The same for an open file, until it is closed. A file system without locks gives none: then age alone speaks."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def left_in(home: Path, *beside: Path) -> list[Leftover]:
    """Everything in a home, in folders that belong to it elsewhere, and beside it of a restore into it, that nobody
    works on. Nothing is changed."""
    found = [*_of_restores(home), *(path for folder in (home, *beside) for path in _inside(folder))]
    return [Leftover(path, _size(path)) for path in found if _is_nobodys(path)]


def remove(home: Path, *beside: Path) -> list[Leftover]:
    """Remove it; what is in use, or belongs to another user of the machine, stays. Returns what was removed."""
    gone = []
    for one in left_in(home, *beside):
        with suppress(OSError):
            if one.path.is_dir():
                shutil.rmtree(one.path)
            else:
                one.path.unlink()
            gone.append(one)
    return gone


def _of_restores(home: Path) -> Iterator[Path]:
    if home.parent.is_dir():
        yield from home.parent.glob(f".{home.name}.restoring-*")


def _inside(top: Path) -> Iterator[Path]:
    # Never through a link: what lies elsewhere is not this home's.
    for folder, folders, files in os.walk(top):
        for name in [name for name in folders if _FOLDER.fullmatch(name)]:
            folders.remove(name)
            yield Path(folder) / name
        yield from (Path(folder) / name for name in files if _FILE.fullmatch(name))


def _is_nobodys(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        # The folder's own time stands still while files in it grow; the lock tells of those.
        if time.time() - os.fstat(descriptor).st_mtime < YOUNG_S:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _size(path: Path) -> int:
    inside = [Path(folder) / name for folder, _, files in os.walk(path) for name in files] if path.is_dir() else [path]
    total = 0
    for one in inside:
        with suppress(OSError):
            total += one.lstat().st_size
    return total
