"""Cut a CT to the body, make it as coarse as a page can hold, and keep its Hounsfield units in 8 bits."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from . import mosaics

MOST_VOXELS = 32_000_000  # of the shown volume: what a phone holds beside the page
CHUNK = 4_000_000  # voxels of one picture: what the canvas of a phone's browser can hold is four times that
MOST_BYTES = 12_000_000  # of all pictures of the volume
SMALL = 4_000_000  # bytes up to which the pictures lose nothing
QUALITIES = (92, 85, 75, 60, 40)
BODY, SHARE, STRIDE, MARGIN = -500.0, 0.02, 4, 5  # HU, the share of a row above it, voxels, voxels
# Hounsfield units and the grey levels that stand for them: 4 HU a level in soft tissue, 6 in the lung.
UNITS = (-1024.0, -160.0, 248.0, 1024.0)
LEVELS = (0.0, 144.0, 246.0, 255.0)
HALF_FILLED = 0.3  # of a shown voxel; below a half, so that airways of one voxel are seen in a coarser grid


@dataclass(frozen=True)
class Grid:
    """Say which voxels of a volume are shown, and how they lie in it.

    Args:
        spacing: Distance of the voxels of the volume along (D, H, W) in mm.
        whole: Its sizes.
        first: The first voxel of the cut along each axis.
        cut: The sizes of the cut.
        shown: The sizes of the shown volume, at most those of the cut.
    """

    spacing: tuple[float, ...]
    whole: tuple[int, ...]
    first: tuple[int, ...]
    cut: tuple[int, ...]
    shown: tuple[int, ...]

    @property
    def steps(self) -> tuple[float, ...]:
        """How many voxels of the volume a shown one spans along each axis."""
        return tuple(c / s for c, s in zip(self.cut, self.shown, strict=True))

    @property
    def begin(self) -> tuple[float, ...]:
        """The place of the centre of the first shown voxel along each axis, in voxels of the volume."""
        return tuple(f + (step - 1) / 2 for f, step in zip(self.first, self.steps, strict=True))

    def resampled(self, volume: Tensor) -> Tensor:
        """Return what is shown of a volume: averages of its voxels where the grid is coarser.

        Args:
            volume: (D, H, W), real or bool.

        Returns:
            (d, h, w) float32.
        """
        (d, h, w), ranges = self.shown, [slice(f, f + c) for f, c in zip(self.first, self.cut, strict=True)]
        cut = volume.detach()[tuple(ranges)]
        if self.shown == self.cut:
            return cut.cpu().float()
        flat = torch.cat([_resized(slab.cpu().float()[:, None], (h, w))[:, 0] for slab in cut.split(16)])
        thick = flat.movedim(1, 0)  # (h, D, w): now along D
        return torch.cat([_resized(slab[:, None], (d, w))[:, 0] for slab in thick.split(16)]).movedim(0, 1)


def fit(volume: Tensor, spacing: Sequence[float], inside: Tensor, most: int) -> Grid:
    """Return the grid on which a page shows a volume.

    Args:
        volume: (D, H, W) in HU.
        spacing: Distance of its voxels along (D, H, W) in mm.
        inside: (n, 3), voxels that the cut must hold.
        most: The number of voxels that are shown at most.

    Returns:
        The grid.
    """
    first, last = [], []
    body = volume.detach()[::STRIDE, ::STRIDE, ::STRIDE] > BODY
    held = inside.round().long()
    for axis, size in enumerate(volume.shape):
        rows = (body.float().mean([a for a in range(3) if a != axis]) > SHARE).nonzero().flatten().tolist()
        begin, end = (STRIDE * (rows[0] - 1), STRIDE * (rows[-1] + 1)) if rows else (0, size)
        low, high = min(begin, int(held[:, axis].min())), max(end, int(held[:, axis].max()))
        first.append(min(max(0, low - MARGIN), size - 1))
        last.append(max(min(size, high + MARGIN + 1), first[-1] + 1))
    cut = [b - a for a, b in zip(first, last, strict=True)]
    voxel = min(spacing)
    while math.prod(shown := [_count(c, s, voxel) for c, s in zip(cut, spacing, strict=True)]) > most:
        voxel *= 1.02
    return Grid(tuple(spacing), tuple(volume.shape), tuple(first), tuple(cut), tuple(shown))


def levels_of(volume: Tensor) -> np.ndarray:
    """Return grey levels that stand for Hounsfield units, finer in soft tissue than in the lung and in bone.

    Args:
        volume: (D, H, W) in HU.

    Returns:
        (D, H, W) uint8.
    """
    return np.stack([np.rint(np.interp(part.numpy(), UNITS, LEVELS)).astype(np.uint8) for part in volume])


def encode(levels: np.ndarray, lossless: bool = False) -> list[str]:
    """Return a volume as pictures of some slices each, in ``data:`` addresses.

    Args:
        levels: (D, H, W) uint8; the pictures divide it along D as ``slices_of`` says.
        lossless: Whether the levels must stay as they are, whatever their size. False: JPEG where PNG is too large.

    Returns:
        The addresses.
    """
    count = slices_of(levels.shape)
    parts = [levels[i : i + count] for i in range(0, len(levels), count)]
    if lossless or levels.size <= CHUNK:
        pictures = [mosaics.encode_levels(part) for part in parts]
        if lossless or sum(map(len, pictures)) <= SMALL:
            return [_address("png", picture) for picture in pictures]
    pictures = []
    for quality in QUALITIES:
        pictures = [mosaics.encode_levels(part, quality) for part in parts]
        if sum(map(len, pictures)) <= MOST_BYTES:
            break
    return [_address("jpeg", picture) for picture in pictures]


def slices_of(shape: Sequence[int]) -> int:
    """Return how many slices stand in one picture.

    Args:
        shape: (D, H, W).

    Returns:
        The number.
    """
    return max(1, CHUNK // (shape[1] * shape[2]))


def _resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(pictures.shape[-2:]) == size:
        return pictures
    return interpolate(pictures, size, mode="bilinear", align_corners=False, antialias=True)


def _count(size: int, spacing: float, voxel: float) -> int:
    return max(1, min(size, round(size * spacing / voxel)))


def _address(kind: str, picture: bytes) -> str:
    return f"data:image/{kind};base64,{b64encode(picture).decode()}"
