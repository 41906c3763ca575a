"""Run by `.venv-thirdparty/bin/python`: nnU-Net's own planner, trainer and predictor on made-up volumes.

    python train_nnunet.py FOLDER plain|residual

FOLDER/cases.npz: images, labels, spacing (z, y, x). FOLDER/asked.npz: arrays NAME with NAME_spacing. It leaves the
model folder below FOLDER/res, and FOLDER/predicted.npz: NAME_0 without, NAME_1 with mirroring. Knows nothing of ours.
"""

import json
import multiprocessing
import multiprocessing.pool
import os
import sys
from pathlib import Path
from typing import Any

FOLDER, KIND = Path(sys.argv[1]), sys.argv[2]
os.environ |= {"nnUNet_raw": str(FOLDER / "raw"), "nnUNet_preprocessed": str(FOLDER / "pre"),
               "nnUNet_results": str(FOLDER / "res"), "nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1",
               "nnUNet_compile": "f", "OMP_NUM_THREADS": "2"}


class Threads:
    """Five tiny cases need no spawned processes."""

    def Pool(self, count: int) -> Any:
        return multiprocessing.pool.ThreadPool(count)


_context = multiprocessing.get_context
multiprocessing.get_context = lambda method=None: Threads() if method == "spawn" else _context(method)  # type: ignore

import numpy as np  # noqa: E402
import SimpleITK as sitk  # noqa: E402, N813
import torch  # noqa: E402
from nnunetv2.experiment_planning.plan_and_preprocess_api import (  # type: ignore  # noqa: E402
    extract_fingerprints,
    plan_experiments,
    preprocess,
)
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # type: ignore  # noqa: E402
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer  # type: ignore  # noqa: E402

NAME, CONFIGURATION = "Dataset001_Ball", "3d_fullres"


class Short(nnUNetTrainer):  # type: ignore[misc]
    """nnU-Net's trainer, for three epochs of a few steps."""

    def __init__(self, plans: Any, configuration: Any, fold: Any, dataset_json: Any, device: Any) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 3, 30, 1


def raw() -> dict[str, Any]:
    """The data set as nnU-Net wants it on disk."""
    cases = np.load(FOLDER / "cases.npz")
    place = FOLDER / "raw" / NAME
    for folder in ("imagesTr", "labelsTr"):
        (place / folder).mkdir(parents=True)
    for number, (image, label) in enumerate(zip(cases["images"], cases["labels"], strict=True)):
        for path, values in ((f"imagesTr/case_{number}_0000", image), (f"labelsTr/case_{number}", label)):
            made = sitk.GetImageFromArray(values)
            made.SetSpacing([float(side) for side in cases["spacing"]][::-1])
            sitk.WriteImage(made, str(place / f"{path}.nii.gz"))
    stated = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "ball": 1},
              "numTraining": len(cases["images"]), "file_ending": ".nii.gz"}
    (place / "dataset.json").write_text(json.dumps(stated))
    return stated


def planned() -> dict[str, Any]:
    """nnU-Net's own plans with a network small enough for seconds."""
    extract_fingerprints([1], num_processes=1, check_dataset_integrity=False)
    plan_experiments([1], gpu_memory_target_in_gb=1)
    path = FOLDER / "pre" / NAME / "nnUNetPlans.json"
    plans: dict[str, Any] = json.loads(path.read_text())
    stated = plans["configurations"][CONFIGURATION]
    stated |= {"patch_size": [16, 16, 16], "batch_size": 2}
    network = stated["architecture"]["arch_kwargs"]
    network |= {"n_stages": 3, "features_per_stage": [4, 8, 16], "kernel_sizes": [[3, 3, 3]] * 3,
                "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]], "n_conv_per_stage_decoder": [2, 2]}
    if KIND == "residual":
        stated["architecture"]["network_class_name"] = (
            "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet")
        del network["n_conv_per_stage"]
        network |= {"n_blocks_per_stage": [1, 2, 2], "n_conv_per_stage_decoder": [1, 1]}
    else:
        network["n_conv_per_stage"] = [2, 2, 2]
    path.write_text(json.dumps(plans))
    preprocess([1], configurations=(CONFIGURATION,), num_processes=(1,))
    return plans


def main() -> None:
    torch.set_num_threads(2)
    torch.manual_seed(7)
    np.random.seed(7)
    stated, plans = raw(), planned()
    os.environ |= {"nnUNet_n_proc_DA": "0"}
    # A checkpoint names its trainer's class, and the predictor looks that up among nnU-Net's own.
    Short.__name__ = "nnUNetTrainer"
    trainer = Short(plans | {"continue_training": False}, CONFIGURATION, 0, stated, torch.device("cpu"))
    trainer.run_training()
    asked, found = np.load(FOLDER / "asked.npz"), {}
    for mirroring in (False, True):
        predictor = nnUNetPredictor(tile_step_size=0.5, use_gaussian=True, use_mirroring=mirroring,
                                    perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(trainer.output_folder_base), use_folds=(0,),
                                                       checkpoint_name="checkpoint_final.pth")
        for name in asked:
            if not name.endswith("_spacing"):
                spacing = {"spacing": [float(side) for side in asked[f"{name}_spacing"]]}
                found[f"{name}_{int(mirroring)}"] = predictor.predict_single_npy_array(
                    asked[name][None].astype(np.float32), spacing, None, None, False)
    np.savez(FOLDER / "predicted.npz", **found)


if __name__ == "__main__":
    main()
