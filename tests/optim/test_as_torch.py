"""An update as torch's optimizer: the same steps as torch's own, and everything that users do with those."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import metaopt as mo
from metaopt.optim import as_torch

from ..cases.updates import learned_adam
from ..helpers import normal, seeded

PAIRS = {
    "sgd": (lambda: mo.updates.Sgd(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "nesterov": (lambda: mo.updates.Nesterov(0.1), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True)),
    "rmsprop": (lambda: mo.updates.RMSprop(0.01), lambda p: torch.optim.RMSprop(p, 0.01)),
    "adam": (lambda: mo.updates.Adam(0.01), lambda p: torch.optim.Adam(p, 0.01)),
    "adamw": (lambda: mo.updates.AdamW(0.01), lambda p: torch.optim.AdamW(p, 0.01)),
    "learned adam, untrained": (
        lambda: mo.updates.LearnedAdam(step_size=0.01).double(),
        lambda p: torch.optim.Adam(p, 0.01),
    ),
}
UPDATES = {
    "adam": lambda: mo.updates.Adam(0.01),
    "perceptron": lambda: learned_adam(mo.networks.Perceptron),
    "recurrent": lambda: learned_adam(mo.networks.Recurrent),
    "lstm": lambda: seeded(lambda: mo.updates.CoordinatewiseLstm(4)),
}


def network() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)))


def loss(net: nn.Module, seed: int) -> torch.Tensor:
    return F.mse_loss(net(normal(seed, 7, 3)), normal(seed + 1, 7, 2))


def run(net: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> list[torch.Tensor]:
    for k in steps:
        optimizer.zero_grad()
        loss(net, k).backward()
        optimizer.step()
    return [p.detach().clone() for p in net.parameters()]


def same(a: list[torch.Tensor], b: list[torch.Tensor], tolerance: float = 0.0) -> None:
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", PAIRS)
def test_a_classical_update_steps_as_torchs_own_optimizer(name: str) -> None:
    ours, theirs = PAIRS[name]
    a, b = network(), network()
    same(run(a, as_torch(ours(), a.parameters()), range(8)), run(b, theirs(b.parameters()), range(8)), 1e-12)


@pytest.mark.parametrize("name", UPDATES)
def test_it_is_the_unrolled_algorithm(name: str) -> None:
    net = network()
    objective = mo.Objective(net, F.mse_loss, [(normal(k, 7, 3), normal(k + 1, 7, 2)) for k in range(4)])
    with torch.no_grad():
        unrolled = mo.unroll(mo.Descent(UPDATES[name]()), 4)(objective).final
    same(run(net, as_torch(UPDATES[name](), net.parameters()), range(4)), list(unrolled.values()), 1e-12)


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("how", ["state_dict", "pickle", "deepcopy"])
def test_a_run_goes_on_from_a_copy(name: str, how: str) -> None:
    whole = network()
    expected = run(whole, as_torch(UPDATES[name](), whole.parameters()), range(6))
    net = network()
    optimizer = as_torch(UPDATES[name](), net.parameters())
    run(net, optimizer, range(3))
    if how == "state_dict":
        state, weights = pickle.loads(pickle.dumps((optimizer.state_dict(), net.state_dict())))
        net = network()
        net.load_state_dict(weights)
        optimizer = as_torch(UPDATES[name](), net.parameters())
        optimizer.load_state_dict(state)
    elif how == "pickle":
        net, optimizer = pickle.loads(pickle.dumps((net, optimizer)))
    else:
        net, optimizer = copy.deepcopy((net, optimizer))
    same(run(net, optimizer, range(3, 6)), expected)


def test_groups_have_rates_and_a_scheduler_turns_them() -> None:
    def groups(net: Any) -> list[dict[str, Any]]:
        return [{"params": net[0].parameters(), "lr": 0.5}, {"params": net[2].parameters()}]

    a, b = network(), network()
    ours = as_torch(mo.updates.Sgd(0.1), groups(a), lr=2.0)
    theirs = torch.optim.SGD([{**g, "lr": 0.1 * g.get("lr", 2.0)} for g in groups(b)], 0.1)
    for net, optimizer in ((a, ours), (b, theirs)):
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.3)
        for k in range(6):
            run(net, optimizer, range(k, k + 1))
            scheduler.step()
    same(list(a.parameters()), list(b.parameters()), 1e-12)


def test_a_parameter_that_joins_late_starts_at_its_own_first_step() -> None:
    """Adam's correction depends on how many steps a parameter has had."""
    nets = network(), network()
    optimizers = as_torch(mo.updates.Adam(0.01), nets[0].parameters()), torch.optim.Adam(nets[1].parameters(), 0.01)
    for net, optimizer in zip(nets, optimizers, strict=True):
        net[0].requires_grad_(False)
        run(net, optimizer, range(3))
        net[0].requires_grad_(True)
        run(net, optimizer, range(3, 6))
    same(list(nets[0].parameters()), list(nets[1].parameters()), 1e-12)


def test_a_closure_computes_the_gradients() -> None:
    a, b = network(), network()
    optimizer = as_torch(mo.updates.Sgd(0.1), a.parameters())

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(a, 0)
        value.backward()
        return value

    assert optimizer.step(closure).item() == loss(b, 0).item()
    same(list(a.parameters()), run(b, torch.optim.SGD(b.parameters(), 0.1), range(1)), 1e-15)


def test_a_scaler_scales_and_skips() -> None:
    net = network()
    before = [p.detach().clone() for p in net.parameters()]
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    optimizer = as_torch(mo.updates.Sgd(0.1), net.parameters())
    scaler.scale(loss(net, 0) * torch.inf).backward()
    scaler.step(optimizer)
    scaler.update()
    same(list(net.parameters()), before)
    optimizer.zero_grad()
    scaler.scale(loss(net, 0)).backward()
    scaler.step(optimizer)
    other = network()
    same(list(net.parameters()), run(other, torch.optim.SGD(other.parameters(), 0.1), range(1)), 1e-12)


def test_without_gradients_nothing_happens() -> None:
    net = network()
    before = [p.detach().clone() for p in net.parameters()]
    as_torch(mo.updates.Adam(0.1), net.parameters()).step()
    same(list(net.parameters()), before)


def test_what_it_is_not_for_is_a_sentence() -> None:
    embedding = nn.Embedding(4, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(mo.MetaoptError, match=r"gradient of a parameter \(4, 2\) float32 is torch.sparse_coo"):
        as_torch(mo.updates.Adam(0.1), embedding.parameters()).step()
    waves = nn.Parameter(torch.ones(3, dtype=torch.complex64))
    waves.abs().sum().backward()
    with pytest.raises(mo.MetaoptError, match=r"\(3,\) complex64; learned updates are for real ones"):
        as_torch(mo.updates.Adam(0.1), [waves]).step()
    with pytest.raises(mo.MetaoptError, match="must be at least 0, but got -1"):
        as_torch(mo.updates.Adam(0.1), [nn.Parameter(torch.ones(1))], lr=-1)


@pytest.mark.parametrize("kind", UPDATES)
def test_a_compiled_update_takes_the_same_steps_in_two_graphs(kind: str) -> None:
    """One for the first step, which the compiler takes for a constant, and one for all others."""
    torch._dynamo.reset()
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph

    update, x = UPDATES[kind](), normal(0, 7, 3)
    nets = [network(), network()]
    updates = (update, torch.compile(update, backend=backend))
    optimizers = [as_torch(u, n.parameters()) for u, n in zip(updates, nets, strict=True)]
    for _ in range(9):
        for net, optimizer in zip(nets, optimizers, strict=True):
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)
    assert len(graphs) == 2
