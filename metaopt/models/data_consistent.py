"""Hold the estimates of a network to the measurement after each of its steps."""

from __future__ import annotations

from typing import Any

from ..algorithms import DataConsistency
from ..arguments.contracts import Count, Positive, checked
from ..core import Unrolled, shared, unroll
from ..records import recorded


@recorded
@checked
def data_consistent(
    net: Unrolled[Any, Any, Any], trust: Positive = 0.05, iterations: Count = 1
) -> Unrolled[Any, Any, Any]:
    """Return the network with a step towards the measurement, weighted by the noise, after each of its own.

    See :class:`~metaopt.algorithms.DataConsistency`. The step has a single number to be learned, so that the network
    can still be run for more steps than it was trained for.

    Args:
        net: An unrolled network for inverse problems, whose weights the new one shares.
        trust: The standard deviation of the network's error before training, in the units of x.
        iterations: Number of conjugate gradient iterations after every step: 1 is enough for a single coil.

    Returns:
        The network.
    """
    algorithm = DataConsistency(net.algorithm, shared(trust, positive=True), iterations)
    return unroll(algorithm, net.steps, net.gradient, net.keep)
