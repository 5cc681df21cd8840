"""Running an algorithm: unrolled for a fixed number of steps, or to convergence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic

import torch
from torch import nn

from . import tree
from .algorithm import Algorithm, Keep, Output, Problem, State, check_algorithm
from .errors import MetaoptError
from .gradients.backprop import Backprop
from .run import Callback, GradientStrategy, Report, Settled, Until, run_until
from .slots import check_steps

BACKPROP = Backprop()


@dataclass(frozen=True)
class Trajectory(Generic[State, Output]):
    """What a run gives: the readout after every step (or only the last), the final state, and a report.

    ``state`` continues the run: ``net(problem, state=trajectory.state, start=trajectory.stop)``.
    """

    outputs: list[Output]
    state: State
    report: Report
    stop: int

    @property
    def final(self) -> Output:
        """The readout after the last step (of the initial state, if no step was taken)."""
        return self.outputs[-1]

    @property
    def not_finite_at(self) -> int | None:
        """The first step whose kept readout holds NaN or infinity; found when it is asked for."""
        first = self.stop - len(self.outputs)
        bad = (k for k, o in enumerate(self.outputs, first) if not all(torch.isfinite(t).all() for t in tree.leaves(o)))
        return next(bad, self.report.not_finite_at)

    @property
    def counted(self) -> list[Output]:
        """The outputs that a loss is taken of: of the steps that are differentiated, or of all without a gradient."""
        return self.outputs if self.report.counted is None else self.outputs[-self.report.counted :]


class Unrolled(nn.Module, Generic[Problem, State, Output]):
    """An algorithm cut off after ``steps`` steps: a module from a problem to a :class:`Trajectory`."""

    def __init__(
        self, algorithm: Algorithm[Problem, State, Output], steps: int, gradient: GradientStrategy, keep: Keep
    ):
        super().__init__()
        self.algorithm, self.steps, self.gradient = algorithm, _count(steps), gradient
        self.keep: Keep = keep

    def forward(
        self, problem: Problem, state: State | None = None, start: int = 0, steps: int | None = None
    ) -> Trajectory[State, Output]:
        stop = _count(start, "The step to start at") + (self.steps if steps is None else _count(steps))
        check_steps(self.algorithm, stop)
        begin = self.algorithm.init(problem) if state is None else state
        outputs, end, report = self.gradient.run(self.algorithm, problem, begin, range(start, stop), self.keep)
        return Trajectory(outputs, end, report, start + report.steps)

    def extra_repr(self) -> str:
        return f"steps={self.steps}, gradient={self.gradient}, keep={self.keep!r}"


def unroll(
    algorithm: Algorithm[Problem, State, Output], steps: int, gradient: GradientStrategy = BACKPROP, keep: Keep = "all"
) -> Unrolled[Problem, State, Output]:
    """Cut ``algorithm`` off after ``steps`` steps and make it a module.

    ``gradient`` says how it is differentiated (see :mod:`metaopt.core.gradients`); ``keep="last"`` keeps only the last
    readout, which saves memory where the loss needs no other. A call may ask for another number of steps.
    """
    check_algorithm(algorithm, "unroll")
    if keep not in ("all", "last"):
        raise MetaoptError(f"unroll keeps 'all' readouts or the 'last', not {keep!r}.")
    return Unrolled(algorithm, steps, gradient, keep)


def solve(
    algorithm: Algorithm[Problem, State, Output],
    problem: Problem,
    max_steps: int,
    until: Until = Settled(),  # noqa: B008
    state: State | None = None,
    start: int = 0,
    callback: Callback = None,
) -> Trajectory[State, Output]:
    """Run ``algorithm`` without a graph until every sample has converged, or for ``max_steps`` steps.

    ``report`` says how each sample ended: converged, out of steps, diverged or not finite.

    Args:
        until: a stopping rule such as :class:`Settled`, or a function ``until(problem, before, after)`` of two states,
            which answers with a bool, or with one a sample.
        state: to start from, with ``start`` the number of the first step; by default ``algorithm.init(problem)`` and 0.
        callback: called after each step with (k, state, the largest residual of the samples or ``None``).

    Raises: MetaoptError where a slot holds fewer steps, or the algorithm breaks its contract.
    """
    check_algorithm(algorithm, "solve")
    ks = range(_count(start, "The step to start at"), start + _count(max_steps))
    check_steps(algorithm, ks.stop)
    begin = algorithm.init(problem) if state is None else state
    end, report = run_until(algorithm, problem, begin, ks, until, callback)
    stop = start + report.steps
    with torch.no_grad():
        return Trajectory([algorithm.readout(problem, end, max(0, stop - 1))], end, report, stop)


def _count(steps: Any, what: str = "The number of steps") -> int:
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise MetaoptError(f"{what} must be a whole number of at least 0, but got {steps!r}.")
    return steps
