"""Write pictures and volumes as NIfTI files, with their place in the scanner where it is known."""

from __future__ import annotations

import contextlib
import gzip
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from torch import Tensor

from ...arguments.checks import check_tensor
from ...arguments.contracts import checked
from ...core.errors import MetaoptError
from ...files import replacing
from ...foundation.extras import require

ENDINGS = (".nii", ".nii.gz")


@checked
def write_nifti(
    path: str | os.PathLike[str],
    pictures: Tensor,
    voxel: Sequence[float] | None = None,
    affine: Tensor | None = None,
    phase: bool = False,
) -> None:
    """Write slices or a volume as NIfTI; the file appears complete or not at all.

    With an affine matrix, the file says where in the scanner each voxel is. With the sizes of voxels alone it says
    those, and that the place is unknown (both codes of NIfTI are 0). A tensor that maps a file is read slice by slice.

    Args:
        path: The file, .nii or .nii.gz.
        pictures: (slice, row, column), real or complex; of complex ones the magnitude is written.
        voxel: Millimetres of a voxel along column, row and slice. None: those of the affine matrix, or 1.
        affine: (4, 4) from (column, row, slice) to millimetres to the right, anterior and superior (RAS), or None.
        phase: Whether the phase in radians is written instead of the magnitude.

    Raises:
        MetaoptError: The ending is another; the pictures are empty, not finite or beyond float32, or the file cannot be
            written.
    """
    path, nibabel = Path(path), require("nibabel", "mri")
    if not path.name.lower().endswith(ENDINGS):
        raise MetaoptError(f"{path} does not say that it is NIfTI; end it in .nii or .nii.gz.")
    values = _values(pictures, phase).transpose(2, 1, 0)
    matrix = None if affine is None else _affine(affine)
    image = nibabel.Nifti1Image(values, matrix, dtype=np.float32)
    image.header.set_xyzt_units("mm", "sec")
    if matrix is None:
        sizes = tuple(voxel or (1.0, 1.0, 1.0))
        if len(sizes) != 3 or not all(0 < size < 1e6 for size in sizes):
            raise MetaoptError(f"A voxel has three sizes in millimetres above 0, not {list(sizes)}.")
        image.header.set_zooms(sizes)
    code = 0 if matrix is None else 1
    image.header["qform_code"] = image.header["sform_code"] = code
    image.header["descrip"] = b"metaopt" if code else b"metaopt; place in the scanner unknown"
    with replacing(path) as file, compressed(file, path) as target:
        image.to_stream(target)


@contextlib.contextmanager
def compressed(file: BinaryIO, path: Path) -> Iterator[BinaryIO]:
    """Open a file within a file: compressed where its name ends in .gz, and without a time in it.

    Args:
        file: The open file.
        path: Its name.

    Returns:
        A context manager that gives the file to write to.
    """
    if not path.name.lower().endswith(".gz"):
        yield file
        return
    with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        yield cast(BinaryIO, packed)


def _values(pictures: Tensor, phase: bool) -> np.ndarray:
    check_tensor("Pictures to write", pictures, "any")
    if pictures.ndim != 3 or not pictures.numel():
        raise MetaoptError(f"Pictures to write are (slice, row, column), but these are {tuple(pictures.shape)}.")
    kept = (torch.float32, torch.float64, torch.complex64, torch.complex128)
    wider = torch.complex64 if pictures.is_complex() else torch.float32
    values: Any = (pictures if pictures.dtype in kept else pictures.to(wider)).numpy(force=True)
    if not all(np.isfinite(values[index]).all() for index in range(len(values))):
        raise MetaoptError("The pictures have NaN or infinite values, so nothing was written; look at what made them.")
    if phase:
        return np.angle(values).astype(np.float32)
    values = np.abs(values) if np.iscomplexobj(values) else values
    brightest = max(float(np.abs(values[index]).max()) for index in range(len(values)))
    if brightest > 0 and not 1e-30 < brightest < 3e38:
        raise MetaoptError(
            f"The pictures reach {brightest:g}, but NIfTI is written in float32, which holds 1e-38 to 3e38; scale them."
        )
    return values


def _affine(affine: Tensor) -> np.ndarray:
    matrix = check_tensor("The affine", affine).double().numpy(force=True)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
        raise MetaoptError(f"An affine matrix is (4, 4), finite, and can be inverted, unlike {matrix.tolist()}.")
    return matrix
