"""A third-party source becomes tensors and numbers, or nothing: what it holds beside them never runs."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from core.errors import AlreadyDone, UnusableInput
from core.policy.state import Actor
from countersign.cli.model import app
from models_registry import jobs, queries
from models_registry.bundle import opened
from models_registry.conversion import child, nnunet_plans
from models_registry.conversion.child import SourceRefused, unzipped
from models_registry.conversion.families import Wishes
from models_registry.conversion.usecases import ConvertModel, SourceUnusable, convert_model
from models_registry.digest import read_tree, sha256, tree_digest
from models_registry.isolation import Limits
from models_registry.usecases import LockModel, RegisterModel, lock_model, register_model
from reports.model_lineage import lineage
from tests.builders import models
from tests.conftest import need
from tests.house import a_house
from tests.req import req


def tfjs(folder: Path, *, channels: int = 4, change: Callable[[dict[str, Any]], None] = lambda _: None,
         value: float | None = None, more: bytes = b"") -> Path:
    """A MeshNet of two dilated layers in TensorFlow.js format, weights from a seed."""
    rng = np.random.default_rng(7)
    layers: list[dict[str, Any]] = [{"class_name": "InputLayer", "config": {
        "name": "input", "batch_input_shape": [None, 64, 64, 64, 1]}}]
    weights, data, before = [], b"", 1
    for name, after, kernel, dilation in (("1", channels, 3, 1), ("2", channels, 3, 2), ("output", 3, 1, 1)):
        layers.append({"class_name": "Conv3D", "config": {
            "name": name, "filters": after, "kernel_size": [kernel] * 3, "dilation_rate": [dilation] * 3,
            "padding": "same", "activation": "linear", "strides": [1, 1, 1], "use_bias": True}})
        if name != "output":
            layers.append({"class_name": "Activation", "config": {"name": f"{name}a", "activation": "relu"}})
        for kind, shape in (("kernel", [kernel] * 3 + [before, after]), ("bias", [after])):
            values = rng.normal(0, 0.4, shape).astype("<f4")
            if value is not None:
                values.flat[0] = value
            weights.append({"name": f"{name}/{kind}", "shape": shape, "dtype": "float32"})
            data += values.tobytes()
        before = after
    stated = {"format": "layers-model", "modelTopology": {"model_config": {"config": {"layers": layers}}},
              "weightsManifest": [{"paths": ["group1.bin"], "weights": weights}]}
    change(stated)
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps(stated))
    (folder / "group1.bin").write_bytes(data + more)
    return folder


def command(source: Path, out: Path, kind: str = "meshnet-tfjs", **wishes: Any) -> ConvertModel:
    return ConvertModel(source, kind, out, Wishes("mesh", "1.0.0", **wishes))


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Source and bundle folder of a small MeshNet, and what was said at the console."""
    need("torch")
    folder = tmp_path_factory.mktemp("conversion")
    source = tfjs(folder / "source")
    done = CliRunner().invoke(app, ["convert", str(source), "--as", "meshnet-tfjs", "--out", str(folder / "mesh")])
    assert done.exit_code == 0, done.output
    assert "is read in a process without network, then its sentinel is answered; at most 15 minutes." in done.output
    return source, folder / "mesh", done.output


@req("MLK-07", "MLK-05")
def test_a_bundle_says_from_what_it_was_made(converted: tuple[Path, Path, str]) -> None:
    source, folder, said = converted

    bundle = opened(read_tree(folder))

    assert bundle.task.name == "segmentation"
    assert bundle.conversion is not None
    assert bundle.conversion["source"]["sha256"] == tree_digest(read_tree(source))
    assert {one["path"]: one["sha256"] for one in bundle.conversion["source"]["files"]} == {
        path.name: sha256(path.read_bytes()) for path in source.iterdir()}
    assert bundle.conversion["tensors"] == {"count": len(bundle.tensors), "sha256": bundle.tensors_sha256}
    assert tree_digest(read_tree(source)) in said
    assert bundle.tree_sha256 in said
    assert "left behind: nothing" in said
    assert {path.rsplit(".")[-1] for path in bundle.files} == {"json", "safetensors", "npz", "md", "LICENSE"}


