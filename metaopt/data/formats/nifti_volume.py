"""Read volumes from NIfTI files, with the size of their voxels and their place in the scanner."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...arguments.contracts import checked
from ...core.errors import MetaoptError, warn
from ...files import named_errors
from .nifti import ENDINGS
from .nifti_header import millimetres, open_nifti

LEAST = 1e-30  # below which float32 has few digits, or none


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
        MetaoptError: The file is missing or damaged, its header contradicts itself, or it holds no real volume of
            finite values that float32 can hold.

    Where the header states another unit of length, sizes and matrix are converted to millimetres. Where it states the
    place twice, sform counts, and a scaling by 0 means none, as the standard says.
    """
    path = Path(path)
    with named_errors(path, "NIfTI volume"):
        if not path.is_file():
            raise MetaoptError("does not exist, or is no file; check its name.")
        if not path.name.lower().endswith(ENDINGS):
            raise MetaoptError("does not say that it is NIfTI; its name should end in .nii or .nii.gz.")
        image = open_nifti(path)
        shape = tuple(image.shape)
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        shape = (*shape, 1) if len(shape) == 2 else shape
        if len(shape) != 3:
            raise MetaoptError(f"holds an array {tuple(image.shape)}; a volume has three axes; save one.")
        if image.get_data_dtype().kind not in "fiub":
            raise MetaoptError(f"holds {image.get_data_dtype()} voxels; save their magnitudes as real numbers.")
        values = _values(image).reshape(shape)
        voxel, affine = _place(image)
        pictures = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 1, 0)))
    return Volume(pictures, voxel, affine)


def _values(image: Any) -> np.ndarray:
    """Return the scaled voxels in float32, and raise where it would turn them to 0 or to infinity."""
    with np.errstate(over="ignore", under="ignore"):
        values = np.asarray(image.get_fdata(dtype=np.float32))
    largest = float(np.abs(values).max())
    if not math.isfinite(largest) or largest < LEAST:
        largest = float(np.abs(np.asanyarray(image.dataobj, dtype=np.float64)).max())
        if not math.isfinite(largest):
            raise MetaoptError("has voxels that are NaN or infinite; set them to 0 first.")
        if largest > 0:
            raise MetaoptError(f"reaches {largest:g}, but volumes are read in float32, 1e-38 to 3e38; scale it.")
    return values


def _place(image: Any) -> tuple[tuple[float, float, float], Tensor | None]:
    """Return the size of a voxel and the affine matrix, in millimetres; None where the place is not known."""
    unit = millimetres(image)
    zooms = [unit * float(size) for size in image.header.get_zooms()[:3]]
    voxel = [*zooms, 1.0][:3]
    if not int(image.header["qform_code"]) > 0 and not int(image.header["sform_code"]) > 0:
        return (voxel[0], voxel[1], voxel[2]), None
    matrix = np.array(image.affine, np.float64)
    matrix[:3] *= unit
    sizes = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.isfinite(matrix).all() or not abs(np.linalg.det(matrix[:3, :3])) > 1e-6 * np.prod(sizes):
        raise MetaoptError(f"has an affine matrix that places no volume, {matrix[:3].tolist()}; correct its header.")
    if not np.allclose(zooms, sizes[: len(zooms)], rtol=0.01):
        warn(
            f"A NIfTI header says that voxels have {' x '.join(f'{size:.4g}' for size in zooms)} mm, but its affine "
            f"matrix {' x '.join(f'{size:.4g}' for size in sizes)} mm; see which is true."
        )
    return (voxel[0], voxel[1], voxel[2]), torch.from_numpy(matrix)
