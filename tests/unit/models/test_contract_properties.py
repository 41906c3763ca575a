"""Whatever breaks the contract of lesion-at-seed, on its way in or out: no value, no mask, and a cause with a limit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models_registry import pipeline
from models_registry.answer import INPUT_NOT_FINITE
from models_registry.contract import Study, output_breach
from models_registry.jobs import CONFIGURATION
from models_registry.library import SHIPPED
from models_registry.pipeline import on_worse_side
from models_registry.preprocessing import Image
from tests.req import req

CONFIG: dict[str, Any] = json.loads((SHIPPED / CONFIGURATION).read_text())
Draw = Callable[[st.SearchStrategy[Any]], Any]

_values = np.random.default_rng(7)
SOUND = Study(
    Image(_values.uniform(-900, 900, (16, 12, 12)).astype(np.float32), (-10.0, -10.0, -10.0), (4.0, 2.0, 2.0)),
    Image(_values.uniform(0, 9, (12, 8, 8)).astype(np.float32), (-12.0, -12.0, -12.0), (4.0, 4.0, 4.0)),
    (0.0, 0.0, 0.0), "HU", "{SUVbw}g/ml",
)
NO_LENGTHS = st.sampled_from([0.0, -1.0, math.nan, math.inf, -math.inf, 5e-324, 1e300])
NO_NUMBERS = st.sampled_from([math.nan, math.inf, -math.inf])


def image_of(draw: Draw) -> str:
    return str(draw(st.sampled_from(["ct", "pet"])))


def _with(study: Study, name: str, **changed: Any) -> Study:
    return replace(study, **{name: replace(getattr(study, name), **changed)})


def _unit(study: Study, draw: Draw) -> Study:
    name = f"{image_of(draw)}_unit"
    right = getattr(study, name)
    return replace(study, **{name: draw(st.text(max_size=12).filter(lambda text: text != right))})


def _spacing(study: Study, draw: Draw) -> Study:
    name, axis = image_of(draw), draw(st.integers(0, 2))
    spacing = list(getattr(study, name).spacing_mm)
    # 5e-324 is a length, and puts the seed outside; 8.1 mm is above every limit of the contract.
    spacing[axis] = draw(st.one_of(NO_LENGTHS, st.floats(8.1, 1e6)))
    return _with(study, name, spacing_mm=tuple(spacing))


def _origin(study: Study, draw: Draw) -> Study:
    name, axis = image_of(draw), draw(st.integers(0, 2))
    origin = list(getattr(study, name).origin_mm)
    origin[axis] = draw(NO_NUMBERS)
    return _with(study, name, origin_mm=tuple(origin))


def _type(study: Study, draw: Draw) -> Study:
    name = image_of(draw)
    other = draw(st.sampled_from(
        [np.int8, np.int16, np.uint16, np.int64, np.float16, np.float64, np.bool_, np.complex64]))
    return _with(study, name, values=getattr(study, name).values.astype(other))


def _voxel(study: Study, draw: Draw, numbers: st.SearchStrategy[float]) -> Study:
    name = image_of(draw)
    values = getattr(study, name).values.copy()
    values[tuple(draw(st.integers(0, side - 1)) for side in values.shape)] = draw(numbers)
    return _with(study, name, values=values)


def _shape(study: Study, draw: Draw) -> Study:
    """None or one of slices, rows or columns; a plane; a fourth axis."""
    name = image_of(draw)
    values = getattr(study, name).values
    axis = draw(st.integers(0, 2))
    spoilt = draw(st.sampled_from([
        np.take(values, [], axis=axis), np.take(values, [values.shape[axis] // 2], axis=axis), values[0], values[None],
        np.float32(1), np.zeros(0, np.float32)]))
    return _with(study, name, values=np.asarray(spoilt))


def _huge(study: Study, draw: Draw) -> Study:
    """More voxels than the contract allows, without the memory for them: the count alone must decide."""
    side = draw(st.integers(600, 5000))
    values = np.broadcast_to(np.float32(0), (side, side, side))
    return _with(study, "ct", values=values)


def _constant(study: Study, draw: Draw) -> Study:
    name = image_of(draw)
    values = getattr(study, name).values
    return _with(study, name, values=np.full_like(values, draw(st.floats(-1, 300, width=32))))


def _seed(study: Study, draw: Draw) -> Study:
    seed = [0.0, 0.0, 0.0]
    seed[draw(st.integers(0, 2))] = draw(st.one_of(NO_NUMBERS, st.floats(60, 1e9), st.floats(-1e9, -60)))
    return replace(study, seed_mm=draw(st.sampled_from([None, tuple(seed)])))


SPOILS: dict[str, Callable[[Study, Draw], Study]] = {
    "unit": _unit, "orientation": lambda study, draw: replace(study, axial=False),
    "frame": lambda study, draw: replace(study, one_frame=False), "spacing": _spacing, "origin": _origin,
    "type": _type, "shape": _shape, "huge": _huge, "constant": _constant, "seed": _seed,
    "not finite": lambda study, draw: _voxel(study, draw, NO_NUMBERS),
    "range": lambda study, draw: _voxel(study, draw, st.floats(32768, 1e30)),
}


def never(_: NDArray[np.float32]) -> NDArray[np.float32]:
    raise AssertionError("the network must not be asked")


@req("MLK-01", "MLK-03")
@given(data=st.data())
def test_whatever_else_is_wrong_a_number_that_is_none_is_what_is_said(data: st.DataObject) -> None:
    """It refuses the model, so no other breach may hide it."""
    other = data.draw(st.sampled_from(["unit", "orientation", "frame", "seed"]))
    study = SPOILS[other](_voxel(SOUND, data.draw, NO_NUMBERS), data.draw)

    assert pipeline.run(study, CONFIG, never).cause in INPUT_NOT_FINITE


@req("MLK-03", "VAL-11")
@pytest.mark.parametrize("spoil", SPOILS)
@given(data=st.data())
def test_no_breach_of_the_input_gives_a_value_or_reaches_the_network(spoil: str, data: st.DataObject) -> None:
    study = SPOILS[spoil](SOUND, data.draw)

    answer = pipeline.run(study, CONFIG, never)

    assert answer.status in ("failed", "undecided")
    assert (answer.values, answer.mask, answer.output_sha256) == ((), None, "")
    assert all((answer.cause, answer.found, answer.limit))


def test_the_study_that_is_spoilt_keeps_the_contract_itself() -> None:
    """It passes both contracts and ends at the domain, which lies behind them: noise is no trunk."""
    assert pipeline.run(SOUND, CONFIG, never).cause == "out-of-domain"


CELLS = 4


def _probability(draw: Draw, what: str) -> NDArray[Any]:
    sound = np.random.default_rng(1).random((CELLS, CELLS, CELLS), dtype=np.float32)
    if what == "shape":
        sides = draw(st.lists(st.integers(0, 6), min_size=0, max_size=5).filter(lambda s: s != [CELLS] * 3))
        return np.zeros(sides, np.float32)
    if what == "type":
        return sound.astype(draw(st.sampled_from([np.float16, np.float64, np.int8, np.bool_, np.complex64])))
    where = tuple(draw(st.integers(0, CELLS - 1)) for _ in range(3))
    outside = st.one_of(st.floats(-1e30, -1e-30), st.floats(1.00001, 1e30))
    sound[where] = draw(NO_NUMBERS if what == "not finite" else outside)
    return sound


@req("MLK-03")
@pytest.mark.parametrize("what", ["shape", "type", "not finite", "range"])
@given(data=st.data())
def test_no_breach_of_the_output_is_an_answer(what: str, data: st.DataObject) -> None:
    breach = output_breach(_probability(data.draw, what), CELLS)

    assert breach is not None
    assert breach.cause == f"output-{what.replace(' ', '-')}"


@req("VAL-11")
@given(value=st.floats(0, 1e6), places=st.integers(0, 4))
def test_what_is_compared_with_a_threshold_is_what_is_stated(value: float, places: int) -> None:
    """Rounded to its worse side: the record's number alone decides, and never in the model's favour."""
    up, down = on_worse_side(value, places, up=True), on_worse_side(value, places, up=False)

    assert up is not None
    assert down is not None
    assert Decimal(down) <= Decimal(value) <= Decimal(up)
    assert Decimal(up) - Decimal(down) <= Decimal(1).scaleb(-places)
    assert [on_worse_side(bad, places, up=True) for bad in (math.nan, math.inf, -math.inf)] == [None] * 3
