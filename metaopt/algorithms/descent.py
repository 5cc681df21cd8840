"""Descent: every first-order method, classical or learned, is this algorithm with another update."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..core import Algorithm, slot, tree
from ..operators.reach import PerAxis, period_of, reach_of
from ..problems import protocol


class DescentState(NamedTuple):
    """``x``: the estimate, a tensor or a tree; ``memory``: the update's; ``buffers``: the problem's (BatchNorm's)."""

    x: Any
    memory: Any
    buffers: Any


class Descent(Algorithm[Any, DescentState, Any]):
    """x <- x + change, where (change, memory) <- update(gradient of the energy at x, x, memory, k, context).

    With :class:`~metaopt.updates.Sgd` it is gradient descent, with :class:`~metaopt.updates.Adam` Adam, with
    :class:`~metaopt.updates.ConvGru` the Recurrent Inference Machine. ``per_step`` on the slot ``update`` gives every
    step an update of its own (the memory is then handed from one to the next).

    Slots: ``update`` and those of the update, such as ``update.step_size``.
    """

    def __init__(self, update: Any):
        super().__init__()
        self.update = slot(update)

    @property
    def reach(self) -> PerAxis | None:
        return reach_of(self.update)

    @property
    def period(self) -> PerAxis:
        return period_of(self.update)

    def init(self, problem: Any) -> DescentState:
        x = problem.start()
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
        """As many as x has: the parameters of a network, for example, are one whole."""
        return protocol.samples(problem, state.x)
