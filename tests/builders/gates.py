"""Houses in which a trial stands before its first gate, or behind it: made once in a process, copied by each test."""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from audit.vocabulary.gates import GateOpened, GateRequested
from core.gates.rules import USES
from core.gates.usecases import GATES
from core.work import Draft, View
from tests.builders import trials as build
from tests.builders.reads import TRIAL, YES
from tests.house import HouseUnderTest

GATE = f"{TRIAL}-G1-1"
ENDPOINTS = {3: "volume", 4: "response"}


def _folder() -> Path:
    made = Path(mkdtemp(prefix="gates"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@lru_cache(maxsize=1)
def ready() -> HouseUnderTest:
    """A live trial with everything that gate 1 asks for."""
    house = HouseUnderTest(_folder())
    build.live(house)
    build.evidence_of_use_1(house)
    house.work()
    return house.close_to_copies()


@lru_cache(maxsize=1)
def opened() -> HouseUnderTest:
    """The same with gate 1 open."""
    house = ready().copied(_folder())
    assert build.opened(house, "qc") == GATE
    return house.close_to_copies()


@contextmanager
def copy_of(made: HouseUnderTest, folder: Path) -> Iterator[HouseUnderTest]:
    """A house of one's own that begins where another was put away."""
    house = made.copied(folder)
    try:
        yield house
    finally:
        house.house.close()


def opened_by_word(
    house: HouseUnderTest, *uses: int, scope: str = "all", lock: str = build.LOCK, trial: str = TRIAL,
    prefix: str = "G",
) -> None:
    """Gates that stand open without their criteria asked, as `Guse-word`."""
    for use in uses:
        gate, endpoint = f"{prefix}{use}-word", ENDPOINTS.get(use)
        asked = Draft(
            GateRequested(gate=gate, use=use, use_name=USES[use], scope=scope, lock=lock, model="lesion-at-seed",
                          criteria=(), endpoint=endpoint),
            under=YES, meaning="responsibility", view=View("Set up for a test", "test", ()), trial=trial)
        house.sign(build.LEAD, lambda session, occasion, draft=asked: draft)  # type: ignore[misc]
        with house.desk.open(GATES) as work:
            work.record(GateOpened(gate=gate, use=use, use_name=USES[use], scope=scope, lock=lock, criteria=(),
                                   signed=(), endpoint=endpoint), under=YES, trial=trial)


def last(house: HouseUnderTest, word: str) -> dict[str, Any]:
    """The body of the newest entry of a word."""
    return next(entry.body for entry in reversed(house.entries()) if entry.body["action"] == word)
