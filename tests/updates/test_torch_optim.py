"""Optimizers of torch as updates, against torch itself and against finite differences."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from metaopt.algorithms import Descent
from metaopt.core import MetaoptError, parameterize, per_step, shared, tree, unroll
from metaopt.problems import FunctionObjective
from metaopt.updates import TorchOptim

from .networks import NETWORKS, objective
from .test_meta_gradients import STEPS as META_STEPS
from .test_meta_gradients import assert_meta_gradient, meta_loss

STEPS = 24
CASES = {
    "adadelta": (torch.optim.Adadelta, {"lr": 2.0, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.02}),
    "adagrad": (torch.optim.Adagrad, {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.02}),
    "adagrad started": (torch.optim.Adagrad, {"lr": 0.1, "initial_accumulator_value": 0.3}),
    "adamax": (torch.optim.Adamax, {"lr": 0.02, "betas": (0.8, 0.95), "weight_decay": 0.02}),
    "rprop": (torch.optim.Rprop, {"lr": 0.01, "etas": (0.4, 1.3), "step_sizes": (1e-5, 0.1)}),
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.02}),
    "nesterov": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    "amsgrad": (torch.optim.Adam, {"lr": 0.01, "betas": (0.8, 0.9), "amsgrad": True, "eps": 1e-3}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.1, "maximize": True, "eps": 1e-3}),
    "nadam": (torch.optim.NAdam, {"lr": 0.01, "eps": 1e-3}),
    "radam": (torch.optim.RAdam, {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-3}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01, "momentum": 0.6, "centered": True, "eps": 1e-2}),
    "asgd": (torch.optim.ASGD, {"lr": 0.1, "lambd": 0.1, "t0": 2.0}),
}
TOLERANCE = {"nadam": 1e-7, "asgd": 1e-7}  # torch keeps a factor of these in float32


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("case", CASES)
def test_follows_torch_step_for_step(case, network):
    cls, options = CASES[case]
    problem = objective(network, batches=3)
    module = copy.deepcopy(problem.module)
    with torch.no_grad():
        outputs = unroll(Descent(TorchOptim(cls, options)), STEPS)(problem).outputs
    optimizer = cls(module.parameters(), **options)
    for k, x in enumerate(outputs):
        inputs, targets = problem.batches[k % 3]
        optimizer.zero_grad()
        problem.loss(module(inputs), targets).backward()
        optimizer.step()
        for name, expected in module.named_parameters():
            torch.testing.assert_close(
                x[name], expected.detach(), rtol=0, atol=TOLERANCE.get(case, 1e-12), msg=f"{name} at {k}"
            )


@pytest.mark.parametrize("case", CASES)
def test_every_option_has_the_derivative_of_finite_differences(case):
    cls, options = CASES[case]
    smooth = {"eps": 1e-2, "initial_accumulator_value": 0.1}  # away from the edge of what is allowed
    smooth = {**options, **{n: v for n, v in smooth.items() if n in TorchOptim(cls).options}}
    update = TorchOptim(cls, smooth)
    openings = {f"update.{n}": per_step(META_STEPS) if n == "lr" else shared() for n in update.options}
    descent = parameterize(Descent(update), openings)
    problem = objective("mlp", batches=2)
    meta_loss(descent, problem).backward()
    for parameter in descent.parameters():  # what the rule does not reach has no gradient: it is zero
        parameter.requires_grad_(parameter.grad is not None)
    assert_meta_gradient(descent, problem)


def test_a_weight_decay_of_zero_can_be_learned():
    descent = parameterize(Descent(TorchOptim(torch.optim.Adagrad)), {"update.weight_decay": shared()})
    assert_meta_gradient(descent, objective("mlp"))
    assert torch.autograd.grad(meta_loss(descent, objective("mlp")), descent.parameters())[0] != 0


@pytest.mark.parametrize("case", CASES)
def test_zero_gradients_give_finite_meta_gradients(case):
    cls, options = CASES[case]
    descent, problem = Descent(TorchOptim(cls, {**options, "lr": shared(0.01)})), objective("dead_relu")
    wanted = [*descent.parameters(), *problem.module.parameters()]
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(meta_loss(descent, problem), wanted))


@pytest.mark.parametrize("case", CASES)
def test_the_state_is_a_tree_of_constant_dtype_and_nothing_stays_on_the_module(case):
    cls, options = CASES[case]
    start = {"scale": torch.tensor(2.0), "matrix": torch.ones(2, 2)}
    problem = FunctionObjective(lambda x: (x["scale"] * x["matrix"]).square().sum(), start)
    descent = Descent(TorchOptim(cls, options))
    whole = unroll(descent, 6)(problem)
    first = unroll(pickle.loads(pickle.dumps(copy.deepcopy(descent))), 4)(problem)
    rest = unroll(descent, 2)(problem, state=first.state, start=first.stop)
    assert {t.dtype for t in tree.leaves(whole.state)} == {torch.float32}
    for a, b in zip(tree.leaves(whole.state), tree.leaves(rest.state), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("cls", "options", "sentence"),
    [
        (torch.optim.LBFGS, {}, "cannot serve torch.optim.lbfgs.LBFGS; it serves SGD, Adam"),
        (type("Adagrad", (torch.optim.Adagrad,), {}), {}, "cannot serve .*Adagrad; it serves"),
        (torch.nn.Linear, {}, "needs a class of torch.optim"),
        ("Adagrad", {}, "needs a class of torch.optim"),
        (torch.optim.Adagrad, 3, "options of Adagrad are a dict"),
        (torch.optim.Adagrad, {"learning_rate": 0.1}, "no numeric option 'learning_rate'; it has lr, lr_decay"),
        (torch.optim.Adagrad, {"foreach": True}, "no numeric option 'foreach'"),
        (torch.optim.Adagrad, {"lr": -1.0}, "refuses these options: Invalid learning rate"),
    ],
)
def test_refusals_are_sentences(cls, options, sentence):
    with pytest.raises(MetaoptError, match=sentence):
        TorchOptim(cls, options)


def test_tasks_side_by_side_are_tasks_one_by_one():
    update = TorchOptim(torch.optim.Adagrad)
    x, g = torch.rand(3, 2, dtype=torch.float64), torch.rand(3, 2, dtype=torch.float64)
    together = tree.vmap(lambda x, g: update(g, x, update.init(x), 0)[0])(x, g)
    for mine, point, slope in zip(together, x, g, strict=True):
        torch.testing.assert_close(mine, update(slope, point, update.init(point), 0)[0])
