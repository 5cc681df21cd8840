"""Torch's recurrent cells in elementary operations, since vmap cannot map torch's own over tasks."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..arguments.contracts import Count, checked


@checked
class LstmCell(nn.RNNCellBase):
    """Compute what ``nn.LSTMCell`` does for rows (n, inputs) and a pair (output, cell), each (n, features)."""

    def __init__(self, inputs: Count, features: Count):
        super().__init__(inputs, features, bias=True, num_chunks=4)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        output, cell = hx
        gates = F.linear(input, self.weight_ih, self.bias_ih) + F.linear(output, self.weight_hh, self.bias_hh)
        take, forget, new, give = gates.chunk(4, dim=-1)
        cell = forget.sigmoid() * cell + take.sigmoid() * new.tanh()
        return give.sigmoid() * cell.tanh(), cell


@checked
class GruCell(nn.RNNCellBase):
    """Compute what ``nn.GRUCell`` does for rows (n, inputs) and a state (n, features)."""

    def __init__(self, inputs: Count, features: Count):
        super().__init__(inputs, features, bias=True, num_chunks=3)

    def forward(self, input: Tensor, hx: Tensor) -> Tensor:
        reset, update, new = F.linear(input, self.weight_ih, self.bias_ih).chunk(3, dim=-1)
        reset_h, update_h, new_h = F.linear(hx, self.weight_hh, self.bias_hh).chunk(3, dim=-1)
        update = (update + update_h).sigmoid()
        candidate = (new + (reset + reset_h).sigmoid() * new_h).tanh()
        return candidate + update * (hx - candidate)
