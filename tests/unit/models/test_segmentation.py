"""A segmentation ends with values only where its contract holds and what it found is plausible, on the scan's grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UnusableInput
from models_registry.bundle import opened
from models_registry.digest import ModelFileUnusable, read_tree
from models_registry.library import SHIPPED
from models_registry.loading import contract_digest
from models_registry.ports import GivenSeries
from models_registry.segmentation import pipeline, tiled, two_step
from models_registry.segmentation.outcome import filled, largest_part
from models_registry.segmentation.state import LETTERS, Scan, oriented
from models_registry.tasks import TASKS, task_of
from tests.builders.segmentation import AXIAL, SAGITTAL, ByHand, bundle, configuration, head
from tests.req import req

BALL_ML, CORE_ML = 268.08, 137.26


@pytest.fixture(scope="module")
def scan() -> Scan:
    return head()


@req("VAL-08")
@pytest.mark.parametrize("directions", [AXIAL, SAGITTAL])
def test_a_ball_is_measured_whichever_way_its_slices_lie(directions: Any) -> None:
    answer = pipeline.run(head((30, 30, 30), directions=directions), configuration(), ByHand())

    assert answer.status == "finished"
    values = {one.name: float((one.value or "nan").split(" ")[0]) / 1000 for one in answer.values}
    assert values["whole_volume"] == pytest.approx(BALL_ML, rel=0.05)
    assert values["core_volume"] == pytest.approx(CORE_ML, rel=0.08)
    assert answer.mask is not None
    assert set(np.unique(answer.mask)) == {0, 1, 2}


class Unasked(ByHand):
    def scores(self, channels: Any, part: str = "") -> Any:
        raise AssertionError("the network must not be asked")


Change = Callable[[Scan], Scan]
BROKEN: dict[str, Change] = {
    "modality": lambda s: replace(s, modality="CT"),
    "unit": lambda s: replace(s, unit="HU"),
    "shape": lambda s: replace(s, values=s.values[:4]),
    "type": lambda s: replace(s, values=s.values.astype(np.float64)),
    "spacing": lambda s: replace(s, spacing_mm=(4.0, 0.0, 4.0)),
    "orientation": lambda s: replace(s, directions=(AXIAL[0], AXIAL[1], (0.9, 0.1, 0.0))),
    "not-finite": lambda s: replace(s, values=np.where(s.values > 800, np.nan, s.values).astype(np.float32)),
    "constant": lambda s: replace(s, values=np.ones_like(s.values)),
    "slices": lambda s: replace(s, values=s.values[:9]),
    "between-slices": lambda s: replace(s, spacing_mm=(6.0, 4.0, 4.0)),
    "in-plane": lambda s: replace(s, spacing_mm=(4.0, 4.0, 4.6)),
}


@req("VAL-11", "MLK-03")
@pytest.mark.parametrize("cause", sorted(BROKEN))
def test_each_term_of_the_contract_stops_the_run_before_the_network(cause: str, scan: Scan) -> None:
    answer = pipeline.run(BROKEN[cause](scan), configuration(), Unasked())

    assert (answer.status, answer.cause) == ("failed", cause)
    assert answer.found
    assert answer.limit
    assert (answer.mask, answer.values) == (None, ())


def _cut(scan: Scan) -> Scan:
    return replace(scan, values=scan.values[8:])


@req("VAL-11")
@pytest.mark.parametrize(("change", "cause"), [
    (_cut, "cut-by-image-edge"),
    (lambda s: replace(s, spacing_mm=(1.0, 1.0, 1.0)), "implausible-volume"),
])
def test_an_implausible_answer_is_undecided(change: Change, cause: str, scan: Scan) -> None:
    answer = pipeline.run(change(scan), configuration(), ByHand())

    assert (answer.status, answer.cause) == ("undecided", cause)
    assert (answer.mask, answer.values) == (None, ())


class Says(ByHand):
    """A network whose scores are given."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make

    def scores(self, channels: Any, part: str = "") -> Any:
        return self.make(channels)


@req("VAL-11")
def test_background_everywhere_is_undecided_and_bad_scores_fail(scan: Scan) -> None:
    nothing = pipeline.run(scan, configuration(), Says(lambda c: np.stack([c[0] + 9, c[0], c[0]])))
    broken = pipeline.run(scan, configuration(), Says(lambda c: np.stack([c[0], c[0] + np.float32(np.nan), c[0]])))
    unsure = pipeline.run(scan, configuration(), Says(lambda c: ByHand().scores(c) * np.float32(0.02)))
    surplus = pipeline.run(scan, configuration(), Says(lambda c: np.stack([c[0], c[0], c[0], c[0] + 1])))

    assert (nothing.status, nothing.cause) == ("undecided", "nothing-found")
    assert (unsure.status, unsure.cause) == ("undecided", "low-confidence")
    assert (broken.status, broken.cause) == ("failed", "output-not-finite")
    assert (surplus.status, surplus.cause) == ("failed", "output-label")


codes = st.permutations(LETTERS).flatmap(lambda pairs: st.tuples(*[st.sampled_from(pair) for pair in pairs]))


