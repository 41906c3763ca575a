"""A run ends with a value only where contract, domain, component and thresholds all hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.phantoms import SCANNERS, lesion_at, make_volume
from models_registry import pipeline
from models_registry.contract import Study
from models_registry.jobs import CONFIGURATION, SENTINEL
from models_registry.library import SHIPPED
from models_registry.preprocessing import (
    OUTSIDE_HU,
    Image,
    Preparation,
    averaged,
    box_weights,
    crop_origin,
    onto,
)
from models_registry.tasks import TASKS
from tests.req import req

CONFIG: dict[str, Any] = json.loads((SHIPPED / CONFIGURATION).read_text())
PREP = Preparation.read(CONFIG["preparation"])
LESION = lesion_at("liver", "TL01", (46, 38, 42), suv=11.0)


@pytest.fixture(scope="module")
def study() -> Study:
    volume = make_volume(SCANNERS["A"], [LESION, lesion_at("lung left", "TL02", (30, 28, 26))], 77)
    return Study(
        Image(np.rint(volume.ct_hu), volume.ct_grid.origin_mm, volume.ct_grid.spacing_mm),
        Image(volume.pet_suv, volume.pet_grid.origin_mm, volume.pet_grid.spacing_mm),
        LESION.centre_mm, "HU", "{SUVbw}g/ml",
    )


def half_of_the_peak(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """A network that outlines at half of the uptake at the seed: enough to test everything around it."""
    return np.asarray(np.clip(channels[2] * np.float32(0.95), 0, 1), dtype=np.float32)


def never(_: NDArray[np.float32]) -> NDArray[np.float32]:
    raise AssertionError("the network must not be asked")


@req("VAL-08")
def test_the_chain_measures_a_known_lesion(study: Study) -> None:
    """Crop, answer, component, CT grid, operators: volume within 15 %, axes within two pixels of the truth."""
    answer = pipeline.run(study, CONFIG, half_of_the_peak)

    assert answer.status == "finished"
    values = {one.name: float((one.value or "nan").split(" ")[0]) for one in answer.values}
    long_mm, short_mm = LESION.axes_mm()
    assert values["volume"] == pytest.approx(LESION.volume_mm3(), rel=0.15)
    assert values["long_axis"] == pytest.approx(long_mm, abs=4)
    assert values["short_axis"] == pytest.approx(short_mm, abs=4)
    assert answer.mask is not None
    assert answer.mask.shape == study.ct.values.shape


def test_the_other_lesion_is_not_in_the_mask(study: Study) -> None:
    """The lung lesion is as hot; only the component at the seed counts."""
    answer = pipeline.run(study, CONFIG, half_of_the_peak)

    assert answer.mask is not None
    columns = np.flatnonzero(answer.mask.any(axis=(0, 1)))
    centres = study.ct.origin_mm[0] + columns * study.ct.spacing_mm[2]
    assert centres.max() < 0  # the liver lies to the right: negative x


Change = Callable[[Study], Study]


def _ct(study: Study, values: NDArray[Any]) -> Study:
    return replace(study, ct=replace(study.ct, values=values))


def _with_nan(study: Study) -> Study:
    values = study.ct.values.copy()
    values[3, 4, 5] = np.nan
    return _ct(study, values)


BROKEN: dict[str, tuple[str, Change]] = {
    "no-seed": ("undecided", lambda s: replace(s, seed_mm=None)),
    "seed-outside-ct": ("undecided", lambda s: replace(s, seed_mm=(0.0, 0.0, 500.0))),
    "seed-outside-pet": ("undecided", lambda s: replace(s, pet=replace(s.pet, origin_mm=(400.0, 0.0, 0.0)))),
    "ct-unit": ("failed", lambda s: replace(s, ct_unit="1")),
    "pet-unit": ("failed", lambda s: replace(s, pet_unit="Bq/ml")),
    "orientation": ("failed", lambda s: replace(s, axial=False)),
    "frame-of-reference": ("failed", lambda s: replace(s, one_frame=False)),
    "ct-not-finite": ("failed", _with_nan),
    "ct-type": ("failed", lambda s: _ct(s, s.ct.values.astype(np.float64))),
    "ct-shape": ("failed", lambda s: replace(s, seed_mm=s.seed_mm, ct=Image(
        s.ct.values[40:41], (s.ct.origin_mm[0], s.ct.origin_mm[1], LESION.centre_mm[2]), s.ct.spacing_mm))),
    "ct-range": ("failed", lambda s: _ct(s, s.ct.values - np.float32(1024))),
    "ct-constant": ("failed", lambda s: _ct(s, np.zeros_like(s.ct.values))),
    "pet-range": ("failed", lambda s: replace(s, pet=replace(s.pet, values=s.pet.values * np.float32(5000)))),
    "ct-slices": ("failed", lambda s: replace(s, ct=Image(
        s.ct.values[20:28], (s.ct.origin_mm[0], s.ct.origin_mm[1], LESION.centre_mm[2] - 10), s.ct.spacing_mm))),
    "ct-spacing": ("failed", lambda s: replace(s, ct=replace(s.ct, spacing_mm=(7.0, 1.95, 1.95),
                                                            origin_mm=(-186.0, -186.0, -400.0)))),
    "pet-spacing": ("failed", lambda s: replace(s, pet=replace(s.pet, spacing_mm=(9.0, 9.0, 9.0),
                                                               origin_mm=(-400.0, -400.0, -400.0)))),
}


@req("VAL-11", "MLK-03")
@pytest.mark.parametrize("cause", sorted(BROKEN))
def test_each_term_of_the_contract_stops_the_run_before_the_network(cause: str, study: Study) -> None:
    status, change = BROKEN[cause]

    answer = pipeline.run(change(study), CONFIG, never)

    assert (answer.status, answer.cause) == (status, cause)
    assert answer.found
    assert answer.limit
    assert answer.mask is None
    assert answer.values == ()


@req("VAL-11")
def test_images_that_are_no_ct_are_out_of_the_domain(study: Study) -> None:
    """MR-like intensities inside the allowed range: undecided by distance, with the number that was found."""
    swapped = _ct(study, np.where(study.ct.values < -500, 0, 1500 - study.ct.values).astype(np.float32))

    answer = pipeline.run(swapped, CONFIG, never)

    assert (answer.status, answer.cause) == ("undecided", "out-of-domain")
    assert float(answer.found) > float(CONFIG["thresholds"]["largest_domain_distance"])


def flat(value: float) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    return lambda channels: np.full(channels.shape[1:], value, np.float32)


def at_seed(cells: int, value: float = 0.9) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    def network(channels: NDArray[np.float32]) -> NDArray[np.float32]:
        out: NDArray[np.float32] = np.zeros_like(channels[0])
        side = slice(out.shape[0] // 2 - cells, out.shape[0] // 2 + cells)
        for plane in out[side]:
            plane[side, side] = value
        return out

    return network


@req("VAL-11")
@pytest.mark.parametrize(("network", "cause"), [
    (flat(0.1), "nothing-at-seed"), (flat(0.9), "beyond-field"), (at_seed(4, 0.52), "low-confidence"),
    (lambda channels: np.where(channels[3] > 0.8, np.float32(0.51), np.float32(0)), "too-small"),
])
def test_below_its_thresholds_the_model_is_undecided(network: pipeline.Probability, cause: str, study: Study) -> None:
    answer = pipeline.run(study, CONFIG, network)

    assert (answer.status, answer.cause) == ("undecided", cause)
    assert answer.mask is None


@pytest.mark.parametrize(("network", "cause"), [
    (flat(float("nan")), "output-not-finite"), (flat(1.5), "output-range"), (flat(-0.1), "output-range"),
    (lambda channels: np.zeros((4, 4, 4), np.float32), "output-shape"),
    (lambda channels: np.zeros(channels.shape[1:]), "output-type"),
])
def test_an_answer_that_is_none_makes_the_run_fail(network: pipeline.Probability, cause: str, study: Study) -> None:
    answer = pipeline.run(study, CONFIG, network)

    assert (answer.status, answer.cause) == ("failed", cause)


@req("REC-14")
def test_the_input_digest_sees_values_geometry_units_and_seed(study: Study) -> None:
    changed = [
        study, _ct(study, study.ct.values + np.float32(1)), replace(study, seed_mm=(1.0, 2.0, 3.0)),
        replace(study, seed_mm=None), replace(study, pet_unit="x"), replace(study, axial=False),
        replace(study, ct=replace(study.ct, spacing_mm=(2.5, 1.9, 1.9))),
    ]

    assert len({pipeline.input_digest(one) for one in changed}) == len(changed)


def test_a_job_comes_back_from_its_files_as_it_was(study: Study, tmp_path: Any) -> None:
    task = TASKS["lesion-at-seed"]

    task.write_job(tmp_path, study)

    assert pipeline.input_digest(task.read_job(tmp_path)) == pipeline.input_digest(study)


def test_the_sentinel_of_the_shipped_bundle_passes_its_contract() -> None:
    sentinel = TASKS["lesion-at-seed"].sentinel({SENTINEL: (SHIPPED / SENTINEL).read_bytes()})

    assert pipeline.run(sentinel, CONFIG, half_of_the_peak).status == "finished"


positions = st.floats(-40, 40)
steps = st.floats(0.7, 7)


@given(positions, steps, positions)
def test_averaging_conserves_what_lies_inside_the_cube(first: float, step: float, target: float) -> None:
    """Each target cell's weights sum to the share of it inside the field; no voxel counts more than its length."""
    weights = box_weights(first, step, 30, target, 5.0, 12)

    assert (weights.sum(1) <= 1 + 1e-9).all()
    assert (weights.sum(0) * 5.0 <= step + 1e-9).all()


def test_a_constant_image_stays_constant_and_air_surrounds_it() -> None:
    image = Image(np.full((40, 40, 40), 50.0, np.float32), (0.0, 0.0, 0.0), (3.0, 3.0, 3.0))
    origin = crop_origin((60.0, 60.0, 60.0), PREP)

    cube = averaged(image, origin, PREP.cell_mm, PREP.cells, OUTSIDE_HU)

    assert cube[24, 24, 24] == pytest.approx(50, abs=1e-3)
    assert cube[0, 0, 0] == OUTSIDE_HU


def test_a_ball_keeps_its_volume_on_its_way_to_the_network_and_back() -> None:
    """Occupancy averaged to 5.3 mm cells and interpolated back to 2 mm: volume within 3 %."""
    axis = (np.arange(90) - 45) * 2.0
    ball = (axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2 <= 28.0**2)
    image = Image(ball, (-90.0, -90.0, -90.0), (2.0, 2.0, 2.0))
    origin = crop_origin((1.3, -0.7, 0.4), PREP)

    back = onto(averaged(image, origin, PREP.cell_mm, PREP.cells, 0.0), origin, PREP.cell_mm, image) >= 0.5

    assert back.sum() == pytest.approx(ball.sum(), rel=0.03)
