"""PostgreSQL whose disk is full: our words, nothing half-written, and the same act goes through once there is room."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from sqlalchemy import create_engine

from core.errors import DiskFull
from core.ledger_check import check_store
from core.ledger_queries import SessionReader
from tests.conftest import need
from tests.house import ORIGIN, a_house
from tests.req import req

SPACE = "small_disk"


@pytest.fixture
def small_disk() -> Iterator[tuple[Path, str]]:
    """A file system of 32 MiB that the test server writes to, and the address of a new database that lies on it alone;
    the log of transactions lies elsewhere, as it should."""
    need("postgres")
    from tests.postgres import fresh_database, server_url

    if os.environ.get("COUNTERSIGN_TEST_PG_DSN") or os.geteuid() != 0:
        pytest.skip("a small disk for the server needs the tests' own server and the right to mount")
    maintenance = server_url().replace("postgresql://", "postgresql+psycopg://", 1)
    folder = Path(mkdtemp(prefix="small"))
    folder.chmod(0o755)
    disk = folder / "disk"
    disk.mkdir()
    options = f"size=32m,uid={pwd.getpwnam('pgserver').pw_uid},mode=0700"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=False).returncode:
        folder.rmdir()
        pytest.skip("no file system may be mounted here")
    engine = create_engine(maintenance, isolation_level="AUTOCOMMIT")
    url = ""
    try:
        with engine.connect() as session:
            session.exec_driver_sql(f"CREATE TABLESPACE {SPACE} LOCATION '{disk}'")
        url = fresh_database(tablespace=SPACE)
        yield disk, url
    finally:
        with engine.connect() as session:
            if url:
                name = url.partition("?")[0].rpartition("/")[2]
                session.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
            session.exec_driver_sql(f"DROP TABLESPACE IF EXISTS {SPACE}")
        engine.dispose()
        subprocess.run(["umount", str(disk)], check=True)
        shutil.rmtree(folder)


@req("OPS-09", "REC-01")
def test_a_full_server_refuses_an_entry_in_our_words_and_keeps_nothing_of_it(
    small_disk: tuple[Path, str], tmp_path: Path
) -> None:
    """The server's own refusal (SQLSTATE 53100), met in the middle of a transaction."""
    disk, url = small_disk
    with a_house(tmp_path, url) as house:
        filler = disk / "filler"
        with filler.open("wb") as file:
            # All room but 256 KiB: files of tables grow by pages of 8 KiB.
            file.write(bytes(max(0, shutil.disk_usage(disk).free - 256 * 1024)))
        before = house.words()
        done = 0
        with pytest.raises(DiskFull, match="database server has no room left") as told:
            for number in range(2_000):
                house.grant("qa-0", "reader", trial=f"T{number}")
                done += 1
        assert "Nothing was recorded" in told.value.in_words()

        kept = house.words()
        assert kept[:len(before)] == before
        assert len(kept) == len(before) + done, "what was acknowledged is there, and no more"
        with house.desk.reading() as session:
            found = check_store(SessionReader(session), ORIGIN)
        assert found.ok, found.in_words()
        with pytest.raises(DiskFull):
            for number in range(500):
                house.grant("qa-0", "reader", trial=f"U{number}")

        filler.unlink()
        house.grant("qa-0", "reader", trial=f"T{done}")
        assert house.words()[-1] == "role.granted"
        with house.desk.reading() as session:
            assert check_store(SessionReader(session), ORIGIN).ok
