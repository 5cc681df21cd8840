"""A small airway tree of known measures, its mask, and their place in a scanner."""

from __future__ import annotations

import numpy as np
import torch

from metaopt.data.formats.ct_grid import Grid, grid_of
from metaopt.tasks.airways import AirwayTree, fill_tubes

SPACING = (1.0, 0.8, 0.8)
SHAPE = (70, 60, 80)
AFFINE = np.array([[-0.8, 0, 0, 30], [0, -0.8, 0, 20], [0, 0, 1.0, -50], [0, 0, 0, 1]])
CARINA, TOP = (34.0, 24.0, 32.0), (66.0, 24.0, 32.0)


def grid() -> Grid:
    return grid_of(AFFINE, SHAPE[::-1])


def line(a: tuple[float, ...], b: tuple[float, ...], count: int = 40) -> torch.Tensor:
    t = torch.linspace(0, 1, count)[:, None]
    return torch.tensor(a) * (1 - t) + torch.tensor(b) * t


def tree() -> AirwayTree:
    """The trachea, the right main bronchus (towards x = 0) with two branches, and the left one, which narrows."""
    right, left = (24.0, 24.0, 16.0), (14.0, 26.0, 54.0)
    points = [line(TOP, CARINA), line(CARINA, right), line(CARINA, left), line(right, (12.0, 22.0, 8.0))]
    points.append(line(right, (10.0, 34.0, 20.0)))
    radius = [torch.full((40,), r) for r in (5.0, 3.5, 3.0, 2.0, 1.8)]
    radius[2] = torch.linspace(3.4, 2.2, 40)
    return AirwayTree(torch.tensor([-1, 0, 0, 1, 1]), points, radius)


def mask() -> torch.Tensor:
    return fill_tubes(tree().tubes, SHAPE, SPACING) > 0.5
