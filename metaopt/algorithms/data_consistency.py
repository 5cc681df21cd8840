"""Follow each step of an algorithm by a step towards the measurement."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor

from ..arguments.contracts import Holds, ValueSlot, checked, within
from ..core import Algorithm, MetaoptError, slot
from ..problems import noise_variance, protocol

Inner = Annotated[Any, Holds(("init", "step", "readout"))]


@checked
class DataConsistency(Algorithm[Any, Any, Tensor]):
    """Weigh the estimate of each step against the measurement, each by what is known of its error.

    After a step of the algorithm, with estimate x', it computes ``x <- x' - s A^H (A x' - y)``, where ``s = trust^2 /
    (trust^2 + noise^2)``. If the error of x' is white with standard deviation ``trust``, and ``A A^H`` is a projection
    (a masked unitary transform, for example), this is the posterior mean of x. For other operators of norm at most 1 it
    is a gradient step with that size. As the noise goes to 0, the measured part of x becomes that of y.

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
        after = self.algorithm.step(problem, state, k)
        variance, trust = noise_variance(problem, after.x), self.trust(k) ** 2
        share = variance * trust / (trust + variance)
        return after._replace(x=after.x - share * protocol.at(problem, k).gradient(after.x))

    def readout(self, problem: Any, state: Any, k: int) -> Tensor:
        return self.algorithm.readout(problem, state, k)
