"""Noise levels: one number, one per sample, or one for every part of a measurement."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..arguments.checks import as_numbers
from ..core import MetaoptError, autodiff
from ..operators import Operator
from . import protocol


def from_grey_levels(sigma: float) -> float:
    """Convert a noise level from grey levels (of 255) to the units of pictures in [0, 1].

    No other code converts between the two.

    Raises:
        MetaoptError: The level is not positive and finite.
    """
    if not (math.isfinite(sigma) and sigma > 0):
        raise MetaoptError(f"sigma must be a positive number of grey levels (of 255), but got {sigma}.")
    return sigma / 255


def per_sample(values: Tensor, x: Tensor) -> Tensor:
    """Reshape (B,) or (1,) to (B, 1, ...), to multiply x of shape (B, ...); a number or a map stays as it is."""
    return values.reshape(len(values), *[1] * (x.ndim - 1)) if values.ndim == 1 else values


def variance(log_noise: Tensor, x: Tensor) -> Tensor:
    """Return noise^2 of log levels, as a problem's context gives them, in a shape that multiplies x."""
    return torch.exp(2 * per_sample(log_noise, x))


def noise_variance(problem: Any, x: Tensor) -> Tensor:
    """Return noise^2 of a problem, in a shape that multiplies x: the unit in which one step size fits every level.

    It is ``problem.variance()`` where the problem has that method, and else that of the log level in its context.

    Returns:
        A tensor that broadcasts to x without enlarging it.

    Raises:
        MetaoptError: The problem does not know its noise.
    """
    if not isinstance(x, Tensor):
        raise MetaoptError(f"A step is in units of the noise at a tensor x, not {type(x).__name__}.")
    if (own := protocol.variance(problem)) is not None:
        return per_sample(own, x)
    if context := protocol.context(problem):
        return variance(context[0], x)
    raise MetaoptError("A step size relative to the noise needs a problem that knows its level; give it noise=...")


def check_noise(noise: Any, y: Tensor) -> Tensor:
    """Convert ``noise`` to a real tensor: without axes, (B,) or (1,) for samples, or with as many axes as y.

    Raises:
        MetaoptError: The noise is not positive and finite, or its shape does not fit y.
    """
    tensor = as_numbers("The noise level", noise, y.real.dtype if y.is_complex() else y.dtype, y.device)
    if tensor.ndim != 1 and tensor.ndim == y.ndim and tensor[:1].numel() == 1:
        tensor = tensor.reshape(-1)  # (B, 1, ...) is one level a sample, however it is written
    if tensor.ndim == 1:
        fits = len(tensor) in (1, len(y))
    else:
        fits = tensor.ndim in (0, y.ndim) and all(n in (1, m) for n, m in zip(tensor.shape, y.shape, strict=False))
    if not fits:
        raise MetaoptError(
            f"The noise level has shape {tuple(tensor.shape)}, which does not fit y of shape {tuple(y.shape)}; give "
            f"one number, ({len(y)},) for one a sample, or as many axes as y has, each of size 1 or y's."
        )
    if autodiff.values_known() and not (bool((tensor > 0).all()) and bool(torch.isfinite(tensor).all())):
        some = tensor.tolist() if tensor.ndim < 2 else f"values from {float(tensor.min())} to {float(tensor.max())}"
        raise MetaoptError(
            f"The noise level must be a positive standard deviation, but got {some}; for exact measurements give one "
            "far below y, such as a thousandth of its size, or None to algorithms that need no level."
        )
    return tensor


def effective_level(operator: Operator, noise: Tensor, x: Tensor) -> Tensor:
    """Return the one noise level that a network which sees x is told where the noise differs within a sample.

    ``level^-2 = sum_i |a_i|^2 noise_i^-2 / sum_i |a_i|^2``, where a_i is row i of A and i runs over the measurements of
    a sample: the trace of ``A^H N^-2 A`` over that of ``A^H A``. Only with this level has level^2 times the gradient
    ``A^H N^-2 (A x - y)`` weights ``level^2 noise_i^-2`` of mean 1, and a noise part with the mean variance of ``A^H
    n`` for noise n of standard deviation ``level``. Entries that A does not measure do not count.

    The squared norms of the rows are estimated by ``|A v|^2`` for one fixed v of entries +1 and -1, which is exact for
    diagonal operators. For these, where y has the pixels of x, the sum runs over the channels (axis 1) only.

    Args:
        operator: A.
        noise: The standard deviations, with as many axes as y.
        x: An example input, (B, ...); only its shape, dtype and device are used.

    Returns:
        The level, (B,); a map (B, 1, ...) for diagonal operators and x (B, C, ...) with at least three axes.
    """
    row = operator(_signs(x[:1]).expand_as(x)).abs().square()
    precision = torch.ones_like(row) / noise.square()
    if operator.is_diagonal and x.ndim > 2:
        weights, values = row.sum(1, keepdim=True), (row * precision).sum(1, keepdim=True)
        plain = precision.mean(1, keepdim=True)
    else:
        weights, values, plain = (
            row.flatten(1).sum(1),
            (row * precision).flatten(1).sum(1),
            precision.flatten(1).mean(1),
        )
    nothing = weights == 0  # nothing is measured there: the gradient is zero, whatever the level
    return torch.where(nothing, plain, values / torch.where(nothing, 1, weights)).rsqrt()


def _signs(x: Tensor) -> Tensor:
    """Return +1 and -1 in the shape of x without a visible pattern.

    They are bits of a hash of the place, since vmap and export draw no random numbers.
    """
    bits = torch.arange(math.prod(x.shape), device=x.device)
    for _ in range(2):
        bits = ((bits ^ (bits >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return (1 - 2 * ((bits ^ (bits >> 16)) & 1)).to(x.dtype).reshape(x.shape)
