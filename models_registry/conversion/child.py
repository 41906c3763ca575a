"""The converter process: reads a source that its maker packed as pickle or TorchScript, and writes plain tensors.

Started by usecases.py as `python -P -s child.py ROOT FOLDER`, behind the walls of isolation.py: no network, no rights,
limits of time, memory, files and processes. FOLDER holds source/ (private copy) and order.json; it leaves
out/weights.safetensors and out/found.json there. Exit 3: the source was refused, and out/refused.json says why.
"""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

REFUSED = 3
# What a source may hold unpacked; deepbet's wheel is 17 MB, large nnU-Net checkpoints some hundred.
LARGEST, MOST_FILES = 2 << 30, 2000
CHECKPOINT = "checkpoint_final.pth"


class SourceRefused(Exception):
    """The source is not what it is said to be, or holds what no bundle may; the words are for the person."""


def main(folder: Path) -> int:
    """Read the source as the order says, and write what was found."""
    from models_registry.worker import no_network

    no_network()
    order = json.loads((folder / "order.json").read_text())
    out = folder / "out"
    out.mkdir(mode=0o700)
    try:
        tensors, found = KINDS[order["kind"]](source_of(folder / "source"))
        from models_registry import inference

        found["dropped"] = sorted(found.get("dropped", []))
        data = inference.saved(tensors)
        try:
            # The network of this release takes exactly these tensors, finite, or nothing is written.
            inference.Loaded(found["network"], data, 2)
        except (ValueError, KeyError, TypeError) as error:
            raise SourceRefused(f"The tensors do not fit the network: {_short(error)}.") from error
    except SourceRefused as refusal:
        (out / "refused.json").write_text(json.dumps({"why": str(refusal)}))
        return REFUSED
    (out / "weights.safetensors").write_bytes(data)
    (out / "found.json").write_text(json.dumps(found, sort_keys=True))
    return 0


# -- archives: read by name from memory, never unpacked to paths -------------------------------------------------------


def source_of(folder: Path) -> dict[str, bytes]:
    """Every file of the source by relative path; one zip archive counts as the files in it."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    if len(files) == 1:
        (name, path), = files.items()
        if name.endswith((".whl", ".zip")):
            return unzipped(path.read_bytes())
    return {name: path.read_bytes() for name, path in files.items()}


def unzipped(data: bytes) -> dict[str, bytes]:
    """The members of an archive. Raises SourceRefused for paths that lead out of it, links, doubles, or too much."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > MOST_FILES or sum(one.file_size for one in members) > LARGEST:
                raise SourceRefused(f"The archive holds more than {MOST_FILES} files or {LARGEST} bytes.")
            found: dict[str, bytes] = {}
            for one in members:
                if one.filename.startswith("/") or ".." in one.filename.split("/") or "\\" in one.filename:
                    raise SourceRefused(f"The archive names {one.filename!r}, which leads out of it.")
                if one.external_attr >> 16 & 0o170000 == 0o120000:
                    raise SourceRefused(f"{one.filename} in the archive is a link.")
                if one.filename in found:
                    raise SourceRefused(f"The archive names {one.filename} twice.")
                if not one.is_dir():
                    with archive.open(one) as member:
                        found[one.filename] = _bounded(member, one.file_size, one.filename)
            return found
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise SourceRefused(f"The source is no readable archive: {_short(error)}.") from error


def _bounded(member: Any, size: int, name: str) -> bytes:
    data: bytes = member.read(size + 1)
    if len(data) != size:
        raise SourceRefused(f"{name} in the archive is not as long as the archive says.")
    return data


def _needed(files: Mapping[str, bytes], name: str) -> bytes:
    fitting = [path for path in files if path == name or path.endswith("/" + name)]
    if len(fitting) != 1:
        raise SourceRefused(f"The source holds {len(fitting)} files {name}; one is needed.")
    return files[fitting[0]]


# -- kinds of source ---------------------------------------------------------------------------------------------------


