"""Optimizers that were learned by solving many problems."""

from __future__ import annotations

from torch import nn

from ..algorithms import Descent
from ..core import Unrolled, unroll
from ..core.gradients import Backprop, GradientStrategy
from ..records import recorded

BACKPROP = Backprop()


@recorded
def learned_optimizer(update: nn.Module, steps: int = 100, gradient: GradientStrategy = BACKPROP) -> Unrolled:
    """``steps`` steps of descent by a learned ``update`` (Andrychowicz et al., arXiv:1606.04474).

    Trained with ``Truncated(last=n)`` and steps drawn from (n, steps), every piece of a run is differentiated, at
    starts that are spread over it: staggered truncation (Vicol, Metz and Sohl-Dickstein, arXiv:2112.13835).
    """
    return unroll(Descent(update), steps, gradient)
