"""The classical algorithms of this library that deconvolve visibilities: CLEAN, and what is not negative.

Each takes one convolution with the point spread function a step, once the visibilities are gridded. A prior's weight is
in units of the noise of a pixel of A^H y, and that of multi-scale CLEAN is its threshold in standard deviations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

import metaopt as mo
from metaopt.algorithms import Clean, step_size_for
from metaopt.priors import HAAR, CycleSpinning, NonNegative, TotalVariation, Wavelet

from .simulated_radio import Case, Setting

# Steps of a proximal method: with natural weights the centre of a dense core outweighs the longest baselines by far.
STEPS = {"vla-a": 150, "atca": 300, "atca-set": 200, "meerkat": 300, "ska1-mid": 800}


class Classical(NamedTuple):
    """An algorithm of a problem, a weight and the noise of a pixel of A^H y; the weight to begin with, or None.

    ``steps`` is their number, or None for that of the array.
    """

    build: Callable[[mo.InverseProblem, float, float], mo.Algorithm[Any, Any, Tensor]]
    steps: int | None = None
    start: float | None = None

    def steps_of(self, setting: Setting) -> int:
        return self.steps or STEPS[setting.array]


def _non_negative(problem: mo.InverseProblem, weight: float, noise: float) -> mo.Fista:
    return mo.Fista(NonNegative(), step_size_for(problem))


def _total_variation(problem: mo.InverseProblem, weight: float, noise: float) -> mo.Fista:
    prior = TotalVariation(weight * noise, inner=5, isotropic=False)
    return mo.Fista(NonNegative(prior), step_size_for(problem))


def _wavelet(problem: mo.InverseProblem, weight: float, noise: float) -> mo.Fista:
    prior = CycleSpinning(Wavelet(weight * noise, taps=HAAR))
    return mo.Fista(NonNegative(prior), step_size_for(problem))


def _hogbom(problem: mo.InverseProblem, weight: float, noise: float) -> Clean:
    return Clean(0.2)


def _multi_scale(problem: mo.InverseProblem, weight: float, noise: float) -> Clean:
    return Clean(0.5, 0.7, weight, scales=(0.0, 4.0, 8.0, 16.0), bias=0.6 ** torch.arange(4.0))


TV, WAVELET = "TV MAP", "wavelet MAP"
OURS: Mapping[str, Classical] = {
    "Hogbom CLEAN": Classical(_hogbom, 600),
    "multi-scale CLEAN": Classical(_multi_scale, 100, 0.3),
    "non-negative least squares": Classical(_non_negative),
    TV: Classical(_total_variation, start=0.3),
    WAVELET: Classical(_wavelet, start=0.3),
}


def pictures(
    method: Classical, given: Case, weight: float, steps: int, keep: Literal["all", "last"] = "last"
) -> Sequence[Tensor]:
    """What an algorithm of this library makes of visibilities, after each step or the last."""
    problem = given.problem.by_normal().normalized()
    noise = float(given.data.weights.double().sum().sqrt())
    algorithm = method.build(problem, weight, noise)
    return mo.unroll(algorithm, steps, keep=keep)(problem).outputs
