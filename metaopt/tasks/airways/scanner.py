"""Blur volumes as a CT scanner does, and draw noise with a grain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...arguments.contracts import NotNegative, checked
from ...foundation.extras import require
from .grid import check_spacing

FWHM = math.sqrt(8 * math.log(2))  # of a Gaussian of standard deviation 1
REACH = 4.0  # standard deviations to which a kernel extends


@checked
@dataclass(frozen=True)
class Scanner:
    """Blur by a Gaussian point spread and add noise, as CT scanner and reconstruction kernel do.

    The noise is Gaussian, with the stated standard deviation at every voxel, and is correlated over ``grain`` mm, since
    reconstructed CT noise is not white.

    Args:
        blur: Full width at half maximum of the point spread along every axis, in mm; 0 for none. The voxel's own width
            adds to it.
        noise: Standard deviation of the noise in Hounsfield units.
        grain: Full width at half maximum of the kernel that correlates the noise, in mm; 0 for white noise.
    """

    blur: NotNegative = 1.0
    noise: NotNegative = 40.0
    grain: NotNegative = 0.8

    def scan(self, volume: Tensor, spacing: Any, generator: torch.Generator) -> Tensor:
        """Return the blurred volume (D, H, W) with noise.

        Args:
            volume: The volume in Hounsfield units.
            spacing: The distance of voxels along (z, y, x), in mm.
            generator: Draws the noise.
        """
        sizes = check_spacing(spacing)
        scanned = blurred(volume.float(), sizes, self.blur)
        if self.noise:
            scanned += self.noise * grained(volume.shape, sizes, self.grain, generator)
        return scanned


def blurred(volume: Tensor, spacing: Sequence[float], fwhm: float, mode: str = "nearest") -> Tensor:
    """Return a new volume (D, H, W), blurred by a Gaussian of ``fwhm`` mm."""
    ndimage: Any = require("scipy.ndimage", "airway")
    values = volume.numpy().copy()
    for axis, size in enumerate(spacing):
        sigma = fwhm / FWHM / size
        if sigma > 0.05:  # a narrower kernel is 1 at its middle and below 1e-80 beside it
            values = ndimage.gaussian_filter1d(values, sigma, axis=axis, mode=mode, truncate=REACH)
    return torch.from_numpy(values)


def grained(shape: Sequence[int], spacing: Sequence[float], fwhm: float, generator: torch.Generator) -> Tensor:
    """Draw Gaussian noise (D, H, W) of standard deviation 1, correlated by a Gaussian kernel of ``fwhm`` mm."""
    noise = blurred(torch.randn(tuple(shape), generator=generator), spacing, fwhm, mode="wrap")
    norm = 1.0
    for size, length in zip(spacing, shape, strict=True):
        impulse = torch.zeros(1, 1, length)
        impulse[..., length // 2] = 1
        norm *= float(blurred(impulse, (math.inf, math.inf, size), fwhm, mode="wrap").norm())
    return noise.div_(norm)


def smooth_field(shape: Sequence[int], spacing: Sequence[float], size: float, generator: torch.Generator) -> Tensor:
    """Draw a field (D, H, W) of standard deviation 1 on average, which changes over some ``size`` mm."""
    grid = [max(2, math.ceil(n * s / size) + 1) for n, s in zip(shape, spacing, strict=True)]
    coarse = torch.randn(1, 1, *grid, generator=generator)
    field = torch.nn.functional.interpolate(coarse, tuple(shape), mode="trilinear", align_corners=True)[0, 0]
    return field.mul_(1.5**1.5)  # between the points of a grid, weights (1 - t, t) leave 2/3 of the variance on average


def to_tensor(values: np.ndarray) -> Tensor:
    """Return an array as a tensor of its own memory."""
    return torch.from_numpy(np.ascontiguousarray(values))