@given(codes, codes)
def test_turning_a_scan_and_back_loses_nothing(stored: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    """Every whole-axis orientation to every other; the bright corner ends where the letters say."""
    cosines = np.zeros((3, 3))
    for place, letter in enumerate(stored):
        axis = next(n for n, pair in enumerate(LETTERS) if letter in pair)
        cosines[place, axis] = 1 if LETTERS[axis][0] == letter else -1
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    directions = tuple(tuple(row) for row in cosines)
    scan = Scan(values, (1.0, 2.0, 3.0), (0.0, 0.0, 0.0), directions, "MR", "1")  # type: ignore[arg-type]

    turned = oriented(scan, "".join(wanted))

    assert np.array_equal(turned.back(turned.values), values)
    corner = tuple(0 if letter in stored else -1 for letter in wanted)
    assert turned.values[corner] == values[0, 0, 0]


@req("REC-14")
def test_the_input_digest_sees_values_and_geometry(scan: Scan, tmp_path: Any) -> None:
    changed = [scan, replace(scan, values=scan.values + np.float32(1)), replace(scan, spacing_mm=(4.0, 4.0, 4.1)),
               replace(scan, origin_mm=(0.0, 0.0, 0.0)), replace(scan, directions=SAGITTAL), replace(scan, unit="HU")]
    task = TASKS["segmentation"]

    task.write_job(tmp_path, scan)

    assert len({task.input_digest(one) for one in changed}) == len(changed)
    assert task.input_digest(task.read_job(tmp_path)) == task.input_digest(scan)


@req("MLK-01")
def test_the_shipped_bundle_is_of_the_first_task_and_its_contract_digest_is_what_it_was() -> None:
    """A release that knows more tasks must not make older locks differ."""
    shipped = opened(read_tree(SHIPPED))

    assert "task" not in shipped.configuration
    assert shipped.task.name == "lesion-at-seed"
    assert shipped.task.packages == ()
    assert contract_digest(shipped.configuration) == CONTRACT_OF_THE_SHIPPED


CONTRACT_OF_THE_SHIPPED = "104a844cbcaac37f62d30887c03ee581ce25a001554cc0c41abd675d85cc4840"


@req("MLK-07")
@pytest.mark.parametrize(("change", "says"), [
    (lambda c: c | {"task": "diagnosis"}, "no task"),
    (lambda c: c | {"structures": []}, "at least one"),
    (lambda c: c | {"preparation": c["preparation"] | {"kind": "eval"}}, "preparation"),
    (lambda c: c | {"preparation": c["preparation"] | {"axes": "RRS"}}, "axes"),
    (lambda c: c | {"contract": {"modality": "MR"}}, "lacks"),
    (lambda c: {part: c[part] for part in c if part != "structures"}, "structures"),
])
def test_a_configuration_that_a_run_could_not_follow_is_not_registered(change: Any, says: str) -> None:
    with pytest.raises(ModelFileUnusable, match=says):
        opened(bundle(stated=change(configuration())))


def _series(name: str, modality: str = "MR", accepted: bool = True) -> GivenSeries:
    return GivenSeries(modality, name, "study", "0" * 64, 20, accepted)


def test_the_series_of_a_segmentation_is_the_one_of_its_modality_or_the_one_named() -> None:
    task = task_of(configuration())
    two = [_series("a"), _series("b"), _series("c", "CT")]

    assert task.chosen([_series("a"), _series("c", "CT")], "MR", None, "S, BL")[0].series == "a"
    assert task.chosen([_series("a", accepted=False), _series("b")], "MR", None, "S, BL")[0].series == "b"
    assert task.chosen(two, "MR", "b", "S, BL")[0].series == "b"
    with pytest.raises(UnusableInput, match="2 MR series"):
        task.chosen(two, "MR", None, "S, BL")
    with pytest.raises(UnusableInput, match="no MR series"):
        task.chosen([_series("c", "CT")], "MR", None, "S, BL")


def test_the_largest_part_touches_at_corners_and_holes_are_filled() -> None:
    inside = np.zeros((9, 9, 9), bool)
    inside[1:4, 1:4, 1:4] = True
    inside[4, 4, 4] = True
    inside[2, 2, 2] = False
    inside[7:9, 7:9, 7:9] = True

    kept = filled(largest_part(inside))

    assert kept.sum() == 28
    assert not kept[8, 8, 8]
    assert not largest_part(np.zeros((3, 3, 3), bool)).any()


@given(st.integers(1, 40), st.integers(1, 40))
def test_the_nearest_voxel_is_the_one_whose_cell_holds_the_centre(before: int, after: int) -> None:
    line = np.arange(before, dtype=np.float32)[:, None, None]

    there = two_step.nearest(line, (after, 1, 1))[:, 0, 0]

    exact = np.minimum(np.floor((np.arange(after) + 0.5) * before / after + 1e-6), before - 1)
    assert np.abs(there - exact).max() <= (0 if before % after == 0 or after % before == 0 else 1)


@given(st.integers(4, 30), st.integers(4, 12))
def test_tiles_cover_the_image_and_never_leave_it(side: int, tile: int) -> None:
    side = max(side, tile)
    covered = np.zeros((side, tile, tile), int)

    for place in tiled.places(covered.shape, [tile, tile, tile], 0.5):
        assert covered[place].shape == (tile, tile, tile)
        covered[place] += 1

    assert covered.min() >= 1
    assert (tiled.gaussian([tile, tile, tile]) > 0).all()
