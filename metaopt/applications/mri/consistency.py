"""Say how well a picture explains what was measured, in k-space and in the picture."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...arguments.checks import said
from ...arguments.contracts import checked
from ...core import MetaoptError
from ...problems import InverseProblem
from ...problems.noise import per_sample


class ResidualMaps(NamedTuple):
    """Hold what a picture leaves of the measurement, in units of the noise.

    ``kspace`` is ``(y - A x) / noise``, (B, C, ...), 0 where nothing was sampled. ``picture`` is the same as a
    picture, ``A^H (y - A x) / noise``, (B, S, ...): where it has structure, x contradicts what was measured there.
    ``level`` is the root mean square of a real component of ``kspace`` over the sampled points, (B,). It is near 1 for
    the true picture; a larger one means that x contradicts the data, and a much smaller one that x follows the noise.
    """

    kspace: Tensor
    picture: Tensor
    level: Tensor


@checked
@torch.no_grad()
def residual_maps(problem: InverseProblem, x: Tensor) -> ResidualMaps:
    """Return what a picture leaves of the measurement.

    Args:
        problem: The problem; what is 0 in every coil of its y was not sampled.
        x: The picture, (B, S, ...).

    Raises:
        MetaoptError: The noise of the problem is not known, or the picture has another shape.
    """
    if problem.noise is None:
        raise MetaoptError("A residual is in units of the noise, which this problem does not know; give it noise=...")
    start = problem.start()
    if x.shape != start.shape or not x.is_complex():
        raise MetaoptError(f"The picture of this problem is complex, {tuple(start.shape)}, but this is {said(x)}.")
    residual = (problem.y - problem.operator(x)) / per_sample(problem.noise, problem.y)
    sampled = (problem.y != 0).any(1, keepdim=True)
    residual = residual * sampled
    count = 2 * sampled.flatten(1).sum(1) * problem.y.shape[1]
    power = residual.abs().double().square().flatten(1).sum(1) / count.clamp_min(1)
    return ResidualMaps(residual, problem.operator.adjoint(residual), power.sqrt())
