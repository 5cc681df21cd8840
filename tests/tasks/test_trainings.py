"""Trainings side by side: every one as if it were alone, from weights and minibatches of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import metaopt as mo
from metaopt.losses import Unsupervised
from metaopt.tasks import (
    BENCHMARK_FUNCTIONS,
    BenchmarkFunctions,
    FirstOrderTask,
    NetworkTrainings,
    Quadratics,
    conv_net,
    held_out,
    mlp,
)
from metaopt.training import LearningRate, Settings, train, validation_loss

from ..helpers import normal

DATA = normal(0, 50, 3).float(), (normal(0, 50, 3)[:, 0] > 0).long()


def task(**options: Any) -> NetworkTrainings:
    return NetworkTrainings(mlp([3, 4, 2]), DATA, **({"trainings": 3, "batch": 5, "steps": 4, "held": 7} | options))


def test_trainings_are_those_of_torch_one_by_one() -> None:
    problem, _ = task().sample(0)
    found = mo.unroll(mo.Descent(mo.updates.Adam(0.05)), 6)(problem).final
    energies = problem.energies(found)
    for t in range(3):
        net = mlp([3, 4, 2])
        net.load_state_dict({name: values[t] for name, values in problem.start().items()})
        optimizer = torch.optim.Adam(net.parameters(), 0.05)
        for k in range(6):
            seen = problem.minibatches[t, k % 4]
            optimizer.zero_grad()
            F.cross_entropy(net(DATA[0][seen]), DATA[1][seen]).backward()
            optimizer.step()
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(found[name][t], parameter.detach(), rtol=1e-4, atol=1e-5)
        held = problem.held[t]
        torch.testing.assert_close(energies[t], F.cross_entropy(net(DATA[0][held]), DATA[1][held]))
    torch.testing.assert_close(problem.energy(found), energies.sum())


def test_weights_and_minibatches_are_drawn_anew_and_leave_the_generator_alone() -> None:
    trainings, before = task(), torch.random.get_rng_state()
    (a, _), (b, _), (again, _) = trainings.sample(0), trainings.sample(1), trainings.sample(0)
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = a.start()["1.weight"]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights, b.start()["1.weight"])
    assert torch.equal(weights, again.start()["1.weight"])
    assert torch.equal(a.minibatches, again.minibatches)
    assert not torch.equal(a.minibatches, b.minibatches)
    assert not torch.equal(held_out(task())[0].held, held_out(task(), 1)[0].held)
    assert torch.equal(held_out(task())[0].held, held_out(task())[0].held)


def test_an_optimizer_learns_from_trainings(tmp_path: Path) -> None:
    net = mo.unroll(mo.Descent(mo.updates.LearnedAdam(step_size=mo.shared(0.01, positive=True))), 15)
    before = validation_loss(net, task(), 3, Unsupervised())
    train(net, task(), tmp_path, Settings(60, (15, 15), LearningRate(0.1, 0.1, 1), ema=0.9), loss=Unsupervised())
    assert validation_loss(net, task(), 3, Unsupervised()) < 0.9 * before


def test_networks_for_digits_have_the_usual_shapes() -> None:
    assert mlp([64, 20, 10])(torch.rand(2, 1, 8, 8)).shape == (2, 10)
    assert [m.out_features for m in mlp([64, 20, 20, 10], nn.ReLU) if isinstance(m, nn.Linear)] == [20, 20, 10]
    assert conv_net(7, 5)(torch.rand(2, 1, 7, 7)).shape == (2, 5)
    problem, _ = NetworkTrainings(conv_net(), (torch.rand(9, 1, 8, 8), torch.arange(9)), 2, 4, 3, 4).sample(0)
    assert mo.unroll(mo.Descent(mo.updates.Sgd(0.1)), 2)(problem).final["0.weight"].shape == (2, 8, 1, 3, 3)


class Shift(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.by


def test_what_cannot_be_trained_is_a_sentence() -> None:
    with pytest.raises(mo.MetaoptError, match=r"weights of Shift cannot be drawn anew: it has no reset_parameters"):
        NetworkTrainings(nn.Sequential(Shift(), nn.Linear(3, 2)), DATA)
    with pytest.raises(mo.MetaoptError, match="as many inputs as targets, but got 50 and 49"):
        NetworkTrainings(mlp([3, 2]), (DATA[0], DATA[1][:49]))
    problem, _ = task().sample(0)
    with pytest.raises(mo.MetaoptError, match=r"minibatches \(trainings, steps, n\) .* but got .*\(2, 7\) int64"):
        mo.Trainings(problem.module, problem.loss, problem.initial, DATA, problem.minibatches, problem.held[:2])
    with pytest.raises(mo.MetaoptError, match="The loss of Sequential at its start is nan"):
        task(loss=lambda output, target: output.sum() * torch.nan).sample(0)
    with pytest.raises(mo.MetaoptError, match=r"Sequential must be one real number, but is \(7, 2\)"):
        task(loss=lambda output, target: output).sample(0)


@pytest.mark.parametrize("name", BENCHMARK_FUNCTIONS)
def test_benchmark_functions_have_their_published_minima(name: str) -> None:
    known = BENCHMARK_FUNCTIONS[name]
    dimension = known.dimension or 3
    x = torch.tensor(known.minimiser, dtype=torch.float64).expand(dimension)[None]
    assert float(known.function(x)) == pytest.approx(known.minimum, abs=2e-5)
    gradient = torch.func.grad(lambda x: known.function(x).sum())(x)
    assert float(gradient.abs().max()) < 1e-3
    generator = torch.Generator().manual_seed(0)
    near = x + 0.3 * torch.randn(2000, dimension, generator=generator, dtype=torch.float64)
    wide = known.low + (known.high - known.low) * torch.rand(20000, dimension, generator=generator).double()
    assert float(torch.cat([known.function(near), known.function(wide)]).min()) >= known.minimum - 1e-6
    problem, _ = BenchmarkFunctions(known, known.dimension or 2, 200).sample(0)
    start = problem.start()
    assert known.low <= float(start.min()) < float(start.max()) <= known.high
    torch.testing.assert_close(problem.energy(start), known.function(start).sum())


def test_a_benchmark_function_has_its_dimension() -> None:
    with pytest.raises(mo.MetaoptError, match="The function has 2 dimensions, but got 3"):
        BenchmarkFunctions(BENCHMARK_FUNCTIONS["booth"], 3)
    with pytest.raises(mo.MetaoptError, match="has at least 2 dimensions, but got 1"):
        BenchmarkFunctions(BENCHMARK_FUNCTIONS["levy"], 1)


def test_a_start_that_is_not_finite_is_named() -> None:
    """What every optimizee made of a function says, since the objective looks at its start."""
    with pytest.raises(mo.MetaoptError, match="at its start is nan"):
        mo.FunctionObjective(lambda x: x.log().sum(), -torch.ones(3))
    assert Quadratics(2, 3).sample(0)[0].start().shape == (3, 2)


def test_a_first_order_task_leaves_second_derivatives_out() -> None:
    meta = []
    for family in (Quadratics(3, 4), FirstOrderTask(Quadratics(3, 4))):
        update = mo.updates.Sgd(mo.shared(0.01))
        problem, _ = family.sample(0)
        problem.energy(mo.unroll(mo.Descent(update), 3)(problem).final).backward()
        meta.append(next(update.parameters()).grad)
    problem, _ = Quadratics(3, 4).sample(0)
    x, steps = problem.start(), []
    for _ in range(3):
        steps.append(problem.gradient(x))
        x = x - 0.01 * steps[-1]
    total = -sum((problem.gradient(x) * step).sum() for step in steps)
    torch.testing.assert_close(meta[1], total.double())
    assert not torch.allclose(meta[0], meta[1])
