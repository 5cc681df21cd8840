"""Over-complete graphs, most of whose edges are not real, and the features of their nodes and edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ..arguments.checks import check_finite, check_instance, check_tensor
from ..arguments.contracts import Axes, Count, checked
from ..core import MetaoptError, tree
from ..core.errors import warn
from .counting import CountingFactors
from .factor_graph import FactorGraph
from .factors import Factors, TableFactors
from .given import whole_numbers

ROWS = 1024  # of distances that are held at a time
SHORT = 1e-3  # mm, below which an edge has no direction
Gaussians = Annotated[Tensor, Axes("real", "(N, 7)")]
Points = Annotated[Tensor, Axes("real", "(N, D)")]


@dataclass(frozen=True, eq=False, init=False)
class GraphRefinement:
    """A refinement problem asks which edges of an over-complete graph are real.

    Each edge k -> j is a binary variable s_kj. Airways, vessels and roads are found so, from candidate nodes that were
    joined to their nearest neighbours. ``graph`` is derived: a factor graph with variable e for edge e, one factor over
    the edges that leave a node for each node that has some, and one factor for each pair of opposite edges. All its
    potentials are 0; :class:`~metaopt.networks.EdgePotentials` gives it others.

    Args:
        x: (N, F), the features of the nodes.
        pairs: (E, P), the features of the edges. Of two opposite edges, the potentials use the mean.
        edge_index: (2, E) int64, from row 0 to row 1; no self-loop, and none twice.

    Raises:
        MetaoptError: Shapes or precisions do not fit, a feature is not finite, there is no edge, or an edge is a
            self-loop, comes twice or names a node that does not exist.

    Source:
        Selvan et al., Graph refinement based airway extraction, 2020, arXiv:1811.08674.
    """

    x: Tensor
    pairs: Tensor
    edge_index: Tensor
    graph: FactorGraph

    to = tree.to

    def __init__(self, x: Tensor, pairs: Tensor, edge_index: Tensor) -> None:
        check_finite("The features of the nodes", check_tensor("The features of the nodes", x, "real", "(N, F)"))
        edge_index = check_edges(edge_index, len(x))
        check_finite("The features of the edges", check_tensor("The features of the edges", pairs, "real", "(E, P)"))
        if len(pairs) != edge_index.shape[1] or pairs.dtype != x.dtype or x.dtype.itemsize < 4:
            raise MetaoptError(
                f"{edge_index.shape[1]} edges need features ({edge_index.shape[1]}, P) in the precision of the nodes, "
                f"float32 or float64, but the edges came with {tree.describe(pairs)} and the nodes with "
                f"{tree.describe(x)}."
            )
        alone = len(x) - len(edge_index.unique())
        if alone:
            warn(f"{alone} of the {len(x)} nodes have no edge, so that nothing can join them to the others.")
        values = {"x": x, "pairs": pairs, "edge_index": edge_index, "graph": _structure(edge_index, len(x), x.dtype)}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def opposite(self) -> Tensor:
        """Return the pairs of opposite edges by their numbers, (pairs, 2)."""
        groups = [g.variables for g in self.graph.factors if isinstance(g, TableFactors)]
        return groups[0] if groups else self.edge_index.new_zeros(0, 2)

    @staticmethod
    def union(problems: Sequence[GraphRefinement]) -> GraphRefinement:
        """Put several graphs side by side in one; nothing joins them, so that results are those of each graph.

        Args:
            problems: The graphs. Edges of the result are theirs, one graph after the other.

        Raises:
            MetaoptError: There is no graph, or the graphs have different features.
        """
        if not isinstance(problems, list | tuple) or not problems:
            raise MetaoptError("A union needs a list of at least one GraphRefinement.")
        for problem in problems:
            check_instance("A graph of the union", problem, GraphRefinement)
        kinds = {(p.x.shape[1], p.pairs.shape[1], p.x.dtype) for p in problems}
        if len(kinds) > 1:
            raise MetaoptError(f"Graphs of a union need equally many features of one precision, but got {kinds}.")
        counts = torch.tensor([0, *(len(p.x) for p in problems)]).cumsum(0).tolist()
        edges = [p.edge_index + shift for p, shift in zip(problems, counts, strict=False)]
        x, pairs = torch.cat([p.x for p in problems]), torch.cat([p.pairs for p in problems])
        return GraphRefinement(x, pairs, torch.cat(edges, dim=1))


@checked
def nearest_neighbors(positions: Points, count: Count = 10) -> Tensor:
    """Return directed edges from every node to its nearest others.

    Args:
        positions: (N, D), positions of the nodes, in millimetres for instance; the same unit along every axis.
        count: The number of neighbours of each node; nodes of a smaller graph are joined to all others.

    Returns:
        ``edge_index`` (2, N min(count, N - 1)), sorted by row 0 and then by distance.
    """
    positions = positions.detach() if positions.dtype.itemsize >= 4 else positions.detach().float()
    number = torch.arange(len(positions), device=positions.device)
    found = [number.new_zeros(0, 0)]
    for rows in number.split(ROWS):
        # The expanded square would lose the distances of nodes that are near each other and far from the origin.
        distance = torch.cdist(positions[rows], positions, compute_mode="donot_use_mm_for_euclid_dist")
        distance[torch.arange(len(rows), device=number.device), rows] = torch.inf
        found.append(distance.topk(max(0, min(count, len(number) - 1)), largest=False).indices)
    target = torch.cat([f.reshape(-1) for f in found])
    return torch.stack([number.repeat_interleave(len(target) // max(1, len(number))), target])


def both_directions(edge_index: Tensor) -> Tensor:
    """Return the edges and the opposite of each, none of them twice, sorted.

    Args:
        edge_index: (2, E) int64.

    Returns:
        (2, E') int64.
    """
    edge_index = check_tensor("edge_index", edge_index, "whole", "(2, E)")
    return torch.cat([edge_index, edge_index.flip(0)], dim=1).unique(dim=1)


@checked
def gaussian_features(
    mean: Gaussians, variance: Gaussians, edge_index: Tensor, scale: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the published features of nodes that are Gaussians: position, radius and direction with their variances.

    The 14 numbers of each node are centred and scaled. An edge has ``[|x_k - x_l|, x_k x_l]``, element by element,
    (E, 28). They do not change when the graph is moved, but when it is turned.

    Args:
        mean: (N, 7), position (3, mm), radius (mm) and direction (3).
        variance: (N, 7), the variance of each.
        edge_index: (2, E) int64.
        scale: (14,), what each number is divided by, so that all graphs have the same units. None: its standard
            deviation in this graph.

    Returns:
        ``x`` (N, 14) and ``pairs`` (E, 28), as :class:`GraphRefinement` takes them.

    Raises:
        MetaoptError: Shapes do not fit, or a variance is negative.

    Source:
        Selvan et al., 2020, arXiv:1811.08674.
    """
    check_gaussians(mean, variance)
    numbers = torch.cat([mean, variance.to(mean)], dim=1)
    if scale is None:
        scale = numbers.std(0, correction=0)
        scale = torch.where(scale > 0, scale, 1)
    check_tensor("The scale of the features", scale, "real", "(14,)")
    if not bool((scale.isfinite() & (scale > 0)).all()):
        raise MetaoptError("The scale of the features must be finite numbers above 0.")
    x = (numbers - numbers.mean(0)) / scale.to(mean)
    source, target = check_edges(edge_index, len(x))
    return x, torch.cat([(x[source] - x[target]).abs(), x[source] * x[target]], dim=1)


@checked
def rigid_features(
    mean: Gaussians, variance: Gaussians, edge_index: Tensor, unit: float = 5.0
) -> tuple[Tensor, Tensor]:
    """Return features of Gaussian nodes that do not change when the graph is moved, turned or mirrored.

    A node has ``[log r, log of the total variances of position, radius and direction]``, (N, 4), and an edge ``[1, d /
    unit, |log r_k / r_l|, |u_k u_l|, |u_k e| + |u_l e|, |u_k e| |u_l e|]``, (E, 6), where d is its length, e its
    direction and r and u are radii and directions of its nodes. All are the same for opposite edges, and the sign of a
    direction does not matter.

    Args:
        mean: (N, 7), position (3, mm), radius (mm) and direction (3).
        variance: (N, 7), the variance of each.
        edge_index: (2, E) int64.
        unit: The length in mm that counts as 1.

    Returns:
        ``x`` (N, 4) and ``pairs`` (E, 6), as :class:`GraphRefinement` takes them.

    Raises:
        MetaoptError: Shapes do not fit, a variance is negative, or a radius or the unit is not above 0.
    """
    check_gaussians(mean, variance)
    if not bool((mean[:, 3] > 0).all()) or not unit > 0:
        raise MetaoptError("Rigid features need radii and a unit above 0; leave out nodes without a radius.")
    source, target = check_edges(edge_index, len(mean))
    radius, unit_direction = mean[:, 3].log(), torch.nn.functional.normalize(mean[:, 4:], dim=1)
    totals = torch.stack([part.sum(1) for part in variance.to(mean).split([3, 1, 3], dim=1)], dim=1)
    x = torch.cat([radius[:, None], (totals + 1e-4).log() / 4], dim=1)
    step = mean[target, :3] - mean[source, :3]
    length = (step.square().sum(1) + SHORT**2).sqrt()  # with a gradient where nodes coincide
    along = torch.nn.functional.normalize(step, dim=1, eps=SHORT)
    first, last = ((unit_direction[end] * along).sum(1).abs() for end in (source, target))
    turn = (unit_direction[source] * unit_direction[target]).sum(1).abs()
    columns = [torch.ones_like(length), length / unit, (radius[source] - radius[target]).abs(), turn]
    return x, torch.stack([*columns, first + last, first * last], dim=1)


def check_gaussians(mean: Tensor, variance: Tensor) -> None:
    """Raise unless means and variances are of equally many nodes, and no variance is negative."""
    if mean.shape != variance.shape or bool((variance < 0).any()):
        raise MetaoptError(
            f"Gaussian nodes have a mean and a variance (N, 7), none of them negative, but got {tree.describe(mean)} "
            f"and {tree.describe(variance)} with {int((variance < 0).sum())} negative variances."
        )


def check_edges(edge_index: Tensor, nodes: int) -> Tensor:
    """Return the edges of a graph as int64, or say in one sentence what is wrong with them.

    Args:
        edge_index: (2, E), whole numbers.
        nodes: The number of nodes.

    Raises:
        MetaoptError: There is no edge, or one is a self-loop, comes twice or names a node that does not exist.
    """
    edge_index = whole_numbers(edge_index, "The edges of a graph")
    check_tensor("edge_index", edge_index, "whole", "(2, E)")
    if not edge_index.shape[1]:
        raise MetaoptError(f"This graph of {nodes} nodes has no edge; give it some, as nearest_neighbors does.")
    outside = edge_index[(edge_index < 0) | (edge_index >= nodes)]
    if len(outside):
        raise MetaoptError(f"edge_index names node {int(outside[0])}, but the nodes are 0 to {nodes - 1}.")
    source, target = edge_index
    if bool((loops := source == target).any()):
        raise MetaoptError(
            f"{int(loops.sum())} edges are self-loops, such as that of node {int(source[loops][0])}; a node cannot be "
            "its own neighbour: leave them out by edge_index[:, edge_index[0] != edge_index[1]]."
        )
    numbers, counts = (source * nodes + target).unique(return_counts=True)
    if bool((counts > 1).any()):
        a, b = divmod(int(numbers[counts > 1][0]), nodes)
        raise MetaoptError(f"The edge from node {a} to node {b} comes twice; edge_index.unique(dim=1) leaves one.")
    return edge_index


def _structure(edge_index: Tensor, nodes: int, dtype: torch.dtype) -> FactorGraph:
    """Return the factor graph of the edges, with potentials 0."""
    source, target = edge_index
    edges, device = edge_index.shape[1], edge_index.device
    order = torch.argsort(source, stable=True)
    degree = torch.bincount(source, minlength=nodes)
    first = degree.cumsum(0) - degree
    groups: list[Factors] = []
    following = torch.zeros(2, 1, dtype=torch.long, device=device)
    for size in degree[degree > 0].unique().tolist():
        chosen = (degree == size).nonzero()[:, 0]
        variables = order[first[chosen][:, None] + torch.arange(size, device=device)]
        accept = torch.zeros(1, 2, 1, len(chosen), dtype=dtype, device=device)
        groups.append(CountingFactors(variables, following, accept))
    forward, backward = source * nodes + target, target * nodes + source
    by_number = forward.sort()
    place = torch.searchsorted(by_number.values, backward).clamp_max(edges - 1)
    has = (by_number.values[place] == backward) & (source < target)
    if bool(has.any()):
        pairs = torch.stack([has.nonzero()[:, 0], by_number.indices[place[has]]], dim=1)
        groups.append(TableFactors(pairs, torch.zeros(1, 2, 2, len(pairs), dtype=dtype, device=device)))
    two = torch.full((edges,), 2, dtype=torch.long, device=device)
    return FactorGraph(two, torch.zeros(1, 2 * edges, dtype=dtype, device=device), tuple(groups))
