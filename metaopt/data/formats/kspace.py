"""Say what was found in a file of k-space, and read one slice or volume of it at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...arguments.checks import check_count
from ...core.errors import MetaoptError
from ...files import named_errors
from .kspace_geometry import Geometry
from .kspace_sampling import (
    Centring,
    acceleration,
    calibration_region,
    partial_fourier,
    trim_readout,
)
from .kspace_stored import Stored

PROBED = 2**28  # bytes of k-space that are looked at together


@dataclass(frozen=True, eq=False)
class KSpace:
    """Say what was found in a file of k-space, and read it slice by slice; :func:`open_kspace` makes it.

    What is read is centred: frequency 0, and the middle of the picture, are at index n // 2 of every axis. ``mask``,
    ``acceleration``, ``calibration`` and ``partial_fourier`` are those of one slice in the middle; ``sampled`` tells
    those of any slice.

    Args:
        path: The file.
        shape: (row, column) or (depth, row, column) of what is read; the oversampling of the readout is removed.
        mask: (...) float32 of zeros and ones, 1 where that slice was sampled.
        geometry: The fields of view and the place in the scanner, of what is read.
        centring: How the file's k-space is moved to be centred.
        notes: What its user should know, a sentence each without its full stop.
        stored: The file's layout and how it is read.
    """

    path: Path
    shape: tuple[int, ...]
    mask: Tensor = field(repr=False)
    geometry: Geometry
    centring: Centring
    notes: tuple[str, ...]
    stored: Stored = field(repr=False)

    @property
    def format(self) -> str:
        """The name of the file's format."""
        return self.stored.layout.format

    @property
    def axes(self) -> str:
        """What each axis of the file's array is, with its size."""
        return self.stored.layout.axes

    @property
    def attributes(self) -> Mapping[str, object]:
        """Further entries of the file, such as the scan's name."""
        return self.stored.layout.attributes

    @property
    def slices(self) -> int:
        """Number of slices, or of volumes where k-space has three dimensions."""
        return self.stored.layout.slices

    @property
    def coils(self) -> int:
        """Number of coils."""
        return self.stored.layout.coils

    @property
    def dims(self) -> int:
        """2 or 3."""
        return len(self.shape)

    @property
    def acceleration(self) -> float:
        """Number of points over number of samples."""
        return acceleration(self.mask.numpy())

    @property
    def calibration(self) -> tuple[slice, ...] | None:
        """The fully sampled block around frequency 0, a slice an axis; None where there is none."""
        return calibration_region(self.mask.numpy() > 0)

    @property
    def partial_fourier(self) -> tuple[float, ...]:
        """For each axis the share of k-space over which samples reach, below 1 where one side was left out."""
        return partial_fourier(self.mask.numpy() > 0)

    @property
    def noise(self) -> Tensor | None:
        """(C, N) samples of noise alone, or None where the file has none."""
        return None if self.stored.noise is None else torch.from_numpy(self.stored.noise)

    @property
    def has_reference(self) -> bool:
        """Whether the file holds pictures, as of the full k-space."""
        return self.stored.reference is not None

    @property
    def picture_shape(self) -> tuple[int, ...]:
        """The pixels of the picture that the scanner means: those within its field of view."""
        return self.geometry.picture_shape(self.shape)

    @property
    def voxel(self) -> tuple[float, float, float] | None:
        """The size of a voxel along column, row and slice in millimetres, or None where it is not known."""
        return self.geometry.voxel(self.shape)

    @property
    def affine(self) -> Tensor | None:
        """(4, 4) float64 from (column, row, slice) of the cropped picture to millimetres (RAS); None if not known."""
        affine = self.geometry.affine_of(self.shape)
        return None if affine is None else torch.from_numpy(affine)

    def read(self, index: int, coils: slice | None = None) -> Tensor:
        """Return the k-space of one slice, or of one volume where it has three dimensions.

        Args:
            index: The slice, counted from 0.
            coils: Some coils, so that less is in memory; they may hold only zeros. None: all.

        Returns:
            (C, ...) complex64 or complex128, centred, zero where nothing was sampled.

        Raises:
            MetaoptError: There is no such slice; it cannot be read, holds only zeros, or is not finite.
        """
        index = self._index(index)
        with named_errors(self.path, "k-space"):
            if coils is not None:
                return torch.from_numpy(self._finished(self.stored.load(index, coils), index, some=True))
            return torch.from_numpy(self._read(index, slice(0, self.coils)))

    def sampled(self, index: int) -> Tensor:
        """Return where one slice was sampled.

        Args:
            index: The slice, counted from 0.

        Returns:
            (...) float32 of zeros and ones, centred.

        Raises:
            MetaoptError: There is no such slice, or it cannot be read.
        """
        index = self._index(index)
        with named_errors(self.path, "k-space"):
            mask = sampled(self.stored, index, self.centring)
        return torch.from_numpy(trim_mask(mask, self.geometry.readout, self.shape).astype(np.float32))

    def read_calibration(self, index: int) -> Tensor:
        """Return the fully sampled block around frequency 0, from lines measured for it alone where there are such.

        Args:
            index: The slice, counted from 0.

        Returns:
            (C, \\*block) complex.

        Raises:
            MetaoptError: There is no such slice, or frequency 0 was not sampled in it.
        """
        index = self._index(index)
        if self.stored.calibration is None:
            kspace, mask = self.read(index), self.sampled(index)
        else:
            with named_errors(self.path, "k-space"):
                values = self._finished(self.stored.calibration(index), index)
            kspace, mask = torch.from_numpy(values), torch.from_numpy((values != 0).any(0))
        block = calibration_region(mask.numpy() > 0)
        if block is None:
            raise MetaoptError(
                f"{self.path} has no calibration region in slice {index}: the middle of k-space was not sampled there; "
                "give maps of the coils, or k-space with its middle lines."
            )
        return kspace[(slice(None), *block)]

    def reference(self, index: int) -> Tensor:
        """Return the picture of a slice that the file holds.

        Args:
            index: The slice, counted from 0.

        Returns:
            (row, column) float32 or float64.

        Raises:
            MetaoptError: There is no such slice, or the file holds no pictures.
        """
        index = self._index(index)
        if self.stored.reference is None:
            raise MetaoptError(f"{self.path} holds no pictures beside its k-space.")
        with named_errors(self.path, "k-space"):
            return torch.from_numpy(np.ascontiguousarray(self.stored.reference(index)))

    def crop(self, picture: Tensor) -> Tensor:
        """Cut a picture to the field of view that the scanner means, about its middle.

        Args:
            picture: (..., H, W) or (..., D, H, W).

        Returns:
            (..., \\*picture_shape).

        Raises:
            MetaoptError: The picture has another shape.
        """
        if tuple(picture.shape[-self.dims :]) != self.shape:
            raise MetaoptError(f"The pictures of {self.path} are {self.shape}, but this is {tuple(picture.shape)}.")
        for axis, (n, m) in enumerate(zip(self.shape, self.picture_shape, strict=True)):
            picture = picture.narrow(axis - self.dims, n // 2 - m // 2, m)
        return picture

    def _index(self, index: int) -> int:
        check_count("The number of a slice", index, 0)
        if index >= self.slices:
            raise MetaoptError(f"{self.path} has {self.slices} slices, counted from 0; there is no slice {index}.")
        return int(index)

    def _read(self, index: int, coils: slice) -> np.ndarray:
        return self._finished(self.stored.load(index, coils), index)

    def _finished(self, kspace: np.ndarray, index: int, some: bool = False) -> np.ndarray:
        """Return what was stored of a slice, centred and without the oversampling of the readout."""
        if not some or kspace.any():
            check_values(kspace, index)
        kspace = self.centring.apply(kspace)
        axis = self.geometry.readout
        if axis is not None and kspace.shape[axis + 1] != self.shape[axis]:
            kspace = trim_readout(kspace, axis + 1, self.shape[axis])
        return np.ascontiguousarray(kspace)


def check_values(kspace: np.ndarray, index: int) -> None:
    """Check the k-space of a slice.

    Args:
        kspace: Any array of it.
        index: The slice.

    Raises:
        MetaoptError: It is not finite, or all zero.
    """
    finite = np.isfinite(kspace)
    if not finite.all():
        count = kspace.size - int(finite.sum())
        raise MetaoptError(
            f"has {count} of {kspace.size} values of slice {index} that are NaN or infinite; look at what wrote it, or "
            "set them to 0, which marks them as not sampled."
        )
    if not kspace.any():
        raise MetaoptError(
            f"holds only zeros in slice {index}; nothing was measured there, or the file was not written whole."
        )


def pieces(stored: Stored) -> list[slice]:
    """Divide the coils so that each part of a slice is of a size that fits into memory.

    Args:
        stored: How it is read.

    Returns:
        The parts.
    """
    count = max(1, PROBED // (16 * int(np.prod(stored.layout.shape))))
    return [slice(at, min(at + count, stored.layout.coils)) for at in range(0, stored.layout.coils, count)]


def sampled(stored: Stored, index: int, centring: Centring) -> np.ndarray:
    """Return where a slice was sampled, by the file's counters or by what is not zero.

    Args:
        stored: How it is read.
        index: The slice.
        centring: How it is moved to be centred.

    Returns:
        (...) of booleans, centred.
    """
    if stored.counted is not None:
        return centring.apply_mask(stored.counted(index))
    sampled = np.zeros(stored.layout.shape, bool)
    for coils in pieces(stored):
        sampled |= (stored.load(index, coils) != 0).any(0)
    return centring.apply_mask(sampled)


def trim_mask(mask: np.ndarray, axis: int | None, shape: tuple[int, ...]) -> np.ndarray:
    """Return a mask whose readout is as long as what is read.

    Args:
        mask: (...), the same along the readout.
        axis: The axis of the readout, or None.
        shape: What is read.

    Returns:
        (...).
    """
    if axis is None or mask.shape[axis] == shape[axis]:
        return mask
    return np.repeat(mask.any(axis, keepdims=True).astype(mask.dtype), shape[axis], axis)
