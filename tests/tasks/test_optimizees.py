"""Functions to minimise: their values, minima and gradients, each function of a batch by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt.losses import Unsupervised
from metaopt.tasks import (
    IllConditioned,
    LogisticRegression,
    Quadratics,
    RobustRegression,
    Rosenbrock,
    UniformQuadratics,
)
from metaopt.training import LearningRate, Settings, train, validation_loss

FAMILIES: dict[str, Any] = {
    "quadratics": Quadratics(4, 3),
    "uniform quadratics": UniformQuadratics(4, 3),
    "ill-conditioned": IllConditioned(5, 3),
    "rosenbrock": Rosenbrock(4, 3),
    "logistic": LogisticRegression(2, 3, 20),
    "robust": RobustRegression(2, 3, 20),
}


def minimised(problem: mo.FunctionObjective, x: Tensor, steps: int = 200) -> Tensor:
    """By Newton's method with steps that go down; in double precision."""
    with torch.no_grad():
        for _ in range(steps):
            gradient = torch.func.grad(problem.energy)(x).flatten()
            hessian = torch.func.hessian(problem.energy)(x).reshape(x.numel(), x.numel())
            step = torch.linalg.solve(hessian + 1e-9 * torch.eye(x.numel(), dtype=x.dtype), gradient).reshape(x.shape)
            rate = 1.0
            while problem.energy(x - rate * step) > problem.energy(x) and rate > 1e-9:
                rate /= 2
            x = x - rate * step
    return x


@pytest.mark.parametrize("name", FAMILIES)
def test_every_gradient_is_that_of_its_own_function(name: str) -> None:
    problem, _ = FAMILIES[name].sample(0)
    x = problem.start() + 0.1
    other = x.clone()
    other[1:] += 1
    assert torch.allclose(problem.gradient(x)[0], problem.gradient(other)[0], atol=1e-5)
    assert not torch.equal(problem.gradient(x)[1], problem.gradient(other)[1])
    again = FAMILIES[name].sample(0)[0]
    assert torch.equal(again.energy(x), problem.energy(x))
    following = FAMILIES[name].sample(1)[0]
    assert not torch.equal(following.energy(following.start()), problem.energy(problem.start()))


def test_minima_are_where_they_are_known_to_be() -> None:
    assert float(Rosenbrock(6, 3).sample(0)[0].energy(torch.ones(3, 6))) == 0
    problem = mo.tree.to(Rosenbrock(2, 1, spread=0.0).sample(0)[0], dtype=torch.float64)
    assert float(problem.energy(problem.start())) == pytest.approx(24.2)
    torch.testing.assert_close(minimised(problem, problem.start()), torch.ones(1, 2, dtype=torch.float64))
    problem = mo.tree.to(IllConditioned(5, 3, condition=100).sample(0)[0], dtype=torch.float64)
    assert float(problem.energy(minimised(problem, problem.start(), 3))) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("rotated", [True, False])
def test_the_condition_is_as_asked_for(rotated: bool) -> None:
    problem, _ = IllConditioned(6, 1, condition=50, rotated=rotated).sample(3)
    hessian = torch.func.hessian(problem.energy)(problem.start()).reshape(6, 6)
    values = torch.linalg.eigvalsh(hessian)
    assert float(values[-1]) == pytest.approx(1, rel=1e-4)
    assert float(values[-1] / values[0]) == pytest.approx(50, rel=1e-3)
    assert bool(torch.allclose(hessian, hessian.diag().diag(), atol=1e-6)) is not rotated


def test_outliers_hardly_move_a_robust_fit_and_classes_can_be_told_apart() -> None:
    robust = mo.tree.to(RobustRegression(2, 1, 200).sample(0)[0], dtype=torch.float64)
    points, values = robust.data
    best = torch.linalg.lstsq(points[0], values[0][:, None]).solution.T
    near = minimised(robust, best, 30)
    assert float(robust.energy(near)) < float(robust.energy(best))
    logistic = mo.tree.to(LogisticRegression(2, 4).sample(0)[0], dtype=torch.float64)
    found = minimised(logistic, torch.zeros(4, 3, dtype=torch.float64), 30)
    assert float(logistic.energy(found)) < 0.8 * 4 * 0.6931


def test_the_variants_are_the_published_ones() -> None:
    normal, _ = Quadratics(3, 500).sample(0)
    assert float(normal.start().abs().max()) == 0
    assert float(normal.data[0].std()) == pytest.approx(1, abs=0.05)
    uniform, _ = UniformQuadratics(3, 500).sample(0)
    assert float(uniform.start().std()) == pytest.approx(0.01, rel=0.1)
    assert 0 <= float(uniform.data[0].min()) < float(uniform.data[0].max()) <= 1


@pytest.mark.parametrize("update", [lambda: mo.updates.CoordinatewiseLstm(8), lambda: mo.updates.LearnedAdam()])
def test_an_optimizer_learns_to_go_further_in_as_many_steps(update: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = mo.unroll(mo.Descent(update()), 10)
    task = Quadratics(5, 16)
    before = validation_loss(net, task, 2, Unsupervised())
    train(
        net, task, tmp_path, Settings(updates=60, steps=(10, 10), rate=LearningRate(1e-2, 1e-3, 5)), loss=Unsupervised()
    )
    assert validation_loss(net, task, 2, Unsupervised()) < 0.5 * before
