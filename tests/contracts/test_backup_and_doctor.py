"""A backup is a home that verifies; doctor says in words what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from core.errors import UnusableInput
from countersign.backup import make_backup
from countersign.doctor import examine
from countersign.house import open_house
from tests.house import HouseUnderTest
from tests.req import req


@req("OPS-01")
def test_a_backup_opens_and_equals_the_record(house: HouseUnderTest, tmp_path: Path) -> None:
    """The copy is verified before the command says done (R3 4.3.3)."""
    house.person("reader-1", "reader", trial="T1")

    said = make_backup(house.house, tmp_path / "copy")

    assert f"{len(house.words())} entries" in said
    copy = open_house(tmp_path / "copy")
    assert copy.compare().none
    copy.close()


@req("OPS-01")
def test_a_backup_never_writes_into_a_used_folder(house: HouseUnderTest, tmp_path: Path) -> None:
    """Nothing is mixed and nothing is overwritten."""
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("x")

    with pytest.raises(UnusableInput, match="not empty"):
        make_backup(house.house, tmp_path / "used")


@req("REC-04")
def test_doctor_finds_a_dropped_protection(house: HouseUnderTest) -> None:
    """A trigger that somebody removed is named as damage."""
    assert not any(finding.damaged for finding in examine(house.house))
    with house.desk.engine.begin() as session:
        session.execute(text("DROP TRIGGER entry_no_update"))

    found = [finding for finding in examine(house.house) if finding.damaged]

    assert ["protections" in finding.what for finding in found] == [True]
