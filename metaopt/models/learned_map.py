"""The usual approach with a prior that is learned: model and prior known apart, only the prior trained."""

from __future__ import annotations

from typing import Any

from ..algorithms import MapEstimation
from ..core import Unrolled, parameterize, shared, unroll
from ..core.gradients import Backprop, GradientStrategy
from ..priors import FieldOfExperts, dct_filters
from ..problems import noise_variance
from ..records import recorded


@recorded
def learned_map(
    size: int = 7,
    steps: int = 20,
    gradient: GradientStrategy = Backprop(),  # noqa: B008
) -> Unrolled[Any, Any, Any]:
    """Maximum a posteriori estimation of grey pictures in [0, 1], with experts of ``size`` x ``size`` filters.

    Filters (the DCT's at first), their weights, the experts' scale and the step size are learned through the unrolled
    ascent, one for all steps. The step size is in units of noise^2, so one prior serves every operator and noise level.
    """
    prior = FieldOfExperts(dct_filters(size), weight=0.02, scale=0.03)
    ascent = MapEstimation(prior, step_size=0.2, unit=noise_variance)
    learned = {"prior.scale": shared(positive=True), "step_size": shared(positive=True)}
    return unroll(parameterize(ascent, learned), steps, gradient)
