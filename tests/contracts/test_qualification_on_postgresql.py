"""The checks of qualification mean the same on PostgreSQL: a real attempt, refused by the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from countersign import qualification
from tests.builders.validation import Team, approve, installation, run
from tests.conftest import need
from tests.house import HouseUnderTest, a_house
from tests.req import req


@pytest.fixture
def postgres_house(tmp_path: Path) -> Iterator[HouseUnderTest]:
    need("postgres")
    from tests.postgres import fresh_database

    with a_house(tmp_path, fresh_database()) as made:
        yield made


@req("REC-01", "REC-04", "VAL-04", "OPS-03")
def test_checks_pass_on_postgresql_and_a_backup_is_made_and_verified(postgres_house: HouseUnderTest) -> None:
    """Everything about the record is tried; a run on this store is recorded like any other."""
    team = Team.of(postgres_house)
    checks = qualification.checks_of(postgres_house.house, team.tester.user)
    about_the_record = [
        "database_settings", "database_protected", "entries_cannot_be_changed", "entries_cannot_be_deleted",
        "record_verifies", "tamper_is_found", "tables_equal_record", "refusal_is_recorded", "time_never_runs_back",
    ]
    approve(postgres_house, team, installation(*about_the_record))

    outcome = run(postgres_house, team, "IQ-SMALL", checks=checks)

    assert {step: says for step, verdict, says in outcome.steps if verdict != "passed"} == {}
    backup = checks["backup_verifies"]()
    assert backup.executed
    assert backup.passed, backup.says
