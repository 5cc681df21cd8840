"""Draw over-complete graphs from random trees of branching curves, with other curves and points among them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..arguments.checks import check_labels, check_tensor
from ..arguments.contracts import Count, Natural, NotNegative, Positive, checked
from ..core import random
from ..problems.refinement import GraphRefinement, nearest_neighbors, rigid_features

Features = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
RADIUS = 6.0  # of the first branch, in mm
SHRINK = 0.8  # from a branch to its children, about 2^(-1/3)
LENGTH = 5.0  # of a branch in its radii


class Candidates(NamedTuple):
    """Hold the candidate nodes of a graph.

    ``mean`` and ``variance`` (N, 7) are of position (mm), radius (mm) and direction. ``parent`` (N,) is -1 for the
    root, which is node 0, and for nodes that do not belong to the tree; ``real`` (N,) says which do.
    """

    mean: Tensor
    variance: Tensor
    parent: Tensor
    real: Tensor


class Curves:
    """Collect the nodes of curves, as lists of positions, radii, directions and parents."""

    def __init__(self, spacing: float, generator: torch.Generator):
        self.spacing, self.generator = spacing, generator
        self.rows: list[Tensor] = []
        self.parents: list[int] = []

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def curve(self, start: Tensor, direction: Tensor, radius: float, length: float, parent: int) -> tuple[Tensor, int]:
        """Add the nodes of a gently bent curve, the first one step after its start; return where and how it ends."""
        for _ in range(max(2, round(length / self.spacing))):
            direction = _unit(direction + 0.12 * self.normal(3))
            start = start + self.spacing * direction
            self.rows.append(torch.cat([start, start.new_tensor([radius]), direction]))
            self.parents.append(parent)
            parent = len(self.rows) - 1
        return direction, parent

    def tree(self, generations: int) -> None:
        """Add a tree that forks in two at the end of every branch."""
        down = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
        ends = [(torch.zeros(3, dtype=torch.float64), down, RADIUS, -1)]
        for _ in range(generations):
            children: list[tuple[Tensor, Tensor, float, int]] = []
            for start, direction, radius, parent in ends:
                length = LENGTH * radius * math.exp(0.2 * float(self.normal(1)))
                direction, last = self.curve(start, direction, radius, length, parent)
                side = _unit(torch.linalg.cross(direction, self.normal(3)))
                for sign in (1, -1):
                    angle = math.radians(35 + 8 * float(self.normal(1)))
                    turned = math.cos(angle) * direction + sign * math.sin(angle) * side
                    shrunk = radius * SHRINK * math.exp(0.1 * float(self.normal(1)))
                    children.append((self.rows[last][:3], turned, shrunk, last))
            ends = children


@checked
@dataclass(frozen=True)
class BranchingGraphs:
    """Draw graphs of candidate nodes, most of whose edges do not belong to the tree that is among them.

    The tree forks in two at the end of every bent branch. Other curves run past it, as vessels beside airways do, and
    single points lie in between; both are measured with twice the noise, which is what tells them apart. Every node is
    a Gaussian of position, radius and direction, measured with noise, and is joined to its nearest neighbours.
    ``sample`` gives a :class:`~metaopt.problems.GraphRefinement` and which of its edges are real (E,), as 0 and 1, in
    both directions.

    Args:
        generations: Number of generations of branches; the first has one branch.
        spacing: Distance between nodes along a curve, in mm.
        curves: Number of other curves.
        points: Number of single points.
        noise: Standard deviation of the noise of positions, in mm; the noise of radii and directions goes with it.
        neighbors: Number of neighbours that each node is joined to.
        features: A function of mean, variance and edges that gives the features of nodes and of edges, such as
            :func:`~metaopt.problems.rigid_features` or :func:`~metaopt.problems.gaussian_features`.
        batch: Number of graphs, which are put side by side in one.
    """

    generations: Count = 4
    spacing: Positive = 4.0
    curves: Natural = 6
    points: Natural = 20
    noise: NotNegative = 0.5
    neighbors: Count = 10
    features: Features = rigid_features
    batch: Count = 2

    def sample(self, seed: int) -> tuple[GraphRefinement, Tensor]:
        generator = random.generator(seed)
        drawn = [self.draw(generator) for _ in range(self.batch)]
        edges = [nearest_neighbors(c.mean[:, :3], self.neighbors) for c in drawn]
        graphs = [GraphRefinement(*self.features(c.mean, c.variance, e), e) for c, e in zip(drawn, edges, strict=True)]
        targets = [tree_edges(e, c.parent) for c, e in zip(drawn, edges, strict=True)]
        return GraphRefinement.union(graphs), torch.cat(targets).to(graphs[0].x.dtype)

    def draw(self, generator: torch.Generator) -> Candidates:
        """Draw the candidate nodes of one graph.

        Args:
            generator: Draws everything random.

        Returns:
            The nodes, in float32.
        """
        curves = Curves(self.spacing, generator)
        curves.tree(self.generations)
        count = len(curves.rows)
        for _ in range(self.curves):
            near = curves.rows[int(torch.randint(count, (), generator=generator))]
            beside = near[:3] + (near[3] + 3 + 3 * curves.normal(1).abs()) * _unit(curves.normal(3))
            radius = float(near[3]) * math.exp(0.3 * float(curves.normal(1)))
            curves.curve(beside, _unit(curves.normal(3) + near[4:]), radius, 10 * self.spacing, -1)
        exact = torch.stack(curves.rows)
        low, high = exact[:, :3].amin(0), exact[:, :3].amax(0)
        where = low + (high - low) * torch.rand(self.points, 3, generator=generator, dtype=torch.float64)
        size = 3 * (0.4 * curves.normal(self.points, 1)).exp()
        exact = torch.cat([exact, torch.cat([where, size, _unit(curves.normal(self.points, 3))], dim=1)])
        return self._measured(exact, [*curves.parents[:count], *[-1] * (len(exact) - count)], count, curves)

    def _measured(self, exact: Tensor, parents: list[int], count: int, curves: Curves) -> Candidates:
        share = 0.3 * self.noise
        spread = (0.3 * curves.normal(len(exact), 1)).exp()  # how well each node is seen
        spread[count:] *= 2
        noise = spread * torch.tensor([self.noise] * 3 + [share] + [share] * 3, dtype=torch.float64)
        mean = exact + noise * curves.normal(len(exact), 7)
        mean[:, 3] = mean[:, 3].clamp_min(0.3)
        mean[:, 4:] = _unit(mean[:, 4:])
        real = torch.arange(len(exact)) < count
        return Candidates(mean.float(), noise.square().float(), torch.tensor(parents), real)


def tree_edges(edge_index: Tensor, parent: Tensor) -> Tensor:
    """Return which edges join a node to its parent, in either direction, as 0 and 1, (E,) float32.

    Args:
        edge_index: (2, E) int64.
        parent: (N,) int64, the parent of each node, or -1.
    """
    check_tensor("The parents", parent, "whole", "(N,)")
    source, target = check_labels(
        "edge_index", check_tensor("edge_index", edge_index, "whole", "(2, E)"), len(parent), "nodes"
    )
    return ((parent[target] == source) | (parent[source] == target)).float()


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)
