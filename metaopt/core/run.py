"""The one loop that runs an algorithm until it has converged, the rule that says when it has, and how a run ended."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from . import tree
from .algorithm import AnyAlgorithm, Keep, advance
from .errors import MetaoptError
from .slots import slots

GROWTH = 1e3  # a run whose changes grow by more, and which does not converge, diverges


class Status(enum.Enum):
    """How the run of a sample ended, from good to bad.

    - ``CONVERGED``: the stopping rule was met.
    - ``OUT_OF_STEPS``: it was not met after the most steps that were allowed.
    - ``DIVERGED``: nor was it, and the last change of a tensor was more than a thousand times its first.
    - ``NOT_FINITE``: an entry of the state became NaN or infinite.
    """

    CONVERGED = "converged"
    OUT_OF_STEPS = "out of steps"
    DIVERGED = "diverged"
    NOT_FINITE = "not finite"


class PerSample(Tensor):
    """One truth value a sample, (B,), which as a condition asks for all: ``if report.converged:``.

    It masks and reduces like any tensor of bools: ``x[~report.converged]``, ``report.converged.sum()``.
    """

    def __bool__(self) -> bool:
        return bool(self.as_subclass(Tensor).all())


@dataclass(eq=False)
class Report:
    """What is known of a run.

    - ``steps``: how many were taken.
    - ``statuses``: how each sample ended, one :class:`Status` each; ``None`` where there was no stopping rule.
    - ``residuals``: (B,), what the stopping rule measured of each sample when it last looked.
    - ``not_finite_at``: the step k in which an entry of the state became NaN or infinite, which ended the run.
    - ``backward_residual``: relative residual of the linear system of :class:`Implicit`, or the relative drift of
      :class:`Reversible`; filled in by the backward pass.
    - ``counted``: the readouts of so many last steps are those that a loss is taken of; ``None`` where every step's is.
    """

    steps: int
    statuses: tuple[Status, ...] | None = None
    residuals: Tensor | None = None
    not_finite_at: int | None = None
    backward_residual: float | None = None
    counted: int | None = None

    @property
    def status(self) -> Status | None:
        """That of the sample which ended worst."""
        return None if self.statuses is None else max(self.statuses, key=list(Status).index, default=Status.CONVERGED)

    @property
    def converged(self) -> PerSample | None:
        """(B,): which samples met the stopping rule; as a condition, whether all did. ``None`` without a rule."""
        if self.statuses is None:
            return None
        return torch.tensor([s is Status.CONVERGED for s in self.statuses], dtype=torch.bool).as_subclass(PerSample)

    @property
    def residual(self) -> float | None:
        """The largest of the residuals."""
        return None if self.residuals is None or not len(self.residuals) else float(self.residuals.max())


Ran = tuple[list[Any], Any, Report]


class GradientStrategy(Protocol):
    """Owns the loop, so that no algorithm knows how it is differentiated: gives (readouts, final state, report)."""

    def run(self, algorithm: AnyAlgorithm, problem: Any, state: Any, ks: range, keep: Keep) -> Ran: ...


Callback = Callable[[int, Any, float | None], None] | None


@dataclass(frozen=True)
class Settled:
    """Stopping rule: in every sample, every tensor of the state changed by at most ``absolute + relative * size``.

    Changes and sizes are root mean squares over the entries of a sample. Where the algorithm has
    ``residual(problem, state, k)`` that decides instead, because a step may be small for other reasons than that
    little is left to do: each sample's must be at most ``residual``. Slots with one value a step are waited for: what
    has settled at one value need not at the next.

    Args:
        relative: to the size of the tensor.
        absolute: in the units of the state; what lets a fixed point at 0 be reached.
        residual: in the units of the algorithm's; by default ``relative``.
        every: the rule looks at every so many steps, and at the last: worth it where a residual costs a step.

    Raises: MetaoptError for a tolerance below 0, or none above it.
    """

    relative: float = 1e-6
    absolute: float = 1e-14
    residual: float | None = None
    every: int = 1

    def __post_init__(self) -> None:
        if not (min(self.relative, self.absolute) >= 0 < max(self.relative, self.absolute)) or self.every < 1:
            raise MetaoptError(f"Tolerances are at least 0, not both are 0, and every is at least 1, but got {self}.")

    def judge(self, residuals: Tensor | None, changes: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """(which samples have settled, what was compared with the tolerance), (B,) each."""
        if residuals is not None:
            return residuals <= (self.relative if self.residual is None else self.residual), residuals
        goal = self.relative or self.absolute
        residuals = goal * _worst(changes, self.absolute + self.relative * sizes)
        return residuals <= goal, residuals


Until = Settled | Callable[[Any, Any, Any], Any]


def _worst(changes: Tensor, scales: Tensor) -> Tensor:
    """(B,): the largest of the changes in units of the scales, over the tensors."""
    return torch.where(changes == 0, 0.0, changes / scales).amax(0)


def run_until(
    algorithm: AnyAlgorithm, problem: Any, state: Any, ks: range, until: Until, callback: Callback = None
) -> tuple[Any, Report]:
    """Take the steps ``ks`` from ``state`` without a graph until the rule is met; gives (the last state, a report).

    A state that is not finite ends the run, and the report names the step; an entry that is infinite from the start and
    stays so is no such state. Every step waits for the device.

    Args:
        until: :class:`Settled`, or a function ``until(problem, before, after)`` that gives a bool, or (B,) of them.
        callback: called after each step with (k, state, the largest residual when the rule last looked, or ``None``).
    """
    count, state, report = algorithm.samples(problem, state), tree.detach(state), Report(0, counted=1)
    broken = grown = converged = first = torch.zeros(count, dtype=torch.bool)
    settled = isinstance(until, Settled)
    varying = max((slot.steps or 0 for slot in slots(algorithm).values()), default=0) if settled else 0
    with torch.no_grad():
        for k in ks:
            before, state = state, advance(algorithm, problem, state, k)
            report.steps += 1
            changes, sizes = _measured(state, before, count)
            broken = ~torch.isfinite(changes + sizes).all(0)
            if bool(broken.any()):
                report.not_finite_at = k
                break
            first = torch.where(first > 0, first, changes)
            grown = (changes > GROWTH * first).any(0)
            if not settled:
                answer = torch.as_tensor(until(problem, before, state), dtype=torch.bool, device=changes.device)
                converged = answer.expand(count)
                report.residuals = _worst(changes, sizes)
            elif k == ks[-1] or (k + 1) % until.every == 0:
                own = algorithm.residual(problem, state, k) if hasattr(algorithm, "residual") else None
                converged, report.residuals = until.judge(own, changes, sizes)
            if callback is not None:
                callback(k, state, report.residual)
            if k + 1 >= varying and bool(converged.all()):
                break
    failed = torch.where(grown, 2, torch.where(broken, 3, 1))  # the places of a status
    report.statuses = tuple(list(Status)[i] for i in torch.where(converged & ~broken, 0, failed).tolist())
    return tree.detach(state), report


def _measured(after: Any, before: Any, count: int) -> Tensor:
    """(2, tensors, B): root mean square, in each sample, of what each tensor changed by and of what it changed to.

    A tensor without the batch's axis counts as one whole, for every sample.
    """
    found = []
    for pair in zip(tree.leaves(after), tree.leaves(before), strict=True):
        a, b = (torch.view_as_real(t.resolve_conj()) if t.is_complex() else t for t in pair)
        rows = count if pair[0].ndim and len(a) == count else 1
        a, b = (t.double().reshape(rows, t.numel() // max(1, rows)) for t in (a, b))
        stays = torch.isinf(a) & (a == b)  # as a logarithm of 0 does
        norms = torch.stack([torch.linalg.vector_norm(t.masked_fill(stays, 0), dim=1) for t in (a - b, a)])
        found.append((norms / max(1, a.shape[1]) ** 0.5).expand(2, count))
    return torch.stack(found or [torch.zeros(2, count)], 1)
