"""Inverse problems: the analytic gradient against autograd, and what is refused."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from metaopt import operators as ops
from metaopt.core import MetaoptError, tree
from metaopt.problems import Gaussian, InverseProblem, Poisson

NOISES = [None, 0.3, torch.tensor([0.1, 0.5, 2.0])]


def drawn(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def close(a: Any, b: Any, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def gaussian(noise: Any = 0.3) -> tuple[InverseProblem, Tensor]:
    return InverseProblem(ops.Dense(drawn(5, 8)), drawn(3, 5, seed=1), noise), drawn(3, 8, seed=2)


def complex_gaussian(noise: Any = 0.3) -> tuple[InverseProblem, Tensor]:
    operator, y = ops.Fourier(drawn(6, 4)), drawn(3, 1, 6, 4, dtype=torch.complex128, seed=1)
    return InverseProblem(operator, y, noise), drawn(3, 1, 6, 4, dtype=torch.complex128, seed=2)


def real_image_of_complex_measurement(noise: Any = 0.3) -> tuple[InverseProblem, Tensor]:
    problem, x = complex_gaussian(noise)
    return InverseProblem(problem.operator @ ops.RealToComplex(), problem.y, noise), x.real


def poisson(background: float = 0.7) -> tuple[InverseProblem, Tensor]:
    counts = torch.tensor([[0.0, 3.0, 7.0], [1.0, 0.0, 2.0]], dtype=torch.float64)
    return InverseProblem(ops.Dense(drawn(3, 4).abs()), counts, likelihood=Poisson(background)), drawn(2, 4).abs()


GAUSSIANS = [gaussian, complex_gaussian, real_image_of_complex_measurement]
EVERY = [*GAUSSIANS, poisson]


@pytest.mark.parametrize("build", GAUSSIANS)
@pytest.mark.parametrize("noise", NOISES, ids=["unknown", "common", "per sample"])
def test_gradient_is_the_derivative_of_the_energy(build: Any, noise: Any) -> None:
    problem, x = build(noise)
    x.requires_grad_()
    (expected,) = torch.autograd.grad(problem.energy(x).sum(), x)
    close(problem.gradient(x), expected)


def test_gradient_of_the_poisson_energy_is_its_derivative() -> None:
    for background in (0.0, 0.7):
        problem, x = poisson(background)
        x.requires_grad_()
        (expected,) = torch.autograd.grad(problem.energy(x).sum(), x)
        close(problem.gradient(x), expected)


@pytest.mark.parametrize("noise", NOISES[1:], ids=["common", "per sample"])
def test_energies_differ_by_scipys_log_likelihoods(noise: Any) -> None:
    problem, x = gaussian(noise)
    spread = np.broadcast_to(np.asarray(noise, dtype=float).reshape(-1, 1), (3, 5))

    def oracle(x: Tensor) -> Tensor:
        return torch.tensor(-scipy.stats.norm.logpdf(problem.y, problem.operator(x), spread).sum(1))

    close(problem.energy(x) - problem.energy(2 * x), oracle(x) - oracle(2 * x), 1e-6)  # noise is float32 in the list


def test_complex_noise_is_that_of_the_real_and_of_the_imaginary_part() -> None:
    problem, x = complex_gaussian(0.3)
    residual = torch.view_as_real(problem.operator(x) - problem.y).flatten(1)
    close(problem.energy(x), residual.square().sum(1) / (2 * 0.3**2))


def test_poisson_energies_differ_by_scipys_log_likelihoods() -> None:
    problem, x = poisson()

    def oracle(x: Tensor) -> Tensor:
        return torch.tensor(-scipy.stats.poisson.logpmf(problem.y, problem.operator(x) + 0.7).sum(1))

    close(problem.energy(x) - problem.energy(2 * x), oracle(x) - oracle(2 * x))


def test_poisson_stays_finite_outside_its_domain() -> None:
    problem, x = poisson(0.0)
    assert torch.isfinite(problem.energy(-x)).all()
    assert torch.isfinite(problem.gradient(-x)).all()


@pytest.mark.parametrize("build", GAUSSIANS)
def test_batch_with_a_noise_a_sample_equals_its_items(build: Any) -> None:
    problem, x = build(NOISES[2])
    for i in range(3):
        one = InverseProblem(problem.operator, problem.y[i : i + 1], float(NOISES[2][i]))
        close(one.energy(x[i : i + 1]), problem.energy(x)[i : i + 1])
        close(one.gradient(x[i : i + 1]), problem.gradient(x)[i : i + 1])
        close(one.context()[0], problem.context()[0][i : i + 1])


def test_context_is_the_log_noise_where_it_is_known() -> None:
    close(gaussian(0.3)[0].context()[0], torch.tensor([0.3], dtype=torch.float64).log())
    assert gaussian(NOISES[2])[0].context()[0].shape == (3,)
    assert gaussian(None)[0].context() == ()
    assert poisson()[0].context() == ()


def test_start_is_the_adjoint_of_the_measurement() -> None:
    problem, _ = gaussian()
    close(problem.start(), problem.y @ problem.operator.matrix)


@pytest.mark.parametrize("scale", [1e-3, 7.0])
def test_a_normalized_problem_is_the_same_one_and_forgets_how_it_was_scaled(scale: float) -> None:
    matrix, x, y = drawn(5, 8), drawn(3, 8, seed=1), drawn(3, 5, seed=2)
    noise = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    given = InverseProblem(ops.Dense(scale * matrix), scale * y, scale * noise)
    normalized = given.normalized(iterations=500)
    close(normalized.gradient(x), given.gradient(x), 1e-9)
    close(normalized.energy(x), given.energy(x), 1e-9)
    norm = torch.linalg.matrix_norm(matrix, 2)
    close(normalized.start(), y @ matrix / norm**2, 1e-9)
    close(normalized.noise, noise / norm, 1e-9)


def test_what_cannot_be_normalized_is_refused_in_a_sentence() -> None:
    eye, y = ops.Identity(), torch.ones(1, 3)
    for problem in (InverseProblem(eye, y), InverseProblem(eye, y, likelihood=Poisson())):
        with pytest.raises(MetaoptError, match="Gaussian likelihood and a known noise level can be normalized"):
            problem.normalized()
    with pytest.raises(MetaoptError, match="maps everything to zero"):
        InverseProblem(ops.Mask(torch.zeros(3)), y, 0.1).normalized()


def test_a_guess_is_kept_where_nothing_is_measured_and_corrected_where_it_is() -> None:
    mask = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    y = mask * drawn(2, 3)
    problem = InverseProblem(ops.Mask(mask), y, 0.1, guess=0.5)
    close(problem.start(), torch.where(mask == 1, y, 0.5))
    close(InverseProblem(ops.Mask(mask), y, 0.1, guess=0.0).start(), InverseProblem(ops.Mask(mask), y, 0.1).start())
    matrix, x = drawn(5, 8), drawn(3, 8, seed=1)
    right = InverseProblem(ops.Dense(matrix), x @ matrix.T, 0.1, guess=x)
    close(right.start(), x)
    close(right.normalized().start(), x)
    scaled = InverseProblem(ops.Dense(matrix), x @ matrix.T, 0.1, guess=0.5).normalized(iterations=500)
    norm = torch.linalg.matrix_norm(matrix, 2)
    close(scaled.start(), 0.5 + (x - 0.5) @ matrix.T @ matrix / norm**2, 1e-9)


def test_a_problem_made_under_autocast_keeps_its_precision() -> None:
    """Operators multiply matrices, which autocast would do in bfloat16."""
    operator = ops.gaussian_projection(3, (1, 2, 2), 0)
    plain = InverseProblem(operator, torch.rand(2, 3), 0.1, guess=0.5)
    with torch.autocast("cpu", torch.bfloat16):
        lower = InverseProblem(operator, plain.y, 0.1, guess=0.5)
        assert lower.guess.dtype == torch.float32
        assert torch.equal(lower.start(), plain.start())


def test_a_guess_that_cannot_be_is_refused_in_a_sentence() -> None:
    eye, y = ops.Identity(), torch.ones(2, 3)
    with pytest.raises(MetaoptError, match=r"guess \(4,\) float32 does not broadcast to x, \(2, 3\) float32"):
        InverseProblem(eye, y, 0.1, guess=torch.ones(4))
    with pytest.raises(MetaoptError, match=r"guess \(5, 2, 3\) float32 does not broadcast to x"):
        InverseProblem(eye, y, 0.1, guess=torch.ones(5, 2, 3))
    with pytest.raises(MetaoptError, match="guess holds values that are NaN"):
        InverseProblem(eye, y, 0.1, guess=torch.nan)


def test_operators_of_other_libraries_are_taken() -> None:
    matrix = drawn(5, 8)
    linear = scipy.sparse.linalg.aslinearoperator(matrix.numpy())
    ours, x = gaussian()
    for operator in (matrix, linear):
        close(InverseProblem(operator, ours.y, 0.3).gradient(x), ours.gradient(x))


@pytest.mark.parametrize("build", EVERY)
def test_vmap_over_problems_equals_a_loop(build: Any) -> None:
    problems, inputs = zip(*(build() for _ in range(2)), strict=True)
    stacked = tree.stack(problems)
    x = torch.stack(inputs) * torch.tensor([1.0, 1.5], dtype=torch.float64).reshape(2, *[1] * inputs[0].ndim)
    together = tree.vmap(lambda p, x: (p.energy(x), p.gradient(x), p.start()))(stacked, x)
    alone = [(p.energy(one), p.gradient(one), p.start()) for p, one in zip(problems, x, strict=True)]
    for a, *b in zip(together, *alone, strict=True):
        close(a, torch.stack(b))


@pytest.mark.parametrize("build", EVERY)
def test_problem_survives_pickle_deepcopy_and_float32(build: Any) -> None:
    problem, x = build()
    for twin in (pickle.loads(pickle.dumps(problem)), copy.deepcopy(problem)):
        close(twin.gradient(x), problem.gradient(x), 0)
    single, y = tree.to((problem, x), dtype=torch.float32)
    assert single.energy(y).dtype == torch.float32
    close(single.energy(y), problem.energy(x).float(), 1e-4)


@pytest.mark.parametrize("build", EVERY)
def test_every_tensor_of_a_problem_can_get_a_gradient(build: Any) -> None:
    problem, x = build()
    tensors, rebuild = tree.partition(problem)
    tensors = [t.detach().requires_grad_() for t in tensors]
    rebuild(tensors).gradient(x).abs().sum().backward()
    assert all(t.grad is not None and bool((t.grad != 0).any()) for t in tensors)


OPERATOR, Y = ops.Identity(), torch.ones(3, 5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((OPERATOR, torch.ones(3, 5, dtype=torch.int64)), "must be a floating-point or complex tensor.*int64"),
        (
            (OPERATOR, [1.0, 2.0]),
            r"must be a floating-point or complex .* but got \[1.0, 2.0\]; torch.as_tensor",
        ),
        (
            (OPERATOR, torch.tensor([[1.0, float("nan"), float("inf")]])),
            "holds 2 values that are NaN or infinite;",
        ),
        (
            (OPERATOR, Y, 0.0),
            r"must be a positive standard deviation, but got 0\.0; for exact measurements give one far",
        ),
        ((OPERATOR, Y, torch.tensor([0.1, -0.5, 0.1])), "must be a positive standard deviation"),
        ((OPERATOR, Y, float("nan")), "must be a positive standard deviation, but got nan"),
        ((OPERATOR, Y, float("inf")), "must be a positive standard deviation, but got inf"),
        (
            (OPERATOR, Y, torch.ones(2)),
            r"noise level has shape \(2,\), which does not fit y of shape \(3, 5\); give one number, \(3,\) for one a",
        ),
        ((OPERATOR, Y, torch.ones(3, 4)), r"noise level has shape \(3, 4\)"),
        ((OPERATOR, Y, 0.1, Poisson()), "Poisson likelihood has no noise level"),
        ((OPERATOR, -Y, None, Poisson()), "Poisson measurement is a count: real and at least 0"),
        ((OPERATOR, Y + 0j, None, Poisson()), "Poisson measurement is a count: real and at least 0"),
        (("blur", Y, None, Gaussian()), "as_operator cannot make an operator of 'blur'"),
    ],
)
def test_impossible_problems_are_refused_in_a_sentence(arguments: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(MetaoptError, match=sentence):
        InverseProblem(*arguments)


FITS: dict[str, tuple[ops.Operator, tuple[int, ...], list[tuple[int, ...]]]] = {
    "Mask": (ops.Mask(torch.ones(4, 4)), (2, 1, 4, 4), [(2, 1, 4, 5), (2, 1, 4), (2, 16)]),
    "Dense": (ops.Dense(torch.ones(3, 5)), (2, 3), [(2, 5), (2, 1), (3,), (2, 3, 1)]),
    "Dense on pictures": (ops.Dense(torch.ones(3, 16), (4, 4)), (2, 3), [(2, 4, 4), (2, 16)]),
    "Scaled": (ops.Scaled(ops.Dense(torch.ones(3, 5)), 2.0), (2, 3), [(2, 5)]),
    "Compose": (ops.Dense(torch.ones(3, 5)) @ ops.Dense(torch.ones(5, 4)), (2, 3), [(2, 4), (2, 5)]),
    "Adjoint": (ops.Adjoint(ops.Dense(torch.ones(3, 5))), (2, 5), [(2, 3)]),
    "Select": (ops.Select(torch.tensor([0, 2]), (4, 4)), (2, 2), [(2, 3), (2, 4, 4)]),
    "Separable": (ops.Separable(torch.ones(2, 4), torch.ones(3, 4)), (2, 1, 2, 3), [(2, 1, 3, 2), (2, 1, 4, 4)]),
    "Downsample": (ops.box_downsample((4, 4), 2), (2, 1, 2, 2), [(2, 1, 4, 4), (2, 1, 2, 3), (2, 2)]),
    "Batch": (ops.Dense(torch.ones(2, 3, 5)), (2, 3), [(4, 3), (1, 3)]),
    "Sparse": (ops.as_operator(torch.ones(3, 5).to_sparse()), (2, 3), [(2, 5), (2, 3, 1)]),
}


@pytest.mark.parametrize(("operator", "shape", "others"), FITS.values(), ids=FITS)
def test_a_measurement_that_the_operator_cannot_have_given_is_refused_when_it_is_given(
    operator: ops.Operator, shape: tuple[int, ...], others: list[tuple[int, ...]]
) -> None:
    problem = InverseProblem(operator, torch.ones(shape), 0.1)
    assert operator(problem.start()).shape == shape
    for other in others:
        with pytest.raises(MetaoptError):
            InverseProblem(operator, torch.ones(other), 0.1)
