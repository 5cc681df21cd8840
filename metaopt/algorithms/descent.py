"""Descend by any update, so that every first-order method, classical or learned, is an instance of one algorithm."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from ..arguments.contracts import Holds, checked
from ..core import Algorithm, slot, tree
from ..operators.reach import PerAxis, period_of, reach_of
from ..problems import protocol

Update = Annotated[Any, Holds(("init", "forward"))]


class DescentState(NamedTuple):
    """Hold the estimate ``x`` (a tensor or a tree), the update's ``memory``, and the problem's ``buffers``."""

    x: Any
    memory: Any
    buffers: Any


@checked
class Descent(Algorithm[Any, DescentState, Any]):
    """Iterate ``x <- x + change``, where ``(change, memory) <- update(gradient, x, memory, k, context)``.

    The gradient is that of the problem's energy at x. With :class:`~metaopt.updates.Sgd` this is gradient descent, with
    :class:`~metaopt.updates.Adam` it is Adam, and with :class:`~metaopt.updates.ConvGru` the Recurrent Inference
    Machine. With ``per_step`` on the slot ``update`` every step has an update of its own, and hands its memory to the
    next.

    Args:
        update: The update.

    Slots:
        update: The update, and its own slots, such as ``update.step_size``.
    """

    def __init__(self, update: Update):
        super().__init__()
        self.update = slot(update)

    @property
    def reach(self) -> PerAxis | None:
        return reach_of(self.update)

    @property
    def period(self) -> PerAxis:
        return period_of(self.update)

    def init(self, problem: Any) -> DescentState:
        x = protocol.begin(problem, "Descent")
        memory = self.update(0).init(x, protocol.context(problem))
        return DescentState(x, memory, protocol.buffers(problem))

    def step(self, problem: Any, state: DescentState, k: int) -> DescentState:
        now = protocol.at(problem, k)
        gradient, buffers = protocol.gradient_and_buffers(now, state.x, state.buffers)
        change, memory = self.update(k)(gradient, state.x, state.memory, k, protocol.context(now))
        return DescentState(tree.map(lambda x, c: x + c, state.x, change), memory, buffers)

    def readout(self, problem: Any, state: DescentState, k: int) -> Any:
        return state.x

    def samples(self, problem: Any, state: DescentState) -> int:
        """Return the number of samples in x; the parameters of a network, for example, count as one.

        Args:
            problem: The problem.
            state: The state.

        Returns:
            The number of samples.
        """
        return protocol.samples(problem, state.x)
