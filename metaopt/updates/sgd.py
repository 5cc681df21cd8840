"""Stochastic gradient descent follows the negative gradient."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..arguments.contracts import within
from ..core import slot, tree
from ..records import recorded
from .update import check_x
from .weight_decay import add_weight_decay


@recorded
class Sgd(nn.Module):
    """Descend along the gradient: ``change = -step_size * (gradient + weight_decay * x)``.

    It remembers nothing and computes what ``torch.optim.SGD`` does. With ``per_step`` on ``step_size`` the step sizes
    of an unrolled run are learned one by one; a tensor of x's shape gives every coordinate its own (Meta-SGD,
    arXiv:1707.09835).

    Slots:
        step_size: The step size, at least 0, in units of x per unit of the gradient.
        weight_decay: The weight of an L2 penalty; no slot where it is ``None``, the default.
    """

    reach, period = 0, 1  # every coordinate by itself

    def __init__(self, step_size: Any, weight_decay: Any = None):
        super().__init__()
        self.step_size = slot(step_size, within("step_size", 0))
        self.weight_decay = None if weight_decay is None else slot(weight_decay, within("weight_decay", 0))

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> tuple[()]:
        check_x("Sgd", x)
        return ()

    def forward(
        self, gradient: Any, x: Any, memory: tuple[()], k: int, context: tuple[Any, ...] = ()
    ) -> tuple[Any, tuple[()]]:
        gradient = add_weight_decay(gradient, x, self.weight_decay, k)
        size = -self.step_size(k)
        return tree.map(lambda g: (size * g).to(g.dtype), gradient), ()
