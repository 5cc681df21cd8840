"""Build what learns to make pictures of the sky from visibilities: a network, and CLEAN with learned settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..algorithms.clean import Clean
from ..algorithms.deconvolution import Deconvolution
from ..arguments.contracts import Count, Natural, Positive, Share, checked
from ..core import MetaoptError, Unrolled, parameterize, per_step, shared, unroll
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


@recorded
@checked
def learned_clean(
    scales: Sequence[float] = (0.0, 3.0, 8.0, 20.0),
    bias: Sequence[float] = (1.0, 0.8, 0.64, 0.5),
    gain: Positive = 1.0,
    share: Share = 0.6,
    threshold: Positive = 1.0,
    softness: Positive = 0.05,
    steps: Count = 30,
    gradient: GradientStrategy = Backprop(),  # noqa: B008
) -> Unrolled[Any, Any, Any]:
    """Unroll multi-scale CLEAN with a learned gain and share of each step, threshold, and bias of each scale.

    Before training it is :class:`~metaopt.algorithms.Clean` with these settings.

    Args:
        scales: The scales of components in pixels.
        bias: The factor for the strength at each scale.
        gain: The share of a component that a step takes, at most 2.
        share: The least strength that is taken, over the largest.
        threshold: The least strength that is taken, in standard deviations of the noise.
        softness: The width of the choice of components, over the largest strength.
        steps: Number of steps.
        gradient: The gradient strategy.

    Returns:
        The algorithm with its slots. It maps an :class:`~metaopt.InverseProblem` to pictures (B, 1, H, W) in Jy/pixel.

    Raises:
        MetaoptError: There is not one bias for each scale.
    """
    if len(bias) != len(scales):
        raise MetaoptError(f"CLEAN has a bias for each of its {len(scales)} scales, but got {len(bias)}.")
    classical = Clean(gain, share, threshold, tuple(scales), torch.tensor(bias), softness)
    openings = {
        "gain": per_step(steps, interval=(0, 2)),
        "share": per_step(steps, interval=(0, 1)),
        "threshold": shared(positive=True),
        "bias": shared(positive=True),
    }
    return unroll(parameterize(classical, openings), steps, gradient)
