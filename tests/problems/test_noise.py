"""Noise that differs within a sample: against weighted least squares by dense matrices, and what networks see of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import metaopt as mo
from metaopt import operators as ops
from metaopt.core import MetaoptError, tree
from metaopt.networks.convolutional import gradient_features
from metaopt.problems import InverseProblem, noise_variance
from metaopt.updates import ComplexAsBatch, ConvGru

DOUBLE, COMPLEX = torch.float64, torch.complex128


def drawn(*shape: int, dtype: torch.dtype = DOUBLE, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def positive(*shape: int, seed: int = 0) -> Tensor:
    return 0.2 + torch.rand(shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def close(a: Any, b: Any, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@dataclass(frozen=True, eq=False)
class Coils(ops.Operator):
    """Coil maps (C, H, W) times one complex picture (B, 1, H, W), then a masked Fourier transform: (B, C, H, W)."""

    maps: Tensor
    mask: Tensor

    def apply(self, x: Tensor) -> Tensor:
        return self.mask * torch.fft.fft2(self.maps * x, norm="ortho")

    def adjoint(self, y: Tensor) -> Tensor:
        return (self.maps.conj() * torch.fft.ifft2(self.mask * y, norm="ortho")).sum(1, keepdim=True)


# name: operator, the shape of x and of y without the batch, dtype
SPACES: dict[str, tuple[ops.Operator, tuple[int, ...], tuple[int, ...], torch.dtype]] = {
    "matrix": (ops.Dense(drawn(5, 8)), (8,), (5,), DOUBLE),
    "complex matrix": (ops.Dense(drawn(5, 4, dtype=COMPLEX)), (4,), (5,), COMPLEX),
    "picture": (ops.Identity(), (2, 3, 4), (2, 3, 4), DOUBLE),
    "masked picture": (ops.Scaled(ops.Mask(drawn(3, 4, seed=5)), 0.7), (1, 3, 4), (1, 3, 4), DOUBLE),
    "coils": (
        Coils(drawn(3, 4, 5, dtype=COMPLEX, seed=6), (drawn(4, 5, seed=7) > -0.5).double()),
        (1, 4, 5),
        (3, 4, 5),
        COMPLEX,
    ),
}


def matrix_of(operator: ops.Operator, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A, column by column."""
    size = math.prod(shape)
    return operator(torch.eye(size, dtype=dtype).reshape(size, *shape)).flatten(1).T


def noises(batch: int, shape: tuple[int, ...]) -> st.SearchStrategy[Tensor]:
    """Any shape that is allowed: a number, one a sample, or y's axes, each of its size or 1."""
    axes = st.tuples(*(st.sampled_from([1, n]) for n in (batch, *shape)))
    return st.one_of(st.just(()), st.just((batch,)), axes).map(lambda s: positive(*s, seed=sum(s)))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(sorted(SPACES)), st.integers(1, 3))
def test_energy_and_gradient_are_those_of_weighted_least_squares(data: st.DataObject, name: str, batch: int) -> None:
    operator, inner, outer, dtype = SPACES[name]
    noise = data.draw(noises(batch, outer))
    y, x = drawn(batch, *outer, dtype=dtype, seed=1), drawn(batch, *inner, dtype=dtype, seed=2)
    problem = InverseProblem(operator, y, noise)
    matrix = matrix_of(operator, inner, dtype)
    per_entry = (noise.reshape(-1, *[1] * len(outer)) if noise.ndim == 1 else noise).expand(y.shape).flatten(1)
    for i in range(batch):
        residual = matrix @ x[i].flatten() - y[i].flatten()
        inverse_covariance = torch.diag(per_entry[i] ** -2).to(dtype)
        close(problem.energy(x)[i], (residual.conj() @ inverse_covariance @ residual).real / 2)
        close(problem.gradient(x)[i].flatten(), matrix.mH @ inverse_covariance @ residual)
    x.requires_grad_()
    (expected,) = torch.autograd.grad(problem.energy(x).sum(), x)
    close(problem.gradient(x), expected)


