"""Descent by a memory that is coupled with the estimate so that every step can be undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..core import Algorithm, MetaoptError, slot
from ..operators.reach import PerAxis, largest, period_of, reach_of, times, total
from ..problems import protocol


class CoupledState(NamedTuple):
    """``x``: the estimate; ``memory``: what the steps remember, of the shape that ``read`` gives."""

    x: Tensor
    memory: Tensor


class CoupledDescent(Algorithm[Any, CoupledState, Tensor]):
    """memory' = mix(memory) + read(gradient at x, x, context);  x' = x + write(memory').

    The step is undone from the end: x = x' - write(memory'), then memory = mix^-1(memory' - read(gradient at x, ...)),
    exactly, for any ``read`` and ``write``, with one module for all steps or one a step. With scalings it is gradient
    descent with momentum (Maclaurin et al., arXiv:1502.03492), with networks the invertible RIM (Putzky and Welling,
    arXiv:1911.10914).

    Slots: ``read`` (gradient, x, context) -> like memory, ``mix`` with an ``inverse``, ``write`` memory -> like x.
    """

    def __init__(self, read: nn.Module, mix: nn.Module, write: nn.Module):
        super().__init__()
        self.read, self.mix, self.write = slot(read), slot(mix), slot(write)
        if not hasattr(self.mix(0), "inverse"):
            raise MetaoptError(f"CoupledDescent needs a mix with inverse(memory), but {type(mix).__name__} has none.")

    def init(self, problem: Any) -> CoupledState:
        x = problem.start()
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
    """Multiply by a number; slot ``factor``. As ``mix`` it is momentum's decay, as ``write`` the step."""

    reach, period = 0, 1

    def __init__(self, factor: Any):
        super().__init__()
        self.factor = slot(factor)

    def at_step(self, k: int) -> Scaling:
        return Scaling(self.factor(k))


class Scaling(NamedTuple):
    """Multiplication by ``factor``, and its inverse."""

    factor: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return self.factor * x

    def inverse(self, x: Tensor) -> Tensor:
        return x / self.factor


class ScaleGradient(nn.Module):
    """``read`` of momentum: a multiple of the gradient; slot ``factor``."""

    reach, period = 0, 1

    def __init__(self, factor: Any):
        super().__init__()
        self.factor = slot(factor)

    def at_step(self, k: int) -> Callable[..., Tensor]:
        factor = self.factor(k)
        return lambda gradient, x, context: factor * gradient


def reversible_momentum(step_size: float, momentum: float) -> CoupledDescent:
    """v <- momentum v - step_size gradient(x), x <- x + v, which can be run backwards (momentum > 0).

    Running back divides by ``momentum``, so rounding errors grow as momentum^-T: for long runs use float64.
    """
    return CoupledDescent(ScaleGradient(-step_size), Scale(momentum), Scale(1.0))
