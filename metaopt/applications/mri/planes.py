"""Divide k-space into planes that are reconstructed one by one, or take a volume that cannot be divided as one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...arguments.checks import check_count, said
from ...core import MetaoptError
from ...data import KSpace

IN_MEMORY = 2**29  # bytes of a volume's k-space that are held in memory, and not in a temporary file


@dataclass(frozen=True, eq=False)
class Planes:
    """Hold the planes of an acquisition: its slices, or those across the fully sampled axis of a volume.

    A volume that has no such axis is a single part with three sides, which is reconstructed as a whole.

    Args:
        count: Number of planes; 1 for a whole volume.
        axis: The axis of the reconstructed volume (slice, row, column) along which the planes follow one another.
        shape: The two sides of a plane in points of k-space, or the three of a whole volume.
        cropped: The sides in pixels of the picture.
        voxel: Millimetres of a voxel along slice, row and column, or None.
        read: Returns the k-space of a plane, (C, H, W) complex and centred, and its mask, (H, W).
    """

    count: int
    axis: int
    shape: tuple[int, ...]
    cropped: tuple[int, ...]
    voxel: tuple[float, float, float] | None
    read: Callable[[int], tuple[Tensor, Tensor]]

    @property
    def whole(self) -> bool:
        """Whether the only part is a whole volume."""
        return len(self.shape) == 3

    def volume(self, count: int) -> tuple[int, int, int]:
        """Return the shape (slice, row, column) of the volume of some of the planes.

        Args:
            count: How many they are.
        """
        sides = list(self.cropped)
        if not self.whole:
            sides.insert(self.axis, count)
        return sides[0], sides[1], sides[2]

    def place(self, position: int) -> tuple[int | slice, ...]:
        """Return the index of a plane in a volume.

        Args:
            position: Its number.
        """
        return () if self.whole else (*[slice(None)] * self.axis, position)

    def crop(self, pictures: Tensor) -> Tensor:
        """Cut pictures (..., H, W) to the field of view that belongs to the picture, about their middle."""
        for axis, (n, m) in enumerate(zip(self.shape, self.cropped, strict=True)):
            pictures = pictures.narrow(axis - len(self.shape), n // 2 - m // 2, m)
        return pictures


def planes_of(
    kspace: KSpace, mask: Tensor | None = None, volume: int | None = None, folder: Path | None = None
) -> Planes:
    """Return the planes of k-space.

    The axis of a volume along which each line is sampled in full, the readout, is transformed to space; the k-space of
    a plane across it has the same noise. What does not fit in ``IN_MEMORY`` lies in a temporary file meanwhile. A
    volume without such an axis is one part.

    Args:
        kspace: The k-space.
        mask: Which samples are used, (column,), or as large as a plane or as k-space; 1 or 0. None: all.
        volume: Which volume, where k-space has three dimensions and there are several.
        folder: Where a temporary file is made. None: where the operating system makes them.

    Raises:
        MetaoptError: The mask does not fit, or several volumes are there and none was chosen.
    """
    if kspace.dims == 2:
        if volume is not None:
            raise MetaoptError(f"{kspace.path} holds slices and no volumes, so none can be chosen; choose slices.")
        return _slices(kspace, mask)
    if volume is None and kspace.slices > 1:
        raise MetaoptError(f"{kspace.path} holds {kspace.slices} volumes; choose one, counted from 0, by --volume.")
    index = 0 if volume is None else check_count("The number of a volume", volume, 0)
    return _across(kspace, mask, index, folder)


def _slices(kspace: KSpace, mask: Tensor | None) -> Planes:
    kept = None if mask is None else _fitted(mask, kspace.shape, kspace.shape, kspace.path)

    def read(index: int) -> tuple[Tensor, Tensor]:
        y, sampled = kspace.read(index), kspace.sampled(index)
        return _used(y, sampled, kept, index)

    voxel = kspace.voxel
    return Planes(kspace.slices, 0, _pair(kspace.shape), _pair(kspace.picture_shape), _reversed(voxel), read)


def _across(kspace: KSpace, mask: Tensor | None, index: int, folder: Path | None) -> Planes:
    """Return the planes of a volume across its readout, or the whole where there is none."""
    sampled = kspace.sampled(index)
    of_space = isinstance(mask, Tensor) and tuple(mask.shape) == kspace.shape
    axis = _readout(kspace, sampled * (mask != 0) if of_space else sampled)
    if axis is None:
        return _whole(kspace, mask, index, sampled)
    plane = [n for i, n in enumerate(kspace.shape) if i != axis]
    kept = None if mask is None else _fitted(mask, tuple(plane), kspace.shape, kspace.path)
    if kept is not None and kept.ndim == 3:
        kept = (sampled * kept).amax(axis)
    lines = sampled.amax(axis)
    held: list[np.ndarray] = []
    sides, pixels = kspace.shape, kspace.picture_shape
    first = sides[axis] // 2 - pixels[axis] // 2

    def read(at: int) -> tuple[Tensor, Tensor]:
        if not held:
            held.append(_hybrid(kspace, index, axis, folder))
        return _used(torch.from_numpy(held[0][first + at].copy()), lines, kept, at)

    cropped = [n for i, n in enumerate(pixels) if i != axis]
    voxel = kspace.voxel
    return Planes(pixels[axis], axis, _pair(plane), _pair(cropped), _reversed(voxel), read)


def _whole(kspace: KSpace, mask: Tensor | None, index: int, sampled: Tensor) -> Planes:
    """Return a volume as the one part that it is."""
    kept = None if mask is None else _fitted(mask, kspace.shape, kspace.shape, kspace.path)

    def read(at: int) -> tuple[Tensor, Tensor]:
        return _used(kspace.read(index), sampled, kept, at)

    return Planes(1, 0, kspace.shape, kspace.picture_shape, _reversed(kspace.voxel), read)


def _readout(kspace: KSpace, sampled: Tensor) -> int | None:
    """Return the axis along which all lines are sampled alike: the header's, or else the one that samples all."""
    said_axis = kspace.geometry.readout
    order = ([] if said_axis is None else [said_axis]) + [i for i in range(3) if i != said_axis]
    for axis in order:
        points = sampled.amax([i for i in range(3) if i != axis], keepdim=True)
        alike = bool((sampled == sampled.amax(axis, keepdim=True) * points).all())
        if alike and (axis == said_axis or bool(points.all())):
            return axis
    return None


