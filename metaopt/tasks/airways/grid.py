"""Check the volumes and spacings that the airway tasks take, and find where a mask is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...arguments.checks import as_numbers, check_tensor
from ...core.errors import MetaoptError


def check_spacing(spacing: Any) -> tuple[float, float, float]:
    """Return the distances of voxels along (z, y, x) in mm.

    Args:
        spacing: Three positive numbers.

    Raises:
        MetaoptError: They are missing, not three, or not positive and finite.
    """
    if spacing is None:
        raise MetaoptError(
            "The spacing is missing; give the distances of voxels along (z, y, x) in mm, such as (0.7, 0.6, 0.6)."
        )
    numbers = as_numbers("The spacing", spacing, torch.float64, torch.device("cpu"))
    if numbers.shape != (3,) or not bool((numbers.isfinite() & (numbers > 0)).all()):
        raise MetaoptError(
            "The spacing must be three positive numbers, the distances of voxels along (z, y, x) in mm, but got "
            f"{numbers.tolist()}."
        )
    z, y, x = numbers.tolist()
    return z, y, x


def check_mask(name: str, mask: Any) -> Tensor:
    """Return the mask on the CPU if it is one with three axes of which a voxel at least is set.

    Args:
        name: The subject of the error.
        mask: (D, H, W) bool.

    Raises:
        MetaoptError: It is no such mask.
    """
    check_tensor(name, mask, "boolean", "(D, H, W)")
    if not bool(mask.any()):
        raise MetaoptError(f"{name} is empty: none of its {tuple(mask.shape)} voxels is set.")
    return mask.detach().cpu()


def bounding_box(mask: Tensor, margin: Sequence[int] = (0, 0, 0)) -> tuple[slice, slice, slice]:
    """Return the smallest box that holds a mask, with a margin as far as the volume reaches.

    Args:
        mask: (D, H, W) bool, of which a voxel at least is set.
        margin: Voxels around it, along each axis.

    Returns:
        Three slices.
    """
    planes = mask.any(0)
    used = mask.flatten(1).any(1).nonzero(), planes.any(1).nonzero(), planes.any(0).nonzero()
    z, y, x = (
        slice(max(0, int(u[0]) - m), min(n, int(u[-1]) + m + 1))
        for u, m, n in zip(used, margin, mask.shape, strict=True)
    )
    return z, y, x
