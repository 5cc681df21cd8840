"""Networks that graph networks put into the slots of a propagation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..arguments.contracts import Count, Rate, checked
from ..core import MetaoptError
from ..problems import GraphSignal

FIRST_PLACE = 2  # where encoders begin to number their uses of dropout; Propagation has the numbers before


@checked
class NodeEncoder(nn.Module):
    """Apply a perceptron to every node separately, with ReLU between its layers and dropout before each.

    The first layer computes ``x @ weight``, so that sparse features stay sparse, also under dropout. The masks come
    from the problem's seed.

    Args:
        widths: The widths of the features, of the hidden layers and of the output.
        bias: Whether the layers have a bias.
        dropout: The rate of dropout before each layer, while training and where the problem has a seed.

    Raises:
        MetaoptError: There are fewer than two widths.
    """

    def __init__(self, widths: Sequence[Count], bias: bool = True, dropout: Rate = 0.0):
        super().__init__()
        if len(widths) < 2:
            raise MetaoptError(f"NodeEncoder needs the widths of its input and output, but got {list(widths)}.")
        pairs = list(itertools.pairwise(widths))
        self.weights = nn.ParameterList([_glorot(rows, columns) for rows, columns in pairs])
        self.biases = nn.ParameterList([torch.zeros(columns) for _, columns in pairs if bias])
        self.dropout = dropout

    def forward(self, x: Any) -> Tensor:
        return self._layers(x, lambda h, layer: h)

    def from_signal(self, problem: GraphSignal) -> Tensor:
        """Return ``forward(problem.x)`` with dropout."""
        rate = self.dropout if self.training else 0.0
        return self._layers(problem.x, lambda h, layer: problem.drop(h, rate, FIRST_PLACE + layer, 0))

    def _layers(self, h: Any, drop: Any) -> Tensor:
        for layer, weight in enumerate(self.weights):
            h = drop(torch.relu(h) if layer else h, layer) @ weight
            h = h + self.biases[layer] if len(self.biases) else h
        return h


@checked
class Layers(nn.Module):
    """Apply in step k the layer k of a GCN with ``steps`` layers: ``relu(h W_k + b_k)`` to the sum over the neighbours.

    The first step has no W, since the encoder before it multiplies already, and the last step changes nothing, since
    the decoder multiplies after it. Together with these two there is one matrix for each step.

    Args:
        width: The number of hidden features.
        steps: The number of layers, at least 2.

    Raises:
        MetaoptError: There are fewer than two layers, or a step beyond the last one is asked for.
    """

    def __init__(self, width: Count, steps: int):
        super().__init__()
        if steps < 2:
            raise MetaoptError(f"A GCN has at least two layers, but got {steps}; for one take sgc(..., steps=1).")
        self.weights = nn.ParameterList([_glorot(width, width) for _ in range(steps - 2)])
        self.biases = nn.ParameterList([torch.zeros(width) for _ in range(steps - 1)])

    def at_step(self, k: int) -> Callable[[Tensor], Tensor]:
        """Return the function that step k applies to the sum over the neighbours."""
        if k > len(self.biases):
            raise MetaoptError(f"This GCN has {len(self.biases) + 1} layers, but step {k} was asked for.")
        if k == len(self.biases):
            return lambda h: h
        return lambda h: torch.relu((h @ self.weights[k - 1] if k else h) + self.biases[k])


@checked
class Contraction(nn.Module):
    """Multiply by a matrix W with ``|W| <= bound < 1`` in the spectral norm, ``h W``.

    With an adjacency ``|A| <= 1`` a step then has exactly one fixed point. W is the parameter, scaled down where
    ``sqrt(|W|_1 |W|_inf)``, which is at least the spectral norm (Schur's test), exceeds the bound. It starts as the
    bound times the identity, which is personalised PageRank.

    Args:
        width: The number of features.
        bound: The bound on the spectral norm, between 0 and 1.

    Raises:
        MetaoptError: The bound is not between 0 and 1.
    """

    def __init__(self, width: Count, bound: float = 0.9):
        super().__init__()
        if not 0 < bound < 1:
            raise MetaoptError(f"A contraction needs a bound between 0 and 1, but got {bound}.")
        self.bound = bound
        self.weight = nn.Parameter(bound * torch.eye(width))

    def forward(self, h: Tensor) -> Tensor:
        size = self.weight.abs()
        norm = (size.sum(0).max() * size.sum(1).max()).sqrt()
        return h @ (self.weight * (self.bound / norm).clamp_max(1.0))


@checked
class Shift(nn.Module):
    """Add a learned bias to every node, ``h + b``; it starts at 0.

    Args:
        width: The number of features.
    """

    def __init__(self, width: Count):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, h: Tensor) -> Tensor:
        return h + self.bias


def _glorot(rows: int, columns: int) -> nn.Parameter:
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(rows, columns)))
