"""Real CT and PET meet the input contract; what they measure is for the qualification alone and not asked here."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest

from core.dicom.volume import load_volume
from models_registry.contract import Study, input_breach, use_breach
from models_registry.library import SHIPPED
from models_registry.tasks.lesion_at_seed import as_image, is_axial
from models_registry.training.samples import split
from tests.req import req

CONTRACT = json.loads((SHIPPED / "configs" / "inference.json").read_text())["contract"]


@pytest.mark.realdata
@req("MLK-03", "VAL-08")
@pytest.mark.parametrize("subject", split()["demonstrated"])
def test_a_real_pet_ct_is_what_the_contract_asks(subject: str, data: Path) -> None:
    """Units, orientation, frame, spacing and ranges as loaded by core/dicom."""
    volumes = {
        modality: load_volume([pydicom.dcmread(path) for path in sorted(
            (data / "petct-mr-rtstruct-sts" / subject / modality / "image").glob("*.dcm"))])
        for modality in ("CT", "PET")
    }
    ct, pet = volumes["CT"], volumes["PET"]
    image = as_image(ct)
    middle = tuple(image.origin_mm[i] + image.spacing_mm[2 - i] * image.values.shape[2 - i] / 2 for i in range(3))
    study = Study(image, as_image(pet), (middle[0], middle[1], middle[2]), ct.unit, pet.unit,
                  is_axial(ct) and is_axial(pet), ct.geometry.frame_of_reference == pet.geometry.frame_of_reference)

    assert use_breach(study, CONTRACT) is None
    assert input_breach(study, CONTRACT) is None
