"""Run by `.venv-thirdparty/bin/python`: deepbet's own two networks and its own steps on one volume.

    python run_deepbet.py IN.npz OUT.npz

IN: values (x, y, z as NIfTI has them) and affine (RAS). OUT: mask, of the same shape. Knows nothing of ours.
"""

import sys

import nibabel as nib  # type: ignore
import numpy as np
import torch
from deepbet import BrainExtraction  # type: ignore

torch.set_num_threads(2)
given = np.load(sys.argv[1])
_, mask, _ = BrainExtraction(no_gpu=True).run(nib.Nifti1Image(given["values"], given["affine"]))
np.savez_compressed(sys.argv[2], mask=np.asarray(mask.dataobj).astype(np.uint8))
