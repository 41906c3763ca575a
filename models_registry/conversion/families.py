"""What each kind of source becomes: preparation, contract, structures, sentinel and documents of its bundle. Pure.

Numbers that its maker published are taken over; limits that its maker did not state are ours, and the bundle says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from core.errors import UnusableInput
from models_registry.conversion.sentinels import a_head, blocks, part_of_a_head
from models_registry.segmentation.state import Scan

APACHE, MIT = "Apache-2.0", "MIT"
BRAIN = ["12738006", "SCT", "Brain"]
WHITE, GREY = ["389080008", "SCT", "White Matter"], ["389081007", "SCT", "Gray Matter"]
ANATOMY = ["91723000", "SCT", "Anatomical Structure"]
# An adult brain with its fluid, and an adult's tissues: outside this the answer is implausible, and undecided.
BRAIN_ML, TISSUE_ML = ("700", "2200"), ("250", "1200")
STATED = ("code", "least_ml", "most_ml")
LIKE = '{"liver": {"code": ["10200004", "SCT", "Liver"], "least_ml": "500", "most_ml": "4000"}}'
NOT_STATED = "The maker states nothing of this; it is open until the custodian completes it."


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person who converts states: name and version of the bundle, and what the source does not say: licence,
    orientation of the training arrays, structures with codes and plausible volumes, documents."""

    name: str
    version: str
    licence: str = ""
    axes: str = ""
    structures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    intended_use: str = ""
    data_statement: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """The parts of a bundle that do not come from the tensors."""

    configuration: dict[str, Any]
    metadata: dict[str, Any]
    sentinel: Scan
    intended_use: str
    data_statement: str
    licence: str


def check_wishes(kind: str, wishes: Wishes) -> None:
    """What can be said of the statements before anything is read. Raises UnusableInput."""
    if kind == "nnunet" and not wishes.licence:
        raise UnusableInput("A model folder of nnU-Net names no licence; state the one under which it was given.",
                            next_step="Give its SPDX id, such as --licence Apache-2.0. Nothing was read.")
    if kind == "deepbet" and (wishes.structures or wishes.axes):
        raise UnusableInput("deepbet has one structure and known axes; other ones cannot be stated.",
                            next_step="Leave --structures and --axes out. Nothing was read.")
    for name, stated in wishes.structures.items():
        if problem := _not_a_structure(stated):
            raise UnusableInput(f"The structure {name} is not stated as it must be: {problem}.",
                                next_step=f"Write it like {LIKE}; each part may be left out. Nothing was read.")


def _not_a_structure(stated: Any) -> str | None:
    """What is wrong with one statement, None where nothing is."""
    if not isinstance(stated, dict):
        return "it is no object"
    if other := sorted(set(stated) - set(STATED)):
        return f"{', '.join(other)} is none of {', '.join(STATED)}"
    code = stated.get("code", ANATOMY)
    if not isinstance(code, list) or len(code) != 3 or not all(isinstance(one, str) and one.strip() for one in code):
        return "code is no list of three texts: value, coding scheme, meaning"
    try:
        bounds = [Decimal(str(stated.get(name, default))) for name, default in (("least_ml", 0), ("most_ml", 1))]
    except InvalidOperation:
        return "least_ml and most_ml are no decimal numbers"
    given = "least_ml" in stated and "most_ml" in stated
    if not all(one.is_finite() and one >= 0 for one in bounds) or (given and bounds[0] >= bounds[1]):
        return "least_ml is not below most_ml, or one of them is negative"
    return None


def made(kind: str, found: Mapping[str, Any], wishes: Wishes) -> Made:
    """Raises UnusableInput where a statement does not fit the source."""
    return {"deepbet": _deepbet, "meshnet-tfjs": _meshnet, "nnunet": _nnunet}[kind](found, wishes)


def _configuration(found: Mapping[str, Any], preparation: dict[str, Any], contract: dict[str, Any],
                   thresholds: dict[str, str], structures: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "task": "segmentation", "network": found["network"], "preparation": preparation, "contract": contract,
        "thresholds": thresholds, "structures": structures,
        "domain": {"stated": "none: the maker published no statistics of the training inputs"},
        "runtime": {"threads": 2, "dtype": "float32", "deterministic": True},
    }


def _metadata(wishes: Wishes, licence: str, task: str, limits: str, resolution_mm: str) -> dict[str, Any]:
    return {"name": wishes.name, "version": wishes.version, "license": licence, "task": task, "limits": limits,
            "resolution_mm": resolution_mm, "authors": "Third party; see docs/conversion.json", "changelog": {}}


def _structure(name: str, labels: list[int], code: list[str], bounds: tuple[str, str]) -> dict[str, Any]:
    return {"name": name, "labels": labels, "code": code, "least_ml": bounds[0], "most_ml": bounds[1]}


