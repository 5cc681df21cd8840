"""Losses of an output that need no target: the problem says how good it is."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..core import MetaoptError


def energy(output: Any, problem: Any) -> Tensor:
    """``problem.energy(output)``, averaged over the batch where the problem gives one energy a sample.

    Of an optimizer's problem it is what the optimizer is to make small; of an inverse problem with Gaussian noise it is
    how far the output is from explaining the measurement, ``|A x - y|^2 / (2 noise^2)``.

    Raises:
        MetaoptError: a problem without an energy.
    """
    return _energy(output, problem, "energy").mean()


def log_energy(output: Any, problem: Any) -> Tensor:
    """log ``problem.energy(output)`` of a positive energy, averaged as :func:`energy` is.

    Late steps, whose energies are small, count as much as early ones.
    """
    return _energy(output, problem, "log_energy").log().mean()


def _energy(output: Any, problem: Any, name: str) -> Tensor:
    if not hasattr(problem, "energy"):
        raise MetaoptError(
            f"The loss {name} is that of problem.energy(output), but {type(problem).__name__} has no energy; use a "
            "loss of outputs and targets, or one of your own."
        )
    return problem.energy(output)
