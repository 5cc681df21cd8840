"""Descend by a memory that is coupled with the estimate so that every step can be inverted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..arguments.checks import check_number
from ..arguments.contracts import ModuleSlot, Positive, checked
from ..core import Algorithm, MetaoptError, slot
from ..operators.reach import PerAxis, largest, period_of, reach_of, times, total
from ..problems import protocol


class CoupledState(NamedTuple):
    """Hold the estimate ``x``, and ``memory`` of the shape that ``read`` gives."""

    x: Tensor
    memory: Tensor


@checked
class CoupledDescent(Algorithm[Any, CoupledState, Tensor]):
    """Iterate ``memory' = mix(memory) + read(gradient, x, context)`` and ``x' = x + write(memory')``.

    The step is inverted exactly for any ``read`` and ``write``: ``x = x' - write(memory')``, then ``memory =
    mix^-1(memory' - read(gradient, x, context))``, with the gradient at x. With scalings it is gradient descent with
    momentum (Maclaurin et al., arXiv:1502.03492), with networks the invertible RIM (Putzky and Welling,
    arXiv:1911.10914).

    Args:
        read: Fills the slot of that name.
        mix: Fills the slot of that name.
        write: Fills the slot of that name.

    Slots:
        read: Module from (gradient, x, context) to a tensor like the memory.
        mix: Module from memory to memory with a method ``inverse``.
        write: Module from the memory to a tensor like x.

    Raises:
        MetaoptError: ``mix`` has no ``inverse``.
    """

    def __init__(self, read: ModuleSlot, mix: ModuleSlot, write: ModuleSlot):
        super().__init__()
        self.read, self.mix, self.write = slot(read), slot(mix), slot(write)
        if not hasattr(self.mix(0), "inverse"):
            raise MetaoptError(f"CoupledDescent needs a mix with inverse(memory), but {type(mix).__name__} has none.")

    def init(self, problem: Any) -> CoupledState:
        x = protocol.begin(problem, "CoupledDescent")
        with torch.no_grad():
            memory = torch.zeros_like(self._read(problem, x, 0))
        return CoupledState(x, memory)

    def step(self, problem: Any, state: CoupledState, k: int) -> CoupledState:
        memory = self.mix(k)(state.memory) + self._read(problem, state.x, k)
        return CoupledState(state.x + self.write(k)(memory), memory)

    def inverse_step(self, problem: Any, next_state: CoupledState, k: int) -> CoupledState:
        x = next_state.x - self.write(k)(next_state.memory)
        return CoupledState(x, self.mix(k).inverse(next_state.memory - self._read(problem, x, k)))

    def readout(self, problem: Any, state: CoupledState, k: int) -> Tensor:
        return state.x

    @property
    def reach(self) -> PerAxis | None:
        mixed = times(period_of(self.read), reach_of(self.mix))
        return total(largest(reach_of(self.read), mixed), reach_of(self.write))

    @property
    def period(self) -> PerAxis:
        return period_of(self.read)

    def _read(self, problem: Any, x: Tensor, k: int) -> Tensor:
        now = protocol.at(problem, k)
        return self.read(k)(now.gradient(x), x, protocol.context(now))


class Scale(nn.Module):
    """Multiply by a number: as ``mix`` the decay of momentum, as ``write`` the step.

    Args:
        factor: The number, or an opening of the slot.

    Slots:
        factor: The number.
    """

    reach, period = 0, 1

    def __init__(self, factor: Any):
        super().__init__()
        self.factor = slot(factor)

    def at_step(self, k: int) -> Scaling:
        """Return the multiplication of step k."""
        return Scaling(self.factor(k))


class Scaling(NamedTuple):
    """Multiply by ``factor``, which can be inverted."""

    factor: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return self.factor * x

    def inverse(self, x: Tensor) -> Tensor:
        """Return ``x / factor``."""
        return x / self.factor


class ScaleGradient(nn.Module):
    """Read a multiple of the gradient, as momentum does.

    Args:
        factor: The number, or an opening of the slot.

    Slots:
        factor: The number.
    """

    reach, period = 0, 1

    def __init__(self, factor: Any):
        super().__init__()
        self.factor = slot(factor)

    def at_step(self, k: int) -> Callable[..., Tensor]:
        """Return the reading of step k, a function of (gradient, x, context)."""
        factor = self.factor(k)
        return lambda gradient, x, context: factor * gradient


@checked
def reversible_momentum(step_size: float, momentum: Positive) -> CoupledDescent:
    """Return gradient descent with momentum whose steps can be inverted.

    A step is ``v <- momentum v - step_size gradient(x)``, then ``x <- x + v``. The inverse divides by ``momentum``, so
    rounding errors grow as momentum^-T: use float64 for long runs.

    Args:
        step_size: The step size.
        momentum: The decay of v, in (0, 1].

    Returns:
        The algorithm.

    Raises:
        MetaoptError: The momentum is out of range.
    """
    check_number("The momentum of reversible_momentum", momentum, high=1, above=0)
    return CoupledDescent(ScaleGradient(-step_size), Scale(momentum), Scale(1.0))
