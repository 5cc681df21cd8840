"""Tune a classical baseline on the very picture that it reconstructs, which shows it at its best."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from ..algorithms import Fista, ProximalGradient, step_size_for
from ..core import Algorithm, MetaoptError, unroll
from ..metrics import magnitude, psnr
from ..operators import Identity
from ..problems import InverseProblem


@dataclass(frozen=True)
class Tuned:
    """Hold the best result over a grid of weights.

    Args:
        estimate: The reconstruction.
        weight: The best weight.
        psnr: Its PSNR in dB.
        seconds: Time of the best run alone.
        steps: Number of steps of a run.
        grid: PSNR in dB of every weight.
    """

    estimate: Tensor
    weight: float
    psnr: float
    seconds: float
    steps: int
    grid: dict[float, float]


def tuned_map(
    problem: InverseProblem,
    target: Tensor,
    prior: Callable[[float], nn.Module],
    steps: int,
    start: float,
    ratio: float = 2**0.5,
) -> Tuned:
    """Compute the MAP estimate by FISTA with ``prior(weight)``, at the weight with the highest PSNR.

    The weights are ``start`` times powers of ``ratio``. The grid grows until its best weight is not at an end.

    Args:
        problem: The problem.
        target: Its solution.
        prior: Makes a prior from a weight.
        steps: Number of steps of FISTA.
        start: The first weight to try.
        ratio: Factor between neighbouring weights.

    Returns:
        The best result.

    Raises:
        MetaoptError: No weight of the grid is better than both its neighbours.
    """
    results: dict[float, Tuned] = {}

    def score(weight: float) -> float:
        begun = time.perf_counter()
        estimate = _solve(problem, prior(weight), steps)
        seconds = time.perf_counter() - begun
        value = float(psnr(magnitude(estimate), magnitude(target)).mean())
        results[weight] = Tuned(estimate, weight, value, seconds, steps, {})
        return value

    best, grid = best_weight(score, start, ratio)
    return dataclasses.replace(results[best], grid=grid)


def best_weight(
    score: Callable[[float], float], start: float, ratio: float = 2**0.5
) -> tuple[float, dict[float, float]]:
    """Return the weight of the highest score among ``start`` times powers of ``ratio``.

    Weights are tried from the middle outwards until the best has a worse one on each side.

    Args:
        score: Maps a weight to its score.
        start: The first weight to try.
        ratio: Factor between neighbouring weights.

    Returns:
        The best weight, and the scores of all weights that were tried.

    Raises:
        MetaoptError: None is found after 40 more weights.
    """
    scores = {i: score(start * ratio**i) for i in (-1, 0, 1)}
    for _ in range(40):
        best = max(scores, key=scores.__getitem__)
        if min(scores) < best < max(scores):
            return start * ratio**best, {start * ratio**i: scores[i] for i in sorted(scores)}
        further = min(scores) - 1 if best == min(scores) else max(scores) + 1
        scores[further] = score(start * ratio**further)
    raise MetaoptError(
        f"No weight within a factor {ratio**40:.0e} of {start} has a neighbour on both sides that is worse."
    )


def _solve(problem: InverseProblem, prior: nn.Module, steps: int) -> Tensor:
    """Return the MAP estimate; for pure denoising the first proximal step from y is already the solution."""
    if isinstance(problem.operator, Identity):
        algorithm: Algorithm = ProximalGradient(prior, step_size_for(problem, iterations=1))
        return unroll(algorithm, 1, keep="last")(problem).final
    return unroll(Fista(prior, step_size_for(problem)), steps, keep="last")(problem).final
