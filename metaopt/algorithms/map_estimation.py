"""The usual approach to an inverse problem: ascend the posterior of a known model and a separate prior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from ..core import Algorithm, slot
from ..operators.reach import PerAxis, period_of, reach_of
from ..priors.prior import prior_slot
from ..problems import protocol


class MapEstimationState(NamedTuple):
    """``x``: the estimate."""

    x: Tensor


class MapEstimation(Algorithm[Any, MapEstimationState, Tensor]):
    """x <- x + step_size (grad log p(y | x) + grad log p(x)), towards the maximum a posteriori.

    The model of the measurement is the problem (``gradient`` = -grad log p(y | x)) and what is known of x beforehand is
    the prior (``gradient`` = -grad log p(x)): neither knows of the other, so one learned prior serves every operator
    and noise level. :class:`~metaopt.algorithms.Descent` with ``Sgd`` takes the same step along the problem's gradient
    alone; there whatever is learned of x is in the update, which is how the Recurrent Inference Machine does it.

    The step size must stay below 2/L, L the Lipschitz constant of both gradients together. Where the prior has a prox,
    :class:`~metaopt.algorithms.Fista` finds the same estimate without smoothing and in far fewer steps.

    Args:
        prior: what has the gradient.
        step_size: a number, a tensor or an opening of a slot.
        unit: (problem, x) -> what the step is multiplied by, a positive tensor that broadcasts to x. With
            :func:`~metaopt.problems.noise_variance` one step size fits every noise level. ``None``: 1.

    Slots: ``prior``, those of the prior such as ``prior.weight``, and ``step_size``.
    """

    def __init__(self, prior: nn.Module, step_size: Any, unit: Callable[[Any, Tensor], Tensor] | None = None):
        super().__init__()
        self.unit = unit
        self.prior, self.step_size = prior_slot(prior, "gradient", "MapEstimation"), slot(step_size)

    @property
    def reach(self) -> PerAxis | None:
        return reach_of(self.prior)

    @property
    def period(self) -> PerAxis:
        return period_of(self.prior)

    def init(self, problem: Any) -> MapEstimationState:
        return MapEstimationState(problem.start())

    def step(self, problem: Any, state: MapEstimationState, k: int) -> MapEstimationState:
        downhill = -protocol.at(problem, k).gradient(state.x) - self.prior(k).gradient(state.x, k)
        if self.unit is not None:
            downhill = self.unit(problem, state.x) * downhill
        return MapEstimationState(state.x + self.step_size(k) * downhill)

    def readout(self, problem: Any, state: MapEstimationState, k: int) -> Tensor:
        return state.x
