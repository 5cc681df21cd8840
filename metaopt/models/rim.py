"""Build the Recurrent Inference Machine: descent whose update is a recurrent network (arXiv:1706.04008)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from ..algorithms import Descent
from ..arguments.contracts import Count, Natural, checked
from ..core import MetaoptError, Unrolled, parameterize, per_step, slots, unroll
from ..core.gradients import Backprop, GradientStrategy
from ..records import recorded
from ..updates import ComplexAsBatch, ComplexAsChannels, ConvGru


@recorded
@checked
def rim(
    channels: Count = 1,
    hidden: Count = 64,
    kernels: Sequence[int] = (3,),
    stride: Count = 1,
    steps: Natural = 10,
    is_complex: bool = False,
    each_part: bool = False,
    dims: int = 2,
    scales: Sequence[int] = (),
    gradient: GradientStrategy = Backprop(),  # noqa: B008
) -> Unrolled[Any, Any, Any]:
    """Build a Recurrent Inference Machine with tied steps, for problems that know their noise level.

    For other cells build the parts, ``unroll(Descent(update), steps)``; for untied steps see :func:`untie`.

    Args:
        channels: Number of channels of x, counted in complex channels where ``is_complex``.
        hidden: Width of the recurrent layers.
        kernels: One kernel size for each GRU; ``(3,)`` is one GRU, ``(1, 1)`` two GRUs of pointwise kernels.
        stride: The network works at 1 / ``stride`` of the resolution.
        steps: Number of steps.
        is_complex: Whether x is complex.
        each_part: Read the real and the imaginary part as two real pictures (:class:`~metaopt.updates.ComplexAsBatch`),
            so that a network for real pictures can be trained further on complex ones.
        dims: Number of spatial axes, 1 to 3.
        scales: Factors of lower resolutions at which further GRUs work; see :class:`~metaopt.updates.ConvGru`.
        gradient: The gradient strategy.

    Returns:
        The network. It maps an :class:`~metaopt.InverseProblem` to estimates (B, channels, ...).

    Raises:
        MetaoptError: ``each_part`` without ``is_complex``.
    """
    if each_part and not is_complex:
        raise MetaoptError("each_part says how a complex picture is read; give is_complex=True with it.")
    width = channels if each_part or not is_complex else 2 * channels
    cell: nn.Module = ConvGru(width, hidden, kernels, stride=stride, dims=dims, scales=scales)
    if is_complex:
        cell = ComplexAsBatch(cell) if each_part else ComplexAsChannels(cell)
    return unroll(Descent(cell), steps, gradient)


@recorded
@checked
def untie(net: Unrolled[Any, Any, Any]) -> Unrolled[Any, Any, Any]:
    """Return a copy of the network with separate modules for every step, initially equal.

    Before training it computes exactly what ``net`` computes.

    Args:
        net: An unrolled network whose slots are shared by all steps.

    Returns:
        The network with ``net.steps`` copies of the content of every slot.
    """
    networks = {name: per_step(net.steps) for name in slots(net.algorithm) if "." not in name}
    return unroll(parameterize(net.algorithm, networks), net.steps, net.gradient, net.keep)