@pytest.mark.parametrize("name", ["matrix", "complex matrix", "coils"])
def test_descent_ends_at_the_weighted_least_squares_solution(name: str) -> None:
    operator, inner, outer, dtype = SPACES[name]
    matrix, y = matrix_of(operator, inner, dtype), drawn(2, *outer, dtype=dtype, seed=1)
    noise = positive(2, *outer, seed=3)
    prior = 0.5  # a little of |x|^2, so that there is one solution

    class Ridge(torch.nn.Module):
        def gradient(self, x: Tensor, k: int = 0) -> Tensor:
            return prior * x

    problem = InverseProblem(operator, y, noise)
    step = 1 / (1 / mo.algorithms.step_size_for(problem, iterations=300) + prior)
    x = mo.unroll(mo.MapEstimation(Ridge(), float(step)), 4000, keep="last")(problem).final
    for i in range(2):
        weighted = matrix.mH * noise[i].flatten() ** -2
        solution = torch.linalg.solve(weighted @ matrix + prior * torch.eye(len(matrix.T)), weighted @ y[i].flatten())
        close(x[i].flatten(), solution, 1e-6)


def test_a_safe_step_is_one_over_the_largest_eigenvalue_of_the_weighted_normal_matrix() -> None:
    operator, inner, outer, dtype = SPACES["coils"]
    noise = positive(1, 3, 1, 1, seed=3)
    problem = InverseProblem(operator, drawn(2, *outer, dtype=dtype), noise)
    matrix = matrix_of(operator, inner, dtype)
    weighted = (matrix.mH * noise.expand(1, *outer).flatten() ** -2) @ matrix
    close(1 / mo.algorithms.step_size_for(problem, iterations=500), torch.linalg.eigvalsh(weighted)[-1], 1e-6)


@pytest.mark.parametrize("name", sorted(SPACES))
def test_a_constant_map_is_seen_as_the_number_it_holds(name: str) -> None:
    operator, inner, outer, dtype = SPACES[name]
    y, x = drawn(2, *outer, dtype=dtype, seed=1), drawn(2, *inner, dtype=dtype, seed=2)
    number = InverseProblem(operator, y, 0.3)
    constant = InverseProblem(operator, y, torch.full((2, *outer), 0.3, dtype=DOUBLE))
    close(constant.context()[0], number.context()[0].expand(constant.context()[0].shape))
    close(constant.normalized().context()[0].mean(), number.normalized().context()[0].mean())
    close(constant.gradient(x), number.gradient(x))
    close(noise_variance(constant, x).expand(x.shape), noise_variance(number, x).expand(x.shape))


def test_one_level_a_sample_is_the_same_however_it_is_written() -> None:
    levels, y = positive(3), drawn(3, 1, 4, 5)
    problems = [InverseProblem(ops.Identity(), y, noise) for noise in (levels, levels.reshape(3, 1, 1, 1))]
    assert [p.noise.shape for p in problems] == [(3,), (3,)]
    assert torch.equal(problems[0].context()[0], problems[1].context()[0])
    assert InverseProblem(ops.Identity(), y, torch.full((1, 1, 1, 1), 0.1)).context()[0].shape == (1,)


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_the_level_makes_mean_weights_of_one_and_noise_of_its_own_variance_in_the_gradient(scale: float) -> None:
    """Both sides from dense matrices: tr(A^H W A) = tr(A^H A), tr cov(A^H W n) = level^2 tr(A^H A); W = level^2 / N^2.

    One vector of signs estimates the rows' norms, so it holds up to sampling error; sizes are such that it is small.
    """
    maps, mask = drawn(3, 24, 24, dtype=COMPLEX, seed=6), (drawn(24, 24, seed=7) > 0).double()
    operator, noise = Coils(maps, mask), scale * positive(1, 3, 24, 24, seed=8)
    problem = InverseProblem(operator, drawn(1, 3, 24, 24, dtype=COMPLEX), noise)
    matrix = matrix_of(operator, (1, 24, 24), COMPLEX)
    level = problem.context()[0].exp()
    assert level.shape == (1,)
    weights = level.square() / noise.flatten().square()
    rows = matrix.abs().square().sum(1)
    assert float((weights * rows).sum() / rows.sum()) == pytest.approx(1, rel=0.05)
    spread = (weights.square() * noise.flatten().square() * rows).sum() / rows.sum()
    assert float(spread / level.square()) == pytest.approx(1, rel=0.05)


