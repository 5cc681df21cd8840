"""The Recurrent Inference Machine: descent whose update is a recurrent network (arXiv:1706.04008)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..algorithms import Descent
from ..core import Unrolled, parameterize, per_step, slots, unroll
from ..core.gradients import Backprop, GradientStrategy
from ..updates import ConvGru, RealImaginary


def rim(
    channels: int = 1,
    hidden: int = 64,
    kernels: Sequence[int] = (3,),
    stride: int = 1,
    steps: int = 10,
    is_complex: bool = False,
    dims: int = 2,
    scales: Sequence[int] = (),
    gradient: GradientStrategy = Backprop(),  # noqa: B008
) -> Unrolled[Any, Any, Any]:
    """A Recurrent Inference Machine with tied steps, for problems that know their noise level.

    ``channels`` counts complex channels where ``is_complex``. ``kernels=(3,)`` is the slides' cell, ``(1, 1)`` the form
    with two GRUs; ``stride=2`` works at half resolution; ``scales`` adds GRUs at lower ones (:class:`ConvGru` has the
    details). For other cells build the pieces: ``unroll(Descent(update), steps)``; for untied steps see :func:`untie`.
    """
    width = 2 * channels if is_complex else channels
    cell = ConvGru(width, hidden, kernels, stride=stride, dims=dims, scales=scales)
    return unroll(Descent(RealImaginary(cell) if is_complex else cell), steps, gradient)


def untie(net: Unrolled[Any, Any, Any]) -> Unrolled[Any, Any, Any]:
    """The same machine with networks of its own for every step; before training it computes exactly the same."""
    networks = {name: per_step(net.steps) for name in slots(net.algorithm) if "." not in name}
    return unroll(parameterize(net.algorithm, networks), net.steps, net.gradient, net.keep)
