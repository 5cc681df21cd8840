"""A graph network of unlimited depth: the fixed point of one propagation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..algorithms import Propagation
from ..algorithms.propagation import PropagationState
from ..core import Trajectory, unroll
from ..core.gradients import Gcr, GradientStrategy, Implicit
from ..networks.graph_layers import Contraction, NodeEncoder
from ..problems import GraphSignal
from ..records import recorded
from .gcn import Net

IMPLICIT = Implicit(Gcr(tolerance=1e-5), tolerance=1e-5)


class Zeros(nn.Module):
    """A start that knows nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class Encoded(nn.Module):
    """``net`` on the signal that ``encode`` makes of the features, once, outside of the loop.

    The strategies take a problem's tensors as inputs, so that gradients reach ``encode`` whatever the strategy.
    """

    def __init__(self, encode: NodeEncoder, net: Net):
        super().__init__()
        self.encode, self.net = encode, net

    def forward(self, problem: GraphSignal) -> Trajectory[PropagationState, Tensor]:
        return self.net(problem.with_x(self.encode.from_signal(problem)))


@recorded
def implicit_gnn(
    features: int,
    classes: int,
    hidden: int = 64,
    steps: int = 200,
    bound: float = 0.9,
    dropout: float = 0.5,
    gradient: GradientStrategy = IMPLICIT,
) -> Encoded:
    """The H with H = relu(A H W + x B + b), ``|W| <= bound``; it exists and is unique (Gu et al., arXiv:2009.06211).

    ``steps`` is the most that the search for it takes; gradients cost the memory of one step. It needs ``|A| <= 1``, as
    :func:`~metaopt.symmetric_adjacency` of an undirected graph has. ``dropout`` is of x.
    """
    propagation = Propagation(
        Zeros(),
        nn.Linear(hidden, classes),
        mix=Contraction(hidden, bound),
        inject=nn.Identity(),
        activation=nn.ReLU(),
    )
    return Encoded(NodeEncoder((features, hidden), dropout=dropout), unroll(propagation, steps, gradient, keep="last"))
