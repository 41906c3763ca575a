"""The ledger under attack, made once for all tests of tampering."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.tampering import Scene, a_scene


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = a_scene(tmp_path_factory.mktemp("scene"))
    yield made
    made.house.house.close()
