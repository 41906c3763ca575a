"""A trial that receives images, with the two people whom an erasure needs."""

from __future__ import annotations

import pytest

from tests.builders import privacy as build
from tests.builders.arrival import a_trial_that_receives
from tests.house import HouseUnderTest


@pytest.fixture
def clinic(house: HouseUnderTest) -> HouseUnderTest:
    a_trial_that_receives(house)
    build.people(house)
    return house
