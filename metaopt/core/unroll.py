"""Running an algorithm: unrolled for a fixed number of steps, or to convergence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from torch import nn

from .algorithm import Algorithm, Keep, Output, Problem, State
from .errors import MetaoptError
from .gradients.backprop import Backprop
from .gradients.implicit import Settled, fixed_point
from .gradients.strategy import GradientStrategy, Report
from .slots import check_steps


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
        stop = start + (self.steps if steps is None else _count(steps))
        check_steps(self.algorithm, stop)
        begin = self.algorithm.init(problem) if state is None else state
        outputs, end, report = self.gradient.run(self.algorithm, problem, begin, range(start, stop), self.keep)
        return Trajectory(outputs, end, report, start + report.steps)

    def extra_repr(self) -> str:
        return f"steps={self.steps}, gradient={self.gradient}, keep={self.keep!r}"


def unroll(
    algorithm: Algorithm[Problem, State, Output],
    steps: int,
    gradient: GradientStrategy = Backprop(),  # noqa: B008
    keep: Keep = "all",
) -> Unrolled[Problem, State, Output]:
    """Cut ``algorithm`` off after ``steps`` steps and make it a module.

    ``gradient`` says how it is differentiated (see :mod:`metaopt.core.gradients`); ``keep="last"`` keeps only the last
    readout, which saves memory where the loss needs no other. A call may ask for another number of steps.
    """
    if not isinstance(algorithm, Algorithm):
        raise MetaoptError(f"unroll needs an Algorithm, not {type(algorithm).__name__}; see Algorithm.from_step.")
    if keep not in ("all", "last"):
        raise MetaoptError(f"unroll keeps 'all' readouts or the 'last', not {keep!r}.")
    return Unrolled(algorithm, steps, gradient, keep)


def solve(
    algorithm: Algorithm[Problem, State, Output],
    problem: Problem,
    max_steps: int,
    until: Callable[[Problem, State, State], bool] = Settled(1e-6),  # noqa: B008
) -> Trajectory[State, Output]:
    """Run ``algorithm`` without a graph until ``until(problem, before, after)`` or ``max_steps``."""
    check_steps(algorithm, _count(max_steps))
    state, report = fixed_point(algorithm, problem, algorithm.init(problem), range(max_steps), until)
    return Trajectory([algorithm.readout(problem, state)], state, report, report.steps)


def _count(steps: int) -> int:
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise MetaoptError(f"The number of steps must be a whole number of at least 0, but got {steps!r}.")
    return steps
