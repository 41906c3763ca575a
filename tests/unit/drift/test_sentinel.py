"""The daily sentinel set: declared by who answers for a lock, asked every day, and closing what rests on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from audit.vocabulary import drift, gates
from core.errors import Refused, UnusableInput
from core.gates import sentinels
from core.gates.usecases import enforce
from core.phantoms.source import generator_digest
from core.policy.state import Actor
from core.trials.queries import open_uses
from models_registry import sentinel
from models_registry.contract import Study
from models_registry.isolation import Expected, Session, WorkerFailed
from models_registry.sentinel import check_due, check_sentinel, declare_sentinel
from models_registry.tasks import Given
from tests.builders import trials as build
from tests.builders.locks import lock_word
from tests.builders.models import cast, locked, stand_in
from tests.builders.reads import DIGEST, TRIAL, recorded, signed
from tests.house import HouseUnderTest, a_house, checked
from tests.req import req

CUSTODIAN, CASES = Actor("custodian"), 2
DAY_US = 24 * 3600 * 1_000_000


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> HouseUnderTest:
    with a_house(tmp_path_factory.mktemp("sentinel")) as house:
        cast(house)
        lock = locked(house, stand_in)
        house.commit(declare_sentinel(house.desk, CUSTODIAN, lock, CASES, runner=stand_in))
        recorded(house, gates.GateOpened(gate="G1-1", use=1, use_name="qc", scope="all", lock=lock, criteria=(),
                                         signed=()), "gates")
    return house


@pytest.fixture
def told(first: HouseUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HouseUnderTest]:
    made = {seed: MADE.setdefault(seed, sentinel.case_of(seed)) for seed in
            range(sentinel.FIRST_SEED, sentinel.FIRST_SEED + CASES)}
    monkeypatch.setattr(sentinel, "case_of", made.__getitem__)
    with checked(first.copied(tmp_path)) as house:
        yield house


MADE: dict[int, Study] = {}


def lock_in(house: HouseUnderTest) -> str:
    with house.desk.reading() as session:
        return sentinels.watches(session)[0].lock


def other_answer(files: Mapping[str, bytes], studies: Sequence[Given], expected: Expected | None) -> Session:
    """A worker whose second case comes out one bit different."""
    ended = stand_in(files, studies, expected)
    changed, took = ended.answers[1]
    return replace(ended, answers=(ended.answers[0], (replace(changed, output_sha256="f" * 64), took)))


def no_answer(files: Mapping[str, bytes], studies: Sequence[Given], expected: Expected | None) -> Session:
    raise WorkerFailed("The worker did not start.")


def uses_open(house: HouseUnderTest) -> list[str]:
    with house.desk.reading() as session:
        return [use.code for use in open_uses(session, TRIAL)]


@req("MLK-02", "VAL-13")
def test_a_set_is_stated_by_digest_and_signed_by_who_answers_for_the_lock(told: HouseUnderTest) -> None:
    body = next(entry.body for entry in told.entries() if entry.body["action"] == "sentinel.declared")
    fields = body["fields"]

    assert (body["actor"], fields["number"], fields["generator_sha256"]) == ("custodian", CASES, generator_digest())
    assert [one["seed"] for one in fields["cases"]] == ["70000", "70001"]
    assert len({one["output_sha256"] for one in fields["cases"]}) == CASES
    with pytest.raises(Refused):
        declare_sentinel(told.desk, Actor("reader"), lock_in(told), CASES, runner=stand_in)
    with pytest.raises(UnusableInput):
        declare_sentinel(told.desk, CUSTODIAN, lock_in(told), 0, runner=stand_in)


@req("MLK-02", "VAL-13")
def test_a_lock_in_use_is_asked_once_a_day(told: HouseUnderTest) -> None:
    assert check_due(told.desk, runner=stand_in) == []
    told.clock.at_us += DAY_US

    (found,) = check_due(told.desk, runner=stand_in)

    assert (found.same, found.says) == (True, "2 answers are bit-equal")
    assert told.words()[-1] == "sentinel.checked"
    assert check_due(told.desk, runner=stand_in) == []
    assert uses_open(told) == ["qc"]


@req("MLK-02", "GAT-04")
def test_one_bit_of_one_answer_closes_what_rests_on_the_lock(told: HouseUnderTest) -> None:
    found = check_sentinel(told.desk, lock_in(told), runner=other_answer)

    assert not found.same
    assert [one.seed for one in found.differing] == ["70001"]
    assert told.words()[-2:] == ["model.refused", "sentinel.checked"]
    refused = told.entries()[-2].body["fields"]
    assert (refused["check"], refused["cause"], refused["found"]) == ("sentinel", "environment_mismatch", "f" * 64)
    assert uses_open(told) == []


@req("MLK-02")
def test_another_generated_input_is_told_apart_from_another_answer(
    told: HouseUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that generates other cases (another numpy) is found at the input, before a model is blamed."""
    shifted = {seed: replace(one, seed_mm=(one.seed_mm[0] + 1, *one.seed_mm[1:])) for seed, one in MADE.items()
               if one.seed_mm is not None}
    monkeypatch.setattr(sentinel, "case_of", shifted.__getitem__)

    found = check_sentinel(told.desk, lock_in(told), runner=stand_in)

    stated = next(entry.body["fields"]["cases"] for entry in told.entries()
                  if entry.body["action"] == "sentinel.declared")
    assert not found.same
    assert told.entries()[-2].body["fields"]["expected"] == stated[0]["input_sha256"]


