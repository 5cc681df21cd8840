"""Proximal algorithms against optimality conditions, their own theorems, and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from metaopt import operators as ops
from metaopt.algorithms.proximal import (
    Fista,
    FistaState,
    Ista,
    ProximalGradient,
    ProximalGradientState,
    step_size_for,
)
from metaopt.core import MetaoptError, parameterize, per_step, shared, solve, unroll
from metaopt.core.gradients import Backprop, Implicit
from metaopt.operators.spectral import spectral_norm
from metaopt.priors.field_of_experts import FieldOfExperts, dct_filters
from metaopt.priors.prior import Sparsity
from metaopt.priors.total_variation import TotalVariation
from metaopt.priors.wavelet import Wavelet
from metaopt.problems import InverseProblem, Poisson

DOUBLE = torch.float64


def drawn(*shape: int, dtype: torch.dtype = DOUBLE, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def close(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def lasso(seed: int = 0) -> tuple[Tensor, Tensor, float]:
    """(dictionary (12, 20), measurements (3, 12), penalty)"""
    return drawn(12, 20, seed=seed), drawn(3, 12, seed=seed + 1), 2.0


def lasso_by_scipy(a: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    """The lasso as a smooth problem in z = u - v with u, v >= 0."""

    def energy(uv: np.ndarray) -> tuple[float, np.ndarray]:
        u, v = np.split(uv, 2)
        residual = a @ (u - v) - y
        back = a.T @ residual
        return residual @ residual / 2 + penalty * uv.sum(), np.concatenate((back, -back)) + penalty

    start, n = np.zeros(2 * a.shape[1]), a.shape[1]
    options = {"maxiter": 20000, "maxfun": 40000, "ftol": 1e-15, "gtol": 1e-11}
    found = scipy.optimize.minimize(
        energy, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * 2 * n, options=options
    )
    return found.x[:n] - found.x[n:]


@given(seed=st.integers(0, 99))
@settings(max_examples=3, deadline=None)
def test_ista_meets_the_optimality_conditions_of_the_lasso(seed: int) -> None:
    a, y, penalty = lasso(seed)
    z = unroll(Ista(a, penalty), 8000, keep="last")(y).final
    slope = (z @ a.T - y) @ a
    assert (slope.abs() <= penalty + 1e-6).all()
    support = z != 0
    assert support.any() and not support.all()
    close(slope[support], -penalty * z[support].sign(), 1e-6)


def test_ista_finds_scipys_solution() -> None:
    a, y, penalty = lasso()
    z = unroll(Ista(a, penalty), 5000, keep="last")(y).final
    expected = np.stack([lasso_by_scipy(a.numpy(), one, penalty) for one in y.numpy()])
    close(z, torch.tensor(expected), 1e-5)


def test_ista_is_proximal_gradient_with_sparsity() -> None:
    a, y, penalty = lasso()
    problem = InverseProblem(ops.Dense(a), y)
    step = 1 / float(torch.linalg.matrix_norm(a, 2)) ** 2
    zero = ProximalGradientState(torch.zeros(3, 20, dtype=DOUBLE))
    general = unroll(ProximalGradient(Sparsity(penalty), step), 15)(problem, zero).outputs
    for z, x in zip(unroll(Ista(a, penalty), 15)(y).outputs, general, strict=True):
        close(z, x)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_lista_is_ista_bit_for_bit_before_training(dtype: torch.dtype) -> None:
    a, y, penalty = lasso()
    ista, y = Ista(a.to(dtype), penalty), y.to(dtype)
    tied = parameterize(ista, {"encode": shared(), "mix": shared(), "threshold": per_step(8)})
    untied = parameterize(ista, {"encode": per_step(8), "mix": per_step(8), "threshold": per_step(8, positive=True)})
    expected = unroll(ista, 8)(y).outputs
    for lista, parameters in ((tied, 3), (untied, 3)):
        assert len(list(lista.parameters())) == parameters
        for ours, classical in zip(unroll(lista, 8)(y).outputs, expected, strict=True):
            assert torch.equal(ours, classical)
    assert not any(p.requires_grad for p in ista.parameters())


def test_lista_learns_to_code_in_few_steps() -> None:
    a = nn.functional.normalize(drawn(12, 20), dim=0)
    sparse = [drawn(400, 20, seed=s) * (drawn(400, 20, seed=s + 50) > 1.5) for s in (1, 2)]
    opened = {"encode": shared(), "mix": shared(), "threshold": per_step(4, positive=True)}
    lista = unroll(parameterize(Ista(a, 0.1), opened), 4)

    def error(z: Tensor) -> Tensor:
        return (lista(z @ a.T).final - z).square().mean()

    before, optimizer = error(sparse[1]).item(), torch.optim.Adam(lista.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        error(sparse[0]).backward()
        optimizer.step()
    after, ista = error(sparse[1]).item(), unroll(Ista(a, 0.1), 8)(sparse[1] @ a.T).final
    assert after < 0.5 * before
    assert after < (ista - sparse[1]).square().mean()


def test_ista_takes_any_module_in_its_slots() -> None:
    a, y, penalty = lasso()
    network = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 20)).double()
    learned = parameterize(Ista(a, penalty), {"encode": shared(network)})
    assert unroll(learned, 3)(y).final.shape == (3, 20)


def test_making_an_ista_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    Ista(lasso()[0], 0.1)
    assert torch.equal(torch.rand(1), expected)


def blurred() -> InverseProblem:
    clean = torch.zeros(2, 1, 12, 10, dtype=DOUBLE)
    clean[..., 3:9, 2:6], clean[1, ..., 5:, 4:] = 1.0, -0.5
    operator = ops.Blur(ops.gaussian_kernel(5, 1.0, dtype=DOUBLE))
    return InverseProblem(operator, operator(clean) + 0.1 * drawn(*clean.shape), noise=0.1)


def test_proximal_gradient_and_fista_keep_their_theorems() -> None:
    """Beck and Teboulle, theorems 3.1 and 4.4: excess <= L d^2 / (2 k) and 2 L d^2 / (k + 1)^2, d = |x0 - x*|."""
    running_sum = torch.ones(40, 40, dtype=DOUBLE).tril()  # so badly conditioned that the rates can be told apart
    jumps = drawn(3, 40, seed=1) * (drawn(3, 40, seed=6) > 1)
    problem, prior = InverseProblem(ops.Dense(running_sum), jumps @ running_sum.T), Sparsity(0.5)
    step, zero = step_size_for(problem, iterations=500), torch.zeros(3, 40, dtype=DOUBLE)
    best = unroll(Fista(prior, step), 6000, keep="last")(problem).final

    def excess(outputs: list[Tensor]) -> Tensor:
        return torch.stack([problem.energy(x) + prior.energy(x) for x in outputs]) - (
            problem.energy(best) + prior.energy(best)
        )

    k, distance = torch.arange(1, 301, dtype=DOUBLE).unsqueeze(1), best.square().sum(1)
    plain = excess(unroll(ProximalGradient(prior, step), 300)(problem, ProximalGradientState(zero)).outputs)
    fast = excess(unroll(Fista(prior, step), 300)(problem, FistaState(zero, zero)).outputs)
    fast_bound = 2 * distance / (step * (k + 1) ** 2)
    assert (plain <= distance / (2 * step * k)).all()
    assert (plain.diff(dim=0) <= 1e-12).all()
    assert (fast <= fast_bound).all()
    assert (plain > fast_bound).any(dim=0).all()
    assert (plain > 0).all() and (fast > 0).all()


def test_fista_finds_scipys_lasso() -> None:
    a, y, penalty = lasso()
    problem = InverseProblem(ops.Dense(a), y)
    x = unroll(Fista(Sparsity(penalty), step_size_for(problem)), 1500, keep="last")(problem).final
    expected = np.stack([lasso_by_scipy(a.numpy(), one, penalty) for one in y.numpy()])
    close(x, torch.tensor(expected), 1e-5)


@pytest.mark.parametrize("prior", [TotalVariation(2.0, inner=30), Wavelet(2.0, levels=2)], ids=["variation", "wavelet"])
def test_complex_image_under_a_full_fourier_transform_is_the_prox_of_its_inverse(prior: nn.Module) -> None:
    y = drawn(2, 1, 8, 12, dtype=torch.complex128)
    problem = InverseProblem(ops.Fourier(), y, noise=0.4)
    expected = prior.prox(torch.fft.ifft2(y, norm="ortho"), 0.4**2)
    for algorithm in (ProximalGradient, Fista):
        close(unroll(algorithm(prior, step_size_for(problem)), 3)(problem).final, expected, 1e-9)


def test_stopping_and_continuing_equals_one_run() -> None:
    problem, net = blurred(), unroll(Fista(TotalVariation(3.0, inner=5), 0.01), 12)
    whole, half = net(problem), net(problem, steps=5)
    close(net(problem, half.state, start=half.stop, steps=7).final, whole.final, 0)


def test_the_momentum_of_fista_reaches_its_steps() -> None:
    problem, fista = blurred(), Fista(TotalVariation(3.0, inner=5), 0.01)
    state = fista.init(problem)
    ahead = state._replace(ahead=state.ahead + 0.1 * drawn(*state.x.shape))
    assert not torch.allclose(fista.step(problem, state, 3).x, fista.step(problem, ahead, 3).x)


def test_weight_and_step_size_of_a_step_are_used_there() -> None:
    problem = blurred()
    plain = ProximalGradient(TotalVariation(3.0, inner=5), 0.01)
    opened = parameterize(plain, {"prior.weight": per_step(2, [3.0, 1.0]), "step_size": per_step(2, [0.01, 0.005])})
    first = plain.step(problem, plain.init(problem), 0)
    expected = ProximalGradient(TotalVariation(1.0, inner=5), 0.005).step(problem, first, 0)
    close(unroll(opened, 2)(problem).final, expected.x, 0)


def test_a_prior_of_its_own_at_each_step_is_the_classical_one_before_training() -> None:
    problem = blurred()
    plain = ProximalGradient(TotalVariation(shared(3.0), inner=5), 0.01)
    untied = unroll(parameterize(plain, {"prior": per_step(3)}), 3)
    close(untied(problem).final, unroll(plain, 3)(problem).final, 0)
    untied(problem).final.square().sum().backward()
    assert (next(untied.parameters()).grad.abs() > 0).all()


@pytest.mark.parametrize("algorithm", [ProximalGradient, Fista])
def test_weight_learns_through_the_fixed_point(algorithm: type) -> None:
    problem, gradients = InverseProblem(ops.Mask(0.8 + 0.2 * drawn(8, 8).sin()), drawn(2, 1, 8, 8), noise=0.1), []
    for strategy in (Backprop(), Implicit(tolerance=1e-9)):
        net = unroll(algorithm(Wavelet(shared(1.0), levels=1), 0.005), 600, gradient=strategy, keep="last")
        net(problem).final.square().sum().backward()
        gradients.append(next(net.parameters()).grad)
    close(gradients[1], gradients[0], 1e-6)


def test_solve_stops_where_nothing_changes() -> None:
    report = solve(Fista(Wavelet(3.0, levels=1), 0.005), blurred(), 3000).report
    assert report.converged and report.steps < 3000


@given(rows=st.integers(1, 6), columns=st.integers(1, 6), seed=st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_spectral_norm_is_the_largest_singular_value(rows: int, columns: int, seed: int) -> None:
    matrix, x = drawn(rows, columns, seed=seed), torch.empty(2, columns, dtype=DOUBLE)
    expected = float(torch.linalg.matrix_norm(matrix, 2))
    assert spectral_norm(ops.Dense(matrix), x, iterations=500) == pytest.approx(expected, rel=1e-3)
    assert spectral_norm(ops.Dense(matrix), x) <= expected * (1 + 1e-12)


def test_spectral_norm_is_that_of_the_worst_sample() -> None:
    matrices = drawn(3, 4, 5) * torch.tensor([0.1, 3.0, 1.0], dtype=DOUBLE).reshape(3, 1, 1)
    found = spectral_norm(ops.Dense(matrices), torch.empty(3, 5, dtype=DOUBLE), iterations=500)
    assert found == pytest.approx(float(torch.linalg.matrix_norm(matrices, 2).max()), rel=1e-6)
    assert spectral_norm(ops.Mask(torch.zeros(4)), torch.empty(2, 4)) == 0


def test_step_size_is_the_inverse_of_the_largest_curvature() -> None:
    a, y, _ = lasso()
    largest = float(torch.linalg.eigvalsh(a.T @ a)[-1])
    noise = torch.tensor([0.1, 0.5, 2.0], dtype=DOUBLE)
    for given_noise, expected in ((None, 1 / largest), (0.3, 0.09 / largest), (noise, noise.square() / largest)):
        found = step_size_for(InverseProblem(ops.Dense(a), y, given_noise), iterations=1000)
        close(found, torch.as_tensor(expected, dtype=DOUBLE).reshape((3, 1) if given_noise is noise else ()), 1e-6)


def test_every_sample_moves_by_its_own_step_size() -> None:
    y, noise = drawn(3, 1, 8, 8), torch.tensor([0.1, 0.5, 2.0], dtype=DOUBLE)
    problem, prior = InverseProblem(ops.Mask(drawn(8, 8).abs()), y, noise), TotalVariation(1.0, inner=5)
    together = unroll(Fista(prior, step_size_for(problem)), 6)(problem).final
    for i in range(3):
        one = InverseProblem(problem.operator, y[i : i + 1], noise[i])
        close(unroll(Fista(prior, step_size_for(problem)[i : i + 1]), 6)(one).final, together[i : i + 1])


def test_what_does_not_fit_is_refused_in_a_sentence() -> None:
    a, y, penalty = lasso()
    with pytest.raises(MetaoptError, match=r"Ista has no slot 'stepsize'; its slots are encode, mix, threshold\."):
        parameterize(Ista(a, penalty), {"stepsize": shared()})
    with pytest.raises(MetaoptError, match=r"\(12, 20\) codes measurements \(B, 12\) float64, but got \(3, 20\)"):
        unroll(Ista(a, penalty), 2)(drawn(3, 20))
    with pytest.raises(MetaoptError, match=r"dictionary to be a real .* \(m, n\) .*\(12, 20\) complex128"):
        Ista(a + 0j, penalty)
    with pytest.raises(MetaoptError, match=r"Fista needs a prior with prox\(.*but FieldOfExperts has none; MapEst"):
        Fista(FieldOfExperts(dct_filters(3)), 0.1)
    with pytest.raises(MetaoptError, match=r"ProximalGradient needs prior to be a torch.nn.Module.*but got 0.1\."):
        ProximalGradient(0.1, 0.1)
    with pytest.raises(MetaoptError, match="step_size_for needs a Gaussian likelihood, but got Poisson"):
        step_size_for(InverseProblem(ops.Identity(), y.abs(), likelihood=Poisson()))
