"""Estimate the maximum a posteriori with a known measurement model and a separate prior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from ..arguments.contracts import ModuleSlot, ValueSlot, checked, within
from ..core import Algorithm, slot
from ..operators.reach import PerAxis, period_of, reach_of
from ..priors.prior import prior_slot
from ..problems import protocol


class MapEstimationState(NamedTuple):
    """Hold the estimate ``x``."""

    x: Tensor


@checked
class MapEstimation(Algorithm[Any, MapEstimationState, Tensor]):
    """Ascend the log posterior by gradient steps, ``x <- x + step_size (grad log p(y | x) + grad log p(x))``.

    The measurement model is the problem (``gradient`` = -grad log p(y | x)), and what is known of x beforehand is the
    prior (``gradient`` = -grad log p(x)). Neither depends on the other, so one learned prior serves every operator and
    noise level. In contrast, :class:`~metaopt.algorithms.Descent` steps along the problem's gradient alone, and
    whatever is learned about x is in its update, as in the Recurrent Inference Machine.

    The step size must stay below 2/L, where L is the Lipschitz constant of the sum of both gradients. Where the prior
    has a prox, :class:`~metaopt.algorithms.Fista` finds the same estimate without smoothing and in far fewer steps.

    Args:
        prior: The prior, with a method ``gradient``.
        step_size: A number, a tensor, or an opening of a slot.
        unit: A function of (problem, x) that gives a positive tensor, broadcastable to x, by which the step is
            multiplied. With :func:`~metaopt.problems.noise_variance` one step size fits every noise level. None: 1.

    Slots:
        prior: The prior, and its own slots, such as ``prior.weight``.
        step_size: The step size, at least 0.
    """

    def __init__(self, prior: ModuleSlot, step_size: ValueSlot, unit: Callable[[Any, Tensor], Tensor] | None = None):
        super().__init__()
        self.unit = unit
        self.prior = prior_slot(prior, "gradient", "MapEstimation")
        self.step_size = slot(step_size, within("step_size", 0))

    @property
    def reach(self) -> PerAxis | None:
        return reach_of(self.prior)

    @property
    def period(self) -> PerAxis:
        return period_of(self.prior)

    def init(self, problem: Any) -> MapEstimationState:
        x = protocol.begin(problem, "MapEstimation")
        protocol.check_steps_fit("MapEstimation", self.step_size(0), x)
        return MapEstimationState(x)

    def step(self, problem: Any, state: MapEstimationState, k: int) -> MapEstimationState:
        downhill = -protocol.at(problem, k).gradient(state.x) - self.prior(k).gradient(state.x, k)
        if self.unit is not None:
            downhill = self.unit(problem, state.x) * downhill
        return MapEstimationState(state.x + self.step_size(k) * downhill)

    def readout(self, problem: Any, state: MapEstimationState, k: int) -> Tensor:
        return state.x
