"""What the drift monitors compare of a run: features of its images, and of its answer."""

from __future__ import annotations

import json
import math

import numpy as np

from audit.entry import base64_text
from audit.vocabulary.registry import ObjectRef
from core.objects import JSON
from core.reads.ports import keeper_of
from core.work import Desk
from models_registry.answer import Answer
from models_registry.queries import RunRow
from models_registry.segmentation.state import Scan
from models_registry.tasks import Given

# Every second slice and fourth row and column: a mean over the body needs no more, and a run must not wait for it.
THINNED = (slice(None, None, 2), slice(None, None, 4), slice(None, None, 4))


def keep_sample(desk: Desk, row: RunRow, study: Given, answer: Answer, seal: str | None) -> ObjectRef:
    """Store the features of a run, encrypted under the subject's key; those of a blinded answer under its seal first.

    `seal`: commitment of the blinded read that the run belongs to. Of an undecided blinded run only the images speak.
    """
    stated: dict[str, object] = {"run": row.run, "inputs": input_features(study, answer)}
    outputs = output_features(answer)
    if seal is not None:
        name = f"{row.run}/sample"
        held = keeper_of(desk.signer).enclose(seal, name, json.dumps(outputs, sort_keys=True).encode())
        stated["enclosed"] = {"commit": seal, "name": name, "data": base64_text(held)}
    elif not row.sealed or answer.status == "finished":
        stated["outputs"] = outputs
    return desk.objects.put(json.dumps(stated, sort_keys=True).encode(), JSON, subject=f"{row.trial}/{row.subject}")


def input_features(study: Given, answer: Answer) -> dict[str, str]:
    """Spacings in mm, mean and spread of tissue in HU, mean uptake in SUV, and the distance to the training inputs; of
    a segmentation spacings, mean and spread of its one series, in the unit of that."""
    if isinstance(study, Scan):
        thinned = study.values[THINNED]
        return {"slice_mm": f"{study.spacing_mm[0]:.3f}", "pixel_mm": f"{study.spacing_mm[2]:.3f}",
                "mean": f"{float(np.mean(thinned, dtype=np.float64)):.4g}",
                "spread": f"{float(np.std(thinned, dtype=np.float64)):.4g}"}
    ct, pet = study.ct.values[THINNED], study.pet.values[THINNED]
    body, soft = ct[ct > -500], ct[(ct > -300) & (ct < 300)]
    found = {
        "ct_slice_mm": f"{study.ct.spacing_mm[0]:.3f}", "ct_pixel_mm": f"{study.ct.spacing_mm[2]:.3f}",
        "pet_slice_mm": f"{study.pet.spacing_mm[0]:.3f}",
    }
    for name, values, digits in (("ct_mean_hu", body, 1), ("pet_mean_suv", pet, 4)):
        if values.size:
            found[name] = f"{float(np.mean(values, dtype=np.float64)):.{digits}f}"
    if soft.size:
        found["ct_spread_hu"] = f"{float(np.std(soft, dtype=np.float64)):.1f}"
    if answer.domain_distance:
        found["domain_distance"] = answer.domain_distance
    return found


def output_features(answer: Answer) -> dict[str, str]:
    """Mean confidence and the logarithm of the volume (volumes are skewed) for drift; volume and axis for bridging."""
    found = {"confidence": answer.confidence} if answer.confidence else {}
    for one in answer.values:
        if one.name == "volume" and one.value is not None:
            number, unit = one.value.split(" ", 1)
            if unit == "mm3" and float(number) > 0:
                found |= {"log_volume": f"{math.log(float(number)):.4f}", "volume_mm3": number}
        if one.name == "long_axis" and one.value is not None and one.value.endswith(" mm"):
            found["long_axis_mm"] = one.value.removesuffix(" mm")
    return found