def test_entries_that_are_not_measured_do_not_change_the_level() -> None:
    mask = torch.zeros(1, 1, 6, 6, dtype=DOUBLE)
    mask[..., :3, :] = 1
    y, noise = drawn(1, 1, 6, 6, dtype=COMPLEX), torch.full((1, 1, 6, 6), 0.1, dtype=DOUBLE)
    noise[..., 3:, :] = 1e6
    close(InverseProblem(ops.Fourier(mask), mask * y, noise).context()[0].exp(), torch.full((1,), 0.1, dtype=DOUBLE))
    blank = InverseProblem(ops.Fourier(0 * mask), 0 * y, noise)
    assert torch.isfinite(blank.context()[0]).all()


def test_kspace_of_the_shape_of_the_picture_is_no_map_of_the_picture() -> None:
    """Fourier keeps the shape, but y's places are frequencies: the network is told one level, not a wrong map."""
    noise = positive(2, 1, 6, 5)
    kspace = InverseProblem(ops.Fourier(torch.ones(6, 5)), drawn(2, 1, 6, 5, dtype=COMPLEX), noise)
    assert kspace.context()[0].shape == (2,)
    pixels = InverseProblem(ops.Mask(torch.ones(6, 5)), drawn(2, 1, 6, 5), noise)
    close(pixels.context()[0], noise.log())


def test_of_several_channels_a_pixel_has_the_level_of_their_mean_precision() -> None:
    noise = positive(2, 3, 4, 5)
    problem = InverseProblem(ops.Identity(), drawn(2, 3, 4, 5), noise)
    close(problem.context()[0].exp(), noise.pow(-2).mean(1, keepdim=True).rsqrt())


def test_a_batch_with_maps_is_seen_as_its_items() -> None:
    for operator, _, outer, dtype in SPACES.values():
        y, noise = drawn(3, *outer, dtype=dtype), positive(3, *outer)
        both = InverseProblem(operator, y, noise)
        for i in range(3):
            one = InverseProblem(operator, y[i : i + 1], noise[i : i + 1])
            close(one.context()[0], both.context()[0][i : i + 1])


def cell(channels: int = 1) -> ConvGru:
    return ConvGru(channels, hidden=4, stride=2)


def net(update: Callable[[], Any], steps: int = 3) -> mo.Unrolled:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = mo.unroll(mo.Descent(update()), steps).double()
        for p in made.parameters():
            p.data.add_(0.05 * torch.randn_like(p))
        return made


NETWORKS = {
    "rim": (lambda: cell(), "picture"),
    "each part": (lambda: ComplexAsBatch(cell()), "kspace"),
    "each part, pixels": (lambda: ComplexAsBatch(cell()), "complex picture"),
    "real and imaginary part": (lambda: mo.updates.ComplexAsChannels(cell(2)), "complex picture"),
}


