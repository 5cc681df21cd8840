"""Implicit differentiation of a fixed point."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .. import tree
from ..algorithm import AnyAlgorithm, Keep
from ..autodiff import custom, leaf, pull_back, refuse_transform
from ..errors import MetaoptError, MetaoptWarning
from ..slots import slots
from .strategy import Report


class LinearSolver(Protocol):
    """Solves ``u = matvec(u) + b`` for a flat real vector and returns (u, relative residual)."""

    def __call__(self, matvec: Callable[[Tensor], Tensor], b: Tensor) -> tuple[Tensor, float]: ...


@dataclass(frozen=True)
class Gcr:
    """Generalised conjugate residuals for ``(I - J^T) u = b``: GMRES's iterates from short code; J need not contract.

    Keeps at most ``restart`` pairs of vectors. Eisenstat, Elman and Schultz, doi:10.1137/0720023.
    """

    tolerance: float = 1e-8
    max_steps: int = 500
    restart: int = 30

    def __call__(self, matvec: Callable[[Tensor], Tensor], b: Tensor) -> tuple[Tensor, float]:
        u, r = torch.zeros_like(b), b
        goal = self.tolerance * float(b.norm())
        pairs: list[tuple[Tensor, Tensor]] = []
        for _ in range(self.max_steps):
            if not float(r.norm()) > goal:
                break
            direction, image = r, r - matvec(r)
            for p, q in pairs[-self.restart :]:  # q are orthonormal images (I - J^T) p
                overlap = torch.dot(q, image)
                direction, image = direction - overlap * p, image - overlap * q
            norm = image.norm().clamp_min(torch.finfo(b.dtype).tiny)
            pairs = [*pairs[-self.restart :], (direction / norm, image / norm)]
            along = torch.dot(pairs[-1][1], r)
            u, r = u + along * pairs[-1][0], r - along * pairs[-1][1]
        residual = (b - u + matvec(u)).norm() / b.norm().clamp_min(torch.finfo(b.dtype).tiny)
        return u, float(residual)


@dataclass(frozen=True)
class Implicit:
    """Run to a fixed point without a graph and differentiate it by the implicit function theorem.

    For x* = f(x*, theta): dL/dtheta = u^T df/dtheta with u = J^T u + dL/dx*, J = df/dx at x*. Memory O(1) in the number
    of steps. The run stops when the relative change of the state is at most ``tolerance``, or after the unrolled
    steps; ``report`` holds residuals and convergence, and an unconverged pass warns. The only output is the fixed
    point's readout; the initial state gets no gradient. First derivatives only. Bai et al., arXiv:1909.01377.
    """

    solver: LinearSolver = Gcr()
    tolerance: float = 1e-6

    def run(
        self, algorithm: AnyAlgorithm, problem: Any, state: Any, ks: Sequence[int], keep: Keep
    ) -> tuple[list[Any], Any, Report]:
        refuse_transform("Implicit")
        for name, found in slots(algorithm).items():
            if found.steps is not None:
                raise MetaoptError(
                    "Implicit gradients need every step to be the same function, but slot "
                    f"'{name}' holds one value per step; use shared(...) for it, or Backprop()."
                )
        if not ks:
            raise MetaoptError("Implicit needs at least one step to reach a fixed point, but got 0.")
        state, report = fixed_point(algorithm, problem, state, ks, Settled(self.tolerance))
        if not report.converged:
            _warn("forward", report.residual, self.tolerance, f"after {report.steps} steps; allow more of them")
        if torch.is_grad_enabled():
            state = self._attach(algorithm, problem, state, ks[report.steps - 1], report)
        return [algorithm.readout(problem, state)], state, report

    def _attach(self, algorithm: Any, problem: Any, state: Any, k: int, report: Report) -> Any:
        """One step with a graph at the fixed point, whose incoming gradient is replaced by the solution u."""
        inside = tree.map(lambda t: leaf(t, True), state)
        frozen = tree.detach((algorithm, problem))
        with torch.enable_grad():
            outside = algorithm.step(problem, state, k)
            probe, inputs = tree.leaves(frozen[0].step(frozen[1], inside, k)), tree.leaves(inside)

        def solve(_: Any, outputs: Sequence[Tensor], arriving: Sequence[Tensor | None]) -> list[Tensor]:
            cotangents = [torch.zeros_like(o) if c is None else c for o, c in zip(outputs, arriving, strict=True)]

            def matvec(u: Tensor) -> Tensor:
                grads = pull_back(probe, inputs, _unflatten(u, cotangents), retain_graph=True)
                return _flatten([torch.zeros_like(i) if g is None else g for i, g in zip(inputs, grads, strict=True)])

            u, report.backward_residual = self.solver(matvec, _flatten(cotangents))
            if not report.backward_residual <= 1e-4:
                _warn("backward", report.backward_residual, 1e-4, "the gradient is inexact")
            return _unflatten(u, cotangents)

        return tree.fill(outside, custom(lambda tensors: tensors, solve, tree.leaves(outside), once="Implicit"))


def _warn(which: str, residual: float | None, tolerance: float, what: str) -> None:
    missed = f"stopped at a relative residual of {residual:.1e} (wanted {tolerance:.0e})"
    warnings.warn(f"Implicit: the {which} pass {missed}: {what}.", MetaoptWarning, stacklevel=3)


def _flatten(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([(torch.view_as_real(t) if t.is_complex() else t).reshape(-1) for t in tensors])


def _unflatten(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    sizes = [t.numel() * (2 if t.is_complex() else 1) for t in like]
    parts = zip(vector.split(sizes), like, strict=True)
    return [torch.view_as_complex(p.reshape(*t.shape, 2)) if t.is_complex() else p.reshape(t.shape) for p, t in parts]


@dataclass(frozen=True)
class Settled:
    """Stopping rule: the state changed by at most ``tolerance`` of its size."""

    tolerance: float = 1e-6

    def __call__(self, problem: Any, before: Any, after: Any) -> bool:
        return tree.relative_change(tree.leaves(after), tree.leaves(before)) <= self.tolerance


def fixed_point(
    algorithm: AnyAlgorithm, problem: Any, state: Any, ks: Sequence[int], until: Callable[[Any, Any, Any], bool]
) -> tuple[Any, Report]:
    """Step without a graph until ``until(problem, before, after)``; returns (detached state, report)."""
    report, before = Report(0, converged=False, counted=1), state  # a fixed point is one readout, not a path
    with torch.no_grad():
        for k in ks:
            before, state = state, algorithm.step(problem, state, k)
            tree.check_unchanged(before, state, type(algorithm).__name__, k)
            report.steps += 1
            if until(problem, before, state):
                report.converged = True
                break
        if report.steps:
            report.residual = tree.relative_change(tree.leaves(state), tree.leaves(before))
    return tree.detach(state), report
