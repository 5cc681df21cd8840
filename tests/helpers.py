"""What a case of the laws is, and what tests share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt import tree
from metaopt.core.gradients import Backprop, Checkpointed, GradientStrategy, Truncated


@dataclass(frozen=True)
class Case:
    """One algorithm with a tiny float64 problem.

    - ``build()``: the classical algorithm; ``problem(seed)``: a batch of three problems.
    - ``open``: slots to open, by name; ``steps``: how many to run.
    - ``couples``: its samples influence each other (BatchNorm, one loss for all), so that a batch is not its items.
    - ``reversible``, ``fixed_point``: it supports :class:`Reversible`, or converges (within ``fixed_point`` steps).
    - ``memory``: the recurrent part of a state, where there is one.
    - ``exact``: opened slots give the same bits (under a constraint: 4 units in the last place).
    """

    name: str
    build: Callable[[], mo.Algorithm]
    problem: Callable[[int], Any]
    open: Mapping[str, Any]
    steps: int = 5
    couples: bool = False
    reversible: bool = False
    fixed_point: int = 0
    memory: Callable[[Any], Any] | None = None
    strategies: tuple[GradientStrategy, ...] = field(default=(Checkpointed(), Checkpointed(every=2)))

    def opened(self) -> mo.Algorithm:
        return mo.parameterize(self.build(), self.open)

    def every_strategy(self) -> list[GradientStrategy]:
        extra: list[GradientStrategy] = [mo.Reversible()] if self.reversible else []
        return [*self.strategies, Truncated(last=self.steps), *extra]


def table(cases: list[Case], **filters: bool) -> Any:
    """The cases as pytest parameters, those for which every filter holds."""
    chosen = [c for c in cases if all(bool(getattr(c, key)) == value for key, value in filters.items())]
    return pytest.mark.parametrize("case", chosen, ids=[c.name for c in chosen])


def seeded(build: Callable[[], Any], seed: int = 0) -> Any:
    """Build with a fixed global seed (networks draw their weights from it), leaving the generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().double()


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def matrix(seed: int, rows: int = 4, columns: int = 6) -> Tensor:
    return normal(seed, rows, columns) / rows**0.5


def tensors_close(a: Any, b: Any, tolerance: float) -> None:
    """Every tensor of two trees, relative to its largest entry."""
    for (name, x), (_, y) in zip(tree.named_leaves(a), tree.named_leaves(b), strict=True):
        scale = max(1.0, float(y.detach().abs().max())) if y.numel() else 1.0
        error = float((x.detach() - y.detach()).abs().max()) / scale if y.numel() else 0.0
        assert error <= tolerance, f"{name or 'tensor'} differs by {error:.1e}"


def loss_of(trajectory: mo.Trajectory) -> Tensor:
    """A scalar that every entry of every output enters with another weight."""
    total = torch.zeros((), dtype=torch.float64)
    for step, output in enumerate(trajectory.outputs, start=1):
        for leaf in tree.leaves(output):
            weights = torch.cos(torch.arange(leaf.numel(), dtype=torch.float64)).reshape(leaf.shape)
            parts = [leaf.real, leaf.imag] if leaf.is_complex() else [leaf]
            total = total + sum(((weights + i) * p + p**2).sum() for i, p in enumerate(parts)) / step
    return total


BACKPROP = Backprop()


def gradients(algorithm: mo.Algorithm, problem: Any, steps: int, strategy: GradientStrategy = BACKPROP) -> list[Tensor]:
    """Gradients of :func:`loss_of` for all parameters and all floating tensors of the problem."""
    algorithm.zero_grad()
    given, rebuild = tree.partition(problem, modules=False)
    floating = [t.detach().clone().requires_grad_(t.is_floating_point() or t.is_complex()) for t in given]
    loss_of(mo.unroll(algorithm, steps, gradient=strategy)(rebuild(floating))).backward()
    inputs = list(itertools.chain(algorithm.parameters(), floating))
    return [torch.zeros_like(t) if t.grad is None else t.grad.clone() for t in inputs if t.requires_grad]


def positive(steps: int) -> Any:
    return mo.per_step(steps, positive=True)
