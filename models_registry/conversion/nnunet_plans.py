"""What the plans of an nnU-Net v2 model mean for this release: its network, its preparation, its labels. Pure.

Only what is reproduced exactly is accepted: one input channel, labels (no regions), default resampling, instance norm
and leaky ReLU. Everything else is refused with its name, never approximated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SCHEMES = ("CTNormalization", "ZScoreNormalization", "RescaleTo01Normalization", "NoNormalization")
NETWORKS = ("PlainConvUNet", "ResidualEncoderUNet")
RESAMPLING = {
    "resampling_fn_data": ("resample_data_or_seg_to_shape", {"is_seg": False, "order": 3, "order_z": 0,
                                                             "force_separate_z": None}),
    "resampling_fn_probabilities": ("resample_data_or_seg_to_shape", {"is_seg": False, "order": 1, "order_z": 0,
                                                                      "force_separate_z": None}),
}


class PlansRefused(Exception):
    """The plans ask for something that this release does not do as nnU-Net does it; names what."""


def is_copy(name: str) -> bool:
    """Whether a parameter is a second name of another: modules list their parts twice, the decoder its encoder."""
    return ".all_modules." in name or name.startswith("decoder.encoder.")


def read(plans: Mapping[str, Any], dataset: Mapping[str, Any], configuration: str) -> dict[str, Any]:
    """Network, preparation and labels. Raises PlansRefused."""
    try:
        stated = _inherited(plans["configurations"], configuration)
        labels = _labels(dataset["labels"])
        channels = dataset.get("channel_names", dataset.get("modality"))
        if len(channels) != 1:
            raise PlansRefused(f"The model takes {len(channels)} channels; a segmentation here takes one series.")
        if dataset.get("regions_class_order") is not None:
            raise PlansRefused("The model answers with regions; labels are needed.")
        if stated.get("previous_stage") or stated.get("previous_stage_name"):
            raise PlansRefused("The model is the second stage of a cascade; a single stage is needed.")
        _default_resampling(stated)
        return {
            "network": _network(stated["architecture"], 1, len(labels) + 1),
            "preparation": {
                "kind": "tiled", "transpose": [int(axis) for axis in plans["transpose_forward"]],
                "spacing_mm": [repr(float(side)) for side in stated["spacing"]],
                "patch": [int(side) for side in stated["patch_size"]], "step": "0.5",
                "normalisation": _normalisation(stated, plans),
            },
            "labels": labels, "configuration": configuration,
            "plans": str(plans.get("plans_name", "")), "channel": str(next(iter(channels.values()))),
        }
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise PlansRefused(f"The plans are not readable: {type(error).__name__} {error}.") from error


def _inherited(configurations: Mapping[str, Any], name: str) -> dict[str, Any]:
    stated = dict(configurations[name])
    seen = {name}
    while "inherits_from" in stated:
        parent = str(stated.pop("inherits_from"))
        if parent in seen:
            raise PlansRefused(f"Configuration {parent} inherits from itself.")
        seen.add(parent)
        stated = {**configurations[parent], **stated}
    return stated


def _labels(stated: Mapping[str, Any]) -> dict[str, int]:
    if any(not isinstance(value, int) for value in stated.values()):
        raise PlansRefused("A label is made of several values; plain labels are needed.")
    if "ignore" in stated:
        raise PlansRefused("The model was trained with an ignore label; this release has not been held against one.")
    labels = {str(name): int(value) for name, value in stated.items() if value != 0}
    if sorted(labels.values()) != list(range(1, len(labels) + 1)):
        raise PlansRefused("The labels are not numbered from one without a gap.")
    return labels


def _default_resampling(stated: Mapping[str, Any]) -> None:
    for name, (function, wanted) in RESAMPLING.items():
        if stated.get(name) != function or dict(stated.get(f"{name}_kwargs", {})) != wanted:
            raise PlansRefused(f"{name} is not nnU-Net's default ({function}).")
    if stated.get("preprocessor_name") != "DefaultPreprocessor":
        raise PlansRefused(f"The preprocessor is {stated.get('preprocessor_name')}; DefaultPreprocessor is needed.")


def _normalisation(stated: Mapping[str, Any], plans: Mapping[str, Any]) -> dict[str, Any]:
    scheme = str(stated["normalization_schemes"][0])
    if scheme not in SCHEMES:
        raise PlansRefused(f"Normalisation {scheme} is not one of {', '.join(SCHEMES)}.")
    found: dict[str, Any] = {"scheme": scheme, "inside_only": bool(stated["use_mask_for_norm"][0])}
    if scheme == "CTNormalization":
        numbers = plans["foreground_intensity_properties_per_channel"]["0"]
        found |= {ours: repr(float(numbers[theirs])) for ours, theirs in (
            ("mean", "mean"), ("std", "std"), ("low", "percentile_00_5"), ("high", "percentile_99_5"))}
    return found


def _network(architecture: Mapping[str, Any], channels: int, classes: int) -> dict[str, Any]:
    kind = str(architecture["network_class_name"]).rsplit(".", 1)[-1]
    stated = architecture["arch_kwargs"]
    if kind not in NETWORKS:
        raise PlansRefused(f"Network {kind} is not one of {', '.join(NETWORKS)}.")
    residual = kind == "ResidualEncoderUNet"
    dimensions = 3 if str(stated["conv_op"]).endswith("Conv3d") else 2
    norm, active = str(stated["norm_op"]), str(stated["nonlin"])
    if not norm.endswith(f"InstanceNorm{dimensions}d") or not active.endswith("LeakyReLU") or stated.get("dropout_op"):
        raise PlansRefused("The network uses another normalisation or activation than nnU-Net's default, or dropout.")
    if stated.get("nonlin_first") or stated.get("bottleneck_channels") or stated.get("stem_channels"):
        raise PlansRefused("The network has a bottleneck, another stem or another order than nnU-Net's default.")
    if str(stated.get("block", "BasicBlockD")).rsplit(".", 1)[-1] != "BasicBlockD":
        raise PlansRefused(f"Residual blocks of kind {stated['block']} are not known here.")
    stages = int(stated["n_stages"])
    blocks = _each(stated["n_blocks_per_stage" if residual else "n_conv_per_stage"], stages)
    return {
        "kind": "nnU-Net", "residual": residual, "dimensions": dimensions, "in_channels": channels,
        "out_channels": classes, "features": _each(stated["features_per_stage"], stages),
        "kernels": _sides(stated["kernel_sizes"], stages, dimensions),
        "strides": _sides(stated["strides"], stages, dimensions),
        "blocks": blocks, "decoder_blocks": _each(stated["n_conv_per_stage_decoder"], stages - 1),
        "conv_bias": bool(stated["conv_bias"]),
        "norm_eps": repr(float(stated["norm_op_kwargs"].get("eps", 1e-5))),
        "norm_affine": bool(stated["norm_op_kwargs"].get("affine", False)),
        "negative_slope": repr(float((stated.get("nonlin_kwargs") or {}).get("negative_slope", 0.01))),
    }


def _each(stated: int | Sequence[int], count: int) -> list[int]:
    found = [int(stated)] * count if isinstance(stated, int) else [int(one) for one in stated]
    if len(found) != count:
        raise ValueError(f"{count} numbers are needed, not {len(found)}")
    return found


def _sides(stated: int | Sequence[Any], count: int, dimensions: int) -> list[list[int]]:
    rows = [stated] * count if isinstance(stated, int) else list(stated)
    found = [[int(row)] * dimensions if isinstance(row, int) else [int(side) for side in row] for row in rows]
    if len(found) != count or any(len(row) != dimensions for row in found):
        raise ValueError(f"{count} times {dimensions} sides are needed")
    return found
