"""The invertible Recurrent Inference Machine, which trains in memory independent of its depth. arXiv:1911.10914."""

from __future__ import annotations

from typing import Any

from ..algorithms import CoupledDescent
from ..core import Unrolled, unroll
from ..core.gradients import GradientStrategy, Reversible
from ..networks import Coupling, GradientReader, Writer
from ..records import recorded


@recorded
def irim(
    channels: int = 1,
    hidden: int = 64,
    layers: int = 2,
    stride: int = 1,
    steps: int = 10,
    is_complex: bool = False,
    dims: int = 2,
    gradient: GradientStrategy = Reversible(),  # noqa: B008
) -> Unrolled[Any, Any, Any]:
    """An invertible RIM with tied steps; ``layers`` couplings mix its memory in every step. See :func:`~.rim.rim`."""
    width = 2 * channels if is_complex else channels
    algorithm = CoupledDescent(
        read=GradientReader(width, hidden, stride, dims),
        mix=Coupling(hidden, layers, dims),
        write=Writer(width, hidden, stride, dims, is_complex),
    )
    return unroll(algorithm, steps, gradient)
