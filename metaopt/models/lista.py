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


def alista(
    dictionary: Tensor,
    penalty: float,
    steps: int = 16,
    support: Sequence[float] = (),
    step_size: float = 1.0,
    decay: float = 1.0,
) -> Net:
    """Analytic weights; a step size and a threshold a step are all that is learned (Liu et al., ICLR 2019).

    Training starts from equal step sizes and from thresholds ``penalty / |A|^2 * decay^k``. From constant ones (decay
    1) it gets stuck where n is several times m; from 0.8 it does not.
    """
    algorithm = CoupledIsta(dictionary, penalty, support)
    return _analytic(algorithm, steps, step_size, decay)


def na_alista(
    dictionary: Tensor,
    penalty: float,
    steps: int = 16,
    support: Sequence[float] = (),
    step_size: float = 1.0,
    decay: float = 1.0,
    hidden: int = 128,
) -> Net:
    """:func:`alista` whose numbers an LSTM multiplies, for every sample by its own factors (arXiv:2102.00714)."""
    schedule = LstmSchedule(hidden).to(dictionary.dtype)
    algorithm = CoupledIsta(dictionary, penalty, support, schedule)
    return _analytic(algorithm, steps, step_size, decay)


def _analytic(algorithm: CoupledIsta, steps: int, step_size: float, decay: float) -> Net:
    first = float(algorithm.threshold(0).detach())
    openings = {
        "weights": fixed(analytic_weights(algorithm.dictionary)),
        "step_size": per_step(steps, step_size),
        "threshold": per_step(steps, [first * decay**k for k in range(steps)], positive=True),
    }
    return unroll(parameterize(algorithm, openings), steps)


class LstmSchedule(nn.Module):
    """log of the mean ``|A z - y|`` and ``|W^T (A z - y)|`` -> LSTM -> two factors, of step size and threshold.

    The logarithms reach the read-out beside the LSTM's state too, so that a threshold can be proportional to a power of
    what is left to explain. Both sizes are seen in the units of y. Before training both factors are 1.
    """

    def __init__(self, hidden: int = 128):
        super().__init__()
        self.cell = nn.LSTMCell(2, hidden)
        self.read = nn.Linear(hidden + 2, 2)
        nn.init.zeros_(self.read.weight)
        nn.init.zeros_(self.read.bias)

    def init(self, z: Tensor) -> tuple[Tensor, Tensor]:
        state = z.new_zeros(len(z), self.cell.hidden_size)
        return state, state

    def forward(self, residual: Tensor, correlation: Tensor, memory: tuple[Tensor, Tensor]) -> Any:
        sizes = torch.cat([residual, correlation], 1).clamp_min(1e-30).log()
        hidden, cell = self.cell(sizes, memory)
        return self.read(torch.cat([hidden, sizes], 1)).exp(), (hidden, cell)
