"""Backpropagate with only the last state stored, by undoing one step after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import tree
from ..algorithm import AnyAlgorithm, Invertible, Keep, advance, iterate
from ..autodiff import Gradients, Tensors, check_captured, custom, leaf, pull_back, refuse_transform, repeatable
from ..errors import MetaoptError, warn
from ..run import Ran, Report

NEAR = 0.1  # of a state's size, which rounding does not reach in one step


@dataclass(frozen=True)
class Reversible:
    """Walk back with ``inverse_step`` and recompute one step at a time, with memory independent of the number of steps.

    Every step's readout is an output, and its gradient is added on the way back. The way back ends at the initial
    state, which is known, so that the relative drift can be measured: it is in ``report.backward_residual`` after the
    backward pass. Only first derivatives are possible.

    Args:
        drift: The relative drift above which a :class:`MetaoptWarning` is given.

    Raises:
        MetaoptError: The algorithm has no ``inverse_step``, the run is under ``torch.func``, or a step uses a tensor
            that requires grad but is neither a parameter nor part of the problem.

    Source:
        Gomez et al., The reversible residual network, 2017, arXiv:1707.04585.
    """

    drift: float = 1e-2

    def run(self, algorithm: AnyAlgorithm, problem: Any, state: Any, ks: range, keep: Keep) -> Ran:
        refuse_transform("Reversible")
        if not isinstance(algorithm, Invertible):
            remedy = "write it, or use Checkpointed(), which needs nothing and keeps sqrt(T) states"
            needs = f"inverse_step(problem, next_state, k), but {type(algorithm).__name__} has none"
            raise MetaoptError(f"Reversible gradients need {needs}; {remedy}.")
        report = Report(len(ks))
        given, rebuild = tree.partition((algorithm, problem))
        begin = tree.leaves(state)
        wanted = torch.is_grad_enabled() and any(t.requires_grad for t in [*given, *begin])
        if not (wanted and ks):
            outputs, state = iterate(algorithm, problem, state, ks, keep)
            check_captured(() if wanted else tree.leaves((outputs, state)), (), "Reversible")
            return outputs, state, report
        width, empty, kept = len(given), tree.map(lambda t: t.new_empty(0), state), []

        def forward(tensors: Tensors) -> list[Tensor]:
            trees = (*rebuild(tensors[:width]), tree.fill(empty, tensors[width:]))
            with torch.no_grad(), repeatable("Reversible", trees, draws=False):
                readouts, end = iterate(*trees, ks, keep)
            kept[:] = tree.map(lambda t: t.new_empty(0), readouts)  # structure only
            return tree.leaves((end, readouts))

        def backward(tensors: Tensors, results: Tensors, cotangents: Gradients) -> list[Tensor | None]:
            inputs = [leaf(t) for t in tensors[:width]]
            end = tree.fill(empty, results)
            there, reads = (*rebuild(inputs), end), ks if keep == "all" else ks[-1:]
            reached, grads, gap = _walk_back((algorithm, problem), *there, inputs, cotangents, ks, reads)
            report.backward_residual = drift = tree.relative_change(reached, tensors[width:])
            if not drift <= self.drift:
                missed = f"missed the initial state by {drift:.1e} of its size, so the gradient is inexact"
                warn(f"Reversible: walking back {len(ks)} steps {missed}; use float64, fewer steps, or Checkpointed().")
            elif gap > NEAR:
                cause = f"missed its state by {gap:.1e} of its size: is it another where a graph is recorded?"
                warn(f"Reversible: the last step, undone and taken again, {cause} Use Backprop().")
            return grads

        results = iter(custom(forward, backward, [*given, *begin], once="Reversible"))
        final = tree.fill(state, results)
        return [tree.fill(readout, results) for readout in kept], final, report


def _walk_back(
    own: Any, algorithm: Any, problem: Any, state: Any, given: Tensors, cotangents: Gradients, ks: range, reads: range
) -> tuple[list[Tensor], list[Tensor | None], float]:
    """Walk back from the last ``state``.

    Returns the initial state that is reached, the gradients of ``given`` and of the initial state, and by how much the
    last step, undone and taken again with a graph, misses its state.
    """
    width, total = len(tree.leaves(state)), [None] * len(given)
    adjoint, injected, gap = list(cotangents[:width]), list(cotangents[width:]), 0.0
    for k in reversed(ks):
        with torch.no_grad():
            previous = tree.map(lambda t: leaf(t, True), advance(algorithm, problem, state, k, "inverse_step"))
        with torch.enable_grad():
            following = advance(algorithm, problem, previous, k)
            readout = tree.leaves(algorithm.readout(problem, following, k)) if k in reads else []
        gap = tree.relative_change(tree.leaves(following), tree.leaves(state)) if k == ks[-1] else gap
        outputs, inputs = [*tree.leaves(following), *readout], [*given, *tree.leaves(previous)]
        check_captured(outputs, inputs, "Reversible", own)
        arriving = [injected.pop() for _ in readout][::-1]
        grads = pull_back(outputs, inputs, [*adjoint, *arriving])
        total = [b if a is None else a if b is None else a + b for a, b in zip(total, grads, strict=False)]
        state, adjoint = tree.detach(previous), grads[len(given) :]
    return tree.leaves(state), [*total, *adjoint], gap
