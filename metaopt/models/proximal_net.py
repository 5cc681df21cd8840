"""Proximal gradient descent with a network of its own for every step in the place of the prox."""

from __future__ import annotations

from typing import Any

from ..algorithms import ProximalGradient
from ..core import Unrolled, parameterize, per_step, unroll
from ..core.gradients import Backprop, GradientStrategy
from ..networks import ResidualProx
from ..problems import noise_variance
from ..records import recorded


@recorded
def proximal_net(
    channels: int = 1,
    hidden: int = 64,
    layers: int = 7,
    steps: int = 4,
    gradient: GradientStrategy = Backprop(),  # noqa: B008
) -> Unrolled[Any, Any, Any]:
    """Unrolled proximal gradient descent: known model of the measurement, learned prox, both apart.

    The networks and step sizes are untied; the latter are in units of noise^2. x <- prox_k(x - step_k gradient(x)).
    Meinhardt et al., arXiv:1704.03488.
    """
    descent = ProximalGradient(ResidualProx(channels, hidden, layers), step_size=0.5, unit=noise_variance)
    return unroll(
        parameterize(descent, {"prior": per_step(steps), "step_size": per_step(steps, positive=True)}), steps, gradient
    )
