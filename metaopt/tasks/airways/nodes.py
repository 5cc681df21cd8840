"""Say which candidate nodes lie on a known airway tree, and which of them is the parent of which."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from ...arguments.contracts import Axes, NotNegative, checked
from .tree import AirwayTree

Positions = Annotated[Tensor, Axes("real", "(n, 3)")]


class NodeParents(NamedTuple):
    """Hold what a known tree says of candidate nodes.

    ``parent`` (n,) int64 is -1 for nodes off the tree and for the node nearest to the beginning of the root, ``branch``
    (n,) is the number of the branch that a node lies on, or -1.
    """

    parent: Tensor
    branch: Tensor


@checked
def node_parents(tree: AirwayTree, positions: Positions, slack: NotNegative = 1.0) -> NodeParents:
    """Return the parents of candidate nodes along a known tree, from which edges are learned.

    A node lies on the nearest centre line if it is no further from it than ``slack`` plus half the radius there. Along
    a branch every node follows the one before it; the first one follows the last node of the parent, or of the nearest
    branch above that has any. With :func:`~metaopt.tasks.tree_edges`, parents become the targets of a refinement.

    Args:
        tree: The tree.
        positions: (n, 3), positions of the nodes in mm, in the frame of the tree.
        slack: How far from its centre line a node may be besides half the radius, in mm.

    Returns:
        Parents and branches.
    """
    nearest = torch.full((len(positions),), torch.inf, dtype=torch.float64)
    branch, along = torch.full((len(positions),), -1), torch.zeros_like(nearest)
    for number, (points, radius) in enumerate(zip(tree.points, tree.radius, strict=True)):
        distance, place, width = _projected(positions.double(), points.double(), radius.double())
        closer = (distance < nearest) & (distance <= slack + width / 2)
        nearest, along = torch.where(closer, distance, nearest), torch.where(closer, place, along)
        branch = torch.where(closer, number, branch)
    parent, last = torch.full_like(branch, -1), []
    for number, above in enumerate(tree.parent.tolist()):
        members = (branch == number).nonzero()[:, 0]
        members = members[along[members].argsort(stable=True)].tolist()
        before = last[above] if above >= 0 else -1
        for member in members:
            parent[member] = before
            before = member
        last.append(before)
    return NodeParents(parent, branch)


def _projected(positions: Tensor, points: Tensor, radius: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the distance of each position from a line, and length and radius of the line at the nearest point."""
    start, step = points[:-1], points.diff(dim=0)
    length = step.square().sum(1)
    share = ((positions[:, None] - start) * step).sum(-1) / torch.where(length > 0, length, 1)
    share = share.clamp(0, 1)
    distance, segment = (positions[:, None] - start - share[..., None] * step).norm(dim=-1).min(1)
    share = share.gather(1, segment[:, None])[:, 0]
    lengths = length.sqrt()
    before = lengths.cumsum(0) - lengths
    return distance, before[segment] + share * lengths[segment], torch.lerp(radius[segment], radius[segment + 1], share)
