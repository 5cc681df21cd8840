"""Build networks that refine graphs: inference with learned potentials, and a graph network of edges."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..algorithms import BeliefPropagation, EdgeInference, MeanField
from ..algorithms.propagation import check_read_once
from ..arguments.checks import check_instance
from ..arguments.contracts import Count, Natural, checked
from ..core import Algorithm, MetaoptError, Unrolled, parameterize, per_step, shared, slot, unroll
from ..core.gradients import Backprop, GradientStrategy
from ..core.openings import Opening
from ..networks import EdgePotentials, LearnedDamping, LearnedWeights
from ..problems import GraphRefinement
from ..records import recorded

Refinement = Unrolled[GraphRefinement, Any, Tensor]
BACKPROP = Backprop()
POTENTIALS = ("degree", "node", "symmetry", "pair")


class EdgeFeatures(NamedTuple):
    """Hold the features of the nodes, (N, hidden), and of the edges, (E, hidden)."""

    nodes: Tensor
    edges: Tensor


@checked
class EdgeNetwork(Algorithm[GraphRefinement, EdgeFeatures, Tensor]):
    """Score the edges of an over-complete graph by messages from nodes to edges and back.

    From ``h_k = encode(x_k)`` and ``h_kl = join([h_k, h_l, f_kl])``, a step is

    ``h_l <- h_l + gather([h_l, sum_k h_kl, sum_k h_lk])``, then ``h_kl <- h_kl + join([h_k, h_l, f_kl])``,

    and the output is the log-odds of each edge, ``decode(h_kl)``, (E,). Relabelling nodes or edges relabels the result
    in the same way. With features that a rigid motion does not change, neither does the result.

    Args:
        features: Number F of features of a node.
        pairs: Number P of features of an edge; it may be 0, as in the paper.
        hidden: Width of the features.

    Slots:
        encode: Perceptron of the features of a node, read once.
        join: Perceptron from two nodes to their edge.
        gather: Perceptron from the edges that arrive at a node, and those that leave it, to the node.
        decode: Perceptron from the features of an edge to its log-odds.

    Raises:
        MetaoptError: The problem has other numbers of features, or another precision than the network.

    Source:
        Selvan et al., 2020, arXiv:1811.08674 (there without the sums that keep h); Kipf et al., 2018, arXiv:1802.04687.
    """

    def __init__(self, features: Count, pairs: int, hidden: Count = 16):
        super().__init__()
        if isinstance(pairs, bool) or not pairs >= 0:
            raise MetaoptError(f"The number of features of an edge is at least 0, but got {pairs}.")
        self.features, self.pairs = features, pairs
        self.encode = slot(_perceptron(features, hidden, hidden))
        self.join = slot(_perceptron(2 * hidden + pairs, hidden, hidden))
        self.gather = slot(_perceptron(3 * hidden, hidden, hidden))
        self.decode = slot(_perceptron(hidden, hidden, 1))

    def init(self, problem: GraphRefinement) -> EdgeFeatures:
        self._check(problem)
        nodes = self.encode(0)(problem.x)
        return EdgeFeatures(nodes, self._joined(problem, nodes, 0))

    def step(self, problem: GraphRefinement, state: EdgeFeatures, k: int) -> EdgeFeatures:
        none, (source, target) = torch.zeros_like(state.nodes), problem.edge_index
        arriving, leaving = (none.index_add(0, end, state.edges) for end in (target, source))
        nodes = state.nodes + self.gather(k)(torch.cat([state.nodes, arriving, leaving], dim=1))
        return EdgeFeatures(nodes, state.edges + self._joined(problem, nodes, k))

    def readout(self, problem: GraphRefinement, state: EdgeFeatures, k: int) -> Tensor:
        return self.decode(k)(state.edges)[:, 0]

    def samples(self, problem: GraphRefinement, state: EdgeFeatures) -> int:
        """Return 1, since the edges of a graph converge as a whole."""
        return 1

    def _joined(self, problem: GraphRefinement, nodes: Tensor, k: int) -> Tensor:
        source, target = problem.edge_index
        return self.join(k)(torch.cat([nodes[source], nodes[target], problem.pairs], dim=1))

    def _check(self, problem: GraphRefinement) -> None:
        check_read_once(self, "encode")
        _check_features("edge network", self, problem)


class SeenEdges(NamedTuple):
    """Hold what is known of each edge alone: the features of its nodes and its own, (E, 2 F + P)."""

    seen: Tensor


@checked
class EdgePerceptron(Algorithm[GraphRefinement, SeenEdges, Tensor]):
    """Score each edge alone, from its features and those of its nodes; a step changes nothing.

    No message passes, so what another refinement does better, the graph has earned.

    Args:
        features: Number F of features of a node.
        pairs: Number P of features of an edge.
        hidden: Width of the perceptron.

    Slots:
        decode: Perceptron from two nodes and their edge to the log-odds of the edge.
    """

    def __init__(self, features: Count, pairs: Natural, hidden: Count = 16):
        super().__init__()
        self.features, self.pairs = features, pairs
        self.decode = slot(_perceptron(2 * features + pairs, hidden, 1))

    def init(self, problem: GraphRefinement) -> SeenEdges:
        _check_features("edge perceptron", self, problem)
        source, target = problem.edge_index
        return SeenEdges(torch.cat([problem.x[source], problem.x[target], problem.pairs], dim=1))

    def step(self, problem: GraphRefinement, state: SeenEdges, k: int) -> SeenEdges:
        return state

    def readout(self, problem: GraphRefinement, state: SeenEdges, k: int) -> Tensor:
        return self.decode(k)(state.seen)[:, 0]

    def samples(self, problem: GraphRefinement, state: SeenEdges) -> int:
        """Return 1, since the edges of a graph converge as a whole."""
        return 1


def _check_features(name: str, algorithm: Any, problem: GraphRefinement) -> None:
    check_instance(f"The problem of {type(algorithm).__name__}", problem, GraphRefinement)
    got = problem.x.shape[1], problem.pairs.shape[1]
    if got != (algorithm.features, algorithm.pairs):
        raise MetaoptError(
            f"This {name} reads {algorithm.features} features of a node and {algorithm.pairs} of an edge, but the "
            f"problem has {got[0]} and {got[1]}."
        )
    own = next(algorithm.parameters(), problem.x).dtype
    if own != problem.x.dtype:
        raise MetaoptError(f"The {name} is {own}, but the problem {problem.x.dtype}; convert one by to(...).")


@recorded
@checked
def mean_field_refinement(
    potentials: EdgePotentials, steps: Natural = 10, gradient: GradientStrategy = BACKPROP
) -> Refinement:
    """Build a mean-field network for graph refinement: shared potentials and a damping for each step are learned.

    Before training it equals damped mean field with the given potentials.

    Args:
        potentials: What the potentials are at first.
        steps: Number of steps.
        gradient: The gradient strategy.

    Returns:
        The network. It maps a :class:`~metaopt.problems.GraphRefinement` to the log-odds of its edges, (E,).

    Source:
        Selvan et al., 2020, arXiv:1811.08674.
    """
    algorithm = EdgeInference(MeanField(0.5), potentials)
    opened = {"inference.damping": per_step(steps, interval=(0.0, 1.0))} if steps else {}
    return unroll(parameterize(algorithm, {**_learned(), **opened}), steps, gradient)


@recorded
@checked
def learned_bp_refinement(
    potentials: EdgePotentials, steps: Natural = 10, hidden: Count = 16, gradient: GradientStrategy = BACKPROP
) -> Refinement:
    """Build learned belief propagation for graph refinement: potentials, factor weights and damping are learned.

    Before training it equals belief propagation with damping 0.5 and the given potentials.

    Args:
        potentials: What the potentials are at first.
        steps: Number of steps.
        hidden: Width of the networks for weights and damping.
        gradient: The gradient strategy.

    Returns:
        The network. It maps a :class:`~metaopt.problems.GraphRefinement` to the log-odds of its edges, (E,).
    """
    messages = BeliefPropagation(0.5, weight=LearnedWeights(hidden), correction=LearnedDamping(hidden))
    return unroll(parameterize(EdgeInference(messages, potentials), _learned()), steps, gradient)


@recorded
@checked
def edge_network(
    features: Count, pairs: Natural, hidden: Count = 16, steps: Natural = 3, gradient: GradientStrategy = BACKPROP
) -> Refinement:
    """Build an unrolled :class:`EdgeNetwork`, which contains no inference.

    Args:
        features: Number of features of a node.
        pairs: Number of features of an edge.
        hidden: Width of the features inside.
        steps: Number of steps, with the same networks in each.
        gradient: The gradient strategy.

    Returns:
        The network. It maps a :class:`~metaopt.problems.GraphRefinement` to the log-odds of its edges, (E,).
    """
    return unroll(EdgeNetwork(features, pairs, hidden), steps, gradient)


@recorded
@checked
def edge_perceptron(features: Count, pairs: Natural, hidden: Count = 16) -> Refinement:
    """Build a perceptron that sees each edge alone, to judge what a graph earns.

    Args:
        features: Number of features of a node.
        pairs: Number of features of an edge.
        hidden: Width of the features inside.

    Returns:
        The network, of one step. It maps a :class:`~metaopt.problems.GraphRefinement` to the log-odds of its edges,
        (E,).
    """
    return unroll(EdgePerceptron(features, pairs, hidden), 1)


def _learned() -> dict[str, Opening]:
    return {f"potentials.{name}": shared() for name in POTENTIALS}


def _perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
