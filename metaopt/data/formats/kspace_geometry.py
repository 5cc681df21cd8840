"""Say where k-space lies in space: fields of view, the picture's part of them, and its place in the scanner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Placement:
    """Hold the place of pictures in the scanner, in millimetres to the right, anterior and superior (RAS).

    Args:
        centre: (3,) the place of pixel (n // 2, ...) of the first slice.
        column: (3,) the step from a column to the next, as a direction of length 1.
        row: (3,) the same of rows.
        slice: (3,) the same of slices.
    """

    centre: np.ndarray
    column: np.ndarray
    row: np.ndarray
    slice: np.ndarray


@dataclass(frozen=True)
class Geometry:
    """Hold the extents of k-space and of the picture that the scanner makes of it, an entry an axis of space.

    Args:
        field_of_view: What was encoded, in millimetres, or None where it is not known.
        picture_field_of_view: What belongs to the picture, in millimetres, or None.
        picture_matrix: The pixels of the scanner's own picture, or None.
        readout: The axis of space along which one readout is sampled, or None where it is not known.
        spacing: Distance of slices in millimetres (2-D), or None.
        placement: The place in the scanner, or None.
        affine: (4, 4) where the file itself has it, from (column, row, slice) to millimetres; or None.
    """

    field_of_view: tuple[float, ...] | None = None
    picture_field_of_view: tuple[float, ...] | None = None
    picture_matrix: tuple[int, ...] | None = None
    readout: int | None = None
    spacing: float | None = None
    placement: Placement | None = None
    affine: np.ndarray | None = None

    def oversampling(self) -> float:
        """Return how much farther the readout reaches than the picture: the ratio of the two fields of view."""
        if self.field_of_view is None or self.picture_field_of_view is None or self.readout is None:
            return 1.0
        return self.field_of_view[self.readout] / self.picture_field_of_view[self.readout]

    def trimmed(self, share: float) -> Geometry:
        """Return the geometry of k-space whose readout was cut.

        Args:
            share: Points that stayed over points before, so that the size of a pixel stays.

        Returns:
            The geometry.
        """
        if self.field_of_view is None or self.readout is None:
            return self
        encoded = list(self.field_of_view)
        encoded[self.readout] *= share
        return replace(self, field_of_view=tuple(encoded))

    def picture_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return how many pixels belong to the picture's field of view.

        Args:
            shape: Points of k-space.

        Returns:
            Pixels along each axis, never more than points.
        """
        if self.field_of_view is None or self.picture_field_of_view is None:
            return tuple(shape)
        shares = zip(shape, self.field_of_view, self.picture_field_of_view, strict=True)
        return tuple(max(1, min(n, round(n * picture / encoded))) for n, encoded, picture in shares)

    def voxel(self, shape: Sequence[int]) -> tuple[float, float, float] | None:
        """Return the size of a voxel along column, row and slice in millimetres, or None where it is not known.

        Args:
            shape: Points of k-space.

        Returns:
            The three sizes.
        """
        if self.field_of_view is None:
            return None
        sizes = [extent / n for extent, n in zip(self.field_of_view, shape, strict=True)]
        sizes = sizes if len(sizes) == 3 else [self.spacing or 1.0, *sizes]
        return sizes[2], sizes[1], sizes[0]

    def affine_of(self, shape: Sequence[int]) -> np.ndarray | None:
        """Return the matrix from (column, row, slice) of the cut picture to millimetres (RAS), as NIfTI has it.

        A discrete Fourier transform has its centre at pixel n // 2, also of an even number of pixels, so that pixel is
        where the scanner says that the middle of the field of view lies.

        Args:
            shape: Points of k-space.

        Returns:
            (4, 4), or None where the place is not known.
        """
        if self.affine is not None:
            return self.affine
        voxel, place = self.voxel(shape), self.placement
        if voxel is None or place is None:
            return None
        affine = np.eye(4)
        affine[:3, :3] = np.stack([place.column, place.row, place.slice], axis=1) * np.array(voxel)
        pixels = self.picture_shape(shape)
        middle = [pixels[-1] // 2, pixels[-2] // 2, pixels[0] // 2 if len(pixels) == 3 else 0]
        affine[:3, 3] = place.centre - affine[:3, :3] @ np.array(middle, float)
        return affine
