"""Make radial and spiral trajectories, as points for ``Nufft`` and as masks of a Cartesian grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..arguments.checks import check_count, check_number
from ..core import random
from .sampling import check_request, check_room, count_of, placed, squared_radius

_GOLDEN = (3 - math.sqrt(5)) * math.pi  # radians


def radial_points(
    spokes: int, samples: int, *, angle: float | None = None, start: float = 0.0, dims: int = 2
) -> Tensor:
    """Return the points of straight lines through frequency zero, (spokes samples, dims), spoke after spoke.

    Sample j of a spoke is at ``(j - samples // 2) / samples`` cycles per pixel. A picture of n x n pixels needs n
    samples and ``pi n / 2`` spokes to be fully sampled. In 3-D the spokes are spread evenly over the sphere.

    Args:
        spokes: The number of lines.
        samples: The number of points of each.
        angle: The angle from one spoke to the next, in radians; by default pi / spokes, or the golden angle around the
            first axis in 3-D. For golden-angle scans in 2-D it is ``math.pi * (math.sqrt(5) - 1) / 2``.
        start: The angle of the first spoke from the last axis, in radians.
        dims: 2 or 3.

    Returns:
        The points, (spokes samples, dims) float64, in cycles per pixel, in [-0.5, 0.5).

    Raises:
        MetaoptError: A number is out of range.

    Source:
        Winkelmann et al., An optimal radial profile order based on the golden ratio, 2007,
        doi:10.1109/TMI.2006.885337.
    """
    spokes, samples = check_count("The spokes", spokes), check_count("The samples of a spoke", samples)
    check_number("The start of radial_points", start)
    dims = check_count("The axes of radial_points", dims, 2, 3)
    if angle is not None:
        check_number("The angle of radial_points", angle)
    step = angle if angle is not None else math.pi / spokes if dims == 2 else _GOLDEN
    number = torch.arange(spokes, dtype=torch.float64)
    turn = start + step * number
    directions = [turn.sin(), turn.cos()]
    if dims == 3:  # half a sphere, as a line through the middle has both ends
        height = (number + 0.5) / spokes
        directions = [height, *((1 - height**2).sqrt() * direction for direction in directions)]
    place = (torch.arange(samples, dtype=torch.float64) - samples // 2) / samples
    return _inside(place[:, None] * torch.stack(directions, -1)[:, None]).flatten(0, 1)


def spiral_points(interleaves: int, samples: int, turns: float, *, power: float = 1.0, start: float = 0.0) -> Tensor:
    """Return the points of spirals from frequency zero outwards, (interleaves samples, 2), spiral after spiral.

    A spiral is ``|k| = t^power / 2`` at angle ``2 pi turns t``, with t from 0 to below 1 so that its samples are about
    evenly spaced. A picture of n x n pixels is fully sampled by ``n / (2 interleaves)`` turns with power 1.

    Args:
        interleaves: The number of spirals, each turned from the one before by a full turn over their number.
        samples: The number of points of each.
        turns: How often each goes around frequency zero.
        power: 1 for equal distances between the turns, and more for turns that are denser at frequency zero.
        start: The angle at which the first spiral begins, from the last axis, in radians.

    Returns:
        The points, (interleaves samples, 2) float64, in cycles per pixel, in [-0.5, 0.5).

    Raises:
        MetaoptError: A number is out of range.

    Source:
        Meyer et al., Fast spiral coronary artery imaging, 1992, doi:10.1002/mrm.1910280204.
    """
    interleaves, samples = check_count("The interleaves", interleaves), check_count("The samples of a spiral", samples)
    check_number("The turns of spiral_points", turns, above=0)
    check_number("The power of spiral_points", power, above=0)
    check_number("The start of spiral_points", start)
    first = start + 2 * math.pi * torch.arange(interleaves, dtype=torch.float64) / interleaves
    # A length of arc is 2 pi turns |k| dt, so that it grows as t to the power + 1.
    t = (torch.arange(samples, dtype=torch.float64) / samples) ** (1 / (power + 1))
    turn = first[:, None] + 2 * math.pi * turns * t
    return _inside((t**power / 2)[:, None] * torch.stack([turn.sin(), turn.cos()], -1)).flatten(0, 1)


def radial_mask(
    shape: Sequence[int], acceleration: float, center_fraction: float, seed: int, *, centred: bool = False
) -> Tensor:
    """Return the points of a Cartesian grid that are nearest to evenly spread lines through frequency zero.

    It keeps exactly ``round(H W / acceleration)`` points: an ellipse around frequency zero with half axes
    ``center_fraction`` times H and W, and the fewest lines that have the others; of these the highest frequencies are
    then left out. ``seed`` turns the lines.

    Args:
        shape: (H, W), or (D, H, W).
        acceleration: How many times fewer points are kept than there are.
        center_fraction: The half axes of the ellipse, as a share of H and W.
        seed: The seed of the angle.
        centred: Whether frequency zero is at ``n // 2`` of each axis, and not at index 0.

    Returns:
        The mask, of the given shape, float32, zeros and ones.

    Raises:
        MetaoptError: The ellipse alone has more points than are to be kept, or none is to be.
    """
    sizes = check_request("radial_mask", shape, acceleration, center_fraction, seed)
    turned = float(torch.rand((), generator=random.generator(seed), dtype=torch.float64)) * math.pi
    place = torch.linspace(-0.5, 0.5, 4 * max(sizes[-2:]) + 1, dtype=torch.float64)

    def lines(amount: float) -> Tensor:
        count = math.ceil(amount)
        turn = turned + math.pi * torch.arange(count, dtype=torch.float64) / count
        direction = torch.stack([turn.sin(), turn.cos()], -1)
        return place[:, None, None] * direction / direction.abs().amax(-1, keepdim=True)  # up to the edge

    return _covering("radial_mask", sizes, acceleration, center_fraction, lines, centred)


def spiral_mask(
    shape: Sequence[int], acceleration: float, center_fraction: float, seed: int, *, centred: bool = False
) -> Tensor:
    """Return the points of a Cartesian grid that are nearest to a spiral around frequency zero.

    It keeps exactly ``round(H W / acceleration)`` points: an ellipse around frequency zero with half axes
    ``center_fraction`` times H and W, and the spiral of the fewest turns that has the others; of these the highest
    frequencies are then left out. ``seed`` turns the spiral.

    Args:
        shape: (H, W), or (D, H, W).
        acceleration: How many times fewer points are kept than there are.
        center_fraction: The half axes of the ellipse, as a share of H and W.
        seed: The seed of the angle.
        centred: Whether frequency zero is at ``n // 2`` of each axis, and not at index 0.

    Returns:
        The mask, of the given shape, float32, zeros and ones.

    Raises:
        MetaoptError: The ellipse alone has more points than are to be kept, or none is to be.
    """
    sizes = check_request("spiral_mask", shape, acceleration, center_fraction, seed)
    turned = float(torch.rand((), generator=random.generator(seed), dtype=torch.float64)) * 2 * math.pi

    def spiral(turns: float) -> Tensor:
        samples = math.ceil(8 * turns * max(sizes[-2:])) + 1  # some at every point of the grid that is passed
        t = torch.linspace(0, 1, samples, dtype=torch.float64).sqrt()
        turn = turned + 2 * math.pi * turns * t
        return (t / math.sqrt(2))[:, None] * torch.stack([turn.sin(), turn.cos()], -1)  # up to the corners

    return _covering("spiral_mask", sizes, acceleration, center_fraction, spiral, centred)


def _inside(points: Tensor) -> Tensor:
    """Move what is at 0.5, or was rounded to it, to -0.5, which is the same frequency on a grid of pixels."""
    return torch.where(points >= 0.5, points - 1, points)


def _covering(
    who: str,
    shape: tuple[int, ...],
    acceleration: float,
    center_fraction: float,
    trajectory: Callable[[float], Tensor],
    centred: bool,
) -> Tensor:
    """Return the mask of the least trajectory that passes enough points of the grid, by bisection."""
    radius = torch.fft.fftshift(squared_radius(shape))
    center = radius <= center_fraction**2
    total = count_of(who, radius.numel(), acceleration, "points")
    check_room(who, center, total)
    low, high = 0.0, 1.0
    while int((passed := center | _passed(trajectory(high), radius)).sum()) < total:
        low, high = high, 2 * high
    for _ in range(12):
        middle = (low + high) / 2
        found = center | _passed(trajectory(middle), radius)
        low, high, passed = (low, middle, found) if int(found.sum()) >= total else (middle, high, passed)
    kept = torch.where(passed, radius.masked_fill(center, -1), math.inf).flatten().sort(stable=True).indices[:total]
    mask = torch.zeros(radius.numel())
    mask[kept] = 1
    return placed(torch.fft.ifftshift(mask.view(radius.shape)), shape, centred)


def _passed(points: Tensor, grid: Tensor) -> Tensor:
    """Return which points of a centred grid are nearest to some point, (..., 2) in cycles per pixel."""
    sizes = torch.tensor(grid.shape, dtype=torch.float64)
    index = (points.reshape(-1, 2) * sizes).round().long() + torch.tensor([n // 2 for n in grid.shape])
    index = index[((index >= 0) & (index < torch.tensor(grid.shape))).all(-1)]
    passed = torch.zeros(grid.shape, dtype=torch.bool)
    passed[index[:, 0], index[:, 1]] = True
    return passed
