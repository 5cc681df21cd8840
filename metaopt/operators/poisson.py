"""Draw Poisson-disc masks of k-space: random points of which no two are near, and the farther the less dense."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arguments.checks import check_flag, check_number
from ..core import random
from .sampling import check_request, check_room, count_of, placed, squared_radius

_SLACK = 1.02  # the most points that may be drawn, and then left out, for one that is kept
_RUNS = 12


def poisson_disc_mask(
    shape: Sequence[int],
    acceleration: float,
    center_fraction: float,
    seed: int,
    *,
    falloff: float = 2.0,
    elliptical: bool = False,
    centred: bool = False,
) -> Tensor:
    """Draw a mask that keeps single points of k-space at distances that grow with the frequency.

    It keeps exactly ``round(H W / acceleration)`` points: an ellipse around frequency zero with half axes
    ``center_fraction`` times H and W, and outside of it points in random order, each unless one at q, drawn before or
    of the ellipse, is nearer than ``r (1 + falloff |q|)`` grid points, where ``|q|`` is 1 at the edge of each axis. The
    distance r is chosen for the acceleration. Where it is below 1, all points are kept, so that the middle is full.

    Args:
        shape: (H, W), or (D, H, W).
        acceleration: How many times fewer points are kept than there are.
        center_fraction: The half axes of the ellipse, as a share of H and W.
        seed: The seed of the draw.
        falloff: How much larger the distance is at the edge than at frequency zero, as a share of the latter; 0 for
            equal density.
        elliptical: Whether points outside of the ellipse through the edges of k-space are left out.
        centred: Whether frequency zero is at ``n // 2`` of each axis, and not at index 0.

    Returns:
        The mask, of the given shape, float32, zeros and ones.

    Raises:
        MetaoptError: The centre alone has more points than are to be kept, none is to be, or there are fewer places.

    Source:
        Bridson, Fast Poisson disk sampling in arbitrary dimensions, 2007, doi:10.1145/1278780.1278807; Vasanawala et
        al., Practical parallel imaging compressed sensing MRI, 2011, doi:10.1109/ISBI.2011.5872579.
    """
    who = "poisson_disc_mask"
    sizes = check_request(who, shape, acceleration, center_fraction, seed)
    check_number(f"The falloff of {who}", falloff, 0)
    radius = torch.fft.fftshift(squared_radius(sizes))
    center = radius <= center_fraction**2
    inside = radius <= (0.25 if check_flag(f"elliptical of {who}", elliptical) else 1) * (1 + 1e-12)
    total = count_of(who, radius.numel(), acceleration, "points", int((inside | center).sum()))
    others = check_room(who, center, total)
    places = (inside & ~center).flatten().nonzero()[:, 0]
    order = places[torch.randperm(len(places), generator=random.generator(seed))]
    growth = 1 + 2 * falloff * radius.sqrt()
    mask = center.float().flatten()
    middle = center.flatten().nonzero()[:, 0].tolist()
    mask[_scattered(middle, order.tolist(), growth.numpy(), others)] = 1
    return placed(torch.fft.ifftshift(mask.view(radius.shape)), sizes, centred)


def _scattered(center: list[int], order: list[int], growth: Any, count: int) -> list[int]:
    """Return ``count`` of the places, with the largest distances for which there are so many."""
    if not count:
        return []
    # Discs thrown at random until there is no room left cover 0.547 of the plane.
    guess = math.sqrt(0.7 * float((1 / growth.flatten()[order] ** 2).sum()) / count)
    low, high, best = 0.0, 4 * guess, order
    for run in range(_RUNS):
        distance = guess if run == 0 else (low + high) / 2
        found = _thrown(center, order, distance * growth)
        if len(found) < count:
            high = distance
        else:
            low, best = distance, found
            if len(found) <= _SLACK * count:
                break
    return best[:count]


def _thrown(center: list[int], order: list[int], distance: Any) -> list[int]:
    """Return the places that are not nearer to one before, or to the centre, than its distance; in their order."""
    rows, columns = distance.shape
    squared = np.ceil(distance**2 - 1e-9).astype(np.int64)  # a whole d^2 is below r^2 if it is below its ceiling
    margin = math.isqrt(int(squared.max())) + 1
    width = columns + 2 * margin
    taken = bytearray((rows + 2 * margin) * width)
    plane = np.frombuffer(taken, np.uint8).reshape(-1, width)
    reach = squared.flatten().tolist()
    discs: dict[int, Any] = {}
    kept = []
    for number, place in enumerate([*center, *order]):
        row, column = divmod(place, columns)
        if number >= len(center):
            if taken[(row + margin) * width + column + margin]:
                continue
            kept.append(place)
        if (limit := reach[place]) <= 1:
            continue
        if limit not in discs:
            line = np.arange(-margin, margin + 1) ** 2
            discs[limit] = (line[:, None] + line < limit).astype(np.uint8)
        half = math.isqrt(limit - 1)
        disc = discs[limit][margin - half : margin + half + 1, margin - half : margin + half + 1]
        row, column = row + margin, column + margin
        plane[row - half : row + half + 1, column - half : column + half + 1] |= disc
    return kept
