"""What follows a word stays in its trial, its subject and its time point, and names the word as its cause."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from audit.vocabulary.reads import ReadOpened, RereadOrdered
from audit.vocabulary.validation import DeviationOpened
from core.gates import effects, queries
from core.projection import Recorded
from tests.builders import gates as homes
from tests.builders.gates import GATE, copy_of, last, opened_by_word
from tests.builders.reads import TRIAL, signed
from tests.house import HouseUnderTest
from tests.req import req


def before_mutants() -> None:
    homes.opened()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[HouseUnderTest]:
    with copy_of(homes.opened(), tmp_path) as house:
        opened_by_word(house, 3)
        opened_by_word(house, 3, trial="OTHER-1", prefix="O")
        yield house


def still_open(house: HouseUnderTest) -> list[str]:
    with house.desk.reading() as session:
        return [one.gate for one in queries.open_gates(session)]


@req("GAT-04", "OPS-04")
def test_a_critical_deviation_of_one_trial_closes_no_gate_of_another(opened: HouseUnderTest) -> None:
    signed(opened, "qa-auditor", DeviationOpened(
        deviation="DEV-1", klass_name="critical", source="system", about="values", says="wrong unit"))
    opened.work()

    assert still_open(opened) == ["O3-word"]


@req("GAT-05")
@pytest.mark.parametrize(("reason", "left"), [
    ("wrong_side", [GATE, "O3-word"]), ("images_corrected", [GATE, "G3-word", "O3-word"])])
def test_reads_ordered_again_for_a_wrong_side_halt_by_that_word(
    opened: HouseUnderTest, reason: str, left: list[str]
) -> None:
    event = RereadOrdered(subject="101-001", time_point="BL", slot="reader_1", scope="this", on="2026-03-01")
    before = len(opened.entries())
    entry = Recorded.of(opened.entries()[before - 1])
    effects.halt_after_a_wrong_side(opened.desk, recorded_as(entry, reason=reason), event)

    assert still_open(opened) == left
    if reason == "wrong_side":
        body = last(opened, "gate.halted")
        assert (body["fields"]["halt_rule"], body["caused_by"]) == ("HALT-3", entry.id)


def recorded_as(entry: Recorded, **change: Any) -> Recorded:
    """The envelope of an entry, as a word of another room would have it."""
    fields = {name: getattr(entry, name) for name in Recorded.__slots__}
    return Recorded(**fields | {"trial": TRIAL} | change)


@req("GAT-05", "RDG-02")
@pytest.mark.parametrize(("awaited", "halted"), [
    (("reader_2",), True), (("ai", "reader_1"), True), (("ai",), False), ((), False)])
def test_an_ai_read_is_early_while_a_person_of_its_own_time_point_has_not_locked(
    opened: HouseUnderTest, monkeypatch: pytest.MonkeyPatch, awaited: tuple[str, ...], halted: bool
) -> None:
    """Which slots are awaited is told by the reads' room; here it is asked about this subject and time point alone."""
    asked: list[tuple[str, ...]] = []

    def seals_awaited(session: Any, *place: str) -> tuple[str, ...]:
        asked.append(place)
        return awaited

    read = SimpleNamespace(slot="ai", subject="101-001", time_point="W08")
    monkeypatch.setattr("core.gates.effects.read_of_seal",
                        lambda session, sealed: read if sealed == "seal-1" else None)
    monkeypatch.setattr("core.gates.effects.seals_awaited", seals_awaited)
    event = ReadOpened(sealed="seal-1", key="", nonce="")
    entry = recorded_as(Recorded.of(opened.entries()[-1]))

    effects.halt_after_unblinding(opened.desk, entry, event)

    assert asked == [(TRIAL, "101-001", "W08")]
    assert ("G3-word" not in still_open(opened)) is halted
    if halted:
        assert last(opened, "gate.halted")["caused_by"] == entry.id
