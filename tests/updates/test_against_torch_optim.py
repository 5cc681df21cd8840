"""Every update follows its ``torch.optim`` original, step for step."""

from __future__ import annotations

import copy

import pytest
import torch

from metaopt import updates
from metaopt.algorithms import Descent
from metaopt.core import tree, unroll
from metaopt.problems import FunctionObjective

from .networks import NETWORKS, objective

STEPS = 24
CASES = {
    "sgd": (lambda: updates.Sgd(0.1), torch.optim.SGD, {"lr": 0.1}),
    "sgd decayed": (lambda: updates.Sgd(0.1, 0.02), torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.02}),
    "momentum": (lambda: updates.Momentum(0.05), torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}),
    "momentum decayed": (
        lambda: updates.Momentum(0.05, 0.8, weight_decay=0.02),
        torch.optim.SGD,
        {"lr": 0.05, "momentum": 0.8, "weight_decay": 0.02},
    ),
    "nesterov": (
        lambda: updates.Nesterov(0.05, 0.8, weight_decay=0.02),
        torch.optim.SGD,
        {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.02},
    ),
    "adam": (lambda: updates.Adam(0.02), torch.optim.Adam, {"lr": 0.02}),
    "adam decayed": (
        lambda: updates.Adam(0.02, 0.8, 0.95, 1e-3, weight_decay=0.02),
        torch.optim.Adam,
        {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.02},
    ),
    "adamw": (
        lambda: updates.AdamW(0.02, 0.8, 0.95, weight_decay=0.1),
        torch.optim.AdamW,
        {"lr": 0.02, "betas": (0.8, 0.95), "weight_decay": 0.1},
    ),
    "rmsprop": (lambda: updates.RMSprop(0.01), torch.optim.RMSprop, {"lr": 0.01}),
    "rmsprop decayed": (
        lambda: updates.RMSprop(0.01, 0.9, 1e-3, weight_decay=0.02),
        torch.optim.RMSprop,
        {"lr": 0.01, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.02},
    ),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("case", CASES)
def test_follows_torch_step_for_step(case, network):
    build, cls, options = CASES[case]
    problem = objective(network, batches=3)
    module = copy.deepcopy(problem.module)
    before = copy.deepcopy(problem.module.state_dict())
    with torch.no_grad():
        trajectory = unroll(Descent(build()), STEPS)(problem)

    optimizer = cls(module.parameters(), **options)
    for k, x in enumerate(trajectory.outputs):
        inputs, targets = problem.batches[k % 3]
        optimizer.zero_grad()
        problem.loss(module(inputs), targets).backward()
        optimizer.step()
        expected = dict(module.named_parameters())
        assert x.keys() == expected.keys()
        for name in x:
            torch.testing.assert_close(x[name], expected[name].detach(), rtol=0, atol=1e-12, msg=f"{name} at {k}")
    for name, buffer in module.named_buffers():
        torch.testing.assert_close(trajectory.state.buffers[name], buffer, rtol=0, atol=1e-12)
    for name, value in problem.module.state_dict().items():
        assert torch.equal(value, before[name]), f"{name} changed on the module"


@pytest.mark.parametrize("case", ["momentum", "adam decayed", "adamw", "rmsprop"])
def test_follows_torch_on_complex_numbers(case):
    build, cls, options = CASES[case]
    generator = torch.Generator().manual_seed(0)
    start, target = torch.randn(2, 5, dtype=torch.complex128, generator=generator)
    problem = FunctionObjective(lambda x, y: (x - y).abs().square().sum(), start, (target,))
    final = unroll(Descent(build()), STEPS)(problem).final

    x = start.clone().requires_grad_()
    optimizer = cls([x], **options)
    for _ in range(STEPS):
        optimizer.zero_grad()
        problem.function(x, target).backward()
        optimizer.step()
    torch.testing.assert_close(final, x.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scalars_and_memories_keep_their_dtype(case, dtype):
    start = {"scale": torch.tensor(2.0, dtype=dtype), "matrix": torch.ones(2, 2, dtype=dtype)}
    problem = FunctionObjective(lambda x: (x["scale"] * x["matrix"]).square().sum(), start)
    state = unroll(Descent(CASES[case][0]()), 3)(problem).state
    assert {t.dtype for t in tree.leaves(state)} == {dtype}
