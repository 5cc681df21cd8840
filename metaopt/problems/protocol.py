"""Define the methods that a problem may leave out, and what holds by default.

Every problem has ``start()`` and ``gradient(x)``. It may add

- ``context()``: tensors that an update may look at;
- ``at(k)``: the problem of step k, such as a minibatch or an ordered subset;
- ``variance()``: noise^2, the unit of step sizes, where the context does not give it;
- ``buffers()`` and ``gradient_and_buffers(x, buffers)``: where computing the gradient changes buffers, such as those of
  BatchNorm;
- ``samples(x)``: 1, where no axis of x is the batch.
"""

from __future__ import annotations

from typing import Any

from ..arguments.checks import said
from ..core import MetaoptError, tree


def begin(problem: Any, who: str) -> Any:
    """Return ``problem.start()``, or raise if what ``who`` was given to solve is no problem."""
    check_problem(problem, who)
    return problem.start()


def check_problem(problem: Any, who: str) -> None:
    """Raise if what ``who`` was given to solve is no problem."""
    if isinstance(problem, type) or not (hasattr(problem, "start") and hasattr(problem, "gradient")):
        raise MetaoptError(
            f"{who} solves a problem with start() and gradient(x), such as an InverseProblem, Objective or "
            f"FunctionObjective, not {said(problem)}."
        )


def check_steps_fit(who: str, step_size: Any, x: Any) -> None:
    """Raise unless ``step_size`` broadcasts to ``x`` without enlarging it."""
    shape, axes = tuple(step_size.shape), tuple(x.shape)
    padded = (1,) * (len(axes) - len(shape)) + shape
    if len(shape) > len(axes) or any(n not in (1, m) for n, m in zip(padded, axes, strict=True)):
        raise MetaoptError(
            f"A step size of {who} is {shape}, but x is {axes}; give one number, or a tensor that broadcasts to x, as "
            f"does {(len(x), *[1] * (len(axes) - 1))} for one a sample."
        )


def context(problem: Any) -> tuple[Any, ...]:
    """Return the tensors that an update may look at besides the gradient; by default none."""
    return problem.context() if hasattr(problem, "context") else ()


def variance(problem: Any) -> Any:
    """Return noise^2 as the unit of step sizes; by default it is unknown, ``None``."""
    return problem.variance() if hasattr(problem, "variance") else None


def at(problem: Any, k: int) -> Any:
    """Return the problem as step k sees it; by default it is the same for every step."""
    return problem.at(k) if hasattr(problem, "at") else problem


def samples(problem: Any, x: Any) -> int:
    """Return how many samples x holds: by default the length of its first tensor's first axis; 1 if x is one whole."""
    return problem.samples(x) if hasattr(problem, "samples") else tree.batch_of(x)


def buffers(problem: Any) -> Any:
    """Return what computing the gradient changes, as it is before the first step; by default nothing."""
    return problem.buffers() if hasattr(problem, "buffers") else ()


def gradient_and_buffers(problem: Any, x: Any, buffers: Any) -> tuple[Any, Any]:
    """Return the gradient at x, and the buffers after it was computed."""
    if hasattr(problem, "gradient_and_buffers"):
        return problem.gradient_and_buffers(x, buffers)
    return problem.gradient(x), buffers
