"""Learned sparse coding: ISTA unrolled, with more or fewer of its places opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..algorithms import CoupledIsta, Ista, analytic_weights
from ..core import Unrolled, fixed, parameterize, per_step, shared, unroll

Net = Unrolled[Tensor, Any, Tensor]


def lista(dictionary: Tensor, penalty: float, steps: int = 16) -> Net:
    """Both matrices, the same in all steps, and every step's threshold are learned (Gregor and LeCun, ICML 2010)."""
    openings = {"encode": shared(), "mix": shared(), "threshold": per_step(steps, positive=True)}
    return unroll(parameterize(Ista(dictionary, penalty), openings), steps)


def lista_cp(dictionary: Tensor, penalty: float, steps: int = 16, support: Sequence[float] = ()) -> Net:
    """One coupled matrix and one threshold a step, with support selection (Chen et al., arXiv:1808.10038)."""
    openings = {"weights": per_step(steps), "threshold": per_step(steps, positive=True)}
    return unroll(parameterize(CoupledIsta(dictionary, penalty, support), openings), steps)


def alista(dictionary: Tensor, penalty: float, steps: int = 16, support: Sequence[float] = ()) -> Net:
    """Analytic weights; a step size and a threshold a step are all that is learned (Liu et al., ICLR 2019)."""
    openings = {
        "weights": fixed(analytic_weights(dictionary)),
        "step_size": per_step(steps, 1.0),
        "threshold": per_step(steps, positive=True),
    }
    return unroll(parameterize(CoupledIsta(dictionary, penalty, support), openings), steps)


def na_alista(
    dictionary: Tensor, penalty: float, steps: int = 16, support: Sequence[float] = (), hidden: int = 128
) -> Net:
    """Analytic weights; an LSTM gives every sample its step size and threshold at every step (arXiv:2102.00714)."""
    schedule = LstmSchedule(hidden).to(dictionary.dtype)
    algorithm = CoupledIsta(dictionary, penalty, support, schedule)
    openings = {
        "weights": fixed(analytic_weights(dictionary)),
        "step_size": fixed(1.0),
        "threshold": shared(positive=True),
    }
    return unroll(parameterize(algorithm, openings), steps)


class LstmSchedule(nn.Module):
    """(``|A z - y|_1``, ``|W^T (A z - y)|_1``) -> LSTM -> two positive factors, of step size and threshold.

    Both norms are seen as logarithms of their share in the first step's, which makes the schedule the same for
    measurements in other units. Before training both factors are 1.
    """

    def __init__(self, hidden: int = 128):
        super().__init__()
        self.cell = nn.LSTMCell(2, hidden)
        self.read = nn.Linear(hidden, 2)
        nn.init.zeros_(self.read.weight)
        nn.init.zeros_(self.read.bias)

    def init(self, z: Tensor) -> tuple[Tensor, ...]:
        state = z.new_zeros(len(z), self.cell.hidden_size)
        return state, state, z.new_zeros(len(z), 2)

    def forward(self, residual: Tensor, correlation: Tensor, memory: tuple[Tensor, ...]) -> Any:
        hidden, cell, first = memory
        sizes = torch.cat([residual, correlation], 1).clamp_min(1e-30).log()
        first = torch.where(first == 0, sizes, first)
        hidden, cell = self.cell(sizes - first, (hidden, cell))
        return self.read(hidden).exp(), (hidden, cell, first)
