"""Small networks that treat every coordinate of x alike, and the conversion of trees to rows for them."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from ..arguments.contracts import Axes, Count, Positive, checked
from ..core import tree
from ..records import recorded
from .recurrent import GruCell

Gradient = Annotated[Tensor, Axes(finite=False)]


@recorded
@checked
class Perceptron(nn.Module):
    """Map the features of every coordinate and the time to two numbers by one hidden layer with ReLU.

    The features are (features, n) for n coordinates and the result is (2, n).

    Args:
        features: The number of features per coordinate.
        hidden: The width of the hidden layer.
    """

    def __init__(self, features: Count = 4, hidden: Count = 4):
        super().__init__()
        self.features = features
        self.body, self.clock, self.read = nn.Linear(features, hidden), nn.Linear(1, hidden), nn.Linear(hidden, 2)

    def init(self, x: Any) -> tuple[()]:
        return ()

    def forward(self, features: Tensor, time: Tensor, memory: tuple[()]) -> tuple[Tensor, tuple[()]]:
        bias = self.body.bias + self.clock(time)
        hidden = (self.body.weight @ features).add_(bias[:, None]).relu_()  # addmm would write the bias out first
        return (self.read.weight @ hidden).add_(self.read.bias[:, None]), ()


@recorded
@checked
class Recurrent(nn.Module):
    """Map the features of every coordinate and the time to two numbers by a gated recurrent unit.

    It is used as :class:`Perceptron` is, and remembers ``hidden`` numbers for every coordinate.

    Args:
        features: The number of features per coordinate.
        hidden: The width of the memory.
    """

    def __init__(self, features: Count = 4, hidden: Count = 10):
        super().__init__()
        self.features, self.hidden = features, hidden
        self.body, self.read = GruCell(features + 1, hidden), nn.Linear(hidden, 2)

    def init(self, x: Any) -> tuple[Any]:
        return (zero_rows(x, self.hidden),)

    def forward(self, features: Tensor, time: Tensor, memory: tuple[Any]) -> tuple[Tensor, tuple[Any]]:
        seen = torch.cat([features.mT, time.expand(features.shape[1], 1)], dim=1)
        rows = self.body(seen, rows_of(memory[0], self.hidden))
        return self.read(rows).mT, (refill(rows, memory[0]),)


@checked
def log_and_sign(gradient: Gradient, p: Positive = 10.0) -> Tensor:
    """Represent a gradient by the logarithm of its size and its sign, (..., 2).

    The pair is ``(log |g| / p, sign g)`` where ``|g| >= e^-p``, and ``(-1, e^p g)`` elsewhere.

    Args:
        gradient: g, of any shape.
        p: The negative logarithm of the size below which g is represented linearly.

    Source:
        Andrychowicz et al., 2016, arXiv:1606.04474.
    """
    return logarithms(gradient, p)


def logarithms(gradient: Tensor, p: float) -> Tensor:
    """Compute :func:`log_and_sign` without checks, as steps do."""
    size = gradient.abs()
    large = size >= math.exp(-p)
    log = torch.where(large, size, 1.0).log() / p
    first = torch.where(large, log, -torch.ones_like(log))
    return torch.stack([first, torch.where(large, gradient.sign(), gradient * math.exp(p))], dim=-1)


def zero_rows(x: Any, features: Count) -> Any:
    """Return a tree like x of zeros, with an additional last axis of length ``features``."""
    return tree.map(lambda t: t.new_zeros(*t.shape, features), x)


def rows_of(parts: Any, features: Count = 1) -> Tensor:
    """Stack all coordinates of a tree as rows, (coordinates, features)."""
    return torch.cat([t.reshape(-1, features) for t in tree.leaves(parts)])


def refill(values: Tensor, parts: Any) -> Any:
    """Undo :func:`rows_of`: return a tree like ``parts`` with the entries of ``values``, in order."""
    leaves = tree.leaves(parts)
    pieces = values.reshape(-1).split([t.numel() for t in leaves])
    return tree.fill(parts, [piece.reshape(t.shape) for piece, t in zip(pieces, leaves, strict=True)])
