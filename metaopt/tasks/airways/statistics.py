"""Compare trees by generation: how many branches, how long, how wide and at which angles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from ...arguments.checks import check_instance
from ...arguments.contracts import checked
from ...core.errors import MetaoptError
from .tree import AirwayTree


class Generation(NamedTuple):
    """Hold how many branches a tree has of a ``generation``, and the medians of their length, radius and angle.

    Length and radius are in mm, the angle is in degrees, and NaN for the root.
    """

    generation: int
    branches: float
    length: float
    radius: float
    angle: float


@checked
def by_generation(trees: Sequence[AirwayTree]) -> list[Generation]:
    """Return a row for each generation of some trees, from the trachea down.

    Args:
        trees: The trees, whose branches are pooled.

    Raises:
        MetaoptError: There is no tree.
    """
    trees = [check_instance("Each of the trees", tree, AirwayTree) for tree in trees]
    if not trees:
        raise MetaoptError("by_generation compares at least one tree, but got none.")
    generation = torch.cat([tree.generation for tree in trees])
    columns = [torch.cat([getattr(tree, name) for tree in trees]) for name in ("length", "mean_radius", "angle")]
    rows = []
    for number in range(int(generation.max()) + 1):
        chosen = generation == number
        medians = (float(column[chosen].nanquantile(0.5)) for column in columns)
        rows.append(Generation(number, float(chosen.sum()) / len(trees), *medians))
    return rows
