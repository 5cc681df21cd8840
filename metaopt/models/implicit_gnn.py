"""Build the implicit graph neural network, the fixed point of one propagation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..algorithms import Propagation
from ..algorithms.propagation import PropagationState
from ..arguments.contracts import Count, Natural, Rate, checked
from ..core import Trajectory, unroll
from ..core.gradients import Gcr, GradientStrategy, Implicit
from ..networks.graph_layers import Contraction, NodeEncoder
from ..problems import GraphSignal
from ..records import recorded
from .gcn import Net

IMPLICIT = Implicit(Gcr(tolerance=1e-5), tolerance=1e-5)


class Zeros(nn.Module):
    """Start the iteration at zero, whatever the input."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class Encoded(nn.Module):
    """Run ``net`` on the signal that ``encode`` computes from the features, once, outside of the loop.

    Gradient strategies take the tensors of a problem as inputs, so gradients reach ``encode`` with every strategy.

    Args:
        encode: The encoder of the node features.
        net: The unrolled propagation.
    """

    def __init__(self, encode: NodeEncoder, net: Net):
        super().__init__()
        self.encode, self.net = encode, net

    def forward(self, problem: GraphSignal) -> Trajectory[PropagationState, Tensor]:
        return self.net(problem.with_x(self.encode.from_signal(problem)))


@recorded
@checked
def implicit_gnn(
    features: Count,
    classes: Count,
    hidden: Count = 64,
    steps: Natural = 200,
    bound: float = 0.9,
    dropout: Rate = 0.5,
    gradient: GradientStrategy = IMPLICIT,
) -> Encoded:
    """Build the network whose hidden signal solves ``H = relu(A H W + x B + b)`` with ``|W| <= bound``.

    The solution exists and is unique where ``|A| <= 1``, which :func:`~metaopt.problems.symmetric_adjacency` of an
    undirected graph ensures. Gradients cost the memory of one step.

    Args:
        features: Number of input features of a node.
        classes: Number of output classes.
        hidden: Width of H.
        steps: Maximum number of steps of the fixed-point iteration.
        bound: Bound on the norm of W, below 1.
        dropout: Dropout probability for the features x.
        gradient: The gradient strategy; the default differentiates the fixed point implicitly.

    Returns:
        The network. It maps a :class:`~metaopt.problems.GraphSignal` to the scores of its nodes, (nodes, classes).

    Source:
        Gu et al., arXiv:2009.06211.
    """
    propagation = Propagation(
        Zeros(),
        nn.Linear(hidden, classes),
        mix=Contraction(hidden, bound),
        inject=nn.Identity(),
        activation=nn.ReLU(),
    )
    return Encoded(NodeEncoder((features, hidden), dropout=dropout), unroll(propagation, steps, gradient, keep="last"))