@req("MLK-05", "MLK-07")
def test_the_lineage_of_a_lock_begins_at_what_the_maker_gave(converted: tuple[Path, Path, str], tmp_path: Path) -> None:
    source, folder, _ = converted
    with a_house(tmp_path / "house") as house:
        models.cast(house)
        house.commit(register_model(house.desk, Actor("custodian"), RegisterModel(folder, "maker")))
        proposal = lock_model(house.desk, Actor("custodian"), LockModel("mesh"))
        house.commit(proposal)
        lock: Any = proposal.drafts[0].event
        with house.desk.reading() as session:
            nodes = lineage(session, queries.lock_of(session, lock.lock))

    (weights,) = [one for one in nodes if one.kind == "weights"]
    assert f"converted from source {tree_digest(read_tree(source))}" in weights.says
    assert f"report {sha256(read_tree(folder)[jobs.CONVERSION])}" in weights.says


def by_numpy(source: Path, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The layer list carried out in float64 from the stored bytes, without torch: what the file means."""
    stated = json.loads((source / "model.json").read_text())
    data = np.frombuffer((source / "group1.bin").read_bytes(), "<f4").astype(np.float64)
    weights, begin = {}, 0
    for row in stated["weightsManifest"][0]["weights"]:
        size = int(np.prod(row["shape"]))
        weights[row["name"]], begin = data[begin : begin + size].reshape(row["shape"]), begin + size
    x = image.astype(np.float64)[..., None]
    for layer in stated["modelTopology"]["model_config"]["config"]["layers"]:
        if layer["class_name"] == "Activation":
            x = np.maximum(x, 0)
        if layer["class_name"] != "Conv3D":
            continue
        name, step = layer["config"]["name"], layer["config"]["dilation_rate"][0]
        kernel, bias = weights[f"{name}/kernel"], weights[f"{name}/bias"]
        reach = step * (kernel.shape[0] // 2)
        padded = np.pad(x, [(reach, reach)] * 3 + [(0, 0)])
        out = np.zeros((*x.shape[:3], kernel.shape[-1])) + bias
        for place in np.ndindex(*kernel.shape[:3]):
            cut = tuple(slice(step * p, step * p + side) for p, side in zip(place, x.shape[:3], strict=True))
            out += padded[cut] @ kernel[place]
        x = out
    return np.moveaxis(x, -1, 0)


@req("MLK-02")
def test_the_network_answers_what_the_layer_list_means(converted: tuple[Path, Path, str]) -> None:
    from models_registry.inference import Loaded

    source, folder, _ = converted
    files = read_tree(folder)
    image = np.random.default_rng(3).random((9, 11, 10), dtype=np.float32)

    scores = Loaded(jobs.configuration_of(files)["network"], files[jobs.WEIGHTS], 2).scores(image[None])

    exact = by_numpy(source, image)
    assert np.abs(scores - exact).max() < 1e-5
    assert np.array_equal(scores.argmax(0), exact.argmax(0))


def _padding(stated: dict[str, Any]) -> None:
    stated["modelTopology"]["model_config"]["config"]["layers"][1]["config"]["padding"] = "valid"


def _norm(stated: dict[str, Any]) -> None:
    stated["modelTopology"]["model_config"]["config"]["layers"][1]["config"]["name"] = "1_gn"


def _half(stated: dict[str, Any]) -> None:
    stated["weightsManifest"][0]["weights"][0]["dtype"] = "float16"


def _other_name(stated: dict[str, Any]) -> None:
    stated["weightsManifest"][0]["weights"][0]["name"] = "somewhere/kernel"


def _way_out(stated: dict[str, Any]) -> None:
    stated["weightsManifest"][0]["paths"] = ["../../etc/hostname"]


@req("MLK-07")
@pytest.mark.parametrize(("more", "says"), [
    ({"change": _padding}, "another kind than MeshNet"), ({"change": _norm}, "normalisation"),
    ({"change": _half}, "not float32"), ({"change": _other_name}, "belongs to no convolution"),
    ({"change": _way_out}, "holds 0 files"), ({"more": b"\0" * 8}, "the manifest names"),
])
def test_a_layer_list_that_means_something_else_is_refused(tmp_path: Path, more: Any, says: str) -> None:
    source = tfjs(tmp_path / "source", **more)

    with pytest.raises(SourceRefused, match=says):
        child.meshnet(child.source_of(source))


@req("MLK-07")
def test_tensors_that_are_not_finite_leave_nothing_behind(tmp_path: Path) -> None:
    need("torch")
    with pytest.raises(SourceUnusable, match="not finite"):
        convert_model(command(tfjs(tmp_path / "source", value=float("nan")), tmp_path / "out"))

    assert not (tmp_path / "out").exists()


class Payload:
    """Runs a shell command when it is unpickled the ordinary way."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        import os

        return os.system, (f"touch {self.mark}",)


def model_folder(folder: Path, write: Callable[[Path], None]) -> Path:
    """An nnU-Net model folder whose checkpoint `write` makes."""
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text("{}")
    (folder / "dataset.json").write_text("{}")
    write(folder / "fold_0" / child.CHECKPOINT)
    return folder


@req("MLK-07")
@pytest.mark.parametrize("way", ["pickle", "torch", "legacy"])
def test_a_payload_in_a_pickle_runs_neither_inside_nor_outside(tmp_path: Path, way: str) -> None:
    """The control shows that it would run where pickle may."""
    import pickle

    need("torch")
    import torch

    mark = tmp_path / "it-ran"
    state = {"network_weights": {"a": torch.zeros(2)}, "more": Payload(mark)}

    def write(path: Path) -> None:
        if way == "pickle":
            path.write_bytes(pickle.dumps(state))
        else:
            torch.save(state, path, _use_new_zipfile_serialization=way == "torch")

    source = model_folder(tmp_path / "model", write)

    with pytest.raises(SourceUnusable, match="more than tensors and numbers"):
        convert_model(ConvertModel(source, "nnunet", tmp_path / "out", Wishes("n", "1", licence="MIT")))

    assert not mark.exists()
    assert not (tmp_path / "out").exists()
    written = source / "fold_0" / child.CHECKPOINT
    _ = pickle.loads(written.read_bytes()) if way == "pickle" else torch.load(written, weights_only=False)
    assert mark.exists()


def wheel(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def looping_script() -> bytes:
    """A TorchScript archive that never comes back from being loaded."""
    import torch

    class Endless(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.training = False

        @torch.jit.export
        def __getstate__(self) -> int:
            return 1

        @torch.jit.export
        def __setstate__(self, state: int) -> None:
            while state > 0:
                state += 1

        def forward(self, x: int) -> int:
            return x

    target = io.BytesIO()
    torch.jit.save(torch.jit.script(Endless()), target)
    return target.getvalue()


@req("MLK-07")
def test_a_script_that_loops_when_it_is_loaded_is_stopped(tmp_path: Path) -> None:
    need("torch")
    script = looping_script()
    source = wheel(tmp_path / "deepbet-9.whl", {"data/models/bbox_model.pt": script, "data/models/model.pt": script})

    with pytest.raises(SourceUnusable, match=r"time-limit|cpu-limit"):
        convert_model(command(source, tmp_path / "out", "deepbet"), limits=Limits(wall_s=120, cpu_s=6))

    assert not (tmp_path / "out").exists()


@req("MLK-07")
def test_the_process_that_reads_has_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that has been taken over: it tries a socket of the kernel itself, past Python's own closed ones."""
    from models_registry.conversion import usecases

    need("torch")
    reader = tmp_path / "taken_over.py"
    reader.write_text(
        "import ctypes, json, pathlib, struct, sys\n"
        "folder = pathlib.Path(sys.argv[2]); (folder / 'out').mkdir()\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "one = libc.socket(2, 1, 0)\n"
        "there = struct.pack('!HH4s8x', 2 << 8, 9, bytes([127, 0, 0, 1]))\n"
        "libc.connect(one, there, 16)\n"
        "(folder / 'out' / 'refused.json').write_text(json.dumps({'why': 'errno %d' % ctypes.get_errno()}))\n"
        "sys.exit(3)\n")
    monkeypatch.setattr(usecases, "CHILD", reader)

    # 101: no way there, not even to this machine itself; 111 would be a refusal from it.
    with pytest.raises(SourceUnusable, match=r"errno (101|99)"):
        convert_model(command(tfjs(tmp_path / "source"), tmp_path / "out"))


@req("MLK-07")
@pytest.mark.parametrize("left", [
    {"weights.safetensors": b"no tensors", "found.json": b"{}"},
    {"weights.safetensors": b"", "found.json": b"{}", "model.py": b"import os"},
    {"found.json": b"{}"},
])
def test_what_a_taken_over_reader_leaves_is_not_taken_for_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: dict[str, bytes]
) -> None:
    from models_registry.conversion import usecases

    reader = tmp_path / "taken_over.py"
    lines = [f"(out / {name!r}).write_bytes({data!r})" for name, data in left.items()]
    reader.write_text("import pathlib, sys\nout = pathlib.Path(sys.argv[2]) / 'out'\nout.mkdir()\n" + "\n".join(lines))
    monkeypatch.setattr(usecases, "CHILD", reader)

    with pytest.raises(SourceUnusable):
        convert_model(command(tfjs(tmp_path / "source"), tmp_path / "out"))

    assert not (tmp_path / "out").exists()


def archive(names: list[str], *, link: bool = False) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        for name in names:
            entry = zipfile.ZipInfo(name)
            if link:
                entry.external_attr = 0o120777 << 16
            made.writestr(entry, b"x")
    return target.getvalue()


@req("MLK-07")
@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("data", "says"), [
    (archive(["../../outside"]), "leads out"), (archive(["/etc/passwd"]), "leads out"),
    (archive(["a", "a"]), "twice"), (archive(["a"], link=True), "is a link"), (b"PK no archive", "no readable"),
    (archive([f"f{number}" for number in range(child.MOST_FILES + 1)]), "more than"),
])
def test_an_archive_that_leads_elsewhere_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(SourceRefused, match=says):
        unzipped(data)


def test_an_existing_folder_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    with pytest.raises(AlreadyDone):
        convert_model(command(tfjs(tmp_path / "source"), tmp_path / "out"))


def typed(*arguments: str) -> tuple[int, str]:
    """`countersign model convert` as a person types it: exit code and everything that is said."""
    done = CliRunner().invoke(app, ["convert", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@pytest.mark.parametrize(("stated", "says"), [
    ("[1]", "holds no object of label names"),
    ("{", "is not readable JSON"),
    ('{"liver": 5}', "structure liver is not stated as it must be: it is no object"),
    ('{"liver": {"code": ["10200004", "SCT"]}}', "code is no list of three texts"),
    ('{"liver": {"least_ml": "much"}}', "are no decimal numbers"),
    ('{"liver": {"least_ml": "5", "most_ml": "4"}}', "least_ml is not below most_ml"),
    ('{"liver": {"least": "5"}}', "least is none of code, least_ml, most_ml"),
])
def test_structures_that_are_no_structures_are_named_before_anything_is_read(
    tmp_path: Path, stated: str, says: str
) -> None:
    (tmp_path / "liver.json").write_text(stated)

    code, said = typed("nosuch", "--as", "nnunet", "--out", str(tmp_path / "out"), "--licence", "MIT",
                       "--structures", str(tmp_path / "liver.json"))

    assert (code, says in said, "Write it like {" in said) == (1, True, True), said


@pytest.mark.parametrize(("arguments", "says"), [
    (("--as", "nnunet"), "names no licence; state the one under which it was given. Give its SPDX id"),
    (("--as", "nnunet", "--licence", "MIT"), "There is no file or folder nosuch. Name what its maker gave you."),
    (("--as", "deepbet", "--axes", "SPL"), "deepbet has one structure and known axes"),
    (("--as", "meshnet-tfjs", "--structures", "nosuch.json"), "nosuch.json cannot be read: No such file"),
    (("--as", "meshnet-tfjs", "--intended-use", "nosuch.md"), "nosuch.md cannot be read: No such file"),
    (("--as", "meshnet-tfjs", "--sentinel", "nosuch"), "There are no files in nosuch."),
])
def test_what_is_missing_is_named_without_a_trace(
    tmp_path: Path, arguments: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = typed("nosuch", "--out", "out", *arguments)
    assert (code, says in said) == (1, True), said
    assert not (tmp_path / "out").exists()


def test_a_sentinel_of_other_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "note.txt").write_text("no image" * 40)
    code, said = typed("nosuch", "--as", "meshnet-tfjs", "--out", str(tmp_path / "out"), "--sentinel",
                       str(tmp_path / "images"))
    assert (code, "something else than DICOM images" in said) == (1, True), said


def test_structures_that_a_model_would_not_use_are_refused(tmp_path: Path) -> None:
    """Otherwise the bundle's report would say that they were stated."""
    with pytest.raises(UnusableInput, match="of 3 classes are known"):
        convert_model(command(tfjs(tmp_path / "source"), tmp_path / "out", structures={"tissue": {}}))
    assert not (tmp_path / "out").exists()


PLANS: dict[str, Any] = {
    "plans_name": "nnUNetPlans", "transpose_forward": [0, 1, 2],
    "foreground_intensity_properties_per_channel": {"0": {
        "mean": 10.0, "std": 3.0, "percentile_00_5": -5.0, "percentile_99_5": 90.0}},
    "configurations": {"3d_fullres": {
        "spacing": [3.0, 2.0, 2.0], "patch_size": [16, 16, 16], "preprocessor_name": "DefaultPreprocessor",
        "normalization_schemes": ["CTNormalization"], "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
        "architecture": {"network_class_name": "x.architectures.unet.PlainConvUNet", "arch_kwargs": {
            "n_stages": 2, "features_per_stage": [4, 8], "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[3, 3, 3], [3, 3, 3]], "strides": [[1, 1, 1], [2, 2, 2]], "n_conv_per_stage": 2,
            "n_conv_per_stage_decoder": [2], "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True}, "dropout_op": None, "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True}}}}},
}
DATASET: dict[str, Any] = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "core": 1, "shell": 2}}


