"""Implicit differentiation of a fixed point."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .. import tree
from ..algorithm import Algorithm, Keep
from ..autodiff import leaf, pull_back, refuse_transform
from ..errors import MetaoptError, MetaoptWarning
from ..slots import slots
from .strategy import Report


class LinearSolver(Protocol):
    """Solves ``u = matvec(u) + b`` for a flat real vector and returns (u, relative residual)."""

    def __call__(self, matvec: Callable[[Tensor], Tensor], b: Tensor) -> tuple[Tensor, float]: ...


@dataclass(frozen=True)
class Neumann:
    """``u <- J^T u + b`` until the relative change is below ``tolerance``: O(1) memory, converges if the steps contract."""

    max_steps: int = 1000
    tolerance: float = 1e-8

    def __call__(self, matvec: Callable[[Tensor], Tensor], b: Tensor) -> tuple[Tensor, float]:
        u, residual = b, float("inf")
        for _ in range(self.max_steps):
            following = matvec(u) + b
            residual = float(torch.linalg.vector_norm(following - u) / torch.linalg.vector_norm(b).clamp_min(1e-300))
            u = following
            if not self.tolerance < residual < 1e12:
                break
        return u, residual


@dataclass(frozen=True)
class Gmres:
    """Restarted GMRES for ``(I - J^T) u = b``; needs no contraction. Saad and Schultz, doi:10.1137/0907058."""

    restart: int = 30
    max_restarts: int = 20
    tolerance: float = 1e-8

    def __call__(self, matvec: Callable[[Tensor], Tensor], b: Tensor) -> tuple[Tensor, float]:
        u, scale = torch.zeros_like(b), torch.linalg.vector_norm(b).clamp_min(1e-300)
        relative = float("inf")
        for _ in range(self.max_restarts):
            r = b - (u - matvec(u))
            before, relative = relative, float(torch.linalg.vector_norm(r) / scale)
            if relative <= self.tolerance or relative > 0.99 * before:
                break
            u = u + self._correction(matvec, r)
        return u, float(torch.linalg.vector_norm(b - (u - matvec(u))) / scale)

    def _correction(self, matvec: Callable[[Tensor], Tensor], r: Tensor) -> Tensor:
        beta = torch.linalg.vector_norm(r)
        basis = [r / beta]
        hessenberg = r.new_zeros(self.restart + 1, self.restart)
        for j in range(self.restart):
            w = basis[j] - matvec(basis[j])
            for _ in range(2):  # the second pass restores orthogonality lost to rounding
                for i, v in enumerate(basis):
                    projection = torch.dot(v, w)
                    hessenberg[i, j] += projection
                    w = w - projection * v
            hessenberg[j + 1, j] = norm = torch.linalg.vector_norm(w)
            if norm <= 1e-14 * beta:
                break
            basis.append(w / norm)
        size = min(len(basis), self.restart)
        target = r.new_zeros(len(basis))
        target[0] = beta
        coefficients = torch.linalg.lstsq(hessenberg[: len(basis), :size], target.unsqueeze(1)).solution.squeeze(1)
        return torch.stack(basis[:size], dim=1) @ coefficients


@dataclass(frozen=True)
class Implicit:
    """Run to a fixed point without a graph and differentiate it by the implicit function theorem.

    For x* = f(x*, theta): dL/dtheta = u^T df/dtheta with u = J^T u + dL/dx*, J = df/dx at x*. Memory O(1) in the number
    of steps. The run stops when the relative change of the state is at most ``tolerance``, or after the unrolled
    steps; ``report`` holds residuals and convergence, and an unconverged pass warns. The only output is the fixed
    point's readout; the initial state gets no gradient. First derivatives only. Bai et al., arXiv:1909.01377.
    """

    solver: LinearSolver = Gmres()  # noqa: RUF009
    tolerance: float = 1e-6

    def run(
        self, algorithm: Algorithm[Any, Any, Any], problem: Any, state: Any, ks: Sequence[int], keep: Keep
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
            probe = tree.leaves(frozen[0].step(frozen[1], inside, k))

        def solve(cotangents: Sequence[Tensor]) -> list[Tensor]:
            def matvec(u: Tensor) -> Tensor:
                parts = _unflatten(u, cotangents)
                with torch.enable_grad():
                    grads = _pull_back_keeping(probe, tree.leaves(inside), parts)
                return _flatten(grads)

            u, report.backward_residual = self.solver(matvec, _flatten(cotangents))
            if not report.backward_residual <= 1e-4:
                _warn("backward", report.backward_residual, 1e-4, "the gradient is inexact")
            return _unflatten(u, cotangents)

        return tree.fill(outside, _ReplaceGradient.apply(solve, *tree.leaves(outside)))


class _ReplaceGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, solve: Callable[[Sequence[Tensor]], list[Tensor]], *tensors: Tensor) -> Any:
        ctx.solve = solve
        return tuple(t.view_as(t) for t in tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise MetaoptError("Implicit gives first derivatives only; for create_graph=True use Checkpointed().")
        return None, *ctx.solve(cotangents)


def _warn(which: str, residual: float | None, tolerance: float, what: str) -> None:
    text = f"Implicit: the {which} pass stopped at a relative residual of {residual:.1e} (wanted {tolerance:.0e}): {what}."
    warnings.warn(text, MetaoptWarning, stacklevel=3)


def _pull_back_keeping(outputs: list[Tensor], inputs: list[Tensor], cotangents: list[Tensor]) -> list[Tensor]:
    grads = pull_back(outputs, inputs, cotangents, create_graph=False, retain_graph=True)
    return [torch.zeros_like(i) if g is None else g for i, g in zip(inputs, grads, strict=True)]


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
    algorithm: Algorithm[Any, Any, Any], problem: Any, state: Any, ks: Sequence[int], until: Callable[[Any, Any, Any], bool]
) -> tuple[Any, Report]:
    """Step without a graph until ``until(problem, before, after)``; returns (detached state, report)."""
    report = Report(0, converged=False)
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
