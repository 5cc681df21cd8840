"""Weigh the steps of a run in its loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor

from ..arguments.checks import check_count, check_function, check_instance, said
from ..core import MetaoptError, Trajectory

StepWeights = str | Sequence[float]
NAMES = ("uniform", "linear", "last")


def step_weights(weights: StepWeights, steps: int) -> list[float]:
    """Return ``steps`` weights that add up to 1.

    Args:
        weights: ``"uniform"``, ``"last"``, ``"linear"`` (step k counts k + 1 times, so later steps count more), or a
            list of ``steps`` nonnegative numbers.
        steps: The number of outputs to weigh.

    Returns:
        A list of ``steps`` floats.

    Raises:
        MetaoptError: The name is unknown, the list has another length than ``steps``, a weight is negative or not
            finite, or all weights are zero.
    """
    check_count("The number of outputs to weigh", steps)
    check_weights(weights)
    named: dict[str, list[float]] = {
        "uniform": [1.0] * steps,
        "linear": [k + 1.0 for k in range(steps)],
        "last": [0.0] * (steps - 1) + [1.0],
    }
    values = named[weights] if isinstance(weights, str) else _numbers(weights)
    assert values is not None  # as checked
    if len(values) != steps:
        raise MetaoptError(
            f"There are {steps} outputs to weigh (in a truncated run those of the steps that are differentiated), but "
            f"{len(values)} step weights were given; give one for each, or 'uniform', 'linear' or 'last'."
        )
    total = sum(values)
    if not all(math.isfinite(value) and value >= 0 for value in values) or not total > 0:
        raise MetaoptError(
            f"Step weights are finite and not negative, and one of them at least is positive, but got {values} with "
            f"sum {total}."
        )
    return [value / total for value in values]


def check_weights(weights: Any) -> None:
    """Check that ``weights`` are the name of step weights or a list of numbers.

    Args:
        weights: What was given as step weights.

    Raises:
        MetaoptError: They are neither.
    """
    if weights not in NAMES if isinstance(weights, str) else _numbers(weights) is None:
        raise MetaoptError(f"Step weights are 'uniform', 'linear', 'last' or a list of numbers, not {said(weights)}.")


def _numbers(weights: Any) -> list[float] | None:
    try:
        return [float(value) for value in weights] if isinstance(weights, Iterable) else None
    except (TypeError, ValueError, RuntimeError):
        return None


def weighted_mean(
    trajectory: Trajectory[Any, Any], measure: Callable[[Any], Tensor], weights: StepWeights = "uniform"
) -> Tensor:
    """Return the weighted mean of a measure over the counted outputs of a run, ``sum_t w_t measure(output_t)``.

    The sum runs over ``trajectory.counted``, and the weights add up to 1.

    Args:
        trajectory: The result of a run. After a truncated run only the differentiated steps count; without a gradient
            all steps count.
        measure: A function of one output that returns a tensor.
        weights: As in :func:`step_weights`. An output of weight 0 is not measured.

    Returns:
        A tensor of the shape that ``measure`` returns.

    Raises:
        MetaoptError: The weights are invalid, or they refer to steps whose readouts were not kept.
    """
    check_instance("weighted_mean takes the result of a run, which", trajectory, Trajectory)
    check_function("The measure of weighted_mean", measure, "output")
    outputs, report = trajectory.counted, trajectory.report
    steps = max(1, report.steps) if report.counted is None else report.counted
    if len(outputs) < steps and not (isinstance(weights, str) and weights == "last"):
        raise MetaoptError(
            f"Step weights {weights!r} are of {steps} steps, but the readout of only {len(outputs)} was kept; write "
            "weights='last', or unroll with keep='all'."
        )
    weighted = zip(step_weights(weights, len(outputs)), outputs, strict=True)
    terms = [weight * measure(output) for weight, output in weighted if weight]
    return sum(terms[1:], terms[0])
