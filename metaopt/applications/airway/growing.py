"""Grow the airways from a seed in the trachea through dark voxels, the classical way, with control of leaks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...arguments.checks import as_numbers
from ...arguments.contracts import Positive, checked
from ...core.errors import MetaoptError
from ...foundation.extras import require
from ...tasks.airways.grid import bounding_box, check_mask
from ...tasks.airways.scanner import blurred
from .hounsfield import check_ct

HIGHEST = -600.0  # HU, to which a threshold is looked for
STEP = 4.0  # HU
AROUND = 4.0  # mm around the seed in which the noise of the lumen is seen
LEAST = 25.0  # HU above the air around the seed, where thresholds begin if there is less noise than this
BLURS = (0.0, 1.0, 2.0)  # mm, full widths at half maximum


@checked
def grow_region(
    volume: Any,
    seed: Any,
    spacing: Any,
    threshold: float | None = None,
    within: Tensor | None = None,
    jump: Positive = 0.15,
    most: Positive = 200.0,
) -> Tensor:
    """Grow the airways from a seed through all voxels below a threshold that share a face.

    Without a threshold, it is raised from where most of the air around the seed lies below, until the volume explodes
    because the region breaks through a thin wall into the parenchyma: it grows by more than ``jump`` of itself in 4
    Hounsfield units, or exceeds ``most``. The last region before is taken. Where the CT is so noisy that it leaks from
    the beginning, it is blurred by a Gaussian of 1 mm full width at half maximum, or else of 2 mm.

    Args:
        volume: The CT, (D, H, W) in Hounsfield units.
        seed: A voxel (z, y, x) in the trachea.
        spacing: The distance of voxels along (z, y, x), in mm.
        threshold: Hounsfield units below which a voxel belongs to the region. None: it is looked for.
        within: The mask of where the region may grow, (D, H, W) bool; it saves time. None: anywhere.
        jump: The relative growth over 4 Hounsfield units that is a leak.
        most: The largest volume of airways, in millilitres.

    Returns:
        The region, (D, H, W) bool.

    Raises:
        MetaoptError: The volume is no CT, the seed is no voxel of it or not below the threshold, or no threshold is
            without a leak.

    Source:
        K. Mori et al., automated extraction of bronchus area from 3-D X-ray CT images, 1994 (ICPR).
    """
    values, sizes = check_ct(volume, spacing)
    place = _check_seed(seed, values)
    box = tuple(slice(0, n) for n in values.shape)
    inside: np.ndarray | None = None
    if within is not None:
        mask = check_mask("The mask of where to grow", within)
        if mask.shape != values.shape or not bool(mask[place]):
            raise MetaoptError(
                f"The mask of where to grow is {tuple(mask.shape)} and the CT {tuple(values.shape)}; they must share "
                f"one grid, and the seed {place} must lie in the mask."
            )
        box = bounding_box(mask)
        inside = mask[box].numpy()
    part = values[box].numpy()
    local = tuple(i - s.start for i, s in zip(place, box, strict=True))
    start = float(values[place])
    if threshold is None:
        grown = _least_blurred(part, inside, local, sizes, jump, most)
    elif start < threshold:
        grown = _region(part, inside, local, threshold)
    else:
        raise MetaoptError(
            f"The seed {place} has {start:.0f} Hounsfield units, which is not below the threshold {threshold:.5g}."
        )
    found = torch.zeros(values.shape, dtype=torch.bool)
    found[box] = torch.from_numpy(grown)
    return found


def _least_blurred(
    part: np.ndarray,
    inside: np.ndarray | None,
    seed: tuple[int, ...],
    sizes: tuple[float, float, float],
    jump: float,
    most: float,
) -> np.ndarray:
    """Return the region without a leak after as little blurring as possible."""
    lowest = math.inf
    for width in BLURS:
        given = blurred(torch.from_numpy(part), sizes, width).numpy() if width else part
        place, lowest = _dark_place(given if inside is None else np.where(inside, given, np.inf), seed, sizes)
        found = _without_leak(given, inside, place, (math.prod(sizes) / 1e3, lowest), jump, most)
        if found is not None:
            return found
    raise MetaoptError(
        f"At {lowest:.0f} Hounsfield units, below which the air around the seed lies, the region has more than "
        f"{most:.5g} ml already, so that it leaks at any threshold, or the seed is not in the trachea."
    )


def _without_leak(
    part: np.ndarray,
    inside: np.ndarray | None,
    seed: tuple[int, ...],
    scale: tuple[float, float],
    jump: float,
    most: float,
) -> np.ndarray | None:
    """Return the region at the highest threshold without a leak; None where there is none.

    ``scale`` are the millilitres of a voxel and the lowest threshold.
    """
    millilitres, lowest = scale
    best = _region(part, inside, seed, lowest)
    if best.sum() * millilitres > most:
        return None
    low, high = 0, max(1, math.ceil((HIGHEST - lowest) / STEP))
    while high - low > 1:
        middle = (low + high) // 2
        region = _region(part, inside, seed, lowest + STEP * middle)
        if region.sum() * millilitres > most:
            high, inside = middle, region  # lower thresholds give a part of it
        else:
            low, best = middle, region
    box = tuple(slice(int(u.min()), int(u.max()) + 1) for u in np.nonzero(best)) if best.any() else ()
    regions = [best[box]]
    local = tuple(i - s.start for i, s in zip(seed, box, strict=True)) if box else seed
    for step in range(low - 1, -1, -1):
        regions.append(_region(part[box], regions[-1], local, lowest + STEP * step))
    regions.reverse()
    counts = [int(region.sum()) for region in regions]
    leak = next((i for i in range(1, len(counts)) if counts[i] > (1 + jump) * counts[i - 1]), len(counts))
    found = np.zeros(part.shape, bool)
    found[box] = regions[leak - 1]
    return found


def _dark_place(part: np.ndarray, seed: tuple[int, ...], sizes: Sequence[float]) -> tuple[tuple[int, ...], float]:
    """Return the darkest voxel around the seed, and Hounsfield units below which most of the air there is."""
    reach = [max(1, round(AROUND / s)) for s in sizes]
    box = tuple(slice(max(0, i - r), i + r + 1) for i, r in zip(seed, reach, strict=True))
    near = part[box]
    dark = near[near < HIGHEST]
    if not dark.size:
        raise MetaoptError(f"There is no air around the seed, which has {float(part[seed]):.0f} Hounsfield units.")
    middle = float(np.median(dark))
    spread = 1.4826 * float(np.median(np.abs(dark - middle)))
    darkest = np.unravel_index(int(near.argmin()), near.shape)
    place = tuple(int(i) + s.start for i, s in zip(darkest, box, strict=True))
    return place, min(middle + max(spread, LEAST), HIGHEST)


def _region(part: np.ndarray, inside: np.ndarray | None, seed: tuple[int, ...], threshold: float) -> np.ndarray:
    """Return the voxels below a threshold that are connected with the seed by faces."""
    ndimage: Any = require("scipy.ndimage", "airway")
    dark = part < threshold
    if inside is not None:
        dark &= inside
    labels = ndimage.label(dark)[0]
    return labels == labels[seed] if labels[seed] else np.zeros(part.shape, bool)


def _check_seed(seed: Any, values: Tensor) -> tuple[int, int, int]:
    place = as_numbers("The seed", seed, torch.float64, torch.device("cpu"))
    whole = place.shape == (3,) and bool((place == place.round()).all())
    if not whole or not bool(((place >= 0) & (place < torch.tensor(values.shape))).all()):
        raise MetaoptError(
            f"The seed is a voxel (z, y, x) of the CT, three whole numbers within {tuple(values.shape)}, but got "
            f"{place.tolist()}."
        )
    z, y, x = (int(i) for i in place)
    return z, y, x
