"""Keys of subjects against whoever recovers old files, and against being killed at any step."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from audit.vocabulary.registry import SubjectText
from core.errors import NotFound, OutsideUnavailable, RecordDamaged, SubjectErased
from core.objects import ERASED
from countersign.adapters import subject_keys
from countersign.adapters.subject_keys import FileSubjectKeys, Vault, name_of
from tests.req import req

GONE, OTHERS = "T1/101-001", tuple(f"T1/101-{number:03}" for number in range(2, 6))
MARK = {"trial": "T1", "subject": "101-001", "erased": "entry"}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    keys = FileSubjectKeys(tmp_path / "keys", tmp_path / "copies")
    for owner in (GONE, *OTHERS):
        keys.key(owner, make=True)
    return tmp_path / "keys", tmp_path / "copies"


@req("PRV-03", "PRV-04")
def test_a_key_file_recovered_from_the_disk_opens_nothing_after_a_destruction(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """What an undelete brings back is wrapped by a key-encryption key that is gone, in both folders."""
    keys = FileSubjectKeys(*folders)
    before = {owner: keys.key(owner, make=False) for owner in (GONE, *OTHERS)}
    taken = [shutil.copytree(folder / "keys", tmp_path / f"undeleted-{folder.name}") for folder in folders]

    keys.destroy(GONE, MARK)

    assert {owner: keys.key(owner, make=False) for owner in OTHERS} == {owner: before[owner] for owner in OTHERS}
    for folder, old in zip(folders, taken, strict=True):
        assert len(list((folder / "kek").iterdir())) == 1
        assert not list(folder.rglob(f"keys/{name_of(GONE)}*"))
        for file in old.iterdir():
            shutil.copy(file, folder / "keys" / file.name)
        for owner in (GONE, *OTHERS):
            with pytest.raises(RecordDamaged, match="wrapped by a key that is gone"):
                Vault(folder).read(name_of(owner))


@req("PRV-03", "REC-14")
def test_killed_between_any_two_steps_every_other_key_opens_and_the_destruction_goes_on(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """SIGKILL before each write and each removal in turn; then the same again, as the worker does."""
    before = {owner: FileSubjectKeys(*folders).key(owner, make=False) for owner in OTHERS}
    steps = 0
    while True:
        home = tmp_path / f"killed-{steps}"
        pair = tuple(shutil.copytree(folder, home / folder.name) for folder in folders)
        if not _killed_before(steps, pair):
            break
        keys = FileSubjectKeys(*pair)
        assert {owner: keys.key(owner, make=False) for owner in OTHERS} == before
        keys.key("T1/new", make=True)
        keys.destroy(GONE, MARK)
        assert {owner: keys.key(owner, make=False) for owner in OTHERS} == before
        _nothing_left(pair)
        shutil.rmtree(home)
        steps += 1
    # Per folder: mark, new key-encryption key, four keys wrapped anew, two removals.
    assert steps == 16
    _nothing_left(pair)


def _killed_before(step: int, pair: tuple[Path, ...]) -> bool:
    """Destroy in a child that dies before its n-th step on the disk; False where it came to the end."""
    child = os.fork()
    if child == 0:
        left = step

        def counting(act):
            def run(*arguments):
                nonlocal left
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
                return act(*arguments)

            return run

        for name in ("write_durably", "overwrite_and_remove"):
            setattr(subject_keys, name, counting(getattr(subject_keys, name)))
        FileSubjectKeys(*pair).destroy(GONE, MARK)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def _nothing_left(pair: tuple[Path, ...]) -> None:
    for folder in pair:
        assert not list((folder / "keys").glob(f"*{name_of(GONE)}*"))
        assert len(list((folder / "kek").iterdir())) == 1


@req("PRV-03")
def test_no_key_is_made_again_for_an_erased_subject(folders: tuple[Path, Path]) -> None:
    """Else a late arrival would begin to fill the record anew under the same code."""
    keys = FileSubjectKeys(*folders)
    sealed = keys.seal_text(GONE, "entry-1", "Mrs Example asked twice")

    keys.destroy(GONE, MARK)

    with pytest.raises(SubjectErased):
        keys.key(GONE, make=True)
    with pytest.raises(SubjectErased):
        keys.seal_text(GONE, "entry-2", "anything")
    assert keys.open_text(GONE, "entry-1", sealed) == ERASED


@req("PRV-04")
def test_a_text_opens_only_for_its_own_entry_and_subject(folders: tuple[Path, Path]) -> None:
    """A ciphertext moved to another entry, or to another subject, is damage and not a text."""
    keys = FileSubjectKeys(*folders)
    sealed = keys.seal_text(GONE, "entry-1", "blurred by motion")

    assert keys.open_text(GONE, "entry-1", sealed) == "blurred by motion"
    assert keys.seal_text(GONE, "entry-1", "blurred by motion") == sealed
    assert keys.seal_text(GONE, "entry-2", "blurred by motion").iv != sealed.iv
    for owner, entry in ((GONE, "entry-2"), (OTHERS[0], "entry-1")):
        with pytest.raises(RecordDamaged):
            keys.open_text(owner, entry, sealed)
    with pytest.raises(RecordDamaged):
        keys.open_text(GONE, "entry-1", SubjectText(ct=sealed.ct, iv=sealed.iv[::-1], kid=sealed.kid))


@req("OPS-01", "PRV-04")
def test_a_lost_folder_of_keys_comes_back_from_its_copies_and_never_what_was_destroyed(
    folders: tuple[Path, Path],
) -> None:
    """Copies are the keys' backup: the house takes a key from them by itself, and a destroyed one from neither."""
    keys = FileSubjectKeys(*folders)
    before = keys.key(OTHERS[0], make=False)
    keys.destroy(GONE, MARK)
    shutil.rmtree(folders[0])

    assert keys.key(OTHERS[0], make=False) == before
    assert keys.complete() == len(OTHERS) - 1
    assert keys.without_copy() == (len(OTHERS), 0)
    with pytest.raises(SubjectErased):
        keys.key(GONE, make=True)
    with pytest.raises(NotFound):
        keys.key("T1/never", make=False)


@req("PRV-03")
def test_a_destruction_waits_for_a_folder_that_is_not_there(folders: tuple[Path, Path]) -> None:
    """A copy that cannot be reached keeps the erasure open; nothing says that it is done."""
    keys = FileSubjectKeys(*folders)
    shutil.rmtree(folders[1])
    folders[1].write_text("not a folder")

    with pytest.raises(OutsideUnavailable):
        keys.destroy(GONE, MARK)
