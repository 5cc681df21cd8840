"""Differentiate a fixed point by the implicit function theorem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .. import tree
from ..algorithm import AnyAlgorithm, Keep, advance
from ..autodiff import Gradients, Tensors, check_repeated, custom, leaf, pull_back, refuse_transform, repeatable
from ..errors import MetaoptError, warn
from ..run import Ran, Report, Settled, run_until
from ..slots import slots


class LinearSolver(Protocol):
    """A linear solver solves ``u = matvec(u) + b`` for a flat real vector u and returns u and the relative residual."""

    def __call__(self, matvec: Callable[[Tensor], Tensor], b: Tensor) -> tuple[Tensor, float]: ...


@dataclass(frozen=True)
class Gcr:
    """Solve ``(I - J^T) u = b`` by generalised conjugate residuals; J need not be a contraction.

    The iterates are those of GMRES.

    Args:
        tolerance: The relative residual at which the iteration stops.
        max_steps: The largest number of iterations.
        restart: The largest number of pairs of vectors that are kept.

    Source:
        Eisenstat, Elman and Schultz, 1983, doi:10.1137/0720023.
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

    For ``x* = f(x*, theta)``: ``dL/dtheta = u^T df/dtheta`` with ``u = J^T u + dL/dx*`` and ``J = df/dx`` at x*. Memory
    is O(1) in the number of steps. The run stops when it has :class:`Settled`, or after the unrolled steps; ``report``
    says how each sample ended, and a run that has not converged warns. The only output is the readout of the fixed
    point, and the initial state gets no gradient. Only first derivatives are possible.

    Args:
        solver: What solves for u, such as :class:`Gcr`.
        tolerance: The relative tolerance of :class:`Settled`.
        absolute: The absolute tolerance of :class:`Settled`, in the units of the state.

    Raises:
        MetaoptError: A slot holds one value per step, there is no step, or the run is under ``torch.func``.

    Source:
        Bai et al., Deep equilibrium models, 2019, arXiv:1909.01377.
    """

    solver: LinearSolver = Gcr()
    tolerance: float = 1e-6
    absolute: float = 1e-14

    def run(self, algorithm: AnyAlgorithm, problem: Any, state: Any, ks: range, keep: Keep) -> Ran:
        refuse_transform("Implicit")
        for name, found in slots(algorithm).items():
            if found.steps is not None:
                held = f"slot '{name}' holds one value per step; use shared(...) for it, or Backprop()"
                raise MetaoptError(f"Implicit gradients need every step to be the same function, but {held}.")
        if not ks:
            raise MetaoptError("Implicit needs at least one step to reach a fixed point, but got 0.")
        with repeatable("Implicit", (algorithm, problem, state), draws=False):
            state, report = run_until(algorithm, problem, state, ks, Settled(self.tolerance, self.absolute))
        k = ks[report.steps - 1]
        if report.not_finite_at is not None:
            warn(f"Implicit: the forward pass is not finite after step k={k}; lower the step sizes.")
        elif not report.converged:
            missed = f"at a residual of {report.residual:.1e} (wanted {self.tolerance:.0e})"
            warn(f"Implicit: the forward pass stopped {missed}: after {report.steps} steps; allow more of them.")
        if torch.is_grad_enabled():
            state = self._attach(algorithm, problem, state, k, report)
        return [algorithm.readout(problem, state, k)], state, report

    def _attach(self, algorithm: Any, problem: Any, state: Any, k: int, report: Report) -> Any:
        """Take one step with a graph at the fixed point, and replace its incoming gradient by the solution u."""
        inside = tree.map(lambda t: leaf(t, True), state)
        frozen = tree.detach((algorithm, problem))
        with torch.enable_grad():
            outside = advance(algorithm, problem, state, k)
            probe, inputs = tree.leaves(advance(*frozen, inside, k)), tree.leaves(inside)
        check_repeated(probe, tree.leaves(outside), "Implicit")

        def solve(_: Any, outputs: Tensors, arriving: Gradients) -> list[Tensor]:
            cotangents = [torch.zeros_like(o) if c is None else c for o, c in zip(outputs, arriving, strict=True)]

            def matvec(u: Tensor) -> Tensor:
                grads = pull_back(probe, inputs, _unflatten(u, cotangents), retain_graph=True)
                return _flatten([torch.zeros_like(i) if g is None else g for i, g in zip(inputs, grads, strict=True)])

            u, report.backward_residual = self.solver(matvec, _flatten(cotangents))
            if not report.backward_residual <= 1e-4:
                missed = f"at a relative residual of {report.backward_residual:.1e} (wanted 1e-04)"
                warn(f"Implicit: the backward pass stopped {missed}: the gradient is inexact.")
            return _unflatten(u, cotangents)

        return tree.fill(outside, custom(lambda tensors: tensors, solve, tree.leaves(outside), once="Implicit"))


def _flatten(tensors: Tensors) -> Tensor:
    return torch.cat([(torch.view_as_real(t) if t.is_complex() else t).reshape(-1) for t in tensors])


def _unflatten(vector: Tensor, like: Tensors) -> list[Tensor]:
    sizes = [t.numel() * (2 if t.is_complex() else 1) for t in like]
    parts = zip(vector.split(sizes), like, strict=True)
    return [torch.view_as_complex(p.reshape(*t.shape, 2)) if t.is_complex() else p.reshape(t.shape) for p, t in parts]
