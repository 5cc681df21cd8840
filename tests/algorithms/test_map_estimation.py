"""Maximum a posteriori estimation against closed forms, torch.optim and scipy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor, nn

from metaopt import operators as ops
from metaopt.algorithms.map_estimation import MapEstimation
from metaopt.algorithms.proximal import Fista
from metaopt.core import MetaoptError, parameterize, per_step, unroll
from metaopt.priors.field_of_experts import FieldOfExperts, dct_filters
from metaopt.priors.prior import Sparsity
from metaopt.priors.total_variation import TotalVariation
from metaopt.priors.wavelet import Wavelet
from metaopt.problems import InverseProblem, noise_variance

DOUBLE = torch.float64


def drawn(*shape: int, dtype: torch.dtype = DOUBLE, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def close(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


class Normal(nn.Module):
    """x ~ N(0, 1/precision): a prior of a user's own, nothing but a gradient."""

    def __init__(self, precision: float):
        super().__init__()
        self.precision = precision

    def gradient(self, x: Tensor, k: int = 0) -> Tensor:
        return self.precision * x


@pytest.mark.parametrize("dtype", [DOUBLE, torch.complex128])
def test_normal_prior_gives_the_regularised_least_squares_solution(dtype: torch.dtype) -> None:
    a, y = drawn(6, 8, dtype=dtype), drawn(3, 6, dtype=dtype, seed=1)
    problem = InverseProblem(ops.Dense(a), y, noise=0.5)
    x = unroll(MapEstimation(Normal(2.0), 0.01), 800, keep="last")(problem).final
    precision = a.mH @ a / 0.5**2 + 2.0 * torch.eye(8, dtype=dtype)
    close(x, torch.linalg.solve(precision, (y @ a.conj()).T / 0.5**2).T, 1e-9)


def test_a_relative_step_is_in_units_of_each_samples_variance() -> None:
    noise = torch.tensor([0.5, 2.0], dtype=DOUBLE)
    problem = InverseProblem(ops.Identity(), drawn(2, 5), noise)
    plain, relative = (MapEstimation(Normal(2.0), 0.1, unit) for unit in (None, noise_variance))
    start = MapEstimation(Normal(2.0), 0.1).init(problem)._replace(x=drawn(2, 5, seed=1))
    moved, expected = (a.step(problem, start, 0).x - start.x for a in (relative, plain))
    close(moved, expected * noise.square()[:, None])
    with pytest.raises(MetaoptError, match="give it noise="):
        unroll(relative, 1)(InverseProblem(ops.Identity(), drawn(2, 5)))


def pictures(count: int, seed: int) -> Tensor:
    """Flat squares on a flat ground, (count, 1, 16, 16)."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.zeros(count, 1, 16, 16, dtype=DOUBLE)
    for image in images:
        for _ in range(3):
            top, left = torch.randint(0, 11, (2,), generator=generator).tolist()
            image[:, top : top + 6, left : left + 6] = torch.rand((), generator=generator, dtype=DOUBLE)
    return images


def noisy(images: Tensor, seed: int = 9) -> InverseProblem:
    return InverseProblem(ops.Identity(), images + 0.1 * drawn(*images.shape, seed=seed), noise=0.1)


def test_step_is_that_of_gradient_descent_on_the_posterior() -> None:
    """torch.optim.SGD on the sum of the energies, differentiated by autograd, takes the same steps."""
    problem, prior = noisy(pictures(2, 0)), FieldOfExperts(dct_filters(3).double(), scale=0.3)
    outputs = unroll(MapEstimation(prior, 0.004), 6)(problem).outputs
    x = nn.Parameter(problem.start().clone())
    optimizer = torch.optim.SGD([x], lr=0.004)
    for output in outputs:
        optimizer.zero_grad()
        (problem.energy(x) + prior.energy(x)).sum().backward()
        optimizer.step()
        close(output.detach(), x.detach())


def smoothed_variation(x: np.ndarray, smoothing: float) -> float:
    squares = np.zeros_like(x)
    squares[:-1] += np.diff(x, axis=0) ** 2
    squares[:, :-1] += np.diff(x, axis=1) ** 2
    return float(np.sqrt(squares + smoothing**2).sum())


def test_total_variation_estimate_is_scipys() -> None:
    y = pictures(1, 0)[..., 4:11, 3:9] + 0.1 * drawn(1, 1, 7, 6)
    problem = InverseProblem(ops.Identity(), y, noise=0.1)
    x = unroll(MapEstimation(TotalVariation(5.0, smoothing=0.05), 1e-3), 4000, keep="last")(problem).final

    def energy(flat: np.ndarray) -> float:
        image = flat.reshape(7, 6)
        return ((image - y[0, 0].numpy()) ** 2).sum() / (2 * 0.1**2) + 5.0 * smoothed_variation(image, 0.05)

    found = scipy.optimize.minimize(energy, y.numpy().ravel(), options={"gtol": 1e-6, "maxiter": 5000})
    close(x[0, 0], torch.tensor(found.x.reshape(7, 6)), 1e-4)


@pytest.mark.parametrize("prior", [TotalVariation, partial(Wavelet, levels=2), Sparsity], ids=["tv", "wavelet", "l1"])
def test_estimate_with_little_smoothing_is_near_the_unsmoothed_one_of_fista(prior: Callable[..., nn.Module]) -> None:
    problem = noisy(pictures(2, 0))
    smooth = unroll(MapEstimation(prior(5.0, smoothing=1e-2), 4e-4), 1500, keep="last")(problem).final
    exact = unroll(Fista(prior(5.0), 0.01), 100, keep="last")(problem).final
    assert (smooth - exact).abs().max() < 0.03
    assert (problem.start() - exact).abs().max() > 0.04


def test_field_of_experts_learns_by_unrolling() -> None:
    prior = FieldOfExperts(dct_filters(3), weight=0.3, scale=0.1)
    net = unroll(MapEstimation(prior, 0.004), 8, keep="last").double()
    clean, held_out = pictures(8, 1), pictures(8, 2)

    def error(images: Tensor, seed: int) -> Tensor:
        return (net(noisy(images, seed)).final - images).square().mean()

    before, optimizer = error(held_out, 7).item(), torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(30):
        optimizer.zero_grad()
        error(clean, 8).backward()
        optimizer.step()
    assert before < 0.1**2
    assert error(held_out, 7).item() < 0.8 * before


def test_untied_filters_compute_the_tied_result_before_training() -> None:
    problem, tied = noisy(pictures(2, 0)), MapEstimation(FieldOfExperts(dct_filters(3)), 0.002)
    untied = parameterize(tied, {"prior.filters": per_step(5), "prior.weight": per_step(5, positive=True)})
    close(unroll(untied, 5)(problem).final, unroll(tied, 5)(problem).final, 0)


def test_weight_of_a_step_is_used_there() -> None:
    problem, plain = noisy(pictures(2, 0)), MapEstimation(Wavelet(3.0, levels=2), 0.004)
    opened = parameterize(plain, {"prior.weight": per_step(2, [3.0, 1.0]), "step_size": per_step(2, [0.004, 0.002])})
    first = plain.step(problem, plain.init(problem), 0)
    expected = MapEstimation(Wavelet(1.0, levels=2), 0.002).step(problem, first, 0)
    close(unroll(opened, 2)(problem).final, expected.x, 0)


def test_prior_without_a_gradient_is_refused_in_a_sentence() -> None:
    with pytest.raises(MetaoptError, match=r"MapEstimation needs a prior with gradient\(.*but Linear has none\."):
        MapEstimation(nn.Linear(2, 2), 0.1)
