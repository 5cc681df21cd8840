"""Rate one output by the problem itself, without a target."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..arguments.checks import explained
from ..core import MetaoptError


def energy(output: Any, problem: Any) -> Tensor:
    """Return ``problem.energy(output)``, averaged over the batch where the problem gives one energy per sample.

    For an optimization problem this is the objective. For an inverse problem with Gaussian noise it is the data misfit
    ``|A x - y|^2 / (2 noise^2)``.

    Args:
        output: An output of a run, as ``problem.energy`` takes it.
        problem: The problem that the run solved.

    Returns:
        A scalar tensor.

    Raises:
        MetaoptError: The problem has no energy.
    """
    return _energy(output, problem, "energy").mean()


def log_energy(output: Any, problem: Any) -> Tensor:
    """Return ``log problem.energy(output)`` of a positive energy, averaged over the batch as in :func:`energy`.

    With the logarithm, late steps, whose energies are small, count as much as early steps.

    Args:
        output: An output of a run, as ``problem.energy`` takes it.
        problem: The problem that the run solved.

    Returns:
        A scalar tensor.

    Raises:
        MetaoptError: The problem has no energy.
    """
    return _energy(output, problem, "log_energy").log().mean()


def _energy(output: Any, problem: Any, name: str) -> Tensor:
    if isinstance(problem, type) or not hasattr(problem, "energy"):
        raise MetaoptError(
            f"The loss {name} is that of problem.energy(output), but {type(problem).__name__} has no energy; use a "
            "loss of outputs and targets, or one of your own."
        )
    with explained(f"The energy of {type(problem).__name__} cannot be computed of this output"):
        return problem.energy(output)