@req("MLK-02", "OPS-09")
def test_a_worker_that_does_not_come_leaves_the_day_missed(told: HouseUnderTest) -> None:
    told.clock.at_us += 3 * DAY_US

    assert check_due(told.desk, runner=no_answer) == []

    assert told.words()[-1] != "sentinel.checked"
    with told.desk.reading() as session:
        (watch,) = sentinels.watches(session)
    today = date.fromisoformat(told.desk.occasion().at[:10])
    assert watch.due(today)
    assert watch.missed_days(today, CASES) == 2
    assert watch.missed_days(today, CASES + 1) == 2


@req("GAT-04", "MLK-02")
def test_a_set_that_is_missed_too_long_suspends(house: HouseUnderTest) -> None:
    """Three days may be missed (the charter's number); a set of too few cases counts as none."""
    build.live(house)
    build.evidence_of_use_1(house)
    build.opened(house, "qc")
    house.clock.at_us += 4 * DAY_US
    assert enforce(house.desk) == 0
    signed(house, "validation-lead", drift.SentinelDeclared(
        lock=build.LOCK, model="lesion-at-seed", generator_sha256=DIGEST, number=19, cases=()))
    house.clock.at_us += DAY_US

    assert enforce(house.desk) == 1

    assert house.entries()[-1].body["fields"]["cause"] == "sentinel_overdue"
    assert uses_open(house) == []


@req("GAT-04", "MLK-02", "MLK-08")
def test_a_superseded_lock_is_watched_as_long_as_it_serves(house: HouseUnderTest) -> None:
    """A new version stops nothing, and excuses nothing: the old lock's gates rest on its daily set as before."""
    build.live(house)
    build.evidence_of_use_1(house)
    build.opened(house, "qc")
    signed(house, "validation-lead", lock_word("LCK-2", "lesion-at-seed", model_version="1.1", supersedes=build.LOCK))
    house.clock.at_us += 4 * DAY_US
    assert enforce(house.desk) == 0
    house.clock.at_us += DAY_US

    assert enforce(house.desk) == 1

    assert house.entries()[-1].body["fields"]["cause"] == "sentinel_overdue"


@req("GAT-04", "MLK-02")
def test_a_set_that_was_answered_in_time_suspends_nothing(house: HouseUnderTest) -> None:
    build.live(house)
    build.evidence_of_use_1(house)
    build.opened(house, "qc")
    house.clock.at_us += 3 * DAY_US
    signed(house, "validation-lead", drift.SentinelDeclared(
        lock=build.LOCK, model="lesion-at-seed", generator_sha256=DIGEST, number=20, cases=()))
    house.clock.at_us += 3 * DAY_US
    recorded(house, drift.SentinelChecked(
        lock=build.LOCK, model="lesion-at-seed", declared="entry", number=20, same=True, says="equal"), "inference")
    house.clock.at_us += 3 * DAY_US

    assert enforce(house.desk) == 0
