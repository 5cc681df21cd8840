"""Deconvolution solves the least squares that it says, whatever the unit of flux, and refuses what it is not for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import metaopt as mo
from metaopt.algorithms import Deconvolution
from metaopt.operators import GriddedVisibilities
from metaopt.updates import ConvGru

from ..helpers import normal, seeded

SIZE = 12


class Nothing(nn.Module):
    """An update without an opinion: its step is the classical one."""

    def init(self, x: Tensor, context: tuple[Tensor, ...]) -> tuple[()]:
        return ()

    def forward(self, gradient: Tensor, x: Tensor, memory: Any, k: int, context: Any) -> tuple[Tensor, Any]:
        return torch.zeros_like(x), memory


def sky() -> Tensor:
    x = torch.zeros(2, 1, SIZE, SIZE, dtype=torch.float64)
    x[0, 0, 4:7, 5], x[0, 0, 8, 8], x[1, 0, 3, 9], x[1, 0, 6:9, 2:4] = 1.0, 0.3, 1.0, 0.2
    return x


def observed(unit: float = 1.0, noise: float = 0.02, seed: int = 0, measured: float = 0.3) -> mo.InverseProblem:
    """Three tenths of the visibilities of a grid, of another third for each sky, in that unit of flux."""
    chosen = normal(seed, 2, 1, 2 * SIZE, 2 * SIZE).abs() < measured
    operator = GriddedVisibilities(chosen.double() / (noise * unit) ** 2)
    y = operator(unit * sky())
    error = torch.view_as_complex(normal(seed + 1, *y.shape, 2))
    return mo.InverseProblem(operator, y + chosen * error, 1.0).by_normal()


def dense(problem: mo.InverseProblem, sample: int) -> Tensor:
    """A^H A of one sample as a matrix."""
    rows = torch.eye(SIZE**2, dtype=torch.float64).reshape(-1, 1, 1, SIZE, SIZE).expand(-1, 2, -1, -1, -1)
    return torch.stack([problem.operator.normal(row)[sample].flatten() for row in rows], 1)


def test_the_first_estimate_solves_the_weighted_least_squares() -> None:
    """Against a dense solution of ``min |c / t|^2 + |A c - y|^2`` with t the brightness around in the dirty picture."""
    problem = observed()
    algorithm = Deconvolution(Nothing(), iterations=150, positive=False)
    found = algorithm.readout(problem, algorithm.init(problem), 0)
    for n in range(2):
        matrix, moment = dense(problem, n), problem.operator.adjoint(problem.y)[n].flatten()
        weight = float(matrix[0, 0])  # the response to a source, anywhere
        dirty = (moment / weight).reshape(1, 1, SIZE, SIZE)
        around = F.avg_pool2d(dirty.relu().square(), 7, 1, 3, count_include_pad=False)
        prior = (around + 1 / weight).flatten()  # t^2; the noise of the dirty picture is 1 / sqrt(weight)
        expected = torch.linalg.solve(matrix + torch.diag(1 / prior), moment)
        torch.testing.assert_close(found[n].flatten(), expected, rtol=1e-6, atol=1e-8)


def test_without_an_opinion_it_is_positive_and_better_than_least_squares_alone() -> None:
    problem = observed()
    plain = Deconvolution(Nothing(), positive=False)
    first = plain.readout(problem, plain.init(problem), 0)
    found = mo.unroll(Deconvolution(Nothing()), 6)(problem).final.detach()
    assert bool((found >= 0).all())
    assert float((found - sky()).norm()) < 0.7 * float((first - sky()).norm())


def test_the_residual_falls_to_that_of_the_noise() -> None:
    problem = observed()
    found = mo.unroll(Deconvolution(Nothing(), iterations=30), 8)(problem).final
    off = torch.view_as_real(problem.y - problem.operator(found))
    whitened = off[problem.operator.weights > 0]
    assert float(whitened.square().mean().sqrt()) < 1.1


def network() -> Deconvolution:
    return seeded(lambda: Deconvolution(ConvGru(2, 4, (1,), context=0)))


@pytest.mark.parametrize("unit", [1e-9, 3.0, 1e9])
def test_the_unit_of_flux_does_not_matter(unit: float) -> None:
    net = mo.unroll(network(), 3)
    expected, found = net(observed()).final, net(observed(unit)).final / unit
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


def test_in_single_precision_a_unit_of_a_power_of_two_changes_nothing() -> None:
    net = mo.unroll(network().float(), 3)

    def single(unit: float) -> mo.InverseProblem:
        given = observed()
        operator = GriddedVisibilities((given.operator.weights / unit**2).float())
        return mo.InverseProblem(operator, given.y.to(torch.complex64), 1.0).by_normal()

    assert torch.equal(net(single(2.0**30)).final / 2.0**30, net(single(1.0)).final)


def test_a_sample_does_not_see_the_others_of_its_batch() -> None:
    net, problem = mo.unroll(network(), 3), observed()
    whole = net(problem).final
    for n in range(2):
        operator = GriddedVisibilities(problem.operator.weights[n : n + 1])
        alone = mo.InverseProblem(operator, problem.y[n : n + 1], 1.0).by_normal()
        torch.testing.assert_close(net(alone).final, whole[n : n + 1], rtol=1e-7, atol=1e-10)


def test_visibilities_that_are_zero_give_an_empty_picture() -> None:
    given = observed()
    problem = mo.InverseProblem(given.operator, torch.zeros_like(given.y), 1.0)
    found = mo.unroll(Deconvolution(Nothing()), 2)(problem).final
    assert torch.equal(found, torch.zeros_like(found))


def test_every_parameter_of_the_update_and_the_trust_learn() -> None:
    net = mo.unroll(mo.parameterize(network(), {"trust": mo.shared(positive=True)}), 3)
    loss = (net(observed()).final - sky()).square().sum()
    loss.backward()
    silent = [name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert not [name for name in silent if "step_size" not in name]


def refused(kind: str) -> mo.InverseProblem:
    given, real = observed(), mo.operators.RealToComplex
    if kind == "planes":
        return mo.InverseProblem(mo.operators.Identity(), torch.ones(1, 2, 8, 8), 0.1)
    if kind == "complex":
        return mo.InverseProblem(mo.operators.Fourier(), torch.ones(1, 1, 8, 8, dtype=torch.complex64), 0.1)
    if kind == "counts":
        return mo.InverseProblem(mo.operators.Identity(), torch.ones(1, 1, 8, 8), None, mo.Poisson())
    if kind == "unknown noise":
        return mo.InverseProblem(given.operator, given.y)
    hidden = torch.ones(8, 8)
    hidden[4, 4] = 0
    assert kind == "blind" and real
    return mo.InverseProblem(mo.operators.Mask(hidden), torch.zeros(1, 1, 8, 8), 0.1)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("planes", r"one plane, \(B, 1, H, W\), but x is .*give several channels or Stokes parameters one by one"),
        ("complex", "real pictures of one plane"),
        ("counts", "a Gaussian likelihood, not Poisson"),
        ("unknown noise", "needs the noise level"),
        ("blind", "nothing of the pixel in the middle"),
    ],
)
def test_what_it_is_not_for_is_refused(kind: str, words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        mo.unroll(Deconvolution(Nothing()), 1)(refused(kind))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (2, 3), (5, 7)], ids=str)
def test_pictures_of_fewer_pixels_than_iterations_are_found(shape: tuple[int, int], dtype: torch.dtype) -> None:
    truth = (0.5 + normal(3, 2, 1, *shape).abs()).to(dtype)
    operator = GriddedVisibilities(torch.full((1, 1, *(2 * n for n in shape)), 1e6, dtype=dtype))
    problem = mo.InverseProblem(operator, operator(truth), 1.0).by_normal()
    algorithm = Deconvolution(Nothing(), iterations=40)
    found = algorithm.readout(problem, algorithm.init(problem), 0)
    torch.testing.assert_close(found, truth, rtol=1e-3, atol=1e-3)
