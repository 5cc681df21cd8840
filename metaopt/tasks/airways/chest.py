"""Find in a lung mask the places where airways begin, and draw lung masks for those who have none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...arguments.contracts import Positive, checked
from ...core import random
from ...core.errors import MetaoptError
from ...foundation.extras import require
from .grid import check_mask, check_spacing

COARSE = 3.0  # mm between the points that stand for the volume of a lung
MARGIN = 4.0  # mm from the pleura to the centre line of an airway
DEEP = 9.0  # mm from the pleura to the end of a main bronchus
SIGHT = 16  # points of a line of sight
SMALLEST = 0.2  # litres
WEIBEL = 120.0  # mm, the length of a trachea (Weibel 1963)
CARINA = 0.22  # height of the carina above the middle of the lungs, in heights of the lungs
HILA = ((-0.11, 0.0, 0.075), (-0.16, -0.03, 0.13))  # from the carina, by (z, y, away from the middle), in heights


@dataclass(frozen=True, eq=False)
class Chest:
    """Hold where airways can grow.

    ``regions`` are points (n, 3) in mm of the larger lung, the right one, and of the other, 3 mm apart;
    ``trachea`` are its top and the carina, ``hila`` those of the main bronchi; ``mask`` (D, H, W) with its ``spacing``
    is the lung, ``inner`` with ``coarse`` a coarser copy without its margin.
    """

    mask: Tensor
    spacing: Tensor
    inner: Tensor
    coarse: Tensor
    regions: tuple[Tensor, Tensor]
    trachea: tuple[Tensor, Tensor]
    hila: tuple[Tensor, Tensor]
    litres: float

    def holds(self, line: Tensor) -> bool:
        """Whether all points of a line (P, 3) in mm lie in the lung, a little away from its border."""
        return _all_set(self.inner, line / self.coarse) and _all_set(self.mask, line / self.spacing)

    def seen(self, place: Tensor, points: Tensor) -> float:
        """Return to which share of the points (n, 3) in mm a straight line from ``place`` leads through the lung."""
        t = torch.linspace(0, 1, SIGHT, dtype=torch.float64)[:, None, None]
        index = ((place + t * (points - place)) / self.coarse).round().long()
        return float(self.inner[index[..., 0], index[..., 1], index[..., 2]].all(0).double().mean())


def chest_of(lungs: Any, spacing: Any) -> Chest:
    """Return the places of a lung mask where airways grow.

    The carina of people 1 and 3 of Med-MPD lies above the middle of the lungs by 0.20 to 0.22 of their height, in the
    middle between them; there the right main bronchus ends 16 mm and the left 31 to 41 mm beside it, for lungs of 240
    to 308 mm. The main bronchi of grown trees end farther from each other, as was set by eye.

    Args:
        lungs: The lung mask, (D, H, W) bool.
        spacing: The distance of voxels along (z, y, x), in mm.

    Raises:
        MetaoptError: The mask is empty or has not the size of two lungs, or the spacing is missing or not positive.
    """
    mask, sizes = check_mask("The lung mask", lungs), check_spacing(spacing)
    litres = float(mask.sum()) * math.prod(sizes) / 1e6
    steps = [max(1, round(COARSE / size)) for size in sizes]
    thin = mask[:: steps[0], :: steps[1], :: steps[2]]
    coarse = torch.tensor([n * s for n, s in zip(steps, sizes, strict=True)], dtype=torch.float64)
    inner, points, depths = _inner(thin, coarse)
    if litres < SMALLEST or len(points) < 200:
        raise MetaoptError(
            f"The lung mask holds {litres:.3g} litres at a spacing of {sizes} mm, too little for two lungs; are the "
            "mask and the spacing (z, y, x) in mm right?"
        )
    middle = _between(points)
    sides = (points[:, 2] > middle, points[:, 2] <= middle)
    (right, right_depths), (left, left_depths) = sorted(
        [(points[side], depths[side]) for side in sides], key=lambda lung: -len(lung[0])
    )
    if len(left) < 0.1 * len(right):
        raise MetaoptError("The lung mask has one lung only; airways are grown in two, beside each other along x.")
    low, high = (float(points[:, 0].quantile(q)) for q in (0.005, 0.995))
    height = high - low
    center = points.mean(0)
    carina = torch.stack([center[0] + CARINA * height, center[1], torch.tensor(middle, dtype=torch.float64)])
    end = (mask.shape[0] - 1) * sizes[0]
    top = carina + torch.tensor([min(WEIBEL, max(end - float(carina[0]), 20.0)), 0.0, 0.0], dtype=torch.float64)
    hila = [
        _hilum(
            region, depth, carina, height * torch.tensor([z, y, math.copysign(x, float(region[:, 2].mean()) - middle)])
        )
        for region, depth, (z, y, x) in zip((right, left), (right_depths, left_depths), HILA, strict=True)
    ]
    spaces = torch.tensor(sizes, dtype=torch.float64)
    return Chest(mask, spaces, inner, coarse, (right, left), (top, carina), (hila[0], hila[1]), litres)


@checked
def draw_lungs(seed: int, spacing: Any = (3.0, 3.0, 3.0), litres: Positive = 5.5) -> Tensor:
    """Draw the mask of two lungs, for those who have no real one.

    Each is an ellipsoid with a narrow top, cut by a dome for the diaphragm, by the heart, which takes more of the left
    one, and by the space between them. Widths, heights, depths, heart and domes differ from seed to seed.

    Args:
        seed: Draws the lungs.
        spacing: The distance of voxels along (z, y, x), in mm.
        litres: The volume on average; it differs by some 20 % from seed to seed.

    Returns:
        The mask, (D, H, W) bool, with room for the trachea above and a border of some 15 mm.
    """
    sizes = check_spacing(spacing)
    generator = random.generator(seed, 1)
    scale = (litres / 5.5) ** (1 / 3)
    vary = [float(v) for v in 1 + 0.06 * torch.randn(8, generator=generator).clamp(-2, 2)]
    tall, deep, wide, gap = 290 * scale * vary[0], 92 * scale * vary[1], 68 * scale * vary[2], 14 * scale * vary[3]
    extent = (tall + 60, 2 * deep + 30, 4 * wide + 2 * gap + 30)
    shape = [max(2, math.ceil(e / s)) for e, s in zip(extent, sizes, strict=True)]
    z, y, x = torch.meshgrid(*(torch.arange(n) * s for n, s in zip(shape, sizes, strict=True)), indexing="ij")
    z, y, x = z - 15, y - extent[1] / 2, x - extent[2] / 2
    height = (z / tall).clamp(0, 1)
    broad = (1 - height**3).clamp(min=0).sqrt()  # narrow at the top
    lungs = torch.zeros(shape, dtype=torch.bool)
    for side, low in ((1.0, 1.0), (-1.0, vary[4])):
        across = (side * x - gap - wide * 0.95) / wide
        inside = (across**2 + (y / deep) ** 2 < broad**2) & (z > 0) & (z < tall) & (side * x > gap)
        dome = 55 * scale * vary[5] * low * (1 - across**2 - (y / deep) ** 2).clamp(min=0).sqrt()
        lungs |= inside & (z > dome)
    heart = torch.stack([z - 0.28 * tall, y - 0.35 * deep, x + 0.3 * wide])
    axes = torch.tensor([75.0 * vary[6], 50.0, 62.0 * vary[7]]) * scale
    return _without_crumbs(lungs & ((heart / axes[:, None, None, None]) ** 2).sum(0).gt(1))


def _without_crumbs(mask: Tensor) -> Tensor:
    ndimage: Any = require("scipy.ndimage", "airway")
    labels = torch.from_numpy(ndimage.label(mask.numpy())[0]).long()
    counts = labels.flatten().bincount()
    counts[0] = 0
    return (counts > 0.1 * counts.max())[labels]


def _inner(thin: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return a coarse mask without its margin, its points in mm and how deep in the lung each lies, in mm."""
    ndimage: Any = require("scipy.ndimage", "airway")
    depth = ndimage.distance_transform_edt(torch.nn.functional.pad(thin, [1] * 6).numpy(), sampling=coarse.tolist())
    depths = torch.from_numpy(depth)[1:-1, 1:-1, 1:-1]
    inner = depths > MARGIN
    return inner, inner.nonzero().double() * coarse, depths[inner]


def _between(points: Tensor) -> float:
    """Return the x between the lungs: where, in the middle third, the least of them lies."""
    x = points[:, 2]
    low, high = float(x.min()), float(x.max())
    counts = torch.histc(x, bins=30, min=low, max=high)[10:20]
    center = (torch.arange(10) - 4.5).abs() * 0.01  # of equal ones, the middle
    best = int((counts / max(float(counts.max()), 1.0) + center).argmin())
    return low + (high - low) * (10 + best + 0.5) / 30


def _hilum(points: Tensor, depths: Tensor, carina: Tensor, step: Tensor) -> Tensor:
    """Return the point of a lung nearest to where its main bronchus should end, deep enough to see the lung."""
    far = (points - carina - step).norm(dim=1)
    return points[int((far + 1e3 * (depths < min(DEEP, float(depths.max())))).argmin())]


def _all_set(mask: Tensor, positions: Tensor) -> bool:
    index = positions.round().long()
    size = torch.tensor(mask.shape)
    if bool(((index < 0) | (index >= size)).any()):
        return False
    return bool(mask[index[:, 0], index[:, 1], index[:, 2]].all())
