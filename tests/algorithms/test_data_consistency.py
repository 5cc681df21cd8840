"""Steps towards the measurement, weighted by the noise."""

from __future__ import annotations

import pytest
import torch

import metaopt as mo
from metaopt.models import data_consistent, load, rim
from metaopt.training.start import start_from

from ..cases.problems import kspace_problem
from ..helpers import normal, seeded


def still(trust: float, iterations: int = 1) -> mo.algorithms.DataConsistency:
    """Data consistency after steps that leave x where it is."""
    return mo.algorithms.DataConsistency(mo.Descent(mo.updates.Sgd(0.0)), trust, iterations)


def coils_problem(noise: float, scale: float = 1.0) -> mo.InverseProblem:
    """K-space of four coils, of which 24 of 48 points are measured."""
    maps, y = scale * normal(1, 1, 4, 6, 8, dtype=torch.complex128), normal(2, 2, 4, 6, 8, dtype=torch.complex128)
    mask = (torch.arange(48).reshape(6, 8) % 2).double()
    return mo.InverseProblem(mo.operators.Fourier(mask) @ mo.operators.Sense(maps), mask * y, noise)


@pytest.mark.parametrize("trust", [0.0, 0.05, 0.3, 40.0])
def test_it_is_the_posterior_mean_for_a_masked_unitary_transform(trust: float) -> None:
    problem = kspace_problem(0)
    algorithm = still(trust).double()
    state = algorithm.init(problem)
    x = normal(5, *state.x.shape, dtype=torch.complex128)
    got = algorithm.step(problem, state._replace(x=x), 0).x.flatten(1)
    basis = torch.eye(48, dtype=torch.complex128).reshape(48, 1, 6, 8)
    matrix = problem.operator(basis).flatten(1).T  # A, column by column
    precision = trust**2 * matrix.conj().T @ matrix + 0.2**2 * torch.eye(48)
    residual = problem.y.flatten(1) - x.flatten(1) @ matrix.T
    want = x.flatten(1) + trust**2 * torch.linalg.solve(precision, (residual @ matrix.conj()).T).T
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize(("noise", "scale", "trust"), [(0.1, 1.0, 0.3), (3e-3, 1e-2, 20.0), (50.0, 30.0, 1.0)])
def test_with_enough_iterations_it_is_the_posterior_mean_for_several_coils(
    noise: float, scale: float, trust: float
) -> None:
    problem, algorithm = coils_problem(noise, scale), still(trust, 48).double()
    state = algorithm.init(problem)
    x = normal(5, *state.x.shape, dtype=torch.complex128)
    got = algorithm.step(problem, state._replace(x=x), 0).x.flatten(1)
    basis = torch.eye(48, dtype=torch.complex128).reshape(48, 1, 6, 8)
    matrix = problem.operator(basis).flatten(1).T  # A, column by column
    precision = matrix.conj().T @ matrix / noise**2 + torch.eye(48) / trust**2
    pull = problem.y.flatten(1) @ matrix.conj() / noise**2 + x.flatten(1) / trust**2
    torch.testing.assert_close(got, torch.linalg.solve(precision, pull.T).T, rtol=1e-6, atol=1e-6)


def test_each_iteration_comes_closer() -> None:
    problem = coils_problem(0.02)
    x = normal(5, 2, 1, 6, 8, dtype=torch.complex128)

    def height(iterations: int) -> torch.Tensor:
        algorithm = still(0.5, iterations).double()
        found = algorithm.step(problem, algorithm.init(problem)._replace(x=x), 0).x
        return problem.energy(found) + (found - x).abs().square().flatten(1).sum(1) / (2 * 0.5**2)

    heights = torch.stack([height(iterations) for iterations in (1, 2, 4, 8)])
    assert bool((heights.diff(dim=0) < 0).all())


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("uneven", [False, True])
def test_it_never_overshoots_whatever_the_norm_of_the_operator_is(scale: float, uneven: bool) -> None:
    maps, y = scale * normal(1, 1, 4, 6, 8, dtype=torch.complex128), normal(2, 2, 4, 6, 8, dtype=torch.complex128)
    noise = 0.05 + normal(3, 1, 4, 6, 8).abs() if uneven else 0.1
    problem = mo.InverseProblem(mo.operators.Fourier() @ mo.operators.Sense(maps), y, noise)
    algorithm, energies = still(0.3).double(), []
    state = algorithm.init(problem)
    for k in range(8):
        after = algorithm.step(problem, state, k)
        near = (after.x - state.x).abs().square().flatten(1).sum(1) / (2 * 0.3**2)
        assert bool((problem.energy(after.x) + near <= problem.energy(state.x) * (1 + 1e-12)).all())
        energies.append(problem.energy(after.x).sum())
        state = after
    assert energies[-1] < energies[0]


def test_it_is_as_right_in_single_precision_at_tiny_and_large_noise() -> None:
    problem, algorithm = kspace_problem(4), still(0.3)
    x = normal(5, *problem.start().shape, dtype=torch.complex128)
    for noise in (1e-6, 1e-3, 1e3):
        double = mo.InverseProblem(problem.operator, problem.y, noise)
        single = double.to(dtype=torch.float32)
        got, want = (algorithm.step(p, algorithm.init(p)._replace(x=x.to(p.y.dtype)), 0).x for p in (single, double))
        torch.testing.assert_close(got.to(want.dtype), want, rtol=1e-4, atol=1e-5)


def test_as_the_noise_vanishes_what_was_measured_stands() -> None:
    problem = kspace_problem(1)
    exact = mo.InverseProblem(problem.operator, problem.y, 1e-6)
    net = seeded(lambda: data_consistent(rim(hidden=4, is_complex=True, steps=3), 0.1)).double()
    torch.testing.assert_close(problem.operator(net(exact).final), problem.y, rtol=0, atol=1e-8)


def test_the_noise_that_is_told_matters() -> None:
    problem = kspace_problem(2)
    net = load("mri").double()
    outputs = [net(mo.InverseProblem(problem.operator, problem.y, noise)).final for noise in (0.01, 0.04)]
    assert float((outputs[0] - outputs[1]).detach().abs().mean()) > 1e-3


def test_weights_of_the_inner_network_start_it() -> None:
    plain = load("denoise_grey")
    net = data_consistent(rim(hidden=64, kernels=(3, 1), stride=2, scales=(2, 4)))
    start_from(net, "denoise_grey")
    inner = {name.replace("algorithm.", "algorithm.algorithm.", 1): t for name, t in plain.state_dict().items()}
    assert all(torch.equal(net.state_dict()[name], t) for name, t in inner.items())


def test_a_number_of_iterations_below_one_is_refused() -> None:
    with pytest.raises(mo.MetaoptError, match="iterations"):
        still(0.1, 0)


def test_an_algorithm_without_an_estimate_is_a_sentence() -> None:
    algorithm = mo.algorithms.DataConsistency(mo.Ista(torch.eye(2, 3), 0.1))
    with pytest.raises(mo.MetaoptError, match="has the estimate as a field x, but that of Ista has not"):
        algorithm.init(torch.ones(1, 2))
    unknown = mo.InverseProblem(mo.operators.Identity(), torch.ones(1, 1, 2, 2))
    with pytest.raises(mo.MetaoptError, match="noise"):
        still(0.1).init(unknown)
