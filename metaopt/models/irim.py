"""Build the invertible Recurrent Inference Machine, whose training memory is independent of its depth."""

from __future__ import annotations

from typing import Any

from ..algorithms import CoupledDescent
from ..arguments.contracts import Count, Natural, checked
from ..core import Unrolled, unroll
from ..core.gradients import GradientStrategy, Reversible
from ..networks import Coupling, GradientReader, Writer
from ..records import recorded


@recorded
@checked
def irim(
    channels: Count = 1,
    hidden: Count = 64,
    layers: Count = 2,
    stride: Count = 1,
    steps: Natural = 10,
    is_complex: bool = False,
    dims: int = 2,
    gradient: GradientStrategy = Reversible(),  # noqa: B008
) -> Unrolled[Any, Any, Any]:
    """Build an invertible RIM with tied steps, for problems that know their noise level.

    Args:
        channels: Number of channels of x, counted in complex channels where ``is_complex``.
        hidden: Width of the memory.
        layers: Number of couplings that mix the memory in every step.
        stride: The network works at 1 / ``stride`` of the resolution.
        steps: Number of steps.
        is_complex: Whether x is complex.
        dims: Number of spatial axes, 1 to 3.
        gradient: The gradient strategy; the default recomputes states from the last one.

    Returns:
        The network. It maps an :class:`~metaopt.InverseProblem` to estimates (B, channels, ...).
    """
    width = 2 * channels if is_complex else channels
    algorithm = CoupledDescent(
        read=GradientReader(width, hidden, stride, dims),
        mix=Coupling(hidden, layers, dims),
        write=Writer(width, hidden, stride, dims, is_complex),
    )
    return unroll(algorithm, steps, gradient)
