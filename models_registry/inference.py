"""Runs a network: with networks/ the only place of the house that imports torch and MONAI, and only in the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks.nets.unet import UNet
from numpy.typing import NDArray
from safetensors.torch import load as tensors_from
from safetensors.torch import save as bytes_of

from models_registry.networks.linknet import LinkNet3d
from models_registry.networks.meshnet import MeshNet
from models_registry.networks.nnunet import NnUNet

DEVICES = ("cpu", "cuda")
ABSENT = "absent"
Build = Callable[[Mapping[str, Any]], torch.nn.Module]


def be_deterministic(threads: int, seed: int = 0) -> None:
    """One state of torch for training and inference: fixed threads, deterministic kernels, a seed."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.set_flush_denormal(False)
    # Of a GPU: no search for the fastest kernel, which may be another each time, and no rounding to TF32.
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def _unet(stated: Mapping[str, Any]) -> torch.nn.Module:
    network: torch.nn.Module = UNet(
        spatial_dims=int(stated["spatial_dims"]), in_channels=int(stated["in_channels"]),
        out_channels=int(stated["out_channels"]), channels=tuple(stated["channels"]), strides=tuple(stated["strides"]),
        num_res_units=int(stated["num_res_units"]),
    )
    return network


KINDS: dict[str, Build] = {
    "UNet": _unet, "LinkNet3d": lambda _: LinkNet3d(), "MeshNet": lambda stated: MeshNet(stated["layers"]),
    "nnU-Net": NnUNet,
}


def network_of(stated: Mapping[str, Any]) -> torch.nn.Module:
    """The network that a bundle's configuration states; of several `parts` one each, side by side.

    Raises ValueError for a kind this release does not have.
    """
    if stated["kind"] not in KINDS:
        raise ValueError(f"network kind {stated['kind']!r} is not among {', '.join(KINDS)}")
    build = KINDS[stated["kind"]]
    if "parts" in stated:
        return torch.nn.ModuleDict({str(part): build(stated) for part in stated["parts"]})
    return build(stated)


class Loaded:
    """A network with its weights, ready to answer."""

    def __init__(self, stated: Mapping[str, Any], weights: bytes, threads: int, device: str = "cpu") -> None:
        """`weights` are the bytes of a safetensors file: no code runs on reading them (MLK-07).

        Raises ValueError where tensors are missing, unknown, of another shape or not finite.
        """
        be_deterministic(threads)
        self._network = network_of(stated)
        tensors = tensors_from(weights)
        for name, tensor in tensors.items():
            if not bool(torch.isfinite(tensor).all()):
                raise ValueError(f"tensor {name} holds values that are not finite")
        try:
            self._network.load_state_dict(tensors, strict=True)
        except RuntimeError as error:
            raise ValueError(f"weights do not fit the stated network: {error}") from error
        self._device = torch.device(device)
        self._network.to(self._device).eval()
        self.parts = tuple(str(part) for part in stated.get("parts", [""]))

    def probability(self, channels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability of lesion per cell, shape (cells, cells, cells), from channels (4, cells, cells, cells)."""
        with torch.inference_mode():
            answer = torch.sigmoid(self._network(torch.from_numpy(channels[None]).to(self._device)))
        return np.asarray(answer[0, 0].cpu().numpy(), dtype=np.float32)

    def scores(self, channels: NDArray[np.float32], part: str = "") -> NDArray[np.float32]:
        """Every output channel of one part as the network gives it, channels first."""
        network = self._network[part] if isinstance(self._network, torch.nn.ModuleDict) else self._network
        with torch.inference_mode():
            answer = network(torch.from_numpy(channels[None]).to(self._device))
        return np.asarray(answer[0].cpu().numpy(), dtype=np.float32)


def saved(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Tensors as the bytes of a safetensors file, each with its own storage; the same bytes for the same tensors."""
    return bytes_of({name: tensors[name].detach().clone().contiguous() for name in sorted(tensors)})


def device_here(device: str) -> str:
    """What computes here: cpu, the name of the GPU, or absent. Raises ValueError for a device this release cannot."""
    if device not in DEVICES:
        raise ValueError(f"device {device!r} is not among {DEVICES}")
    if device == "cpu":
        return device
    return f"{device}: {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else ABSENT


def torch_state(device: str = "cpu") -> dict[str, str]:
    """What of torch and of the device decides about the bits of an answer."""
    gpu = {}
    if device != "cpu":
        driver = Path("/proc/driver/nvidia/version")
        version = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        gpu = {"cudnn": str(version or ABSENT),
               "driver": driver.read_text().splitlines()[0] if driver.is_file() else ABSENT}
    return gpu | {
        "device": device_here(device),
        "cpu_capability": str(torch.backends.cpu.get_cpu_capability()),
        "threads": str(torch.get_num_threads()),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()).lower(),
        "mkldnn": str(torch.backends.mkldnn.enabled).lower(),
        "cuda": str(torch.version.cuda or "none"),
    }
