"""A house whose trial is live and receives, founded once and copied for each test of arrival."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.arrival import a_trial_that_receives
from tests.house import HouseUnderTest, a_house, checked


@pytest.fixture(scope="session")
def receiving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HouseUnderTest]:
    """Founded once; never changed by a test."""
    made = HouseUnderTest(tmp_path_factory.mktemp("receiving"))
    a_trial_that_receives(made)
    yield made
    made.house.close()


@pytest.fixture
def house(receiving: HouseUnderTest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    """A copy for this test; it checks itself on the way out."""
    with checked(receiving.copied(tmp_path / "house")) as made:
        yield made


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[HouseUnderTest]:
    """A house without a trial."""
    with a_house(tmp_path / "house") as made:
        yield made
