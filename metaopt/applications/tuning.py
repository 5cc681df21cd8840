"""The classical baseline of a trained network, given its best chance: its weight is tuned on the picture itself."""

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
    """The best of a grid of weights: ``psnr`` in dB, ``seconds`` of the best run alone, ``grid`` as {weight: psnr}."""

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
    """Maximum a posteriori by FISTA with ``prior(weight)``, at the weight of the highest PSNR.

    The weights are ``start`` times powers of ``ratio``; the grid grows until its best is not at an end.
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
    """The weight of the highest score among ``start`` times powers of ``ratio``, and all that were tried.

    They are tried from the middle outwards until the best has a worse one on both sides.
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
    """For a pure denoising problem the first proximal step from y is the solution already."""
    if isinstance(problem.operator, Identity):
        algorithm: Algorithm = ProximalGradient(prior, step_size_for(problem, iterations=1))
        return unroll(algorithm, 1, keep="last")(problem).final
    return unroll(Fista(prior, step_size_for(problem)), steps, keep="last")(problem).final
