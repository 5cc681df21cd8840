"""Look at the baselines, flags and weights of a set before it is imaged."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.errors import MetaoptError
from ...data import VisibilitySet
from ...operators.uv import LIGHT, seconds


@dataclass(frozen=True, eq=False)
class Survey:
    """Say what the visibilities that are used have in common.

    Args:
        longest: The largest |u| or |v|, in wavelengths.
        deepest: The largest |w|, in wavelengths.
        used: (F,), the number of visibilities of each channel that are not flagged.
        weights: (F,) float64, their sum of weights.
    """

    longest: float
    deepest: float
    used: Tensor
    weights: Tensor

    @property
    def largest_cell(self) -> float:
        """The largest size of a pixel that the longest baseline allows, in radians."""
        return (1 - 1e-9) / (2 * self.longest)

    def check_cell(self, cell: float) -> None:
        """Raise where cells are too coarse for the longest baseline.

        Args:
            cell: The size of a pixel in radians.

        Raises:
            MetaoptError: They are; the message says the largest that is right.
        """
        if cell > self.largest_cell:
            largest = math.floor(seconds(self.largest_cell) * 1e4) / 1e4
            raise MetaoptError(
                f"Cells of {seconds(cell):.6g} arcseconds are too coarse for the longest baseline of "
                f"{self.longest:.6g} wavelengths; the largest that is right is {largest:.6g} arcseconds, and a third "
                "of it is usual: leave --cell out for that."
            )

    def w_phase(self, shape: tuple[int, int], cell: float) -> float:
        """Return the phase that neglecting w costs at the corner of a picture, in radians.

        Args:
            shape: (H, W).
            cell: The size of a pixel in radians.

        Raises:
            MetaoptError: The picture reaches beyond the horizon.
        """
        squares = sum((n // 2 * cell) ** 2 for n in shape)
        if squares >= 1:
            raise MetaoptError(
                f"A picture of {shape[0]} x {shape[1]} cells of {seconds(cell):.4g} arcseconds reaches beyond the "
                "horizon; take fewer or smaller cells."
            )
        return 2 * math.pi * self.deepest * squares / (1 + math.sqrt(1 - squares))


def survey(found: VisibilitySet) -> Survey:
    """Read a set once, in chunks.

    Args:
        found: The set, of which coverage is enough.

    Returns:
        What was found.

    Raises:
        MetaoptError: It cannot be read, all of it is flagged, or no baseline has a length.
    """
    waves = found.frequency / LIGHT
    longest = deepest = 0.0
    used, weights = torch.zeros(found.channels, dtype=torch.long), torch.zeros(found.channels, dtype=torch.float64)
    for chunk in found.chunks():
        seen = chunk.weights > 0
        used += seen.sum(0)
        weights += chunk.weights.double().sum(0)
        highest = (seen * waves).amax(1)  # of the channels that are not flagged in each row
        longest = max(longest, float((chunk.uvw[:, :2].abs().amax(1) * highest).max()))
        deepest = max(deepest, float((chunk.uvw[:, 2].abs() * highest).max()))
    if not longest > 0:
        raise MetaoptError(
            f"Every baseline of {found.path} that is not flagged has length 0, so no picture can be made of it; give "
            "uvw in metres."
        )
    return Survey(longest, deepest, used, weights)
