"""The Recurrent Inference Machine: descent whose update is a recurrent network (arXiv:1706.04008)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from ..algorithms import Descent
from ..core import MetaoptError, Unrolled, parameterize, per_step, slots, unroll
from ..core.gradients import Backprop, GradientStrategy
from ..records import recorded
from ..updates import ComplexAsBatch, ComplexAsChannels, ConvGru


@recorded
def rim(
    channels: int = 1,
    hidden: int = 64,
    kernels: Sequence[int] = (3,),
    stride: int = 1,
    steps: int = 10,
    is_complex: bool = False,
    each_part: bool = False,
    dims: int = 2,
    scales: Sequence[int] = (),
    gradient: GradientStrategy = Backprop(),  # noqa: B008
) -> Unrolled[Any, Any, Any]:
    """A Recurrent Inference Machine with tied steps, for problems that know their noise level.

    ``channels`` counts complex channels where ``is_complex``; with ``each_part`` their real and imaginary parts are
    read alike, as two real pictures (:class:`ComplexAsBatch`), so that a network for real ones can be trained on.
    ``kernels=(3,)`` is the slides' cell, ``(1, 1)`` the form with two GRUs; ``stride=2`` works at half resolution;
    ``scales`` adds GRUs at lower ones (:class:`ConvGru` has the details). For other cells build the pieces:
    ``unroll(Descent(update), steps)``; for untied steps see :func:`untie`.
    """
    if each_part and not is_complex:
        raise MetaoptError("each_part says how a complex picture is read; give is_complex=True with it.")
    width = channels if each_part or not is_complex else 2 * channels
    cell: nn.Module = ConvGru(width, hidden, kernels, stride=stride, dims=dims, scales=scales)
    if is_complex:
        cell = ComplexAsBatch(cell) if each_part else ComplexAsChannels(cell)
    return unroll(Descent(cell), steps, gradient)


@recorded
def untie(net: Unrolled[Any, Any, Any]) -> Unrolled[Any, Any, Any]:
    """The same network with networks of its own for every step; before training it computes exactly the same."""
    networks = {name: per_step(net.steps) for name in slots(net.algorithm) if "." not in name}
    return unroll(parameterize(net.algorithm, networks), net.steps, net.gradient, net.keep)
