"""Read-models are folded beside the live ones and swapped in at once; a process killed on the way harms nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from core.errors import UnusableInput
from core.persons import keys
from core.projection import table_digest
from countersign import database
from countersign.database import connect
from countersign.doctor import examine
from countersign.house import open_house
from tests.conftest import need
from tests.house import HouseUnderTest, a_house
from tests.postgres import owner_of
from tests.req import req

ROOT = Path(__file__).resolve().parents[2]
# The process kills itself with SIGKILL at one exact step of a rebuild: nothing is cleaned up, nothing is rolled back
# by it. `fold` is the thirtieth entry; the others are the statement that would swap a table.
KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from core import projection
from countersign.doctor import examine
from countersign.house import open_house

house = open_house(Path(sys.argv[1]))
where, seen = sys.argv[2], 0
def die():
    os.kill(os.getpid(), signal.SIGKILL)
folded = projection.apply
def apply(session, entry):
    global seen
    seen += 1
    if where == "fold" and seen == 30:
        die()
    return folded(session, entry)
projection.apply = apply
@event.listens_for(house.engine, "before_cursor_execute")
def before(connection, cursor, statement, parameters, context, many):
    words = statement.split()
    if where == "insert" and words[:2] == ["INSERT", "INTO"]:
        die()
@event.listens_for(house.engine, "commit")
def commit(connection):
    if where == "commit":
        die()
house.rebuild()
print("not killed")
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def lived(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HouseUnderTest]:
    url = None
    if request.param == "postgresql":
        need("postgres")
        from tests.postgres import fresh_database

        url = fresh_database()
        monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", url)
    with a_house(tmp_path, url) as house:
        for number in range(4):
            house.person(f"reader-{number}", "reader", trial="T1")
        yield house


def spoilt(house: HouseUnderTest) -> str:
    with house.desk.engine.begin() as session:
        session.execute(text("UPDATE key SET printed_name = 'Somebody Else' WHERE holder = 'reader-1'"))
    return digest(house)


def digest(house: HouseUnderTest) -> str:
    engine = connect(house.house.settings.database_url)
    with engine.connect() as session:
        found = table_digest(session, keys)
    engine.dispose()
    return found


@req("REC-01", "OPS-01")
@pytest.mark.parametrize("where", ["fold", "insert", "commit"])
def test_a_rebuild_that_is_killed_leaves_the_live_tables_as_they_were(lived: HouseUnderTest, where: str) -> None:
    """In the fold, in the middle of the swap, and just before its commit; the next rebuild mends the table."""
    right = digest(lived)
    wrong = spoilt(lived)
    assert wrong != right

    done = subprocess.run([sys.executable, "-c", KILLED, str(lived.home), where], cwd=ROOT, capture_output=True,
                          text=True, check=False, timeout=120)

    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    assert digest(lived) == wrong
    difference = lived.house.rebuild()
    assert difference.tables == ("key",)
    assert digest(lived) == right
    lived.person("reader-9", "reader", trial="T1")


@req("REC-01")
def test_a_rebuild_touches_only_what_differs_and_makes_what_is_missing(lived: HouseUnderTest) -> None:
    """A table that was emptied, or has a column more, is one that differs; the shape is its owner's to mend."""
    with owner_of(lived.desk.engine).begin() as session:
        session.execute(text("ALTER TABLE key ADD COLUMN more INTEGER"))
        session.execute(text("DELETE FROM person"))

    assert set(lived.house.rebuild(keep=False).tables) == {"key", "person"}
    (finding,) = examine(lived.house)
    assert "not those of this release: key." in finding.what
    assert "ledger rebuild" in finding.remedy
    if lived.desk.engine.dialect.name == "postgresql":
        with pytest.raises(UnusableInput, match=r"another release: key;.*may not make them"):
            lived.house.rebuild()
        owner = owner_of(lived.desk.engine)
        assert set(database.prepare(owner, house=str(lived.desk.engine.url.username))) == {"key", "person"}
    else:
        assert set(lived.house.rebuild().tables) == {"key", "person"}
    assert lived.house.rebuild().none


@req("REC-01")
def test_a_rebuild_sees_entries_that_come_while_it_folds(
    lived: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is recorded between the fold and the swap is folded under the lock before anything is compared."""
    from core import projection

    real = projection.Fresh.fold
    came: list[int] = []

    def fold(fresh: projection.Fresh, stream: object) -> None:
        real(fresh, stream)  # type: ignore[arg-type]
        if not came:
            came.append(1)
            lived.person("reader-8", "reader", trial="T1")

    monkeypatch.setattr(projection.Fresh, "fold", fold)
    spoilt(lived)
    assert lived.house.rebuild().tables == ("key",)
    monkeypatch.undo()
    assert lived.house.compare().none


@req("OPS-02", "REC-01")
def test_tables_can_be_rebuilt_while_appending_is_stopped(house: HouseUnderTest) -> None:
    house.person("reader-1", "reader", trial="T1")
    house.house.standstill.stop("A witness saw something.")
    spoilt(house)
    assert open_house(house.home).rebuild().tables == ("key",)
    house.house.standstill.lift()
