"""Build unrolled proximal gradient descent, in which each step has a network in place of the prox."""

from __future__ import annotations

from typing import Any

from ..algorithms import ProximalGradient
from ..arguments.contracts import Count, Natural, checked
from ..core import Unrolled, parameterize, per_step, unroll
from ..core.gradients import Backprop, GradientStrategy
from ..networks import ResidualProx
from ..problems import noise_variance
from ..records import recorded


@recorded
@checked
def proximal_net(
    channels: Count = 1,
    hidden: Count = 64,
    layers: Count = 7,
    steps: Natural = 4,
    is_complex: bool = False,
    gradient: GradientStrategy = Backprop(),  # noqa: B008
) -> Unrolled[Any, Any, Any]:
    """Build unrolled proximal gradient descent with a learned prox, ``x <- prox_k(x - step_k gradient(x))``.

    The measurement model stays known and separate from the learned part. Each step has its own network and its own step
    size, which is in units of noise^2.

    Args:
        channels: Number of channels of x.
        hidden: Width of the networks.
        layers: Number of convolutions of each network.
        steps: Number of steps.
        is_complex: Whether x is complex. For MRI this is a variational network whose regularizers are convolutional.
        gradient: The gradient strategy.

    Returns:
        The network. It maps an :class:`~metaopt.InverseProblem` to estimates (B, channels, H, W).

    Source:
        Meinhardt et al., 2017, arXiv:1704.03488; Hammernik et al., 2018, doi:10.1002/mrm.26977 (MRI).
    """
    descent = ProximalGradient(ResidualProx(channels, hidden, layers, is_complex), step_size=0.5, unit=noise_variance)
    return unroll(
        parameterize(descent, {"prior": per_step(steps), "step_size": per_step(steps, positive=True)}), steps, gradient
    )
