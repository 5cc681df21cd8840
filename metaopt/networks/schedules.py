"""Networks that compute the numbers of a step from what the steps before it reached."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..arguments.contracts import Count, checked
from ..records import recorded


@recorded
@checked
class LstmSchedule(nn.Module):
    """Compute the factors of step size and threshold by an LSTM that sees how large the residual still is.

    It reads the logarithms of the mean ``|A z - y|`` and of the mean ``|W^T (A z - y)|``, both in the units of y. They
    reach the readout beside the LSTM's state too, so that a threshold can be proportional to a power of the residual.
    Before training both factors are 1.

    Args:
        hidden: The width of the LSTM.
    """

    def __init__(self, hidden: Count = 128):
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