def _hybrid(kspace: KSpace, index: int, axis: int, folder: Path | None) -> np.ndarray:
    """Return (readout, C, *plane): the volume's k-space, with its readout transformed to space, coil by coil."""
    plane = [n for i, n in enumerate(kspace.shape) if i != axis]
    shape = (kspace.shape[axis], kspace.coils, *plane)
    large = 8 * int(np.prod(shape)) > IN_MEMORY
    if large:
        with tempfile.TemporaryFile(dir=folder) as file:  # the map keeps it; the file has no name that could stay
            values: np.ndarray = np.memmap(file, np.complex64, "w+", shape=shape)
    else:
        values = np.empty(shape, np.complex64)
    for coil in range(kspace.coils) if large else (None,):
        y = kspace.read(index) if coil is None else kspace.read(index, slice(coil, coil + 1))
        y = torch.fft.ifftshift(y.to(torch.complex64), axis + 1)
        y = torch.fft.fftshift(torch.fft.ifft(y, dim=axis + 1, norm="ortho"), axis + 1).movedim(axis + 1, 0)
        values[:, slice(None) if coil is None else slice(coil, coil + 1)] = y.numpy()
    return values


def _fitted(mask: Tensor, plane: tuple[int, ...], space: tuple[int, ...], path: Path) -> Tensor:
    """Return the mask of a plane, or of the whole of space."""
    if not isinstance(mask, Tensor) or mask.is_complex() or not bool(((mask == 0) | (mask == 1)).all()):
        raise MetaoptError(f"The mask must hold zeros and ones, 1 where a sample is used, but is {said(mask)}.")
    if not bool(mask.any()):
        raise MetaoptError("The mask is 0 everywhere, so no sample would be used; 1 marks those that are.")
    shape = tuple(mask.shape)
    if shape in (plane, space):
        return mask.float()
    if shape == plane[-1:]:
        return mask.float().expand(plane)
    fitting = " or ".join(map(str, dict.fromkeys((plane[-1:], plane, space))))
    raise MetaoptError(f"The mask is {shape}, but the k-space of {path} needs {fitting}; cut or transpose the mask.")


def _used(y: Tensor, sampled: Tensor, kept: Tensor | None, index: int) -> tuple[Tensor, Tensor]:
    y = y.to(torch.complex64) if _fits(y) else _unfit(y)
    if kept is None:
        return y, sampled
    mask = sampled * kept
    if not bool((y * mask).any()):
        raise MetaoptError(f"The mask leaves nothing of what was measured in slice {index}; is it centred, as k-space?")
    return y * mask, mask


def _fits(y: Tensor) -> bool:
    return y.dtype == torch.complex64 or 1e-30 < float(y.abs().max()) < 1e30


def _unfit(y: Tensor) -> Tensor:
    raise MetaoptError(
        f"K-space reaches {float(y.abs().max()):.3g}, which numbers of 32 bits do not hold; multiply it by a constant."
    )


def _pair(sides: tuple[int, ...] | list[int]) -> tuple[int, int]:
    return sides[0], sides[1]


def _reversed(voxel: tuple[float, float, float] | None) -> tuple[float, float, float] | None:
    return None if voxel is None else (voxel[2], voxel[1], voxel[0])