def network_problem(kind: str, noise: Any) -> InverseProblem:
    if kind == "kspace":
        return InverseProblem(ops.Fourier(torch.ones(6, 8, dtype=DOUBLE)), drawn(2, 1, 6, 8, dtype=COMPLEX), noise)
    dtype = DOUBLE if kind == "picture" else COMPLEX
    return InverseProblem(ops.Identity(), drawn(2, 1, 6, 8, dtype=dtype), noise)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_gives_for_a_constant_map_what_it_gives_for_the_number(name: str) -> None:
    update, kind = NETWORKS[name]
    levels = torch.tensor([0.1, 0.4], dtype=DOUBLE)
    full = levels.reshape(2, 1, 1, 1).expand(2, 1, 6, 8).clone()
    trained = net(update)
    close(trained(network_problem(kind, full)).final, trained(network_problem(kind, levels)).final)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_sees_where_the_noise_is(name: str) -> None:
    update, kind = NETWORKS[name]
    one = torch.full((2, 1, 6, 8), 0.2, dtype=DOUBLE)
    other = one.clone()
    other[..., :4] = 0.4
    trained = net(update)
    assert not torch.allclose(trained(network_problem(kind, one)).final, trained(network_problem(kind, other)).final)


def test_where_pixels_are_measured_one_by_one_each_is_seen_as_if_all_had_its_noise() -> None:
    """Features are pointwise: at a pixel of level s they are those of a problem in which every pixel has level s."""
    noise, y, x = positive(1, 1, 6, 8), drawn(1, 1, 6, 8), drawn(1, 1, 6, 8, seed=1)
    mixed = InverseProblem(ops.Identity(), y, noise)
    seen = gradient_features(mixed.gradient(x), x, mixed.context())
    for row, column in ((0, 0), (3, 5)):
        level = float(noise[0, 0, row, column])
        alone = InverseProblem(ops.Identity(), y, level)
        expected = gradient_features(alone.gradient(x), x, alone.context())
        close(seen[..., row, column], expected[..., row, column])


def test_the_invertible_rim_reads_a_map() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        irim = mo.models.irim(hidden=4, layers=1, steps=2).double()
    constant, number = (network_problem("picture", n) for n in (torch.full((2, 1, 6, 8), 0.2), 0.2))
    close(irim(constant).final, irim(number).final, 1e-6)


def test_map_estimation_with_a_map_takes_for_every_pixel_the_step_of_its_level() -> None:
    noise, y = positive(2, 1, 8, 8), drawn(2, 1, 8, 8)
    estimation = mo.models.learned_map(size=3, steps=1).double().algorithm
    problem = InverseProblem(ops.Identity(), y, noise)
    start = estimation.init(problem)._replace(x=drawn(2, 1, 8, 8, seed=1))
    moved = estimation.step(problem, start, 0).x
    level = float(noise[1, 0, 2, 3])
    alone = estimation.step(InverseProblem(ops.Identity(), y, level), start, 0).x
    close(moved[1, 0, 2, 3], alone[1, 0, 2, 3])


def test_a_step_in_units_of_the_noise_is_stable_for_very_different_coils() -> None:
    """The unit is the smallest variance of a sample: with the level's own, 0.1 and 1 in three coils would blow up."""
    operator, _, outer, dtype = SPACES["coils"]
    scaled = ops.Scaled(operator, 1 / ops.spectral.spectral_norm(operator, drawn(1, 1, 4, 5, dtype=dtype)))
    noise = torch.tensor([0.1, 1.0, 1.0], dtype=DOUBLE).reshape(1, 3, 1, 1)
    problem = InverseProblem(scaled, drawn(2, *outer, dtype=dtype), noise)
    close(noise_variance(problem, problem.start()), torch.full((1, 1, 1, 1), 0.01, dtype=DOUBLE))
    descent = mo.ProximalGradient(mo.priors.Sparsity(0.1), 0.9, unit=noise_variance)
    outputs = mo.unroll(descent, 30)(problem).outputs
    energies = torch.stack([problem.energy(x) + mo.priors.Sparsity(0.1).energy(x) for x in outputs])
    assert bool((energies.diff(dim=0) <= 1e-9).all())


