"""Conjugate gradients against dense solves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import metaopt as mo

from ..cases.problems import coils_problem, dense_problem, kspace_problem, uneven_noise
from ..helpers import normal

PROBLEMS: dict[str, Callable[[], mo.InverseProblem]] = {
    "real, a noise for each sample": lambda: dense_problem(1),
    "one coil": lambda: kspace_problem(1),
    "two coils and two sets": lambda: coils_problem(1),
    "a noise for every frequency": lambda: uneven_noise(coils_problem(1), 3, 2, 6, 8),
    "a noise for each coil": lambda: uneven_noise(coils_problem(1), 1, 2, 1, 1),
    "unknown noise": lambda: mo.InverseProblem(coils_problem(1).operator, coils_problem(1).y),
    "a guess": lambda: mo.InverseProblem(dense_problem(1).operator, dense_problem(1).y, 0.3, guess=0.7),
}
every_problem = pytest.mark.parametrize("build", PROBLEMS.values(), ids=PROBLEMS.keys())


def matrix_of(operator: Any, x: Tensor) -> np.ndarray:
    """The dense matrix of an operator that is the same for all samples, column by column."""
    columns = []
    for i in range(x[0].numel()):
        unit = torch.zeros_like(x[:1]).flatten()
        unit[i] = 1
        columns.append(operator(unit.reshape(1, *x.shape[1:])).flatten())
    return torch.stack(columns, 1).numpy()


def dense_solution(problem: mo.InverseProblem, weight: float) -> Tensor:
    x = problem.operator.adjoint(problem.y)
    matrix, guess = (
        matrix_of(problem.operator, x),
        np.zeros(x.shape[1:]) + (0 if problem.guess is None else problem.guess[0].numpy()),
    )
    noise = torch.ones(()) if problem.noise is None else problem.noise
    if noise.ndim == 1:
        noise = noise.reshape(-1, *[1] * (problem.y.ndim - 1))
    found = []
    for y, level in zip(problem.y.numpy(), noise.expand(problem.y.shape).numpy(), strict=True):
        scaled = matrix / level.reshape(-1, 1)
        left = scaled.conj().T @ scaled + weight * np.eye(matrix.shape[1])
        right = scaled.conj().T @ (y / level).flatten() + weight * guess.flatten()
        found.append(np.linalg.solve(left, right).reshape(x.shape[1:]))
    return torch.from_numpy(np.stack(found))


@every_problem
@pytest.mark.parametrize("weight", [0.3, 4.0])
def test_it_ends_at_the_solution_of_the_normal_equations(build: Callable[[], mo.InverseProblem], weight: float) -> None:
    problem = build()
    run = mo.solve(mo.ConjugateGradient(weight), problem, 300, mo.Settled(relative=1e-10))
    assert run.report.converged
    torch.testing.assert_close(run.final, dense_solution(problem, weight), rtol=1e-7, atol=1e-8)


@every_problem
def test_its_residual_is_the_gradient_relative_to_the_first(build: Callable[[], mo.InverseProblem]) -> None:
    problem, algorithm = build(), mo.ConjugateGradient(0.0)
    state = mo.unroll(algorithm, 3)(problem).state
    begin = algorithm.init(problem).x
    sizes = [problem.gradient(x).flatten(1).norm(dim=1) for x in (state.x, begin)]
    torch.testing.assert_close(algorithm.residual(problem, state, 2), sizes[0] / sizes[1], rtol=1e-6, atol=1e-12)


def test_steps_beyond_the_solution_change_nothing() -> None:
    """What a mask does not see would otherwise grow from rounding errors."""
    problem = kspace_problem(2)
    run = mo.unroll(mo.ConjugateGradient(), 30)(problem)
    torch.testing.assert_close(run.final, problem.start(), rtol=0, atol=1e-12)


def test_it_is_exact_after_as_many_steps_as_there_are_eigenvalues() -> None:
    """A mask has two, 0 and 1, and the guess lacks the first."""
    problem = kspace_problem(2)
    final = mo.unroll(mo.ConjugateGradient(0.5), 1)(problem).final
    torch.testing.assert_close(final, problem.start() / (1 + 0.5 * 0.2**2))


def test_samples_that_are_solved_stay_while_others_go_on() -> None:
    problem = dense_problem(3)
    y = problem.y.clone()
    y[1] = 0
    run = mo.unroll(mo.ConjugateGradient(0.1), 60)(mo.InverseProblem(problem.operator, y, problem.noise))
    assert torch.equal(run.final[1], torch.zeros_like(run.final[1]))
    torch.testing.assert_close(
        run.final, dense_solution(mo.InverseProblem(problem.operator, y, problem.noise), 0.1), rtol=1e-7, atol=1e-8
    )


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_single_precision_suffices_at_every_scale_and_noise(scale: float) -> None:
    problem = coils_problem(1)
    expected = dense_solution(mo.InverseProblem(problem.operator, problem.y, 1e-4), 1e5)
    y = (scale * problem.y).to(torch.complex64)
    small = mo.InverseProblem(mo.tree.to(problem.operator, dtype=torch.float32), y, scale * 1e-4)
    final = mo.unroll(mo.ConjugateGradient(1e5 / scale**2), 200, keep="last")(small).final
    torch.testing.assert_close(final.to(torch.complex128) / scale, expected, rtol=1e-2, atol=1e-2)


def test_what_is_no_least_squares_is_refused() -> None:
    counts = mo.InverseProblem(mo.operators.Identity(), torch.ones(1, 1, 4, 4), likelihood=mo.Poisson())
    with pytest.raises(mo.MetaoptError, match="Gaussian likelihood, not Poisson"):
        mo.solve(mo.ConjugateGradient(), counts, 3)
    with pytest.raises(mo.MetaoptError, match=r"ConjugateGradient solves a problem with start"):
        mo.solve(mo.ConjugateGradient(), normal(0, 3, 4), 3)
    with pytest.raises(mo.MetaoptError, match="weight"):
        mo.ConjugateGradient(-1.0)
