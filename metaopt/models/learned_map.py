"""Build maximum a posteriori estimation with a known measurement model and a learned prior."""

from __future__ import annotations

from typing import Any

from ..algorithms import MapEstimation
from ..arguments.contracts import Count, Natural, checked
from ..core import Unrolled, parameterize, shared, unroll
from ..core.gradients import Backprop, GradientStrategy
from ..priors import FieldOfExperts, dct_filters
from ..problems import noise_variance
from ..records import recorded


@recorded
@checked
def learned_map(
    size: Count = 7,
    steps: Natural = 20,
    gradient: GradientStrategy = Backprop(),  # noqa: B008
) -> Unrolled[Any, Any, Any]:
    """Build MAP estimation of grey pictures in [0, 1] with a field-of-experts prior that is learned by unrolling.

    The filters (at first those of the DCT), their weights, the scale of the experts and the step size are learned, one
    for all steps. The step size is in units of noise^2, so that one prior serves every operator and noise level.

    Args:
        size: Side of the filters in pixels.
        steps: Number of steps of gradient descent on the negative log posterior.
        gradient: The gradient strategy.

    Returns:
        The network. It maps an :class:`~metaopt.InverseProblem` to estimates (B, 1, H, W).
    """
    prior = FieldOfExperts(dct_filters(size), weight=0.02, scale=0.03)
    ascent = MapEstimation(prior, step_size=0.2, unit=noise_variance)
    learned = {"prior.scale": shared(positive=True), "step_size": shared(positive=True)}
    return unroll(parameterize(ascent, learned), steps, gradient)
