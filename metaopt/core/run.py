"""Run an algorithm until it has converged, by a rule that decides when, and report how the run ended."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..foundation.changes import Pauses, measured, spread, to_come
from . import tree
from .algorithm import AnyAlgorithm, Keep, advance
from .errors import MetaoptError
from .slots import slots

GROWTH = 1e3  # a run whose changes grow by more, and which does not converge, diverges


class Status(enum.Enum):
    """A status says how the run of a sample ended, from good to bad.

    - ``CONVERGED``: The stopping rule was met.
    - ``OUT_OF_STEPS``: The rule was not met within the allowed number of steps.
    - ``DIVERGED``: The rule was not met, and the last change of a tensor was more than a thousand times its first.
    - ``NOT_FINITE``: An entry of the state became NaN or infinite.
    """

    CONVERGED = "converged"
    OUT_OF_STEPS = "out of steps"
    DIVERGED = "diverged"
    NOT_FINITE = "not finite"


class PerSample(Tensor):
    """This tensor holds one truth value per sample, (B,), and as a condition it is true if all of them are.

    ``if report.converged:`` thus asks for all samples. It masks and reduces like any tensor of bools:
    ``x[~report.converged]``, ``report.converged.sum()``.
    """

    def __bool__(self) -> bool:
        return bool(self.as_subclass(Tensor).all())


@dataclass(eq=False)
class Report:
    """A report says how a run went.

    Args:
        steps: How many steps were taken.
        statuses: The :class:`Status` of each sample; ``None`` where there was no stopping rule.
        residuals: What the stopping rule measured for each sample when it last looked, (B,).
        not_finite_at: The step k in which an entry of the state became NaN or infinite, which ended the run.
        backward_residual: The relative residual of the linear system of :class:`Implicit`, or the relative drift of
            :class:`Reversible`; the backward pass fills it in.
        counted: The number of last steps whose readouts a loss counts; ``None`` where it counts every step's.
    """

    steps: int
    statuses: tuple[Status, ...] | None = None
    residuals: Tensor | None = None
    not_finite_at: int | None = None
    backward_residual: float | None = None
    counted: int | None = None

    @property
    def status(self) -> Status | None:
        """Return the worst status among the samples, or ``None`` without a stopping rule."""
        return None if self.statuses is None else max(self.statuses, key=list(Status).index, default=Status.CONVERGED)

    @property
    def converged(self) -> PerSample | None:
        """Return which samples met the stopping rule, (B,); as a condition it asks for all. ``None`` without a rule."""
        flags = torch.tensor([s is Status.CONVERGED for s in self.statuses or ()], dtype=torch.bool)
        return None if self.statuses is None else flags.as_subclass(PerSample)

    @property
    def residual(self) -> float | None:
        """Return the largest of the residuals."""
        return None if self.residuals is None or not len(self.residuals) else float(self.residuals.max())


Ran = tuple[list[Any], Any, Report]


class GradientStrategy(Protocol):
    """A gradient strategy owns the loop over the steps, so that no algorithm knows how it is differentiated.

    ``run`` returns (readouts, final state, report).
    """

    def run(self, algorithm: AnyAlgorithm, problem: Any, state: Any, ks: range, keep: Keep) -> Ran: ...


Callback = Callable[[int, Any, float | None], None] | None


@dataclass(frozen=True)
class Settled:
    """This stopping rule holds when every tensor of the state changes by at most ``absolute + relative * size``.

    It is judged in every sample separately. Changes and sizes are root mean squares over the entries of a sample. The
    changes that are still to come count as well: with q the part of the last change that the next one repeats, which is
    the rate of a linear convergence, they sum up to q / (1 - q) of it. So a step of ``x - 1e-7 * x`` never settles, and
    only a change of 0, or at the rounding errors of float64, does at the first step. A sample that a step does not
    change at all, as while the rate of a schedule is 0, has settled only if neither the next step nor the last one
    allowed nor that halfway would change it; they are tried, not taken. Where the algorithm has a method
    ``residual(problem, state, k)``, this decides instead, because a step may be small without being near the solution:
    the residual of each sample must be at most ``residual``. Where a slot holds one value per step, the rule waits
    until all of them have been used, since a state that has settled at one value need not be settled at the next.

    Args:
        relative: The tolerance relative to the size of a tensor.
        absolute: The tolerance in the units of the state, by which a fixed point at 0 can be reached.
        residual: The tolerance in the units of the algorithm's residual; by default ``relative``.
        every: The rule is checked at every so many steps and at the last; larger than 1 pays where a residual costs as
            much as a step.

    Raises:
        MetaoptError: A tolerance is below 0, both are 0, or ``every`` is below 1.
    """

    relative: float = 1e-6
    absolute: float = 1e-14
    residual: float | None = None
    every: int = 1

    def __post_init__(self) -> None:
        if not (min(self.relative, self.absolute) >= 0 < max(self.relative, self.absolute)) or self.every < 1:
            raise MetaoptError(f"Tolerances are at least 0, not both are 0, and every is at least 1, but got {self}.")

    def judge(self, residuals: Tensor | None, changes: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Return which samples have settled, and what was compared with the tolerance, (B,) each."""
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
    """Take the steps ``ks`` from ``state`` without a graph until the stopping rule is met.

    A state that is not finite ends the run, and the report names the step. An entry that is infinite from the start and
    stays so does not count. Every step waits for the device.

    Args:
        algorithm: The algorithm.
        problem: Its problem.
        state: The state before the first of the steps.
        ks: The numbers of the steps.
        until: A :class:`Settled`, or a function ``until(problem, before, after)`` that returns a bool, or (B,) of them.
        callback: A function that is called after each step with (k, state, the largest residual when the rule last
            looked, or ``None``).

    Returns:
        The last state and the report.
    """
    count, state, report = algorithm.samples(problem, state), tree.detach(state), Report(0, counted=1)
    broken = grown = converged = first = torch.zeros(count, dtype=torch.bool)
    before, earlier, own, pauses = state, torch.zeros(()), (), Pauses()
    settled = isinstance(until, Settled)
    if not (settled or callable(until)) or not (callback is None or callable(callback)):
        raise MetaoptError(f"until is Settled(...) or a function, callback a function, not {until!r}, {callback!r}.")
    varying = max((slot.steps or 0 for slot in slots(algorithm).values()), default=0) if settled else 0
    with torch.no_grad():
        for k in ks:
            previous, before, state = before, state, advance(algorithm, problem, state, k)
            report.steps += 1
            changes, sizes, repeated = measured(*map(tree.leaves, (state, before, previous)), count)
            broken = ~torch.isfinite(changes + sizes).all(0)
            if bool(broken.any()):
                report.not_finite_at = k
                break
            first = torch.where(first > 0, first, changes)
            grown = (changes > GROWTH * first).any(0)
            if not settled:
                converged = torch.as_tensor(until(problem, before, state), device=changes.device).bool().expand(count)
                report.residuals = _worst(changes, sizes)
            elif k == ks[-1] or (k + 1) % until.every == 0:
                own = getattr(algorithm, "residual", lambda *_: None)(problem, state, k)
                converged, report.residuals = until.judge(own, to_come(changes, earlier, repeated, sizes), sizes)
            earlier = changes
            if callback is not None:
                callback(k, state, report.residual)
            if k + 1 >= varying and bool(converged.all()):
                if own is None:
                    steps = (advance(algorithm, problem, state, later) for later in spread(range(k + 1, ks.stop)))
                    converged = ~pauses.among(tree.leaves(state), (changes == 0).all(0), map(tree.leaves, steps))
                if bool(converged.all()):
                    break
    failed = torch.where(grown, 2, torch.where(broken, 3, 1))  # positions in Status
    report.statuses = tuple(list(Status)[i] for i in torch.where(converged & ~broken, 0, failed).tolist())
    return tree.detach(state), report
