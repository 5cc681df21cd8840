"""Say of a volume whether its values can be Hounsfield units of a chest, and what they look like if not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...arguments.checks import check_tensor
from ...core.errors import MetaoptError
from ...tasks.airways.grid import check_spacing

AIR, TISSUE = (-1100.0, -700.0), (-200.0, 250.0)  # HU, of air and lungs, and of fat, muscle and blood
LEAST_AIR, LEAST_TISSUE = 0.01, 0.02  # of the volume
OFFSETS = (1024.0, 1000.0, -1024.0, -1000.0, 32768.0, -32768.0)  # of stored values that lack their rescaling
SAMPLE = 2_000_000  # voxels that are looked at
SMALLEST = 8  # voxels along each axis
DEEPEST = -1024.0  # HU, below which are only marks for what lies outside of the picture


def check_ct(volume: Any, spacing: Any) -> tuple[Tensor, tuple[float, float, float]]:
    """Return a volume as float32 tensor with its spacing, after a look at its shape and its values.

    Args:
        volume: The CT, (D, H, W), z towards the head, in Hounsfield units, of a real dtype.
        spacing: The distance of voxels along (z, y, x), in mm.

    Returns:
        The volume, (D, H, W) float32, and the spacing.

    Raises:
        MetaoptError: It is no volume of finite numbers, the spacing is missing or not positive, or the values are not
            Hounsfield units of a chest: they hold no air, are off by a constant, or are of another unit.
    """
    sizes = check_spacing(spacing)
    values = check_tensor("The CT", volume, "any")
    if values.ndim != 3 or values.is_complex() or values.dtype == torch.bool:
        raise MetaoptError(
            f"A CT is a volume (D, H, W) of real numbers, but got {tuple(values.shape)} of {values.dtype}; take one "
            "series, and leave out axes of length 1."
        )
    if min(values.shape) < SMALLEST:
        raise MetaoptError(f"A CT of a chest needs at least {SMALLEST} voxels a side, but got {tuple(values.shape)}.")
    values = values.detach().cpu().float()
    if not bool(values.sum().isfinite()) and not bool(values.isfinite().all()):
        count = int((~values.isfinite()).sum())
        raise MetaoptError(
            f"{count:,} voxels of the CT are NaN or infinite; replace them, by -1000 outside of the picture."
        )
    _check_units(values)
    return values, sizes


def _check_units(values: Tensor) -> None:
    step = max(1, round((values.numel() / SAMPLE) ** (1 / 3)))
    some = values[::step, ::step, ::step].flatten()
    if _fits(some, 0.0):
        return
    low, middle, high = (float(v) for v in (some.min(), some.median(), some.max()))
    said = f"Its values go from {low:.5g} to {high:.5g}, half of them below {middle:.5g}"
    if low == high:
        raise MetaoptError(f"All voxels of the CT are {low:.5g}; it shows nothing.")
    offset = next((o for o in OFFSETS if _fits(some, o)), None)
    if offset is not None:
        way = f"subtract {offset:.0f}" if offset > 0 else f"add {-offset:.0f}"
        raise MetaoptError(
            f"This CT is not in Hounsfield units: air, which has -1000, is near {offset - 1000:.0f}, and soft tissue, "
            f"which has 40, near {offset + 40:.0f}. Apply the rescaling of its header (RescaleSlope and "
            f"RescaleIntercept), or {way}."
        )
    if low > -500 and _share(some, *TISSUE) > 0.5 and _share(some, -500, -20) > 0.02:  # an MR has no negative values
        raise MetaoptError(
            f"There is no air in this volume, so it shows no lungs. {said}; airways are dark against lungs, which have "
            "some -850 Hounsfield units."
        )
    if low <= AIR[1] and _share(some, *TISSUE) < LEAST_TISSUE:
        raise MetaoptError(f"There is air in this volume, but no soft tissue, so it shows no chest. {said}.")
    raise MetaoptError(
        f"This volume is no CT in Hounsfield units, as an MR or a picture in other units is none. {said}; in a CT of "
        "the chest air has -1000, lungs have some -850 and soft tissue has 40."
    )


def _fits(some: Tensor, offset: float) -> bool:
    """Return whether the values less an offset are as those of a chest."""
    return _share(some - offset, *AIR) >= LEAST_AIR and _share(some - offset, *TISSUE) >= LEAST_TISSUE


def _share(some: Tensor, low: float, high: float) -> float:
    return float(((some >= low) & (some <= high)).float().mean())