def _deepbet(found: Mapping[str, Any], wishes: Wishes) -> Made:
    configuration = _configuration(
        found,
        {"kind": "two-step", "axes": "RAS", "box_sides": [128, 128, 128], "mask_sides": [256, 256, 256],
         "margin": "0.1", "low_quantile": "0.005", "high_quantile": "0.995", "mean": "0.449", "spread": "0.226"},
        {"modality": "MR", "unit": "1", "largest_in_plane_mm": "2", "largest_between_slices_mm": "2",
         "fewest_slices": 64, "most_voxels": 60_000_000, "fewest_sides": 64},
        {"probability": "0.5", "least_confidence": "0.80"},
        [_structure("brain", [1], BRAIN, BRAIN_ML)],
    )
    return Made(
        configuration,
        _metadata(wishes, wishes.licence or MIT, "Brain extraction from T1-weighted MR",
                  "Adults, T1-weighted MR of the whole head, voxels of at most 2 mm. The limits on voxels and on "
                  "volume (700 to 2200 ml) are the converter's, not the maker's.", "1"),
        a_head(),
        wishes.intended_use or _use(wishes.name, "the brain with its fluid", "T1-weighted MR of a whole adult head"),
        wishes.data_statement or _data("7,837 T1-weighted volumes of adults from 191 studies (Fisch et al. 2024)"),
        wishes.licence or MIT,
    )


def _meshnet(found: Mapping[str, Any], wishes: Wishes) -> Made:
    classes = int(found["network"]["layers"][-1]["out"])
    if classes in (2, 3) and wishes.structures:
        raise UnusableInput(f"The structures of a MeshNet of {classes} classes are known; others cannot be stated.",
                            next_step="Leave --structures out. Nothing was written.")
    if classes == 3:
        structures = [_structure("white_matter", [1], WHITE, TISSUE_ML),
                      _structure("grey_matter", [2], GREY, TISSUE_ML), _structure("brain", [1, 2], BRAIN, BRAIN_ML)]
    elif classes == 2:
        structures = [_structure("brain", [1], BRAIN, BRAIN_ML)]
    else:
        structures = _wished({f"class {number}": number for number in range(1, classes)}, wishes)
    configuration = _configuration(
        found,
        {"kind": "conformed", "axes": wishes.axes or "LIA", "voxel_mm": "1", "low_quantile": "0.02",
         "high_quantile": "0.98"},
        {"modality": "MR", "unit": "1", "largest_in_plane_mm": "2", "largest_between_slices_mm": "2",
         "fewest_slices": 32, "most_voxels": 30_000_000, "fewest_sides": 32},
        {"least_confidence": "0.50"}, structures,
    )
    return Made(
        configuration,
        _metadata(wishes, wishes.licence or MIT, "Tissues of the brain from T1-weighted MR",
                  "Adults, T1-weighted MR of the whole head, voxels of at most 2 mm. The limits on voxels and on "
                  "volumes are the converter's, not the maker's.", "1"),
        part_of_a_head(),
        wishes.intended_use or _use(wishes.name, "the tissues of the brain", "T1-weighted MR of a whole adult head"),
        wishes.data_statement or _data(NOT_STATED), wishes.licence or MIT,
    )


def _nnunet(found: Mapping[str, Any], wishes: Wishes) -> Made:
    channel, preparation = str(found["channel"]), dict(found["preparation"])
    modality, unit = ("CT", "HU") if channel == "CT" else ("MR", "1")
    spacing = [float(side) for side in preparation["spacing_mm"]]
    preparation["axes"] = wishes.axes or "SPL"
    largest = f"{2 * max(spacing):g}"
    structures = _wished(found["labels"], wishes)
    configuration = _configuration(
        found, preparation,
        {"modality": modality, "unit": unit, "largest_in_plane_mm": largest, "largest_between_slices_mm": largest,
         "fewest_slices": 3, "most_voxels": 200_000_000, "fewest_sides": 3},
        {"least_confidence": "0"}, structures,
    )
    limits = (f"{modality} with slices and pixels of at most {largest} mm (twice the spacing of training; the "
              "converter's limit). Where no plausible volume is stated, none is checked.")
    return Made(
        configuration, _metadata(wishes, wishes.licence, f"Segmentation of {', '.join(found['labels'])}", limits,
                                 f"{max(spacing):g}"),
        blocks(modality, unit, tuple(spacing)), wishes.intended_use or _use(wishes.name, "the labelled structures",
                                                                            f"one {modality} series"),
        wishes.data_statement or _data(NOT_STATED), wishes.licence,
    )


def _wished(labels: Mapping[str, int], wishes: Wishes) -> list[dict[str, Any]]:
    """One structure a label, with the code and plausible volume that were stated for it."""
    unknown = sorted(set(wishes.structures) - set(labels))
    if unknown:
        raise UnusableInput(f"The model has no label {', '.join(unknown)}; it has {', '.join(labels)}.",
                            next_step="Name its labels in the file of --structures. Nothing was written.")
    found = []
    for name, label in labels.items():
        stated = wishes.structures.get(name, {})
        plain = "_".join("".join(letter if letter.isalnum() else " " for letter in name).split()).lower()
        found.append(_structure(plain, [label], [str(part) for part in stated.get("code", ANATOMY)],
                                (str(stated.get("least_ml", "0")), str(stated.get("most_ml", "1000000")))))
    return found


def _use(name: str, what: str, images: str) -> str:
    return (f"# Intended use of {name}\n\n**Context of use.** In a clinical trial, to propose the outline and volume "
            f"of {what} on {images}. The proposal is shown to a person, who decides.\n\n**Not for.** Diagnosis, or any "
            "decision that no person takes. This text came with the conversion: the custodian replaces it before the "
            "model serves a use of a trial.\n")


def _data(text: str) -> str:
    return f"# Data\n\nTrained by a third party. {text}\n"
