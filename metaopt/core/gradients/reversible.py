"""Backpropagation that stores nothing but the last state and undoes one step after another."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .. import tree
from ..algorithm import AnyAlgorithm, Invertible, Keep, iterate
from ..autodiff import check_captured, custom, leaf, pull_back, refuse_transform
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
        self, algorithm: AnyAlgorithm, problem: Any, state: Any, ks: Sequence[int], keep: Keep
    ) -> tuple[list[Any], Any, Report]:
        refuse_transform("Reversible")
        if not isinstance(algorithm, Invertible):
            raise MetaoptError(
                f"Reversible gradients need inverse_step(problem, next_state, k), but {type(algorithm).__name__} has "
                "none; write it, or use Checkpointed(), which needs nothing and keeps sqrt(T) states."
            )
        report = Report(len(ks))
        given, rebuild = tree.partition((algorithm, problem))
        begin = tree.leaves(state)
        wanted = torch.is_grad_enabled() and any(t.requires_grad for t in [*given, *begin])
        if not (wanted and ks):
            outputs, state = iterate(algorithm, problem, state, ks, keep)
            check_captured(() if wanted else tree.leaves((outputs, state)), (), "Reversible")
            return outputs, state, report
        walk = _Walk(rebuild, len(given), tree.map(lambda t: t.new_empty(0), state), ks, keep)

        def backward(tensors: Sequence[Tensor], results: Sequence[Tensor], cotangents: Sequence[Tensor | None]) -> Any:
            reached, grads = walk.back(tensors, results, cotangents)
            report.backward_residual = drift = tree.relative_change(reached, tensors[len(given) :])
            if not drift <= self.drift:
                warnings.warn(
                    f"Reversible: walking back {len(ks)} steps missed the initial state by {drift:.1e} of its size, so "
                    "the gradient is inexact; use float64, fewer steps, or Checkpointed().",
                    MetaoptWarning,
                    stacklevel=2,
                )
            return grads

        results = iter(custom(walk.forward, backward, [*given, *begin], once="Reversible"))
        final = tree.fill(state, results)
        return [tree.fill(readout, results) for readout in walk.readouts], final, report


@dataclass
class _Walk:
    """The way there and back. ``readouts`` holds the structure of the readouts after the steps that are kept."""

    rebuild: Callable[[Sequence[Tensor]], Any]
    given: int
    state: Any
    ks: Sequence[int]
    keep: Keep
    readouts: list[Any] = field(default_factory=list)

    def forward(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        algorithm, problem = self.rebuild(tensors[: self.given])
        state = tree.fill(self.state, tensors[self.given :])
        with torch.no_grad():
            readouts, state = iterate(algorithm, problem, state, self.ks, self.keep)
        self.readouts = tree.map(lambda t: t.new_empty(0), readouts)
        return tree.leaves((state, readouts))

    def back(self, tensors: Sequence[Tensor], results: Sequence[Tensor], cotangents: Sequence[Tensor | None]) -> Any:
        """(the initial state that the way back arrives at, gradients of all ``tensors``)."""
        given = [leaf(t) for t in tensors[: self.given]]
        algorithm, problem = self.rebuild(given)
        width = len(tensors) - self.given
        state, adjoint, injected = list(results[:width]), list(cotangents[:width]), list(cotangents[width:])
        total: list[Tensor | None] = [None] * len(given)
        for k in reversed(self.ks):
            with torch.no_grad():
                previous = algorithm.inverse_step(problem, tree.fill(self.state, state), k)
            previous = tree.map(lambda t: leaf(t, True), previous)
            with torch.enable_grad():
                following = algorithm.step(problem, previous, k)
                reads = self.keep == "all" or k == self.ks[-1]
                readout = tree.leaves(algorithm.readout(problem, following)) if reads else []
            outputs, inputs = [*tree.leaves(following), *readout], [*given, *tree.leaves(previous)]
            check_captured(outputs, inputs, "Reversible")
            arriving = [injected.pop() for _ in readout][::-1]
            grads = pull_back(outputs, inputs, [*adjoint, *arriving])
            total = [b if a is None else a if b is None else a + b for a, b in zip(total, grads, strict=False)]
            state, adjoint = [t.detach() for t in tree.leaves(previous)], grads[len(given) :]
        return state, [*total, *adjoint]
