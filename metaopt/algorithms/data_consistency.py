"""Follow each step of an algorithm by a step towards the measurement."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor

from ..arguments.contracts import Holds, ValueSlot, checked, within
from ..core import Algorithm, MetaoptError, slot
from ..problems import noise_variance, protocol
from ..problems.noise import per_sample

Inner = Annotated[Any, Holds(("init", "step", "readout"))]


@checked
class DataConsistency(Algorithm[Any, Any, Tensor]):
    """Weigh the estimate of each step against the measurement, each by what is known of its error.

    After a step of the algorithm, with estimate x', it goes down the gradient of ``energy(x) + |x - x'|^2 / (2
    trust^2)`` from x' to the lowest point. If the error of x' is white with standard deviation ``trust``, and ``A A^H``
    is a multiple of a projection (a masked unitary transform, for example) with the same noise everywhere in a sample,
    this is the posterior mean of x: ``x' - s A^H (A x' - y)`` with ``s = trust^2 / (trust^2 + noise^2)`` if the norm of
    A is 1. For other operators and uneven noise it is a step towards it, which overshoots at no norm of A. As the noise
    goes to 0, the measured part of x becomes that of y.

    Learned updates see the noise level, but nothing forces them to use it; this step does by construction.

    Args:
        algorithm: An algorithm for inverse problems whose state has a field ``x``, and whose readout is x.
        trust: The standard deviation of the error of x', in the units of x: a number or an opening of a slot.

    Slots:
        algorithm: The slots of the algorithm, such as ``algorithm.update``.
        trust: The standard deviation, at least 0.

    Raises:
        MetaoptError: The problem does not know its noise, or the state has no field ``x``.

    Source:
        Schlemper et al., A deep cascade of convolutional neural networks, 2017, arXiv:1704.02422 (equation 8).
    """

    def __init__(self, algorithm: Inner, trust: ValueSlot = 0.05):
        super().__init__()
        self.algorithm = algorithm
        self.trust = slot(trust, within("trust", 0))

    def init(self, problem: Any) -> Any:
        state = self.algorithm.init(problem)
        if not isinstance(getattr(state, "x", None), Tensor):
            raise MetaoptError(
                f"DataConsistency needs an algorithm whose state has the estimate as a field x, but that of "
                f"{type(self.algorithm).__name__} has not."
            )
        noise_variance(problem, state.x)
        return state

    def step(self, problem: Any, state: Any, k: int) -> Any:
        after, gradient = self.algorithm.step(problem, state, k), protocol.at(problem, k).gradient
        uphill = gradient(after.x)
        change = -noise_variance(problem, after.x) * uphill  # in the units of x, whose squares do not overflow
        curvature = _inner(change, gradient(after.x + change) - uphill)
        trust = self.trust(k).to(curvature) ** 2
        lowest = trust * curvature + _inner(change, change)
        share = trust * _inner(change, -uphill) / lowest.clamp(min=torch.finfo(lowest.dtype).tiny)
        return after._replace(x=after.x + per_sample(share, after.x) * change)

    def readout(self, problem: Any, state: Any, k: int) -> Tensor:
        return self.algorithm.readout(problem, state, k)


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """The real inner product of each sample, (B,)."""
    return (a.conj() * b).real.flatten(1).sum(1)