def test_a_prox_gets_one_step_a_sample() -> None:
    noise = positive(2, 1, 6, 7)
    problem = InverseProblem(ops.Identity(), drawn(2, 1, 6, 7), noise)
    steps = []

    class Recorded(torch.nn.Module):
        def prox(self, x: Tensor, step: Any, k: int = 0) -> Tensor:
            steps.append(step)
            return x

    mo.unroll(mo.ProximalGradient(Recorded(), 0.5, unit=noise_variance), 1)(problem)
    close(steps[0], 0.5 * noise.amin((1, 2, 3), keepdim=True).square())


def test_noise_of_every_shape_survives_vmap_copies_and_other_precision() -> None:
    problems = [InverseProblem(*_coils(seed), positive(1, 3, 1, 1, seed=seed)) for seed in (0, 1)]
    x = drawn(2, 2, 1, 4, 5, dtype=COMPLEX)
    together = tree.vmap(lambda p, x: (p.energy(x), p.gradient(x), p.context()[0]))(tree.stack(problems), x)
    for i, problem in enumerate(problems):
        for a, b in zip(together, (problem.energy(x[i]), problem.gradient(x[i]), problem.context()[0]), strict=True):
            close(a[i], b)
    single = tree.to(problems[0], dtype=torch.float32)
    close(single.context()[0], problems[0].context()[0].float(), 1e-5)


def _coils(seed: int) -> tuple[ops.Operator, Tensor]:
    operator, _, outer, dtype = SPACES["coils"]
    return operator, drawn(2, *outer, dtype=dtype, seed=seed)


def test_the_first_order_view_of_a_problem_has_its_units() -> None:
    problem = InverseProblem(*_coils(0), positive(1, 3, 1, 1))
    x = problem.start()
    close(noise_variance(mo.FirstOrder(problem), x), noise_variance(problem, x))


@pytest.mark.parametrize("shape", [(3,), (4,), (2, 3), (3, 4, 5), (2, 2, 4, 5), (2, 3, 4, 5, 1), (1, 3, 5, 1)])
def test_noise_of_another_shape_is_refused_with_both_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(MetaoptError) as refused:
        InverseProblem(ops.Identity(), drawn(2, 3, 4, 5), positive(*shape))
    assert f"noise level has shape {shape}, which does not fit y of shape (2, 3, 4, 5)" in str(refused.value)


@pytest.mark.parametrize("bad", [0.0, -0.1, math.nan, math.inf])
def test_a_map_with_one_value_that_is_no_deviation_is_refused(bad: float) -> None:
    noise = positive(2, 1, 4, 5)
    noise[1, 0, 2, 3] = bad
    with pytest.raises(MetaoptError, match="must be a positive standard deviation, but got values from"):
        InverseProblem(ops.Identity(), drawn(2, 1, 4, 5), noise)


def test_of_a_measurement_with_one_axis_every_entry_is_a_sample() -> None:
    noise, y, x = positive(4), drawn(4), drawn(4, seed=1)
    problem = InverseProblem(ops.Identity(), y, noise)
    close(problem.energy(x), (x - y).square() / (2 * noise.square()))
    close(problem.gradient(x), (x - y) / noise.square())
    assert problem.level is None


def test_a_context_that_is_no_map_of_one_channel_is_refused_with_both_shapes() -> None:
    problem = InverseProblem(ops.Identity(), drawn(2, 1, 6, 8), 0.1)

    @dataclass(frozen=True, eq=False)
    class Wrong:
        problem: InverseProblem

        def start(self) -> Tensor:
            return self.problem.start()

        def gradient(self, x: Tensor) -> Tensor:
            return self.problem.gradient(x)

        def context(self) -> tuple[Tensor, ...]:
            return (torch.zeros(2, 3, 6, 8, dtype=DOUBLE),)

    with pytest.raises(MetaoptError, match=r"one is \(2, 3, 6, 8\) and x \(2, 1, 6, 8\).*broadcast to \(2, 1, 6, 8\)"):
        net(cell)(Wrong(problem))
