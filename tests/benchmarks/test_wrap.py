"""The solvers of ``benchmarks.wrap``: the plain ones solve their problems, and the wrapped ones equal them."""

from __future__ import annotations

import pytest
import torch

import metaopt as mo
from benchmarks import report, wrap
from benchmarks.solvers import CASES, conjugate_gradient, inside, poisson, richardson_lucy

each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
SMALL = {"updates": 2, "batch": 2, "tuning": 2, "held_out": 2, "timed_runs": 1}


def problems(case, count=2, seed=0):
    return case.sample(count, torch.Generator().manual_seed(seed))


def dense(operator, like):
    """The matrix of a linear map on images of the size of ``like``, column by column."""
    basis = torch.eye(like.numel(), dtype=like.dtype).reshape(-1, *like.shape)
    return operator(basis).flatten(1).mT


@each
@pytest.mark.parametrize("opened", [False, True], ids=["wrapped", "opened"])
def test_the_wrapped_solver_equals_the_plain_one_before_training(case, opened):
    problem, setting = problems(case), case.classical[-1]
    algorithm = case.wrap(case.steps, **setting)
    if opened:
        algorithm = mo.parameterize(algorithm, case.openings)
    with torch.no_grad():
        wrapped = mo.core.tree.leaves(mo.unroll(algorithm, case.steps)(problem).final)
    plain = mo.core.tree.leaves(case.plain(problem, case.steps, **setting))
    for ours, theirs in zip(wrapped, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-13)


@each
def test_a_wrapper_is_at_most_twenty_lines(case):
    assert 5 <= case.wrap_lines <= 20


@each
def test_every_opened_slot_gets_a_gradient(case):
    setting = case.classical[len(case.classical) // 2]
    net = mo.unroll(mo.parameterize(case.wrap(case.steps, **setting), case.openings), case.steps)
    problem = problems(case)
    wrap.mean_log_residual(case, problem, net(problem).final).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


@pytest.mark.parametrize("case", [poisson.SOR, poisson.CHEBYSHEV, conjugate_gradient.CASE], ids=lambda case: case.name)
def test_the_plain_linear_solvers_reach_the_dense_solution(case):
    problem = problems(case, 1)
    if isinstance(problem, conjugate_gradient.Diffusion):
        matrix, source, setting = (
            dense(problem.matrix, problem.source[0]),
            problem.source,
            {"precondition": conjugate_gradient.Jacobi()},
        )
    else:
        optimum = 2 / (1 + torch.sin(torch.tensor(torch.pi / (poisson.N + 1))).item())
        matrix, source = dense(poisson.laplacian, problem[0]), problem
        setting = {"omega": optimum} if case is poisson.SOR else case.classical[0]
    torch.testing.assert_close(matrix, matrix.mT)
    solution = torch.linalg.solve(matrix, source.flatten()).reshape(source.shape)
    torch.testing.assert_close(case.plain(problem, 300, **setting), solution, rtol=1e-6, atol=1e-8)


def test_the_chebyshev_bounds_are_the_extreme_eigenvalues():
    eigenvalues = torch.linalg.eigvalsh(dense(poisson.laplacian, torch.zeros(poisson.N, poisson.N).double()))
    assert pytest.approx(eigenvalues[0].item()) == poisson.LOWEST
    assert pytest.approx(eigenvalues[-1].item()) == poisson.HIGHEST


def test_the_learned_preconditioner_stays_symmetric_and_positive():
    problem = problems(conjugate_gradient.CASE, 1)
    stencil = conjugate_gradient.Stencil(5)
    torch.nn.init.normal_(stencil.kernel, std=0.1, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        matrix = dense(lambda r: stencil(problem, r), problem.source[0])
    torch.testing.assert_close(matrix, matrix.mT)
    assert torch.linalg.eigvalsh(matrix)[0] > 0


def test_richardson_lucy_keeps_the_flux_and_never_raises_the_divergence():
    case = richardson_lucy.CASE
    problem = problems(case)
    estimates = [case.plain(problem, steps, exponent=1.0) for steps in (1, 2, 5, 20)]
    even = problem.adjoint(torch.ones_like(problem.image))
    for x in estimates:
        torch.testing.assert_close((even * x).sum((1, 2)), problem.image.sum((1, 2)))
    residuals = torch.stack([case.residual(problem, x) for x in estimates])
    assert (residuals.diff(dim=0) < 0).all()


@each
def test_the_plain_solver_converges(case):
    problem, setting = problems(case), case.classical[len(case.classical) // 2]
    few, many = (case.residual(problem, case.plain(problem, steps, **setting)) for steps in (1, 30))
    assert (many < few).all()


def test_steps_to_a_level_are_interpolated_and_capped():
    curve = torch.tensor([0.0, -1.0, -3.0, -4.0])  # after 1, 2, 3 and 4 steps
    assert [wrap.steps_to(curve, level) for level in (0.5, -0.5, -2.0, -9.0)] == [1.0, 1.5, 2.5, 4.0]


def test_a_setting_at_the_edge_of_its_grid_is_told_from_one_inside():
    grid = [{"omega": omega} for omega in (1.0, 1.5, 1.9)]
    assert [inside(setting, grid) for setting in grid] == [False, True, False]
    assert inside({"omega": 1.0}, grid[:1])


def test_a_row_has_every_figure():
    row = wrap.row(poisson.CHEBYSHEV, SMALL, [0])
    assert row["difference"] <= 1e-12 and row["classical_2T"] < row["classical_T"] and row["saving"] > 0


def test_paired_timings_give_the_ratio_to_the_first():
    ticks = iter(range(1000))
    clock = lambda: float(next(ticks))  # noqa: E731
    timing = report.paired({"one": lambda: None, "three": lambda: [clock(), clock()]}, rounds=5, clock=clock)
    assert timing["one"]["ratio"] == 1.0
    assert timing["three"] == {"seconds": 3.0, "ratio": 3.0, "ratio_low": 3.0, "ratio_high": 3.0}
