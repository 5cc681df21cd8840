"""Read CT volumes of the chest in Hounsfield units, whatever their format and the order of their axes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ...arguments.contracts import checked
from ...core.errors import MetaoptError
from ...files import named_errors
from ...foundation.extras import require
from .ct_grid import Grid, grid_of, said, warn_unplaced
from .ct_nrrd import NRRD, read_nrrd
from .ct_series import is_dicom, read_series
from .nifti import ENDINGS
from .nifti_header import states_sizes
from .nifti_volume import read_nifti

AIR, EMPTY = -1024.0, -1500.0  # HU; below the second nothing was measured: scanners fill what is beyond their circle so
LARGEST = 1e5  # HU
COARSE = 2.5  # mm, the longest voxels of scans in which airways are segmented
FORMATS = "give NIfTI (.nii, .nii.gz), NRRD (.nrrd) or a folder of DICOM slices"


class Ct(NamedTuple):
    """Hold a CT of the chest.

    - ``volume``: (D, H, W) float32 in Hounsfield units; the axes (z, y, x) lead towards the head, the back and the left
      of the patient.
    - ``grid``: where its voxels are, and how they were stored.
    - ``report``: what was found, a line each.
    """

    volume: Tensor
    grid: Grid
    report: tuple[str, ...]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """The distances of voxels along (z, y, x), in mm."""
        return self.grid.spacing

    @property
    def affine(self) -> Tensor:
        """The matrix from (x, y, z), the numbers of a voxel, to millimetres (RAS), (4, 4) float64."""
        return self.grid.affine


@checked
def read_ct(path: str | os.PathLike[str], series: str | int | None = None) -> Ct:
    """Read a CT from a NIfTI or NRRD file or from a folder of DICOM slices, and turn it upright.

    Voxels below -1500 HU, with which scanners fill what is beyond their circle, become -1024 HU.

    Args:
        path: The file, or the folder.
        series: Which series of a folder that holds several: its number in the list that the error without it gives, or
            its SeriesInstanceUID.

    Returns:
        The CT.

    Raises:
        MetaoptError: The file is missing, damaged, or of another format; it is no volume of perpendicular axes and
            finite values with known sizes of voxels. Of DICOM: the slices are not of CT, are of several series, are not
            at equal distances, have no rescaling to Hounsfield units, or cannot be decoded.
    """
    path = Path(path)
    with named_errors(path, "CT volume"):
        if path.is_dir():
            volume, grid, notes = read_series(path, series)
        else:
            if series is not None:
                raise MetaoptError(f"is no folder, so it has no series {series!r:.80}; leave the series out.")
            volume, grid, notes = read_volume(path)
        padded = volume < EMPTY
        if count := int(padded.sum()):
            volume[padded] = AIR
            notes = (*notes, f"{count} voxels below {EMPTY:g} HU, where nothing was measured, became {AIR:g} HU")
        low, high = (float(limit) for limit in torch.aminmax(volume))
        if max(-low, high) > LARGEST:
            raise MetaoptError(
                f"holds {low:g} to {high:g}, but no tissue and no metal has so many Hounsfield units; correct how its "
                "numbers are scaled."
            )
        if low == high:
            raise MetaoptError(f"holds nothing: each of its voxels is {low:g}.")
        if (thickest := max(grid.spacing)) > COARSE:
            notes = (*notes, f"its voxels are {thickest:.3g} mm long, so that narrow airways cannot be seen")
        count = " x ".join(map(str, volume.shape))
        notes = (f"{count} voxels of {said(grid.spacing)} mm (z, y, x), {low:g} to {high:g} HU", *notes)
    return Ct(volume, grid, notes)


def read_volume(path: Path) -> tuple[Tensor, Grid, tuple[str, ...]]:
    """Return the volume (D, H, W) of a NIfTI or NRRD file, its grid, and notes on it.

    Args:
        path: The file.

    Returns:
        The float32 values as the file has them, the grid, and what was noticed.

    Raises:
        MetaoptError: As of :func:`read_ct`, in words that :func:`~metaopt.files.named_errors` completes.
    """
    name = path.name.lower()
    if not path.exists():
        raise MetaoptError("does not exist; check its name.")
    if not path.is_file():
        raise MetaoptError(f"is neither a file nor a folder; {FORMATS}.")
    if name.endswith(ENDINGS):
        require("nibabel", "airway")
        if not states_sizes(path):
            raise MetaoptError("does not say the size of its voxels (pixdim); correct its header.")
        found = read_nifti(path)
        stored = found.pictures.permute(2, 1, 0)
        matrix = found.affine
        if matrix is None:
            matrix = torch.diag(torch.tensor([*found.voxel, 1.0], dtype=torch.float64))
        grid = grid_of(matrix.numpy(), tuple(stored.shape), found.affine is not None)
    elif name.endswith(NRRD):
        stored, matrix, known = read_nrrd(path)
        grid = grid_of(matrix, tuple(stored.shape), known)
    elif is_dicom(path):
        raise MetaoptError(f"is a single DICOM file; give the folder of all slices, {path.parent}.")
    else:
        raise MetaoptError(f"is of no format that is read here; {FORMATS}.")
    if not grid.known:
        warn_unplaced(path)
    return grid.brought(stored), grid, ()
