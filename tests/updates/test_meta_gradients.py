"""Gradients through an unrolled update are the derivatives of what it computes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from metaopt import updates
from metaopt.algorithms import Descent
from metaopt.core import gradients, parameterize, per_step, shared, slots, tree, unroll
from metaopt.problems import FirstOrder, Objective

from .networks import NETWORKS, objective

STEPS = 5
CASES = {
    "sgd": lambda: updates.Sgd(0.3, weight_decay=0.0),
    "momentum": lambda: updates.Momentum(0.1, 0.8, weight_decay=0.01),
    "nesterov": lambda: updates.Nesterov(0.1, 0.8, weight_decay=0.01),
    "adam": lambda: updates.Adam(0.05, 0.8, 0.9, epsilon=1e-2, weight_decay=0.01),
    "adamw": lambda: updates.AdamW(0.05, 0.8, 0.9, epsilon=1e-2),
    "rmsprop": lambda: updates.RMSprop(0.05, 0.9, epsilon=1e-2, weight_decay=0.0),
}


def learned(update) -> Descent:
    """A descent with every slot of the update opened, the step size for each step."""
    descent = Descent(update)
    names = [name for name in slots(descent) if name != "update"]
    return parameterize(descent, {n: per_step(STEPS) if n == "update.step_size" else shared() for n in names})


def meta_loss(descent: Descent, problem, gradient=gradients.Backprop()) -> torch.Tensor:  # noqa: B008
    return problem.energy(unroll(descent, STEPS, gradient, keep="last")(problem).final)


def assert_meta_gradient(descent: Descent, problem, tolerance: float = 1e-6) -> None:
    """Against central finite differences, one number of the parameters at a time."""
    parameters = [p for p in descent.parameters() if p.requires_grad]
    computed = torch.autograd.grad(meta_loss(descent, problem), parameters)
    for parameter, gradient in zip(parameters, computed, strict=True):
        for index in range(parameter.numel()):
            h = 1e-6  # small beside an epsilon of 0.01
            values = []
            for shift in (h, -2 * h):
                with torch.no_grad():
                    parameter.view(-1)[index] += shift
                    values.append(float(meta_loss(descent, problem)))
            with torch.no_grad():
                parameter.view(-1)[index] += h
            expected = torch.tensor((values[0] - values[1]) / (2 * h), dtype=torch.float64)
            torch.testing.assert_close(gradient.view(-1)[index], expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("network", ["mlp", "dead_relu", "batch_norm", "tied"])
@pytest.mark.parametrize("case", CASES)
def test_every_slot_has_the_derivative_of_finite_differences(case, network):
    descent = learned(CASES[case]())
    assert all(p.requires_grad for p in descent.parameters())
    assert_meta_gradient(descent, objective(network, batches=2))


def test_the_derivative_of_adams_epsilon_tells_its_place():
    """sqrt(v / c) + epsilon, not (sqrt(v) + epsilon) / c: with an epsilon as large as the gradients they differ."""
    descent = parameterize(Descent(updates.Adam(0.05, epsilon=0.1)), {"update.epsilon": shared(positive=True)})
    assert_meta_gradient(descent, objective("mlp"), 1e-7)


@pytest.mark.parametrize("case", ["adam", "adamw", "rmsprop"])
def test_zero_gradients_give_finite_meta_gradients(case):
    descent = learned(type(CASES[case]())())  # with torch's own epsilon
    problem = objective("dead_relu")
    assert (problem.gradient(problem.start())["0.weight"][:2] == 0).all()
    loss = meta_loss(descent, problem)
    wanted = [*descent.parameters(), *problem.module.parameters()]
    first = torch.autograd.grad(loss, wanted, create_graph=True)
    assert all(torch.isfinite(g).all() for g in first)
    second = torch.autograd.grad(sum(g.sum() for g in first), wanted)
    assert all(torch.isfinite(g).all() for g in second)


@pytest.mark.parametrize("network", NETWORKS)
def test_checkpointed_equals_backprop_for_slots_and_initialisation(network):
    descent, problem = learned(CASES["adam"]()), objective(network, batches=2)
    wanted = [*descent.parameters(), *problem.module.parameters()]
    plain, checkpointed = (
        torch.autograd.grad(meta_loss(descent, problem, strategy), wanted)
        for strategy in (gradients.Backprop(), gradients.Checkpointed(2))
    )
    for a, b in zip(plain, checkpointed, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_first_order_keeps_the_values_and_drops_the_curvature():
    problem = objective("batch_norm", batches=2)
    descent = Descent(updates.Sgd(0.1))
    full, first = (unroll(descent, STEPS)(p) for p in (problem, FirstOrder(problem)))
    for a, b in zip(tree.leaves(full.state), tree.leaves(first.state), strict=True):
        assert torch.equal(a, b)
    at_the_end = problem.gradient(tree.detach(first.final))
    start = problem.start()
    meta = torch.autograd.grad(problem.energy(first.final), list(start.values()))
    for name, g in zip(start, meta, strict=True):  # d final / d start = 1
        torch.testing.assert_close(g, at_the_end[name], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_vmap_over_tasks_equals_the_loop(case):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(4, 7, 3, dtype=torch.float64, generator=generator)
    targets = torch.randn(4, 7, 2, dtype=torch.float64, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)).double()
    descent = learned(CASES[case]())

    def task(x, y):
        return meta_loss(descent, Objective(module, F.mse_loss, [(x, y)]))

    wanted = [*descent.parameters(), *module.parameters()]
    together = tree.vmap(task)(inputs, targets)
    alone = torch.stack([task(x, y) for x, y in zip(inputs, targets, strict=True)])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)
    for a, b in zip(torch.autograd.grad(together.sum(), wanted), torch.autograd.grad(alone.sum(), wanted), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
