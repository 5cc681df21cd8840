"""A run keeps the precision of its state, whatever kind of slot its numbers are in and however it is differentiated."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import metaopt as mo

State = tuple[Tensor, Tensor]
STEPS = 12


class Mean(nn.Module):
    """A module with numbers of its own, which it stacks."""

    def __init__(self, factor: float):
        super().__init__()
        self.a, self.b = mo.slot(mo.shared(0.5 * factor)), mo.slot(0.25 * factor)

    def forward(self, k: int) -> Tensor:
        return torch.stack([self.a(k).expand(2), self.b(k).expand(2)]).sum(0)


class Leap(mo.Algorithm[Any, State, Tensor]):
    """(a, b) <- (b, a / 2 + r y) with r = 3/4, widened by stacking numbers, forwards and backwards."""

    def __init__(self, content: Any):
        super().__init__()
        self.rate = mo.slot(content)

    def change(self, problem: Any, k: int) -> Tensor:
        rate = self.rate(k)
        if not isinstance(rate, Tensor):
            rate = rate(k)
        elif not rate.ndim:
            rate = torch.stack([rate, rate])
        return rate * problem["y"] * (problem["weight"].weight(k).expand(2) if "weight" in problem else 1)

    def init(self, problem: Any) -> State:
        return torch.zeros_like(problem["y"]), torch.zeros_like(problem["y"])

    def step(self, problem: Any, state: State, k: int) -> State:
        return state[1], 0.5 * state[0] + self.change(problem, k)

    def inverse_step(self, problem: Any, next_state: State, k: int) -> State:
        return 2 * (next_state[1] - self.change(problem, k)), next_state[0]

    def readout(self, problem: Any, state: State, k: int) -> Tensor:
        return state[0]


class Weighted(nn.Module):
    """A module of a problem, with a number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = mo.slot(1.0)


SLOTS = {
    "a number": lambda: 0.75,
    "fixed": lambda: mo.fixed([0.75] * STEPS),
    "shared": lambda: mo.shared(0.75),
    "shared, positive": lambda: mo.shared(0.75, positive=True),
    "per step": lambda: mo.per_step(STEPS, 0.75),
    "per step, between bounds": lambda: mo.per_step(STEPS, 0.75, interval=(0, 1)),
    "a module": lambda: Mean(1.0),
    "a shared module": lambda: mo.shared(Mean(1.0)),
    "fixed modules": lambda: mo.fixed([Mean(1.0) for _ in range(STEPS)]),
    "a module per step": lambda: mo.per_step(STEPS, Mean(1.0)),
}
STRATEGIES = [mo.Backprop(), mo.Truncated(STEPS), mo.Checkpointed(), mo.Reversible(), mo.Implicit(tolerance=0.1)]


@pytest.mark.filterwarnings("ignore::metaopt.core.MetaoptWarning")  # 16 bits drift, and settle late
@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("held", SLOTS)
@pytest.mark.parametrize("weighted", [False, True], ids=["", "with a number in the problem"])
def test_every_strategy_keeps_the_precision_of_the_state(
    held: str, dtype: torch.dtype, strategy: Any, weighted: bool
) -> None:
    algorithm = Leap(SLOTS[held]())
    if isinstance(strategy, mo.Implicit) and algorithm.rate.steps is not None:
        with pytest.raises(mo.MetaoptError, match="one value per step"):
            mo.unroll(algorithm, STEPS, strategy)({"y": torch.ones(2, dtype=dtype)})
        return
    y = torch.tensor([1.0, -2.0], dtype=dtype, requires_grad=True)
    problem = {"y": y, "weight": Weighted()} if weighted else {"y": y}
    run = mo.unroll(algorithm, STEPS, strategy)(problem)
    [grad] = torch.autograd.grad(run.final.sum(), y)
    assert {t.dtype for t in (*run.state, run.final, grad)} == {dtype}
    slope = 1.5 if isinstance(strategy, mo.Implicit) else 1.5 * (1 - 2.0 ** -(STEPS // 2))
    torch.testing.assert_close(grad, torch.full_like(y, slope), rtol=0.02, atol=0)


def test_a_step_that_widens_by_another_tensor_is_named_forwards_and_backwards() -> None:
    class Wide(Leap):
        def change(self, problem: Any, k: int) -> Tensor:
            return 0.75 * problem["y"]

        def inverse_step(self, problem: Any, next_state: State, k: int) -> State:
            return next_state[1].double(), next_state[0]

    y = torch.ones(2, requires_grad=True)
    run = mo.unroll(Wide(0.75), 3, mo.Reversible())({"y": y, "other": torch.ones(2, dtype=torch.float64)})
    with pytest.raises(mo.MetaoptError, match=r"inverse_step of Wide changed state\[0\] from .* float32 to .* float64"):
        run.final.sum().backward()
