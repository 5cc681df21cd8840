"""Say which edges between candidate nodes are real, by networks and by baselines on the same graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...algorithms import BeliefPropagation, EdgeInference, minimum_spanning_tree
from ...arguments.contracts import Count, checked
from ...core import Unrolled, unroll
from ...core.errors import MetaoptError, warn
from ...foundation.drawing import drawing_from
from ...foundation.extras import require
from ...models import edge_network, edge_perceptron, learned_bp_refinement, load, mean_field_refinement
from ...networks import EdgePotentials, potentials_from_numbers
from ...problems import GraphRefinement, both_directions, nearest_neighbors, rigid_features
from ...tasks.airways.grid import check_spacing
from ...weights import shipped
from .candidates import AirwayNodes, Volume, check_airwayness

LEAST = 7  # the column of the least airwayness along an edge
SAMPLES = 9  # of airwayness along an edge
FEATURES, PAIRS = 5, 9
STEPS = 10
JOINED, APART = 3.0, -6.0  # log-odds of the edges of a baseline
SEEN = 0.1  # airwayness all along an edge of the shortest tree
# Added to the log-odds that the shipped weights give all edges when a tree is made of them, since what is missed is
# worse than what is wrong. Chosen on the person whose scans chose the weights, in the middle setting of
# benchmarks/airway.py; 2 finds 1.6 points more there, but doubles the branches in the opacities of a real CT.
FAVOR = {"gnn": 1.0, "mfn": 1.0, "mfn3": 1.0, "edge": 1.0}
# Set by hand: edges are short, in line and inside an airway. In the order of airway_graph.
NODE = (0.0, 0.0, 0.0, 0.0, 1.0)
PAIR = (-6.0, -2.0, -1.0, 1.0, 0.5, 1.0, 2.0, 4.0, -1.0)


@checked
def airway_graph(nodes: AirwayNodes, airwayness: Volume, spacing: Any, neighbors: Count = 10) -> GraphRefinement:
    """Join candidate nodes to their nearest others, in both directions.

    To :func:`~metaopt.problems.rigid_features` comes what airwayness says, of a node its own, and of an edge the mean
    and the least along it; and its length in radii of its nodes, since nodes of wide tubes are further apart.

    Args:
        nodes: The nodes.
        airwayness: (D, H, W), from 0 to 1.
        spacing: The distance of voxels along (z, y, x), in mm.
        neighbors: The number of nearest nodes that each is joined to.

    Returns:
        The problem, with 5 features of a node and 9 of an edge.

    Raises:
        MetaoptError: There are fewer than two nodes, or airwayness or spacing are not as they should be.
    """
    if len(nodes.mean) < 2:
        raise MetaoptError(f"A graph needs at least 2 nodes, but this airwayness gave {len(nodes.mean)}.")
    edges = both_directions(nearest_neighbors(nodes.mean[:, :3], neighbors))
    x, pairs = rigid_features(nodes.mean, nodes.variance, edges)
    along = _along(nodes.mean[:, :3], edges, check_airwayness(airwayness), check_spacing(spacing))
    wide = nodes.mean[:, 3][edges].sum(0)
    length = (nodes.mean[edges[1], :3] - nodes.mean[edges[0], :3]).norm(dim=1)
    own = torch.stack([along.mean(1), along.amin(1), length / wide], dim=1)
    return GraphRefinement(
        torch.cat([x, nodes.airwayness[:, None].to(x)], dim=1), torch.cat([pairs, own.to(x)], dim=1), edges
    )


def _along(position: Tensor, edges: Tensor, volume: Tensor, spacing: tuple[float, float, float]) -> Tensor:
    """Return airwayness at places along edges, (E, 9); of opposite edges one is looked at."""
    ndimage: Any = require("scipy.ndimage", "airway")
    voxels = position.double() / torch.tensor(spacing, dtype=torch.float64)
    ends = edges.sort(dim=0).values.unique(dim=1, return_inverse=True)
    start, end = voxels[ends[0][0]], voxels[ends[0][1]]
    places = torch.lerp(start[:, None], end[:, None], torch.linspace(0, 1, SAMPLES, dtype=torch.float64)[:, None])
    values = ndimage.map_coordinates(volume.numpy(), places.reshape(-1, 3).T.numpy(), order=1, mode="nearest")
    return torch.from_numpy(np.asarray(values)).reshape(-1, SAMPLES)[ends[1]]


def by_hand(most: Count = 3) -> EdgePotentials:
    """Return potentials set by hand, for nodes that up to ``most`` edges leave; 2 are published, and a fork has 3."""
    return potentials_from_numbers([-2.0, 0.0, 1.0, 0.0][: most + 1], NODE, 1.0, PAIR)


def belief_propagation() -> Unrolled[GraphRefinement, Any, Tensor]:
    """Return belief propagation with the potentials set by hand, in which nothing is learned."""
    return unroll(EdgeInference(BeliefPropagation(0.5), by_hand()), STEPS)


REFINEMENTS: Mapping[str, Callable[[], Unrolled[GraphRefinement, Any, Tensor]]] = {
    "gnn": lambda: edge_network(FEATURES, PAIRS, hidden=24, steps=4),
    "mfn": lambda: mean_field_refinement(by_hand(2), STEPS),
    "mfn3": lambda: mean_field_refinement(by_hand(3), STEPS),
    "bp": belief_propagation,
    "lbp": lambda: learned_bp_refinement(by_hand(3), STEPS),
    "edge": lambda: edge_perceptron(FEATURES, PAIRS, hidden=24),
}
NAMELESS = ("gnn", "edge")  # nothing is set by hand in these, so that untrained they know nothing


@checked
def refinement(method: str, trained: bool = True) -> Unrolled[GraphRefinement, Any, Tensor]:
    """Return a network that refines airway graphs.

    Args:
        method: ``"gnn"`` (edge network), ``"mfn"`` (mean-field network with the published potentials of 0 to 2 edges),
            ``"mfn3"`` (of 0 to 3), ``"bp"`` (belief propagation, nothing learned), ``"lbp"`` (learned belief
            propagation) or ``"edge"`` (a perceptron that sees each edge alone, to judge what the graph earns).
        trained: Whether with the weights that come with the package. False: as before training.

    Returns:
        The network.

    Raises:
        MetaoptError: There is no such method, or an edge network has no weights in this package.
    """
    if method not in REFINEMENTS:
        raise MetaoptError(f"Graphs of airways are refined by {', '.join(REFINEMENTS)}, not by {method!r:.40}.")
    name = f"airway_{method}"
    if trained and name in shipped():
        return load(name)
    if trained and method in NAMELESS:
        raise MetaoptError(f"This package has no weights {name}; train the recipe of that name, or take mfn or bp.")
    if trained and method != "bp":
        warn(f"This package has no weights {name}, so that the potentials set by hand are used.")
    with drawing_from(0):
        return REFINEMENTS[method]()


@checked
def refine(problem: GraphRefinement, method: str = "gnn", net: Unrolled | None = None) -> Tensor:
    """Return the log-odds of the edges of an airway graph.

    Args:
        problem: From :func:`airway_graph`.
        method: A name that :func:`refinement` takes, or ``"mst"``: the shortest tree of edges in airwayness.
        net: The network to use. None: the one of the method.

    Returns:
        (E,).
    """
    if method == "mst":
        return shortest_tree(problem)
    net = refinement(method) if net is None else net
    with torch.no_grad():
        return net(problem).final


def favored(problem: GraphRefinement, method: str, net: Unrolled | None = None) -> Tensor:
    """Return the log-odds of edges, (E,), with what the shipped weights of a method have to be given for a tree.

    Args:
        problem: From :func:`airway_graph`.
        method: A name that :func:`refine` takes.
        net: As for :func:`refine`; nothing is added to what it says.
    """
    return refine(problem, method, net) + (FAVOR.get(method, 0.0) if net is None else 0.0)


def shortest_tree(problem: GraphRefinement, least: float = SEEN) -> Tensor:
    """Return log-odds for the minimum spanning tree of the edges along which airwayness is nowhere below a threshold.

    Args:
        problem: From :func:`airway_graph`.
        least: The threshold.

    Returns:
        (E,), 3 for edges of the tree and -6 for others.
    """
    length, low = problem.pairs[:, 1], problem.pairs[:, LEAST]
    seen = (low >= least).nonzero()[:, 0]
    chosen = torch.full_like(length, APART)
    if len(seen):
        tree = minimum_spanning_tree(problem.edge_index[:, seen], len(problem.x), length[seen])
        chosen[seen[tree]] = JOINED
    return chosen
