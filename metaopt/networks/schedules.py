"""Networks that give the numbers of a step from what the steps before it reached."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..records import recorded


@recorded
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
