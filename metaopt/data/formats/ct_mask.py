"""Read masks of a part of a CT, and write them as NIfTI so that they lie on it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...arguments.checks import check_instance, check_tensor
from ...arguments.contracts import checked
from ...core.errors import MetaoptError
from ...files import named_errors, replacing
from ...foundation.extras import require
from .ct import read_volume
from .ct_grid import Grid, said
from .nifti import ENDINGS, compressed

CORNER = 0.5  # voxels, by which the corners of two grids may lie apart that are the same
DISTINCT = 6  # values that an error lists


class Mask(NamedTuple):
    """Hold a mask: ``mask`` (D, H, W) bool with the axes of a :class:`~metaopt.data.Ct`, and its ``grid``."""

    mask: Tensor
    grid: Grid


@checked
def read_mask(path: str | os.PathLike[str]) -> Mask:
    """Read a mask from NIfTI or NRRD: 0 outside, one other value inside.

    Args:
        path: The file.

    Returns:
        The mask, turned upright as :func:`~metaopt.data.read_ct` turns a CT.

    Raises:
        MetaoptError: The file is missing, damaged or of another format, is empty of voxels that are set, or holds more
            values than two, as a CT, a map of labels or one of probabilities does.
    """
    path = Path(path)
    with named_errors(path, "mask"):
        if path.is_dir():
            raise MetaoptError("is a folder; give a mask as NIfTI (.nii, .nii.gz) or NRRD (.nrrd).")
        volume, grid, _ = read_volume(path)
        return Mask(_set(volume), grid)


def is_mask(volume: Tensor) -> bool:
    """Return whether a volume holds 0 and one value above it, and nothing else.

    Args:
        volume: The volume.
    """
    low, high = torch.aminmax(volume)
    return bool(low == 0) and bool(high > 0) and bool(((volume == 0) | (volume == high)).all())


def _set(volume: Tensor) -> Tensor:
    low, high = (float(limit) for limit in torch.aminmax(volume))
    if low == high == 0:
        raise MetaoptError("is an empty mask: none of its voxels is set.")
    if not is_mask(volume) and low < high:
        some = torch.unique(volume.flatten()[:: max(1, volume.numel() // 1_000_000)])
        values = ", ".join(f"{value:g}" for value in some[:DISTINCT].tolist()) + (
            ", ..." if len(some) > DISTINCT else ""
        )
        raise MetaoptError(
            f"is no mask: it holds {values}, but a mask holds 0 and one other value. Keep one label of several, set "
            "probabilities to 0 or 1 by a threshold, and give a CT where one is asked for."
        )
    return volume != 0


@checked
def write_mask(path: str | os.PathLike[str], mask: Tensor, grid: Grid) -> None:
    """Write a mask as NIfTI in the order of axes of the file that the grid was read from; it appears complete or not.

    Args:
        path: The file, .nii or .nii.gz.
        mask: (D, H, W) bool.
        grid: That of the CT.

    Raises:
        MetaoptError: The ending is another, the mask is none, or the file cannot be written.
    """
    path = check_mask_name(path)
    with replacing(path) as file:
        put_mask(file, path, mask, grid)


def check_mask_name(path: str | os.PathLike[str]) -> Path:
    """Return the path of a mask to be written.

    Args:
        path: The file.

    Raises:
        MetaoptError: It does not end as NIfTI does.
    """
    path = Path(path)
    if not path.name.lower().endswith(ENDINGS):
        raise MetaoptError(f"{path} does not say that it is NIfTI; end it in .nii or .nii.gz.")
    return path


def put_mask(file: BinaryIO, path: Path, mask: Tensor, grid: Grid) -> None:
    """Write a mask into an open file.

    Args:
        file: The file.
        path: Its name, which says whether it is compressed.
        mask: (D, H, W) bool.
        grid: That of the CT.
    """
    nibabel = require("nibabel", "airway")
    check_tensor("A mask to write", mask, "boolean", "(D, H, W)")
    grid = check_instance("The grid of a mask", grid, Grid)
    stored = grid.as_stored(mask.detach().cpu()).numpy().astype(np.uint8)
    affine = grid.stored_affine(mask.shape).numpy()
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    code = 0 if not grid.known and np.allclose(affine, np.diag([*sizes, 1.0])) else 1  # 0: a NIfTI that said no more
    image = nibabel.Nifti1Image(stored, affine if code else None, dtype=np.uint8)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms(sizes)
    image.header["qform_code"] = image.header["sform_code"] = code
    image.header["descrip"] = b"metaopt airways" if code else b"metaopt airways; place in the scanner unknown"
    with compressed(file, path) as target:
        image.to_stream(target)


def check_same_grid(first: tuple[str, torch.Size, Grid], second: tuple[str, torch.Size, Grid]) -> None:
    """Check that two volumes lie on each other, voxel by voxel.

    Args:
        first: The name of the CT, for the error, its (D, H, W), and its grid.
        second: Those of the mask.

    Raises:
        MetaoptError: They do not.
    """
    (name, shape, grid), (other_name, other_shape, other) = first, second
    if tuple(shape) != tuple(other_shape):
        raise MetaoptError(
            f"{other_name} holds {said(tuple(other_shape))} voxels and {name} {said(tuple(shape))} (z, y, x), so they "
            "do not lie on each other; give the mask of this very CT, or resample it to the CT's grid."
        )
    corners = torch.tensor([(z, y, x) for z in (0, 1) for y in (0, 1) for x in (0, 1)], dtype=torch.float64)
    corners = corners * (torch.tensor(shape) - 1)
    a, b = (g.placed(corners * torch.tensor(g.spacing, dtype=torch.float64)) for g in (grid, other))
    shift = a - b if grid.known and other.known else (a - a[:1]) - (b - b[:1])
    furthest = float(shift.norm(dim=1).max())
    if furthest > CORNER * min(grid.spacing):
        raise MetaoptError(
            f"{other_name} and {name} have as many voxels, but lie up to {furthest:.3g} mm apart in the scanner; give "
            "the mask of this very CT, or correct the header of one of them."
        )
