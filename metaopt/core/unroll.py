"""Run an algorithm: unrolled for a fixed number of steps, or to convergence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic

import torch
from torch import nn
from torch.utils._pytree import register_pytree_node

from . import tree
from .algorithm import Algorithm, AnyAlgorithm, Keep, Output, Problem, State, check_algorithm, intact
from .errors import MetaoptError
from .gradients.backprop import Backprop
from .openings import count
from .run import Callback, GradientStrategy, Report, Settled, Until, run_until
from .slots import check_steps

BACKPROP = Backprop()


@dataclass  # not frozen: Lightning Fabric maps over what a network returns, and puts the fields back
class Trajectory(Generic[State, Output]):
    """A trajectory holds what a run gives: readouts, the final state and a report.

    ``net(problem, state=trajectory.state, start=trajectory.stop)`` continues the run.

    Args:
        outputs: The readouts after every step, or only after the last.
        state: The final state.
        report: What is known of the run.
        stop: The number of the next step.
    """

    outputs: list[Output]
    state: State
    report: Report
    stop: int

    @property
    def final(self) -> Output:
        """Return the readout after the last step, or of the initial state if no step was taken."""
        return self.outputs[-1]

    @property
    def not_finite_at(self) -> int | None:
        """Return the first step whose kept readout holds NaN or infinity; it is searched for at each call."""
        finite = [all(t.isfinite().all() for t in tree.leaves(output)) for output in self.outputs]
        return self.report.not_finite_at if all(finite) else self.stop - len(finite) + finite.index(False)

    @property
    def counted(self) -> list[Output]:
        """Return the outputs that a loss counts: those of differentiated steps, or all of them without a gradient."""
        return self.outputs if self.report.counted is None else self.outputs[-self.report.counted :]


# DistributedDataParallel (a static graph, unused parameters) and FSDP2 look for the tensors of a result in this way.
register_pytree_node(Trajectory, lambda t: ([t.outputs, t.state], (t.report, t.stop)), lambda a, b: Trajectory(*a, *b))


class Unrolled(nn.Module, Generic[Problem, State, Output]):
    """This module runs an algorithm for ``steps`` steps: it maps a problem to a :class:`Trajectory`."""

    __call__: Callable[..., Trajectory[State, Output]]  # for type checkers: nn.Module says Any

    def __init__(self, algorithm: Algorithm[Any, Any, Any], steps: int, gradient: GradientStrategy, keep: Keep):
        super().__init__()
        self.algorithm, self.steps, self.gradient = algorithm, count(steps), gradient
        self.keep: Keep = keep

    def forward(
        self, problem: Problem, state: State | None = None, start: int = 0, steps: int | None = None
    ) -> Trajectory[State, Output]:
        stop = count(start, what="The step to start at") + (self.steps if steps is None else count(steps))
        check_steps(self.algorithm, stop)
        problem, begin, own = _entered(self.algorithm, problem, state)
        with _fitting(self.algorithm, problem, state):
            outputs, end, report = self.gradient.run(self.algorithm, problem, begin, range(start, stop), self.keep)
        return Trajectory([own(output) for output in outputs], own(end), report, start + report.steps)

    def extra_repr(self) -> str:
        return f"steps={self.steps}, gradient={self.gradient}, keep={self.keep!r}"


def _entered(algorithm: AnyAlgorithm, problem: Any, state: Any) -> tuple[Any, Any, Callable[[Any], Any]]:
    """Return the problem and the state to start from in trained units, and what brings results back to the caller's."""
    trained = algorithm.trained_range
    problem, state, own = (problem, state, lambda value: value) if trained is None else trained.enter(problem, state)
    return problem, algorithm.init(problem) if state is None else state, own


@contextmanager
def _fitting(algorithm: AnyAlgorithm, problem: Any, state: Any) -> Iterator[None]:
    """Say, where a run fails, that the state it was given is not one of this algorithm and problem."""
    try:
        yield
    except (RuntimeError, TypeError, LookupError, AttributeError, ValueError) as error:
        if state is None or tree.same(own := algorithm.init(problem), state):
            raise
        held, given = ([type(s).__name__, *map(tree.describe, tree.leaves(s))] for s in (own, state))
        what = f"the state of {type(algorithm).__name__} to start from holds {', '.join(held)}"
        raise MetaoptError(f"For this problem {what}, but got {', '.join(given)}.") from error


def unroll(
    algorithm: Algorithm[Problem, State, Output], steps: int, gradient: GradientStrategy = BACKPROP, keep: Keep = "all"
) -> Unrolled[Problem, State, Output]:
    """Make a module that runs ``algorithm`` for a fixed number of steps.

    Args:
        algorithm: The algorithm.
        steps: The number of steps; a call may ask for another.
        gradient: How the run is differentiated (see :mod:`metaopt.core.gradients`).
        keep: "all" keeps the readout of every step; "last" keeps only the last, which saves memory where the loss needs
            no other.

    Raises:
        MetaoptError: It is no Algorithm, its readout lacks the argument k, or ``steps`` or ``keep`` is not of this
            kind.
    """
    check_algorithm(algorithm, "unroll")
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

    ``report`` says how each sample ended: converged, out of steps, diverged or not finite. Where the algorithm has a
    ``trained_range``, as those of loaded networks, the run is in trained units, and everything that is handed out is in
    those of the problem.

    Args:
        algorithm: The algorithm.
        problem: Its problem.
        max_steps: The largest number of steps.
        until: A stopping rule such as :class:`Settled`, or a function ``until(problem, before, after)`` of two states
            that returns a bool, or one per sample.
        state: The state to start from; by default ``algorithm.init(problem)``.
        start: The number of the first step.
        callback: A function that is called after each step with (k, state, the largest residual of the samples or
            ``None``).

    Returns:
        The trajectory, whose only output is the last readout.

    Raises:
        MetaoptError: A slot holds fewer steps, or the algorithm breaks its contract.
    """
    check_algorithm(algorithm, "solve")
    ks = range(count(start, what="The step to start at"), start + count(max_steps))
    check_steps(algorithm, ks.stop)
    (given, begin, own), check = _entered(algorithm, problem, state), intact("the problem", problem)
    rule = (lambda _, *states: until(problem, *map(own, states))) if callable(until) else until
    show = (lambda k, state, residual: callback(k, own(state), residual)) if callable(callback) else callback
    with _fitting(algorithm, given, state):
        end, report = run_until(algorithm, given, begin, ks, rule, show)
    check()
    stop = start + report.steps
    with torch.no_grad():
        return Trajectory([own(algorithm.readout(given, end, max(0, stop - 1)))], own(end), report, stop)