def deepbet(files: Mapping[str, bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two TorchScript archives of a deepbet wheel; their code is left behind, our LinkNet3d runs the tensors."""
    tensors: dict[str, Any] = {}
    dropped = []
    for part, name in (("box", "data/models/bbox_model.pt"), ("mask", "data/models/model.pt")):
        state = _scripted(_needed(files, name), name)
        tensors |= {f"{part}.{key}": value for key, value in state.items()}
        dropped.append(f"{name}: TorchScript code")
    return tensors, {"network": {"kind": "LinkNet3d", "parts": ["box", "mask"]}, "dropped": dropped}


def _scripted(data: bytes, name: str) -> dict[str, Any]:
    import torch

    try:
        script: Any = torch.jit.load(io.BytesIO(data), map_location="cpu")  # type: ignore[no-untyped-call]
        return dict(script.state_dict())
    except Exception as error:
        raise SourceRefused(f"{name} is no TorchScript archive that can be read: {_short(error)}.") from error


def meshnet(files: Mapping[str, bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A MeshNet in TensorFlow.js layers format: convolutions with ReLU between them, and nothing else."""
    import numpy as np
    import torch

    try:
        stated = json.loads(_needed(files, "model.json"))
        topology = stated["modelTopology"]
        layers = topology.get("model_config", topology)["config"]["layers"]
        manifest = [one for group in stated["weightsManifest"] for one in group["weights"]]
        paths = [path for group in stated["weightsManifest"] for path in group["paths"]]
        data = b"".join(_needed(files, str(path)) for path in paths)
        built = _meshnet_layers(layers)
        tensors: dict[str, Any] = {}
        begin = 0
        for weight in manifest:
            if weight["dtype"] != "float32" or "quantization" in weight:
                raise SourceRefused(f"{weight['name']} is not float32.")
            shape = [int(side) for side in weight["shape"]]
            end = begin + 4 * int(np.prod(shape))
            values = np.frombuffer(data[begin:end], "<f4").reshape(shape)
            begin = end
            layer, _, kind = str(weight["name"]).rpartition("/")
            axes = (4, 3, 0, 1, 2) if kind == "kernel" else (0,)
            name = {"kernel": "weight", "bias": "bias"}.get(kind)
            if name is None or layer not in {one["name"] for one in built}:
                raise SourceRefused(f"{weight['name']} belongs to no convolution.")
            tensors[f"layers.{layer}.{name}"] = torch.from_numpy(values.transpose(axes).copy())
        if begin != len(data):
            raise SourceRefused(f"The weights are {len(data)} bytes; the manifest names {begin}.")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceRefused(f"model.json or its weights are not readable: {_short(error)}.") from error
    return tensors, {"network": {"kind": "MeshNet", "layers": built}}


def _meshnet_layers(layers: list[Any]) -> list[dict[str, Any]]:
    built: list[dict[str, Any]] = []
    channels = 0
    for layer in layers:
        kind, stated = layer["class_name"], layer["config"]
        name = str(stated["name"])
        if kind == "InputLayer":
            channels = int(stated["batch_input_shape"][-1])
        elif kind == "Activation" and stated["activation"] == "relu" and built:
            built[-1]["relu"] = True
        elif kind in ("Conv3D", "Conv3d") and not name.endswith("_gn") and stated.get("use_bias", True):
            kernel, dilation = stated["kernel_size"], stated["dilation_rate"]
            same = stated["padding"] == "same" and stated["activation"] == "linear" and set(stated["strides"]) == {1}
            if len({*kernel}) != 1 or len({*dilation}) != 1 or not same:
                raise SourceRefused(f"Layer {name} is a convolution of another kind than MeshNet's.")
            built.append({"name": name, "in": channels, "out": int(stated["filters"]), "kernel": int(kernel[0]),
                          "dilation": int(dilation[0]), "relu": False})
            channels = int(stated["filters"])
        else:
            raise SourceRefused(f"Layer {name} ({kind}) is none that this converter knows; names ending in _gn ask for "
                                "a normalisation that the layer list does not state.")
    return built


def nnunet(files: Mapping[str, bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A trained nnU-Net v2 model folder: plans.json, dataset.json, one checkpoint a fold."""
    from models_registry.conversion import nnunet_plans

    try:
        plans, dataset = (json.loads(_needed(files, name)) for name in ("plans.json", "dataset.json"))
    except ValueError as error:
        raise SourceRefused(f"plans.json or dataset.json is not readable: {_short(error)}.") from error
    folds = sorted(path for path in files if path.rsplit("/", 1)[-1] == CHECKPOINT)
    if not folds:
        raise SourceRefused(f"The folder holds no {CHECKPOINT}.")
    tensors: dict[str, Any] = {}
    dropped: list[str] = []
    parts, axes, configuration = [], None, None
    for path in folds:
        state = checkpoint(files[path], path)
        try:
            weights = dict(state["network_weights"])
            configuration = str(state["init_args"]["configuration"])
            axes = [int(axis) for axis in state["inference_allowed_mirroring_axes"] or ()]
        except (KeyError, TypeError, ValueError) as error:
            raise SourceRefused(f"{path} lacks {_short(error)}.") from error
        part = path.split("/")[-2] if "/" in path else "fold_0"
        parts.append(part)
        for name, tensor in weights.items():
            if nnunet_plans.is_copy(name):
                continue
            tensors[f"{part}.{name}"] = tensor
        dropped += [f"{path}: {key}" for key in state if key != "network_weights"]
    try:
        found = nnunet_plans.read(plans, dataset, str(configuration))
    except nnunet_plans.PlansRefused as refusal:
        raise SourceRefused(str(refusal)) from refusal
    found["network"]["parts"] = parts
    found["preparation"]["mirror_axes"] = axes
    return tensors, found | {"dropped": dropped}


def checkpoint(data: bytes, name: str) -> Mapping[str, Any]:
    """A checkpoint by torch's restricted reader: tensors, plain containers and NumPy's numbers, no other object."""
    import numpy as np
    import torch

    scalar: Any = np.float64(0).__reduce__()[0]
    numbers: list[Any] = [np.dtype, scalar, np.float64, np.float32, np.int64, np.int32, np.bool_,
               *(type(np.dtype(kind)) for kind in ("float64", "float32", "int64", "int32", "bool"))]
    # Checkpoints written under NumPy 1 name the same function by its older module.
    older = (scalar, "numpy.core.multiarray.scalar")
    try:
        with torch.serialization.safe_globals([*numbers, older]):
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        raise SourceRefused(f"{name} holds more than tensors and numbers, or is no checkpoint: {_short(error)}.") \
            from error
    if not isinstance(state, Mapping):
        raise SourceRefused(f"{name} holds no named tensors.")
    return state


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}"


KINDS: dict[str, Callable[[Mapping[str, bytes]], tuple[dict[str, Any], dict[str, Any]]]] = {
    "deepbet": deepbet, "meshnet-tfjs": meshnet, "nnunet": nnunet,
}


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    if os.environ.get("PYTHONHASHSEED") != "0":
        sys.exit("the converter is started by usecases.py only")
    sys.exit(main(Path(sys.argv[2])))
