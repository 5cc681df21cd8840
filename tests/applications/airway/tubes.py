"""A tube that forks, its airwayness, and a fork whose branches fork again."""

from __future__ import annotations

import torch
from torch import Tensor

from metaopt.tasks.airways import AirwayTree, fill_tubes

SPACING = (1.5, 1.5, 1.5)
SHAPE = (64, 64, 64)
RADII = (5.0, 3.2, 2.6)


def straight(*ends: tuple[float, float, float]) -> Tensor:
    start, end = torch.tensor(ends)
    return start + (end - start) * torch.linspace(0, 1, 16)[:, None]


def forked() -> AirwayTree:
    """A trachea of 40 mm from above that forks in two branches of 35 mm, all in a volume of 96 mm."""
    lines = [
        straight((90.0, 48, 48), (50.0, 48, 48)),
        straight((50.0, 48, 48), (20.0, 66, 48)),
        straight((50.0, 48, 48), (20.0, 30, 52)),
    ]
    return AirwayTree(torch.tensor([-1, 0, 0]), lines, [torch.full((16,), r) for r in RADII])


def shares(tree: AirwayTree) -> Tensor:
    """The share of each voxel that the lumen fills, which is the airwayness that a perfect network would give."""
    return fill_tubes(tree.tubes, SHAPE, SPACING)
