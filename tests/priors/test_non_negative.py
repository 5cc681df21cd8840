"""The prior that nothing is negative: its prox by its definition, and what it solves against scipy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

import metaopt as mo
from metaopt.algorithms import step_size_for
from metaopt.priors import NonNegative, Sparsity, TotalVariation, Wavelet


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(12, 7), (7, 12)], ids=["more data", "more unknowns"])
def test_fista_alone_solves_non_negative_least_squares_as_scipy_does(shape: tuple[int, int]) -> None:
    matrix, y = drawn(*shape), drawn(3, shape[0], seed=1)
    problem = mo.InverseProblem(mo.operators.Dense(matrix), y, noise=0.5)
    x = mo.unroll(mo.Fista(NonNegative(), step_size_for(problem)), 2000, keep="last")(problem).final
    for found, measured in zip(x, y, strict=True):
        wanted, residual = scipy.optimize.nnls(matrix.numpy(), measured.numpy())
        assert float((matrix @ found - measured).norm()) == pytest.approx(residual, abs=1e-6)
        if shape[0] > shape[1]:  # then there is one solution
            np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6)


PRIORS = {
    "sparsity": (Sparsity(0.7), 1),
    "anisotropic total variation": (TotalVariation(0.7, inner=1000, isotropic=False), 1),
    "total variation": (TotalVariation(0.7, inner=50), 60),
    "wavelet": (Wavelet(0.7, levels=1), 100),
}


@pytest.mark.parametrize("name", PRIORS)
def test_no_other_point_beats_the_prox(name: str) -> None:
    """The energy of the definition rises from the prox in every direction that stays non-negative."""
    prior, inner = PRIORS[name]
    x, step = 2 * drawn(1, 1, 4, 6), 0.8
    both = NonNegative(prior, inner)

    def energy(u: Tensor) -> float:
        return float((u - x).square().sum() / 2 + step * both.energy(u)[0])

    u = both.prox(x, step)
    assert (u == 0).any() and (u > 0).any()
    least = energy(u)
    for seed, size in itertools.product(range(40), (1e-1, 1e-2, 1e-3)):
        # A move towards any non-negative picture is allowed.
        other = u + size * (drawn(*x.shape, seed=seed).abs() - u)
        for near in (other, (u + size * drawn(*x.shape, seed=seed)).relu()):
            assert energy(near) >= least - 1e-6


def test_of_an_isotropic_norm_one_iteration_is_not_the_prox_and_more_are_nearer() -> None:
    x, prior = drawn(1, 1, 5, 6), TotalVariation(0.7, inner=60)
    exact = NonNegative(prior, 100).prox(x, 1.0)
    errors = [float((NonNegative(prior, n).prox(x, 1.0) - exact).norm()) for n in (1, 5, 25)]
    assert errors[0] > 1e-3 and errors[2] < errors[1] / 2 < errors[0] / 4 + 1e-12


def test_a_map_estimate_with_it_meets_the_conditions_of_karush_kuhn_and_tucker() -> None:
    """With the gradient g of the likelihood and the weight w: g + w >= 0, and it is 0 where x is not."""
    problem = mo.InverseProblem(mo.operators.Dense(drawn(9, 14)), drawn(2, 9, seed=3), noise=0.7)
    algorithm = mo.Fista(NonNegative(Sparsity(0.9)), step_size_for(problem))
    x = mo.unroll(algorithm, 3000, keep="last")(problem).final
    slope = problem.gradient(x) + 0.9
    assert (x > 0).any() and (x == 0).any() and (x >= 0).all()
    assert slope.min() > -1e-6
    assert (slope * x).abs().max() < 1e-6


def test_the_prox_of_total_variation_is_that_of_a_quadratic_programme() -> None:
    """By scipy's SLSQP on x >= 0 and bounds of its differences, a smooth programme with constraints."""
    x = drawn(1, 9)
    u = NonNegative(TotalVariation(0.3, inner=2000, dims=1)).prox(x, 1.0)

    def energy(values: Any) -> float:
        return float(np.square(values[:9] - x[0].numpy()).sum() / 2 + 0.3 * values[9:].sum())

    constraints = [{"type": "ineq", "fun": lambda v, s=s: v[9:] + s * np.diff(v[:9])} for s in (-1, 1)]
    found = scipy.optimize.minimize(
        energy, np.ones(17), bounds=[(0, None)] * 17, constraints=constraints, method="SLSQP", options={"ftol": 1e-12}
    )
    assert found.success
    np.testing.assert_allclose(u[0].numpy(), found.x[:9], atol=1e-4)


def test_energy_is_infinite_for_the_samples_with_a_negative_entry_alone() -> None:
    x = torch.tensor([[1.0, -1e-3], [1.0, 2.0]])
    assert NonNegative().energy(x).tolist() == [float("inf"), 0.0]
    assert NonNegative(Sparsity(0.5)).energy(x).tolist() == [float("inf"), 1.5]


def test_it_reaches_as_far_as_its_iterations_and_has_the_period_of_its_prior() -> None:
    assert NonNegative().prox_reach == 0
    assert NonNegative(TotalVariation(1.0, inner=4), inner=3).prox_reach == (12, 12)
    assert NonNegative(Wavelet(1.0)).prox_reach is None


def test_complex_x_and_a_prior_without_prox_are_refused() -> None:
    with pytest.raises(mo.MetaoptError, match="prior of real x, but got"):
        NonNegative().prox(torch.zeros(1, 2, dtype=torch.complex64), 1.0)
    with pytest.raises(mo.MetaoptError, match=r"NonNegative needs a prior with prox"):
        NonNegative(mo.priors.FieldOfExperts(mo.priors.dct_filters(3)))
    with pytest.raises(mo.MetaoptError, match="MapEstimation needs a prior with gradient"):
        mo.algorithms.MapEstimation(NonNegative(), 0.1)
