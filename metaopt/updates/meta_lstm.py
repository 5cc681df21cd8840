"""The meta-LSTM treats parameters as the cell of a long short-term memory whose gates are learned."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import nn

from ..arguments.contracts import Count, Positive, checked
from ..core import MetaoptError, tree
from ..networks.coordinatewise import logarithms, refill, rows_of, zero_rows
from ..networks.recurrent import LstmCell
from ..records import recorded
from .update import check_real


class MetaLstmMemory(NamedTuple):
    """MetaLstmMemory holds, for every coordinate, the LSTM's output and cell and the two gates of the previous step."""

    hidden: Any
    cell: Any
    input_gate: Any
    forget_gate: Any


@recorded
@checked
class MetaLstm(nn.Module):
    """Let learned gates decide how much of each coordinate is kept and how far it follows its gradient.

    ``change = (f - 1) x - i * gradient`` with the input gate ``i = sigmoid(W_i (h, x, i'))`` and the forget gate ``f =
    sigmoid(W_f (h, x, f'))``. i' and f' are the gates of the previous step, and h is the output of an LSTM that reads
    the gradients as :func:`~metaopt.networks.log_and_sign` represents them. Before training i is about ``step_size``
    and f about 1 - 1e-4. x is real, a tensor or a tree of tensors. Unlike the paper's, the LSTM does not see the loss.

    Args:
        hidden: The width of the LSTM.
        step_size: The input gate before training, between 0 and 1.
        preprocessing: p of :func:`~metaopt.networks.log_and_sign`.

    Raises:
        MetaoptError: ``step_size`` is not between 0 and 1, or x is complex.

    Source:
        Ravi and Larochelle, Optimization as a model for few-shot learning, ICLR 2017.
    """

    reach, period = 0, 1  # every coordinate by itself

    def __init__(self, hidden: Count = 8, step_size: float = 0.1, preprocessing: Positive = 10.0):
        super().__init__()
        if not 0 < step_size < 1:
            raise MetaoptError(f"The input gate is a step size between 0 and 1, but got {step_size}.")
        self.hidden, self.preprocessing = hidden, preprocessing
        self.below = LstmCell(2, hidden)
        self.input_gate, self.forget_gate = nn.Linear(hidden + 2, 1), nn.Linear(hidden + 2, 1)
        for gate, value in ((self.input_gate, step_size), (self.forget_gate, 1 - 1e-4)):
            nn.init.normal_(gate.weight, std=0.01)
            nn.init.constant_(gate.bias, math.log(value / (1 - value)))

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> MetaLstmMemory:
        check_real("MetaLstm", x, self.input_gate)
        gates = tree.map(torch.zeros_like, x), tree.map(torch.ones_like, x)
        return MetaLstmMemory(zero_rows(x, self.hidden), zero_rows(x, self.hidden), *gates)

    def forward(
        self, gradient: Any, x: Any, memory: MetaLstmMemory, k: int, context: tuple[Any, ...] = ()
    ) -> tuple[Any, MetaLstmMemory]:
        slope, here = rows_of(gradient), rows_of(x)
        state = rows_of(memory.hidden, self.hidden), rows_of(memory.cell, self.hidden)
        hidden, cell = self.below(logarithms(slope[:, 0], self.preprocessing), state)
        seen = torch.cat([hidden, here], dim=1)
        i = self.input_gate(torch.cat([seen, rows_of(memory.input_gate)], dim=1)).sigmoid()
        f = self.forget_gate(torch.cat([seen, rows_of(memory.forget_gate)], dim=1)).sigmoid()
        kept = MetaLstmMemory(*(refill(*pair) for pair in zip((hidden, cell, i, f), memory, strict=True)))
        return refill((f - 1) * here - i * slope, x), kept
