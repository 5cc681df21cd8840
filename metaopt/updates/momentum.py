"""Momentum accumulates gradients into a velocity that x follows."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..arguments.contracts import within
from ..core import slot, tree
from ..records import recorded
from .update import check_x
from .weight_decay import add_weight_decay


@recorded
class Momentum(nn.Module):
    """Follow a velocity that accumulates gradients: ``change = -step_size * v``.

    ``v <- momentum * v + g`` with ``g = gradient + weight_decay * x``. The memory is v, which starts at zero. It
    computes what ``torch.optim.SGD(momentum=...)`` does.

    Slots:
        step_size: The step size, at least 0, in units of x per unit of the gradient.
        momentum: The share of the velocity that is kept, in [0, 1].
        weight_decay: The weight of an L2 penalty; no slot where it is ``None``, the default.

    Source:
        Polyak, 1964, doi:10.1016/0041-5553(64)90137-5.
    """

    reach, period = 0, 1  # every coordinate by itself

    def __init__(self, step_size: Any, momentum: Any = 0.9, weight_decay: Any = None):
        super().__init__()
        self.step_size = slot(step_size, within("step_size", 0))
        self.momentum = slot(momentum, within("momentum", 0, 1))
        self.weight_decay = None if weight_decay is None else slot(weight_decay, within("weight_decay", 0))

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> Any:
        check_x("Momentum", x)
        return tree.map(torch.zeros_like, x)

    def forward(self, gradient: Any, x: Any, memory: Any, k: int, context: tuple[Any, ...] = ()) -> tuple[Any, Any]:
        gradient = add_weight_decay(gradient, x, self.weight_decay, k)
        size, velocity = -self.step_size(k), _accelerate(memory, gradient, self.momentum(k))
        return tree.map(lambda v: (size * v).to(v.dtype), velocity), velocity


@recorded
class Nesterov(nn.Module):
    """Follow a velocity that accumulates gradients, looking ahead: ``change = -step_size * (g + momentum * v)``.

    ``v <- momentum * v + g`` with ``g = gradient + weight_decay * x``. The memory is v, which starts at zero. It
    computes what ``torch.optim.SGD(momentum=..., nesterov=True)`` does.

    Slots:
        step_size: The step size, at least 0, in units of x per unit of the gradient.
        momentum: The share of the velocity that is kept, in [0, 1].
        weight_decay: The weight of an L2 penalty; no slot where it is ``None``, the default.

    Source:
        Sutskever et al., 2013, proceedings.mlr.press/v28/sutskever13.
    """

    reach, period = 0, 1  # every coordinate by itself

    def __init__(self, step_size: Any, momentum: Any = 0.9, weight_decay: Any = None):
        super().__init__()
        self.step_size = slot(step_size, within("step_size", 0))
        self.momentum = slot(momentum, within("momentum", 0, 1))
        self.weight_decay = None if weight_decay is None else slot(weight_decay, within("weight_decay", 0))

    def init(self, x: Any, context: tuple[Any, ...] = ()) -> Any:
        check_x("Nesterov", x)
        return tree.map(torch.zeros_like, x)

    def forward(self, gradient: Any, x: Any, memory: Any, k: int, context: tuple[Any, ...] = ()) -> tuple[Any, Any]:
        gradient = add_weight_decay(gradient, x, self.weight_decay, k)
        size, momentum = -self.step_size(k), self.momentum(k)
        velocity = _accelerate(memory, gradient, momentum)
        return tree.map(lambda g, v: (size * (g + momentum * v)).to(g.dtype), gradient, velocity), velocity


def _accelerate(velocity: Any, gradient: Any, momentum: torch.Tensor) -> Any:
    return tree.map(lambda v, g: (momentum * v + g).to(g.dtype), velocity, gradient)
