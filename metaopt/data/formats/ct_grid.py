"""Say where the voxels of a volume of the chest are in the patient, and how they were stored in their file."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...core.errors import MetaoptError, warn

FINEST, COARSEST = 0.05, 20.0  # mm of a voxel, between which every CT of a chest is
SKEW = math.sin(math.radians(1.0))  # cosine of the angle between two axes, beyond which they are not perpendicular
TOWARDS = np.diag([-1.0, -1.0, 1.0])  # x, y and z of a volume lead to the left, to the back and to the head


class Grid(NamedTuple):
    """Hold where the voxels of a volume (D, H, W) are.

    The axes (z, y, x) lead towards the head, the back and the left of the patient, or to what is next to that where the
    scanner's axes are turned.

    - ``spacing``: the distances of voxels along (z, y, x), in mm.
    - ``affine``: (4, 4) float64 from (x, y, z), the numbers of a voxel, to millimetres to the right, to the front and
      to the head (RAS), as of NIfTI.
    - ``axes``: which axis of the file's array, the fastest being 0, each of x, y and z is.
    - ``flipped``: whether the file counts x, y and z the other way round.
    - ``known``: whether the file says how the patient lies; otherwise x, y and z lead as its format presumes.
    """

    spacing: tuple[float, float, float]
    affine: Tensor
    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    known: bool

    def brought(self, stored: Tensor) -> Tensor:
        """Return the array of the file, (i, j, k) with i the fastest axis, as a volume (D, H, W).

        Args:
            stored: The array.
        """
        return stored.permute(*self.axes[::-1]).flip(self._turned).contiguous()

    def as_stored(self, volume: Tensor) -> Tensor:
        """Return a volume (D, H, W) as the array of the file, (i, j, k): the inverse of :meth:`brought`.

        Args:
            volume: The volume.
        """
        turned = volume.flip(self._turned)
        return turned.permute(*(2 - self.axes.index(axis) for axis in range(3)))

    def stored_affine(self, shape: torch.Size) -> Tensor:
        """Return the matrix from (i, j, k) of the file's array to millimetres (RAS), (4, 4) float64.

        Args:
            shape: (D, H, W) of the volume.
        """
        return self.affine @ torch.linalg.inv(_from_volume(self.axes, self.flipped, tuple(shape)[::-1]))

    def placed(self, points: Tensor) -> Tensor:
        """Return points (N, 3), in mm along (z, y, x) from the first voxel, in millimetres (RAS), (N, 3) float64.

        Args:
            points: The points.
        """
        numbers = (points.double().cpu() / torch.tensor(self.spacing, dtype=torch.float64)).flip(1)
        return numbers @ self.affine[:3, :3].T + self.affine[:3, 3]

    def found(self, points: Tensor) -> Tensor:
        """Return points (N, 3) in millimetres (RAS) in mm along (z, y, x) from the first voxel, (N, 3) float64.

        Args:
            points: The points.
        """
        numbers = torch.linalg.solve(self.affine[:3, :3], (points.double().cpu() - self.affine[:3, 3]).T).T
        return numbers.flip(1) * torch.tensor(self.spacing, dtype=torch.float64)

    @property
    def _turned(self) -> tuple[int, ...]:
        return tuple(axis for axis, turned in zip((2, 1, 0), self.flipped, strict=True) if turned)


def grid_of(affine: np.ndarray, shape: tuple[int, ...], known: bool = True) -> Grid:
    """Return the grid of an array (i, j, k) whose matrix leads to millimetres (RAS).

    Args:
        affine: The matrix, (4, 4).
        shape: The numbers of voxels along i, j and k.
        known: Whether the file says how the patient lies.

    Returns:
        The grid of the volume that :meth:`Grid.brought` gives.

    Raises:
        MetaoptError: The sizes of voxels are none of a CT of a chest, or the axes are not perpendicular, in words that
            :func:`~metaopt.files.named_errors` completes.
    """
    if len(shape) != 3 or min(shape) < 2:
        raise MetaoptError(
            f"holds {' x '.join(map(str, shape))} voxels, a single slice; a CT volume has several along each axis."
        )
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or not ((sizes >= FINEST) & (sizes <= COARSEST)).all():
        raise MetaoptError(
            f"says that its voxels have {said(sizes)} mm, but those of a chest have {FINEST:g} to {COARSEST:g} mm; "
            "correct the sizes of voxels in its header, or their unit."
        )
    directions = affine[:3, :3] / sizes
    skew = np.abs(np.triu(directions.T @ directions, 1)).max()
    if skew > SKEW:
        raise MetaoptError(
            f"has axes that are not perpendicular, but off by {math.degrees(math.asin(min(1.0, skew))):.1f} degrees, "
            "as after a scan with a tilted gantry; resample it to perpendicular axes, as dcm2niix does."
        )
    along = TOWARDS @ directions  # (x, y, z of the volume, axis of the file)
    best = max(itertools.permutations(range(3)), key=lambda axes: sum(abs(along[n, a]) for n, a in enumerate(axes)))
    x, y, z = best
    left, back, up = (bool(along[n, axis] < 0) for n, axis in enumerate(best))
    axes, flipped = (x, y, z), (left, back, up)
    matrix = torch.from_numpy(affine.astype(np.float64)) @ _from_volume(axes, flipped, tuple(shape[a] for a in axes))
    spacing = (float(sizes[z]), float(sizes[y]), float(sizes[x]))
    return Grid(spacing, matrix, axes, flipped, known)


def warn_unplaced(path: object) -> None:
    """Warn that a file does not say how the patient lies.

    Args:
        path: The file.
    """
    warn(
        f"{path} does not say how the patient lies, so left and right are as its format presumes them; check a side "
        "that you know, such as that of the heart."
    )


def said(sizes: np.ndarray | tuple[float, ...]) -> str:
    """Return sizes as a text.

    Args:
        sizes: The sizes.
    """
    return " x ".join(f"{size:.4g}" for size in sizes)


def _from_volume(axes: tuple[int, int, int], flipped: tuple[bool, bool, bool], shape: tuple[int, ...]) -> Tensor:
    """Return the matrix (4, 4) from (x, y, z) of the volume, of ``shape`` along x, y and z, to (i, j, k)."""
    matrix = torch.zeros(4, 4, dtype=torch.float64)
    matrix[3, 3] = 1
    for number, (axis, turned, count) in enumerate(zip(axes, flipped, shape, strict=True)):
        matrix[axis, number] = -1 if turned else 1
        matrix[axis, 3] = count - 1 if turned else 0
    return matrix
