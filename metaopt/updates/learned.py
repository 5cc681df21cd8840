"""Learned optimizers: one small network for every coordinate, the same for all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..core import MetaoptError, slot, tree
from .cells import GruCell, LstmCell
from .moments import root, running_mean, running_square, zeros
from .update import check_real


class CoordinatewiseLstm(nn.Module):
    """LogAndSign(gradient) -> LSTM -> ... -> change = scale * output, for every coordinate by itself.

    ``layers`` LSTMs of ``hidden`` features each; every coordinate has a memory of its own, all share the weights.
    Andrychowicz et al., arXiv:1606.04474. x is real, a tensor or a tree of them.

    Slots: ``scale``.
    """

    def __init__(self, hidden: int = 20, layers: int = 2, scale: Any = 0.1, preprocessing: float = 10.0):
        super().__init__()
        self.hidden, self.preprocessing = hidden, preprocessing
        self.cells = nn.ModuleList(LstmCell(hidden if i else 2, hidden) for i in range(layers))
        self.read = nn.Linear(hidden, 1)
        self.scale = slot(scale)

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> tuple[Any, ...]:
        check_real("CoordinatewiseLstm", x)
        return tuple(zero_rows(x, self.hidden) for _ in range(2 * len(self.cells)))

    def forward(
        self, gradient: Any, x: Any, memory: tuple[Any, ...], k: int, context: tuple[Any, ...] = ()
    ) -> tuple[Any, tuple[Any, ...]]:
        rows = log_and_sign(rows_of(gradient)[:, 0], self.preprocessing)
        states = [rows_of(part, self.hidden) for part in memory]
        for i, cell in enumerate(self.cells):
            states[2 * i], states[2 * i + 1] = cell(rows, (states[2 * i], states[2 * i + 1]))
            rows = states[2 * i]
        change = self.scale(k).to(rows) * self.read(rows)
        return unrows(change, x), tuple(unrows(state, x, self.hidden) for state in states)


class AdamMemory(NamedTuple):
    """Running means of the gradient, one for each decay; one of its square; the network's own memory, if any."""

    means: tuple[Any, ...]
    square: Any
    hidden: tuple[Any, ...]


class LearnedAdam(nn.Module):
    """Adam, corrected for every coordinate by a small network that sees what Adam remembers.

    change = -step_size (m / s) exp(a) + step_size b with (a, b) = network(features), where m is the running mean of the
    gradient of the middle decay and s the root of that of its square, both corrected as Adam's are. The features do not
    depend on the loss's scale: g / s, m_i / s for every decay, and tanh of the logarithm of k + 1. The last layer
    starts at 0, so that before training this is Adam.

    Args:
        hidden: features of the two hidden layers, or of the recurrent cell.
        recurrent: with a gated recurrent unit as network (an RNN with Adam-like features; Wichrowska et al.,
            arXiv:1703.04813), without one a perceptron (Metz et al., arXiv:2203.11860), which remembers nothing else.
        decays: of the running means.

    Slots: ``step_size``.
    """

    def __init__(
        self,
        hidden: int = 16,
        recurrent: bool = False,
        decays: Sequence[float] = (0.5, 0.9, 0.99),
        square_decay: float = 0.999,
        step_size: Any = 1e-2,
        epsilon: float = 1e-8,
    ):
        super().__init__()
        if not decays or not all(0 <= d < 1 for d in (*decays, square_decay)):
            raise MetaoptError(f"Decays lie in [0, 1), but got {tuple(decays)} and {square_decay}.")
        self.hidden, self.decays, self.square_decay, self.epsilon = hidden, tuple(decays), square_decay, epsilon
        inputs = len(decays) + 2
        self.step_size = slot(step_size)
        self.cell = GruCell(inputs, hidden) if recurrent else None
        layers = (nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.body = nn.Identity() if recurrent else nn.Sequential(*layers)
        self.read = nn.Linear(hidden, 2)
        nn.init.zeros_(self.read.weight)
        nn.init.zeros_(self.read.bias)

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> AdamMemory:
        check_real("LearnedAdam", x)
        own = () if self.cell is None else (zero_rows(x, self.hidden),)
        return AdamMemory(tuple(zeros(x) for _ in self.decays), zeros(x), own)

    def forward(
        self, gradient: Any, x: Any, memory: AdamMemory, k: int, context: tuple[Any, ...] = ()
    ) -> tuple[Any, AdamMemory]:
        pairs = zip(memory.means, self.decays, strict=True)
        means = tuple(running_mean(mean, gradient, _complement(decay)) for mean, decay in pairs)
        square = running_square(memory.square, gradient, _complement(self.square_decay))
        floor = self.epsilon * math.sqrt(1 - self.square_decay ** (k + 1))
        size = math.sqrt(1 - self.square_decay ** (k + 1)) / (root(rows_of(square)) + floor)
        directions = [rows_of(m) * size / (1 - d ** (k + 1)) for m, d in zip(means, self.decays, strict=True)]
        time = torch.full_like(size, math.tanh(math.log(k + 1) / 4 - 1))
        features = torch.cat([rows_of(gradient) * size, *directions, time], dim=1).clamp(-10, 10)
        own = memory.hidden
        if self.cell is not None:
            features = self.cell(features, rows_of(own[0], self.hidden))
            own = (unrows(features, x, self.hidden),)
        factor, offset = self.read(self.body(features)).split(1, dim=1)
        adam = directions[len(directions) // 2]
        change = self.step_size(k).to(size) * (offset - adam * factor.exp())
        return unrows(change, x), AdamMemory(means, square, own)


def _complement(decay: float) -> Tensor:
    return torch.tensor(1 - decay, dtype=torch.float64)


def log_and_sign(gradient: Tensor, p: float = 10.0) -> Tensor:
    """(..., 2): (``log |g| / p``, sign g) where ``|g| >= e^-p``, (-1, e^p g) elsewhere (arXiv:1606.04474)."""
    size = gradient.abs()
    large = size >= math.exp(-p)
    log = torch.where(large, size, 1.0).log() / p
    first = torch.where(large, log, -torch.ones_like(log))
    return torch.stack([first, torch.where(large, gradient.sign(), gradient * math.exp(p))], dim=-1)


def zero_rows(x: Any, features: int) -> Any:
    """A tree like x of zeros, with ``features`` as last axis."""
    return tree.map(lambda t: t.new_zeros(*t.shape, features), x)


def rows_of(parts: Any, features: int = 1) -> Tensor:
    """All coordinates of a tree below one another, (coordinates, features)."""
    return torch.cat([t.reshape(-1, features) for t in tree.leaves(parts)])


def unrows(rows: Tensor, x: Any, *features: int) -> Any:
    """The inverse: a tree like x, whose tensors have ``features`` as last axis, if any."""
    parts = rows.split([t.numel() for t in tree.leaves(x)])
    shapes = [(*t.shape, *features) for t in tree.leaves(x)]
    return tree.fill(x, [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])
