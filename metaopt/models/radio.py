"""Build the network that makes pictures of the sky from visibilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from ..algorithms.deconvolution import Deconvolution
from ..arguments.contracts import Count, Natural, Positive, checked
from ..core import Unrolled, shared, unroll
from ..core.gradients import Backprop, GradientStrategy
from ..records import recorded
from ..updates import ConvGru


@recorded
@checked
def radio_rim(
    hidden: Count = 32,
    kernels: Sequence[int] = (3, 1),
    stride: Count = 2,
    scales: Sequence[int] = (2, 4),
    steps: Natural = 5,
    trust: Positive = 0.5,
    iterations: Count = 20,
    gradient: GradientStrategy = Backprop(),  # noqa: B008
) -> Unrolled[Any, Any, Any]:
    """Build a Recurrent Inference Machine for visibilities: positive pictures of any flux and a wide dynamic range.

    It unrolls :class:`~metaopt.algorithms.Deconvolution` with a :class:`~metaopt.updates.ConvGru`, whose output is 0
    before training.

    Args:
        hidden: Width of the recurrent layers.
        kernels: One kernel size for each GRU.
        stride: The network works at 1 / ``stride`` of the resolution.
        scales: Factors of lower resolutions at which further GRUs work.
        steps: Number of steps.
        trust: The relative error that an estimate is believed to have, before training.
        iterations: The number of conjugate gradients of a step.
        gradient: The gradient strategy.

    Returns:
        The network. It maps an :class:`~metaopt.InverseProblem`, best :meth:`~metaopt.InverseProblem.by_normal`, whose
        operator is :class:`~metaopt.operators.Visibilities` of one plane, to pictures (B, 1, H, W) in Jy/pixel.
    """
    update = ConvGru(2, hidden, kernels, stride=stride, context=0, scales=scales)
    for parameter in update.head.parameters():
        nn.init.zeros_(parameter)
    return unroll(Deconvolution(update, shared(trust, positive=True), iterations), steps, gradient)