def _with(path: str, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    plans, dataset = json.loads(json.dumps(PLANS)), json.loads(json.dumps(DATASET))
    place: Any = {"plans": plans, "dataset": dataset}
    *way, last = path.split("/")
    for part in way:
        place = place[part]
    place[last] = value
    return plans, dataset


FULL = "plans/configurations/3d_fullres"


@req("MLK-02")
@pytest.mark.parametrize(("path", "value", "says"), [
    ("dataset/channel_names", {"0": "T1", "1": "T2"}, "2 channels"),
    ("dataset/labels", {"background": 0, "whole": [1, 2]}, "several values"),
    ("dataset/labels", {"background": 0, "core": 1, "ignore": 2}, "ignore label"),
    ("dataset/labels", {"background": 0, "core": 2}, "without a gap"),
    ("dataset/regions_class_order", [1, 2], "regions"),
    (f"{FULL}/previous_stage", "3d_lowres", "cascade"),
    (f"{FULL}/normalization_schemes", ["my_code.Norm"], "Normalisation"),
    (f"{FULL}/resampling_fn_data", "resample_torch", "resampling_fn_data"),
    (f"{FULL}/preprocessor_name", "Mine", "preprocessor"),
    (f"{FULL}/architecture/network_class_name", "os.system", "Network system"),
    (f"{FULL}/architecture/arch_kwargs/nonlin", "torch.nn.ReLU", "activation"),
    (f"{FULL}/architecture/arch_kwargs/features_per_stage", [4], "not readable"),
    ("plans/configurations", {}, "not readable"),
])
def test_plans_that_this_release_does_not_follow_exactly_are_refused(path: str, value: Any, says: str) -> None:
    with pytest.raises(nnunet_plans.PlansRefused, match=says):
        nnunet_plans.read(*_with(path, value), "3d_fullres")


def test_usual_plans_are_read_with_every_number() -> None:
    found = nnunet_plans.read(PLANS, DATASET, "3d_fullres")

    assert found["labels"] == {"core": 1, "shell": 2}
    assert found["preparation"]["normalisation"] == {
        "scheme": "CTNormalization", "inside_only": False, "mean": "10.0", "std": "3.0", "low": "-5.0", "high": "90.0"}
    assert (found["network"]["blocks"], found["network"]["out_channels"]) == ([2, 2], 3)
