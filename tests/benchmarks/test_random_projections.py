"""The benchmark of random projections: its problems, its curves, and what it makes of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import metaopt as mo
from benchmarks import random_projections as bench
from benchmarks import three_tasks
from metaopt.operators.spectral import spectral_norm

from .test_imaging import picture

TARGETS = torch.cat([picture(32), picture(32).flip(-1), picture(32).mT])


@pytest.mark.parametrize("ensemble", bench.ENSEMBLES)
def test_a_problem_has_norm_1_and_the_noise_that_is_said(ensemble: str) -> None:
    (problem, target), *rest = bench.measured(TARGETS, ensemble, 0.25, seed=3)
    assert not rest
    assert spectral_norm(problem.operator, target) == pytest.approx(1, abs=0.02)
    unit = (problem.y - problem.operator(target)) / problem.noise
    unit = torch.view_as_real(unit) if unit.is_complex() else unit
    assert abs(float(unit.std()) - 1) < 0.1
    assert float(spectral_norm(problem.operator, target) / problem.noise) > 0
    same = bench.measured(TARGETS, ensemble, 0.25, seed=3)[0][0]
    assert torch.equal(problem.y, same.y)


def test_the_curve_begins_at_the_start_and_is_that_of_one_run() -> None:
    """FISTA's momentum depends on k, so running step by step shows that k goes on."""
    pairs = bench.measured(TARGETS, "Gaussian", 0.25, seed=0)
    (problem, target), steps = pairs[0], 4
    net = bench.wavelet_fista(64.0, problem)
    outputs = [problem.start(), *net(problem, steps=steps).outputs]
    expected = [float(bench.score(x, target).mean()) for x in outputs]
    assert bench.curve(lambda p: bench.wavelet_fista(64.0, p), pairs, steps) == pytest.approx(expected, abs=1e-4)


def test_the_learned_prior_weighs_what_it_is_told() -> None:
    """Without a prior, estimation by steps of 1 in units of noise^2 is gradient descent at |A| = 1."""
    problem, _ = bench.measured(TARGETS, "Gaussian", 0.25, seed=0)[0]
    none, plain = bench.learned_map(0.0, problem), bench.gradient_descent(1.0, problem)
    torch.testing.assert_close(none(problem, steps=3).final, plain(problem, steps=3).final, rtol=0, atol=1e-5)
    assert not torch.allclose(bench.learned_map(300.0, problem)(problem, steps=3).final, none(problem, steps=3).final)


def test_a_lead_is_over_the_next_best_of_its_own_kind() -> None:
    """The shipped network against the classical rows, the brief one against its ablations."""
    at: dict[str, float] = {"RIM": 30, "gradient descent": 20, "FISTA, wavelets": 27, "MAP, learned prior": 25}
    at |= {bench.EQUAL: 26, "no estimate, brief training": 25.5, "no memory, brief training": 22}
    rows: list[dict[str, Any]] = [
        {"ensemble": "Gaussian", "ratio": 0.5, "method": m, "psnr_at": [0, v]} for m, v in at.items()
    ]
    assert bench.gains(rows, 1) == {("Gaussian", 0.5): pytest.approx(0.5)}
    assert bench.steps_to(26.9, [10, 26, 26.95, 27]) == 2
    assert bench.steps_to(28, [10, 27]) is None


def test_what_interpolates_keeps_what_is_known() -> None:
    problem, _ = three_tasks.masked(picture(), 0.5, seed=0)
    filled = three_tasks.linear(problem)
    known = problem.operator(torch.ones_like(filled)).bool()
    torch.testing.assert_close(filled[known], problem.y[known])
    assert mo.metrics.psnr(filled, picture()) > 20
