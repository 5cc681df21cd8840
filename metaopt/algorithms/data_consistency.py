"""Follow each step of an algorithm by a step towards the measurement."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor

from ..arguments.contracts import Count, Holds, ValueSlot, checked, within
from ..core import Algorithm, MetaoptError, slot
from ..problems import noise_variance, protocol
from .conjugate_gradient import advance, begin_at

Inner = Annotated[Any, Holds(("init", "step", "readout"))]


@checked
class DataConsistency(Algorithm[Any, Any, Tensor]):
    """Weigh the estimate of each step against the measurement, each by what is known of its error.

    After a step of the algorithm, with estimate x', it minimises ``energy(x) + |x - x'|^2 / (2 trust^2)`` by conjugate
    gradients from x'. If the error of x' is white with standard deviation ``trust``, the minimum is the posterior mean
    of x. Where ``A A^H`` is a multiple of a projection (a masked unitary transform, for example), with the same noise
    everywhere in a sample, one iteration finds it: ``x' - s A^H (A x' - y)`` with ``s = trust^2 / (trust^2 + noise^2)``
    if the norm of A is 1. Other operators, such as those of several coils, and uneven noise need more; each comes
    closer, at any norm of A. As the noise goes to 0, the measured part of x becomes that of y.

    Learned updates see the noise level, but nothing forces them to use it; this step does by construction.

    Args:
        algorithm: An algorithm for inverse problems whose state has a field ``x``, and whose readout is x.
        trust: The standard deviation of the error of x', in the units of x: a number or an opening of a slot.
        iterations: Number of conjugate gradient iterations after every step, each at the cost of a gradient.

    Slots:
        algorithm: The slots of the algorithm, such as ``algorithm.update``.
        trust: The standard deviation, at least 0.

    Raises:
        MetaoptError: The problem does not know its noise, or the state has no field ``x``.

    Source:
        Schlemper et al., A deep cascade of convolutional neural networks, 2017, arXiv:1704.02422 (equation 8);
        Aggarwal, Mani & Jacob, MoDL: model-based deep learning for inverse problems, 2017, arXiv:1712.02862.
    """

    def __init__(self, algorithm: Inner, trust: ValueSlot = 0.05, iterations: Count = 1):
        super().__init__()
        self.algorithm = algorithm
        self.trust = slot(trust, within("trust", 0))
        self.iterations = iterations

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
        variance = noise_variance(problem, after.x)  # a gradient times it is in the units of x, and no square overflows
        trust = self.trust(k).to(variance) ** 2
        share = trust / (trust + variance)  # of the measurement, beside x', where A has norm 1
        uphill = gradient(after.x)
        search = begin_at(after.x, -share * variance * uphill)
        for _ in range(self.iterations):
            curved = variance * (gradient(after.x + search.direction) - uphill)
            search = advance(search, share * curved + variance / (trust + variance) * search.direction)
        return after._replace(x=search.x)

    def readout(self, problem: Any, state: Any, k: int) -> Tensor:
        return self.algorithm.readout(problem, state, k)
