"""Backpropagation that stores nothing but the last state and undoes one step after another."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import tree
from ..algorithm import Algorithm, Invertible, Keep
from ..autodiff import check_captured, leaf, pull_back, refuse_transform
from ..errors import MetaoptError, MetaoptWarning
from .strategy import Report


@dataclass(frozen=True)
class Reversible:
    """Walk back with ``inverse_step`` and recompute one step at a time: memory independent of the number of steps.

    Every step's readout is an output, and its gradient is injected on the way back. The way back ends at the initial
    state, which is known, so the relative drift is measured: it is in ``report.backward_residual`` after backward, and
    above ``drift`` a :class:`MetaoptWarning` says so. First derivatives only. Gomez et al., arXiv:1707.04585.
    """

    drift: float = 1e-2

    def run(
        self, algorithm: Algorithm[Any, Any, Any], problem: Any, state: Any, ks: Sequence[int], keep: Keep
    ) -> tuple[list[Any], Any, Report]:
        refuse_transform("Reversible")
        if not isinstance(algorithm, Invertible):
            raise MetaoptError(
                f"Reversible gradients need inverse_step(problem, next_state, k), but {type(algorithm).__name__} has "
                "none; write it, or use Checkpointed(), which needs nothing and keeps sqrt(T) states."
            )
        report = Report(len(ks))
        tensors, rebuild = tree.partition((algorithm, problem))
        run = _Run(rebuild, len(tensors), state, ks, keep, self.drift, report)
        results = list(_Reverse.apply(run, *tensors, *tree.leaves(state)))
        final = tree.fill(state, results[: run.width])
        outputs = [tree.fill(example, results[i:j]) for example, (i, j) in zip(run.examples, run.spans, strict=True)]
        run.examples = []
        return outputs, final, report


class _Run:
    """What the forward and the backward pass of one run share."""

    def __init__(self, rebuild: Any, givens: int, state: Any, ks: Sequence[int], keep: Keep, drift: float, report: Report):
        self.rebuild, self.givens, self.ks, self.keep = rebuild, givens, ks, keep
        self.state = tree.map(lambda t: t.new_empty(0), state)  # structure only
        self.width = len(tree.leaves(state))
        self.drift, self.report = drift, report
        self.examples: list[Any] = []
        self.spans: list[tuple[int, int]] = []

    def reads(self, position: int) -> bool:
        return self.keep == "all" or position == len(self.ks) - 1

    def forward(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        algorithm, problem = self.rebuild(tensors[: self.givens])
        state = tree.fill(self.state, tensors[self.givens :])
        for position, k in enumerate(self.ks):
            following = tree.detach(algorithm.step(problem, state, k))
            tree.check_unchanged(state, following, type(algorithm).__name__, k)
            state = following
            if self.reads(position):
                self.examples.append(algorithm.readout(problem, state))
        if not self.ks:
            self.examples.append(algorithm.readout(problem, state))
        results = tree.leaves(state)
        for example in self.examples:
            begin = len(results)
            results += tree.leaves(example)
            self.spans.append((begin, len(results)))
        return results

    def backward(self, tensors: Sequence[Tensor], final: Sequence[Tensor], cotangents: Sequence[Tensor | None]) -> Any:
        """Gradients of the givens and of the initial state."""
        givens = [leaf(t) for t in tensors[: self.givens]]
        algorithm, problem = self.rebuild(givens)
        state, adjoint = tree.fill(self.state, final), list(cotangents[: self.width])
        total: list[Tensor | None] = [None] * len(givens)
        spans = list(self.spans)
        for position, k in reversed(list(enumerate(self.ks))):
            with torch.no_grad():
                previous = algorithm.inverse_step(problem, state, k)
            previous = tree.map(lambda t: leaf(t, True), previous)
            with torch.enable_grad():
                following = algorithm.step(problem, previous, k)
                readout = algorithm.readout(problem, following) if self.reads(position) else ()
            outputs, inputs = [*tree.leaves(following), *tree.leaves(readout)], [*givens, *tree.leaves(previous)]
            check_captured(outputs, inputs, "Reversible")
            injected = cotangents[slice(*spans.pop())] if self.reads(position) else ()
            grads = pull_back(outputs, inputs, [*adjoint, *injected])
            total = [_add(a, b) for a, b in zip(total, grads[: len(givens)], strict=True)]
            state, adjoint = tree.detach(previous), grads[len(givens) :]
        self._measure_drift(tree.leaves(state), tensors[self.givens :])
        return total, adjoint

    def _measure_drift(self, reached: Sequence[Tensor], initial: Sequence[Tensor]) -> None:
        self.report.backward_residual = drift = tree.relative_change(reached, initial)
        if not drift <= self.drift:
            warnings.warn(
                f"Reversible: walking back {len(self.ks)} steps in {initial[0].dtype} missed the initial state by "
                f"{drift:.1e} of its size, so the gradient is inexact; use float64, fewer steps, or Checkpointed().",
                MetaoptWarning,
                stacklevel=2,
            )


def _add(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: _Run, *tensors: Tensor) -> Any:
        results = [t.detach().clone() if any(t is s for s in tensors) else t.detach() for t in run.forward(tensors)]
        ctx.run = run
        ctx.save_for_backward(*tensors, *results[: run.width])
        ctx.set_materialize_grads(False)
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        if torch.is_grad_enabled():
            raise MetaoptError("Reversible gives first derivatives only; for create_graph=True use Checkpointed().")
        tensors, final = ctx.saved_tensors[: -ctx.run.width], ctx.saved_tensors[-ctx.run.width :]
        total, adjoint = ctx.run.backward(tensors, final, cotangents)
        return None, *total, *adjoint
