"""Read volumes from NIfTI files, with the size of their voxels and their place in the scanner."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...arguments.contracts import checked
from ...core.errors import MetaoptError
from ...files import named_errors
from ...foundation.extras import require
from .nifti import ENDINGS

LARGEST = 2**30  # voxels


class Volume(NamedTuple):
    """Hold a volume, ``pictures`` (slice, row, column) float32, with its ``voxel`` and ``affine``.

    ``voxel`` are the millimetres along column, row and slice, and ``affine``, (4, 4) float64, leads from (column, row,
    slice) to millimetres (RAS); it is None where the file does not say it.
    """

    pictures: Tensor
    voxel: tuple[float, float, float]
    affine: Tensor | None


@checked
def read_nifti(path: str | os.PathLike[str]) -> Volume:
    """Read a NIfTI volume; one slice alone has one slice.

    Args:
        path: The file, .nii or .nii.gz.

    Returns:
        The volume.

    Raises:
        MetaoptError: The file is missing or damaged, or holds no real volume of finite values.
    """
    path, nibabel = Path(path), require("nibabel", "mri")
    with named_errors(path, "NIfTI volume"):
        if not path.is_file():
            raise MetaoptError("does not exist, or is no file; check its name.")
        if not path.name.lower().endswith(ENDINGS):
            raise MetaoptError("does not say that it is NIfTI; its name should end in .nii or .nii.gz.")
        image = nibabel.load(path)
        shape = tuple(image.shape)
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        shape = (*shape, 1) if len(shape) == 2 else shape
        if len(shape) != 3 or not 0 < math.prod(shape) <= LARGEST:
            raise MetaoptError(
                f"holds an array {tuple(image.shape)}; a volume has three axes, and not too many voxels."
            )
        if image.get_data_dtype().kind not in "fiub":
            raise MetaoptError(f"holds {image.get_data_dtype()} voxels; save their magnitudes as real numbers.")
        values = np.asarray(image.get_fdata(dtype=np.float32)).reshape(shape)
        if not np.isfinite(values).all():
            raise MetaoptError("has voxels that are NaN or infinite; set them to 0 first.")
        known = int(image.header["qform_code"]) > 0 or int(image.header["sform_code"]) > 0
        zooms = (*(float(size) for size in image.header.get_zooms()[:3]), 1.0)
        affine = torch.from_numpy(np.array(image.affine, np.float64)) if known else None
        pictures = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 1, 0)))
    return Volume(pictures, (zooms[0], zooms[1], zooms[2]), affine)
