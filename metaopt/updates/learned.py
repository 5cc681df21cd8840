"""Learned optimizers apply one small network to every coordinate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from ..arguments.checks import said
from ..arguments.contracts import Count, NotNegative, Positive, checked, within
from ..core import MetaoptError, slot
from ..networks.coordinatewise import Perceptron, logarithms, refill, rows_of, zero_rows
from ..networks.recurrent import LstmCell
from ..records import recorded
from .moments import root, zeros
from .update import check_real


@recorded
@checked
class CoordinatewiseLstm(nn.Module):
    """Compute the change of every coordinate by LSTMs that see the logarithm and the sign of its gradient.

    ``change = scale * output(LSTM(... LSTM(log_and_sign(gradient))))``. All coordinates share the weights, and each has
    its own memory. x is real, a tensor or a tree of tensors.

    Args:
        hidden: The width of each LSTM.
        layers: The number of LSTMs.
        preprocessing: p of :func:`~metaopt.networks.log_and_sign`.

    Slots:
        scale: What the output is multiplied by, in the units of x.

    Source:
        Andrychowicz et al., 2016, arXiv:1606.04474.
    """

    reach, period = 0, 1  # every coordinate by itself

    def __init__(self, hidden: Count = 20, layers: Count = 2, scale: Any = 0.1, preprocessing: Positive = 10.0):
        super().__init__()
        self.hidden, self.preprocessing = hidden, preprocessing
        self.cells = nn.ModuleList(LstmCell(hidden if i else 2, hidden) for i in range(layers))
        self.read = nn.Linear(hidden, 1)
        self.scale = slot(scale)

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> tuple[Any, ...]:
        check_real("CoordinatewiseLstm", x, self.read)
        return tuple(zero_rows(x, self.hidden) for _ in range(2 * len(self.cells)))

    def forward(
        self, gradient: Any, x: Any, memory: tuple[Any, ...], k: int, context: tuple[Any, ...] = ()
    ) -> tuple[Any, tuple[Any, ...]]:
        rows = logarithms(rows_of(gradient)[:, 0], self.preprocessing)
        states = [rows_of(part, self.hidden) for part in memory]
        for i, cell in enumerate(self.cells):
            states[2 * i], states[2 * i + 1] = cell(rows, (states[2 * i], states[2 * i + 1]))
            rows = states[2 * i]
        change = self.scale(k).to(rows) * self.read(rows)
        return refill(change, x), tuple(refill(*pair) for pair in zip(states, memory, strict=True))


class AdamMemory(NamedTuple):
    """AdamMemory holds running means of the gradient, one for its square, and the network's own memory.

    ``means`` has one running mean for each decay; ``hidden`` is empty where the network has no memory.
    """

    means: tuple[Any, ...]
    square: Any
    hidden: tuple[Any, ...]


@recorded
@checked
class LearnedAdam(nn.Module):
    """Correct Adam's change of every coordinate by a small network that sees what Adam remembers.

    ``change = -step_size * (m / s) * exp(a) + step_size * b`` with ``(a, b) = network(features)``. m is the running
    mean of the gradient with the middle decay, and s is the root of the running mean of its square, both corrected as
    in Adam. The features do not depend on the scale of the loss: g / s, and m_i / s for every decay; the time is
    ``tanh(log(k + 1) / 4 - 1)``. The last layer of the network starts at 0, so that before training this is Adam.

    Args:
        network: a :class:`~metaopt.networks.Perceptron` (the default) or a :class:`~metaopt.networks.Recurrent` network
            of ``len(decays) + 1`` features.
        decays: The decays of the running means of the gradient, each in [0, 1).
        square_decay: The decay of the running mean of its square, in [0, 1).
        epsilon: What keeps the quotient finite, in the units of the gradient.

    Slots:
        step_size: At least 0, about the largest change of a coordinate in one step before training, in the units of x.

    Raises:
        MetaoptError: A decay is not in [0, 1), the network takes another number of features, or x is complex.

    Source:
        Metz et al., 2022, arXiv:2203.11860 (the small network); Wichrowska et al., 2017, arXiv:1703.04813 (the
        recurrent network with Adam's features).
    """

    reach, period = 0, 1  # every coordinate by itself

    def __init__(
        self,
        network: Any = None,
        decays: Sequence[float] = (0.5, 0.9, 0.99),
        square_decay: float = 0.999,
        step_size: Any = 1e-2,
        epsilon: NotNegative = 1e-8,
    ):
        super().__init__()
        if not decays or not all(0 <= d < 1 for d in (*decays, square_decay)):
            raise MetaoptError(f"Decays lie in [0, 1), but got {tuple(decays)} and {square_decay}.")
        self.decays, self.square_decay, self.epsilon = tuple(decays), square_decay, epsilon
        network = Perceptron(len(decays) + 1) if network is None else network
        if not isinstance(network, nn.Module) or not hasattr(network, "features"):
            raise MetaoptError(f"LearnedAdam needs a Perceptron or a Recurrent network, but got {said(network)}.")
        self.network: Any = network
        if self.network.features != len(decays) + 1:
            raise MetaoptError(
                f"With {len(decays)} decays there are {len(decays) + 1} features, but the network takes "
                f"{self.network.features}."
            )
        self.step_size = slot(step_size, within("step_size", 0))
        nn.init.zeros_(self.network.read.weight)
        nn.init.zeros_(self.network.read.bias)

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> AdamMemory:
        check_real("LearnedAdam", x, self.network)
        return AdamMemory(tuple(zeros(x) for _ in self.decays), zeros(x), self.network.init(x))

    def forward(
        self, gradient: Any, x: Any, memory: AdamMemory, k: int, context: tuple[Any, ...] = ()
    ) -> tuple[Any, AdamMemory]:
        kept = [*memory.means, memory.square]
        slope, *means, square = (rows_of(part)[:, 0] for part in (gradient, *kept))  # lines stay in a processor's cache
        means = [torch.lerp(slope, mean, decay) for mean, decay in zip(means, self.decays, strict=True)]
        # Not lerp: its difference makes NaN of a square that overflows. With an infinite one the features are 0.
        square = torch.addcmul(self.square_decay * square, slope, slope, value=1 - self.square_decay)
        correction = math.sqrt(1 - self.square_decay ** (k + 1))
        inverse = (root(square) + self.epsilon * correction).reciprocal() * correction
        lines = [slope * inverse]
        lines += [m * (inverse / (1 - decay ** (k + 1))) for m, decay in zip(means, self.decays, strict=True)]
        time = slope.new_tensor([_time(k)])
        corrections, own = self.network(torch.stack(lines).clamp_(-10, 10), time, memory.hidden)
        adam = lines[1 + len(self.decays) // 2]
        change = torch.addcmul(corrections[1], adam, corrections[0].exp(), value=-1) * self.step_size(k).to(slope)
        kept = [refill(values, part) for values, part in zip((*means, square), kept, strict=True)]
        return refill(change, x), AdamMemory(tuple(kept[:-1]), kept[-1], own)


def _time(k: int) -> float:
    """tanh(log(k + 1) / 4 - 1), without a logarithm, for which a compiled step would compile anew at every k."""
    size, centre = math.sqrt(k + 1), math.exp(2)
    return (size - centre) / (size + centre)
