"""The methods that a problem may leave out, and what then holds.

Every problem has ``start()`` and ``gradient(x)``. It may add ``context()`` (tensors an update may look at),
``at(k)`` (the problem of step k: a minibatch, an ordered subset), ``variance()`` (noise^2, the unit of step sizes,
where it is not that of the context) and, where computing the gradient changes buffers
such as BatchNorm's, ``buffers()`` and ``gradient_and_buffers(x, buffers)``. Where no axis of x is the batch
``samples(x)`` says so by 1.
"""

from __future__ import annotations

from typing import Any

from ..core import tree


def context(problem: Any) -> tuple[Any, ...]:
    """Tensors that an update may look at besides the gradient; by default none."""
    return problem.context() if hasattr(problem, "context") else ()


def variance(problem: Any) -> Any:
    """noise^2 as the unit of step sizes; by default unknown, ``None``."""
    return problem.variance() if hasattr(problem, "variance") else None


def at(problem: Any, k: int) -> Any:
    """The problem as step k sees it; by default the same for every step."""
    return problem.at(k) if hasattr(problem, "at") else problem


def samples(problem: Any, x: Any) -> int:
    """How many samples x holds, by default as many as its first tensor's first axis is long; 1: x is one whole."""
    return problem.samples(x) if hasattr(problem, "samples") else tree.batch_of(x)


def buffers(problem: Any) -> Any:
    """What computing the gradient changes, before the first step; by default nothing."""
    return problem.buffers() if hasattr(problem, "buffers") else ()


def gradient_and_buffers(problem: Any, x: Any, buffers: Any) -> tuple[Any, Any]:
    """The gradient at x, and the buffers after it was computed."""
    if hasattr(problem, "gradient_and_buffers"):
        return problem.gradient_and_buffers(x, buffers)
    return problem.gradient(x), buffers
