"""The classical baseline gets its best weight: the optimum of a known curve, inside the grid."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import metaopt as mo
from metaopt.applications.tuning import tuned_map
from metaopt.metrics import psnr

from ..helpers import matrix, normal


class Ridge(nn.Module):
    """w/2 |x|^2, whose proximal map is a division."""

    def __init__(self, weight: float):
        super().__init__()
        self.weight = weight

    def energy(self, x: Tensor, k: int = 0) -> Tensor:
        return self.weight / 2 * x.square().flatten(1).sum(1)

    def prox(self, x: Tensor, step: Any, k: int = 0) -> Tensor:
        return x / (1 + self.weight * step)


@pytest.mark.parametrize("start", [1e-3, 1.0, 1e4])
def test_the_weight_found_is_the_best_one_from_wherever_it_starts(start: float) -> None:
    """Denoising y by ridge gives y / (1 + w s^2); the best factor is <x, y> / <y, y>."""
    target, noise = normal(0, 1, 1, 40, 40), 0.7
    y = target + noise * normal(1, 1, 1, 40, 40)
    best = (float((y * y).sum() / (target * y).sum()) - 1) / noise**2
    tuned = tuned_map(mo.InverseProblem(mo.operators.Identity(), y, noise), target, Ridge, 1, start)
    assert abs(math.log(tuned.weight / best)) < math.log(2**0.5)
    weights = sorted(tuned.grid)
    assert weights[0] < tuned.weight < weights[-1]
    assert tuned.psnr == max(tuned.grid.values()) == tuned.grid[tuned.weight]
    torch.testing.assert_close(tuned.estimate, y / (1 + tuned.weight * noise**2), rtol=1e-9, atol=0)
    assert tuned.psnr == pytest.approx(float(psnr(tuned.estimate, target)))
    for lower, upper in itertools.pairwise(weights):
        assert upper / lower == pytest.approx(2**0.5)


def test_a_general_problem_is_solved_to_its_optimum() -> None:
    a, target, noise = matrix(0, 8, 5), normal(0, 1, 5), 0.3
    y = target @ a.T + noise * normal(1, 1, 8)
    tuned = tuned_map(mo.InverseProblem(a, y, noise), target, Ridge, 400, 1.0)
    normal_matrix = a.T @ a / noise**2 + tuned.weight * torch.eye(5, dtype=torch.float64)
    expected = torch.linalg.solve(normal_matrix, (y @ a / noise**2).T).T
    torch.testing.assert_close(tuned.estimate, expected, rtol=1e-4, atol=1e-5)


def test_a_curve_without_an_optimum_is_a_sentence() -> None:
    """The target is the measurement: the smaller the weight, the better."""
    y = normal(0, 1, 1, 4, 4)
    with pytest.raises(mo.MetaoptError, match="No weight within a factor"):
        tuned_map(mo.InverseProblem(mo.operators.Identity(), y, 1e-2), y, Ridge, 1, 1.0)
