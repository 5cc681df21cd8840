"""The classical rival of a learned machine, given its best chance: its weight is tuned on the picture itself."""

from __future__ import annotations

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
    results: dict[int, Tuned] = {}

    def run(i: int) -> float:
        weight = start * ratio**i
        begun = time.perf_counter()
        estimate = _solve(problem, prior(weight), steps)
        seconds = time.perf_counter() - begun
        score = float(psnr(magnitude(estimate), magnitude(target)).mean())
        results[i] = Tuned(estimate, weight, score, seconds, steps, {})
        return score

    low, high, best = -1, 1, 0
    for i in (-1, 0, 1):
        run(i)
    for _ in range(40):
        best = max(results, key=lambda i: results[i].psnr)
        if low < best < high:
            break
        low, high = (low - 1, high) if best == low else (low, high + 1)
        run(low if best == low + 1 else high)
    else:
        raise MetaoptError(
            f"No weight within a factor {ratio**40:.0e} of {start} has a neighbour on both sides that is worse."
        )
    found = results[best]
    grid = {results[i].weight: results[i].psnr for i in sorted(results)}
    return Tuned(found.estimate, found.weight, found.psnr, found.seconds, found.steps, grid)


def _solve(problem: InverseProblem, prior: nn.Module, steps: int) -> Tensor:
    """For a pure denoising problem the first proximal step from y is the solution already."""
    if isinstance(problem.operator, Identity):
        algorithm: Algorithm = ProximalGradient(prior, step_size_for(problem, iterations=1))
        return unroll(algorithm, 1, keep="last")(problem).final
    return unroll(Fista(prior, step_size_for(problem)), steps, keep="last")(problem).final
