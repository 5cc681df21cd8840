"""Build learned optimizers, which are trained by solving many problems."""

from __future__ import annotations

from torch import nn

from ..algorithms import Descent
from ..arguments.contracts import Natural, checked
from ..core import Unrolled, unroll
from ..core.gradients import Backprop, GradientStrategy
from ..records import recorded

BACKPROP = Backprop()


@recorded
@checked
def learned_optimizer(update: nn.Module, steps: Natural = 100, gradient: GradientStrategy = BACKPROP) -> Unrolled:
    """Build a learned optimizer, which is descent by a learned update (Andrychowicz et al., arXiv:1606.04474).

    With the strategy ``Truncated(last=n)`` and a number of steps drawn from (n, steps), every part of a run is
    differentiated in some training step. This is staggered truncation (Vicol, Metz and Sohl-Dickstein,
    arXiv:2112.13835).

    Args:
        update: The learned update, such as :class:`~metaopt.updates.CoordinatewiseLstm`.
        steps: Number of steps.
        gradient: The gradient strategy.

    Returns:
        The network. It maps a problem with a gradient, such as :class:`~metaopt.FunctionObjective`, to its estimates of
        the minimiser.
    """
    return unroll(Descent(update), steps, gradient)
