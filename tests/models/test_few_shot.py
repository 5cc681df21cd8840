"""Networks that learn from few examples: against hand-written ones, and what their BatchNorms let a query see."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import metaopt as mo
from metaopt.losses import cross_entropy
from metaopt.networks import Frozen, PerStep, Transductive, few_shot_network
from metaopt.problems import Episode
from metaopt.tasks import FewShot, Sinusoids

from ..helpers import normal, seeded

LABELS = torch.tensor([[0, 1, 0, 1, 0, 1]] * 4)


def network() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))


def episode() -> Episode:
    return Episode(normal(0, 4, 6, 3), LABELS, normal(1, 4, 5, 3))


def by_hand(net: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, rate: float, steps: int, second: bool) -> Any:
    x = dict(net.named_parameters())
    for _ in range(steps):
        loss = F.cross_entropy(torch.func.functional_call(net, x, inputs), labels)
        gradients = torch.autograd.grad(loss, list(x.values()), create_graph=second)
        x = {name: p - rate * g for (name, p), g in zip(x.items(), gradients, strict=True)}
    return x


@pytest.mark.parametrize("build", [mo.models.maml, mo.models.first_order_maml])
def test_maml_is_maml_written_by_hand(build: Any) -> None:
    net, problem, answers = network(), episode(), torch.tensor([[1, 0, 1, 0, 1]] * 4)
    logits = build(net, steps=2, step_size=0.3)(problem).final
    cross_entropy(logits, answers).backward()
    found = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    losses = []
    for t in range(4):
        x = by_hand(net, problem.inputs[t], LABELS[t], 0.3, 2, second=build is mo.models.maml)
        out = torch.func.functional_call(net, x, problem.queries[t])
        torch.testing.assert_close(out, logits[t], rtol=1e-6, atol=1e-6)
        losses.append(F.cross_entropy(out, answers[t]))
    torch.stack(losses).mean().backward()
    for a, p in zip(found, net.parameters(), strict=True):
        torch.testing.assert_close(a, p.grad, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["maml", "meta_sgd", "meta_lstm"])
def test_machines_learn_sinusoids_and_how_to_step(name: str) -> None:
    task = Sinusoids(shots=10, queries=20, tasks=8)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 1))
    learner = getattr(mo.models, name)(net, 1, 0.01, loss=F.mse_loss)
    before = {n: p.detach().clone() for n, p in learner.named_parameters()}
    optimizer = torch.optim.Adam(learner.parameters(), 1e-2)
    losses = []
    for seed in range(250):
        problem, y = task.sample(seed)
        loss = mo.mse(learner(problem).final, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-50:]) < 0.7 * sum(losses[:50])
    own = [n for n in before if "update" in n and "weight_hh" not in n]  # one step from a memory of zeros
    assert own
    assert all(not torch.equal(before[n], dict(learner.named_parameters())[n]) for n in own)


def test_a_trained_machine_adapts_although_it_is_frozen() -> None:
    learner = mo.models.maml(network(), 2, 0.3)
    expected = learner(episode()).final
    found = learner.eval().requires_grad_(False)(episode()).final
    torch.testing.assert_close(found, expected)
    with torch.no_grad():
        torch.testing.assert_close(learner(episode()).final, expected)


def test_the_meta_lstm_starts_as_gradient_descent() -> None:
    """With weights of 0 its gates are constants: i the step size, f 1 - 1e-4."""
    net, problem = network(), episode()
    learner = mo.models.meta_lstm(net, 3, 0.3).double()
    update: Any = learner.algorithm.descent.update(0)
    nn.init.zeros_(update.input_gate.weight)
    nn.init.zeros_(update.forget_gate.weight)
    found = learner(problem).final
    expected = mo.unroll(mo.algorithms.Adaptation(net, mo.updates.Sgd(0.3, weight_decay=1e-4 / 0.3)), 3)(problem).final
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    with pytest.raises(mo.MetaoptError, match=r"between 0 and 1, but got 1\.5"):
        mo.updates.MetaLstm(step_size=1.5)


def test_meta_sgd_refuses_another_network() -> None:
    update = mo.updates.MetaSgd(dict(nn.Linear(2, 3).named_parameters()))
    with pytest.raises(mo.MetaoptError, match=r"made for tensors of shapes \[\(3, 2\), \(3,\)\], but x has"):
        update.init(dict(nn.Linear(4, 3).named_parameters()))


def test_an_episode_of_other_shapes_is_a_sentence() -> None:
    with pytest.raises(mo.MetaoptError, match=r"but got \(4, 6, 3\) float64, \(4, 6\) int64, \(3, 5, 3\) float64"):
        Episode(normal(0, 4, 6, 3), LABELS, normal(0, 3, 5, 3))
    with pytest.raises(mo.MetaoptError, match="An Episode holds inputs"):
        Episode(normal(0, 4, 7, 3), LABELS, normal(0, 4, 5, 3))


def test_prototypes_are_means_and_scores_distances() -> None:
    inputs, labels = normal(0, 2, 6, 3), torch.tensor([[0, 1, 2, 0, 1, 2], [2, 2, 1, 1, 0, 0]])
    queries = normal(1, 2, 4, 3)
    scores = mo.models.prototypes(nn.Identity())(Episode(inputs, labels, queries)).final
    for t in range(2):
        for c in range(3):
            mean = inputs[t][labels[t] == c].mean(0)
            torch.testing.assert_close(scores[t, :, c], -(queries[t] - mean).square().sum(1))


def pictures() -> Episode:
    return FewShot(torch.rand(4, 5, 1, 28, 28, generator=torch.Generator().manual_seed(0)), 3, 1, 2, tasks=2).sample(0)[
        0
    ]


@pytest.mark.parametrize(("normalization", "alone"), [(Transductive, False), (PerStep, True), (Frozen, True)])
def test_a_query_sees_the_others_only_if_its_normalization_says_so(normalization: Any, alone: bool) -> None:
    learner = mo.models.maml(few_shot_network(3, hidden=4, normalization=normalization), steps=2)
    problem, found = pictures(), {}
    with torch.no_grad():
        found = learner(problem).final
        one = learner(Episode(problem.inputs, problem.targets, problem.queries[:, :1])).final
    assert torch.allclose(one[:, 0], found[:, 0], atol=1e-5) is alone


@pytest.mark.parametrize("normalization", [PerStep, Frozen])
def test_a_query_is_normalized_as_written_by_hand(normalization: Any) -> None:
    """PerStep: by the examples' statistics at the parameters before the latest step. Frozen: by its own constants."""
    task = Episode(*(t[:1] for t in (pictures().inputs, pictures().targets, pictures().queries)))
    net = few_shot_network(3, hidden=4, layers=1, normalization=normalization)
    net[1].running_mean.fill_(0.1)
    found = mo.models.maml(net, steps=1, step_size=0.2)(task).final[0]
    x = dict(net.named_parameters())

    def run(x: Any, images: torch.Tensor, mean: torch.Tensor, var: torch.Tensor) -> torch.Tensor:
        maps = F.conv2d(images, x["0.weight"], x["0.bias"], 2, 1)
        maps = (maps - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        maps = maps * x["1.weight"][:, None, None] + x["1.bias"][:, None, None]
        return F.linear(maps.relu().flatten(1), x["4.weight"], x["4.bias"])

    def statistics(correction: int) -> tuple[torch.Tensor, torch.Tensor]:
        if normalization is Frozen:
            return torch.full((4,), 0.1), torch.ones(4)
        maps = F.conv2d(task.inputs[0], x["0.weight"], x["0.bias"], 2, 1)
        return maps.mean((0, 2, 3)), maps.var((0, 2, 3), correction=correction)

    loss = F.cross_entropy(run(x, task.inputs[0], *statistics(0)), task.targets[0])
    gradients = torch.autograd.grad(loss, list(x.values()))
    adapted = {n: p - 0.2 * g for (n, p), g in zip(x.items(), gradients, strict=True)}
    torch.testing.assert_close(found, run(adapted, task.queries[0], *statistics(1)), rtol=1e-4, atol=1e-4)
    assert float(net[1].running_mean[0]) == pytest.approx(0.1), "the network itself is left alone"


def test_the_network_for_characters_has_the_usual_shape() -> None:
    net = few_shot_network(5, hidden=8)
    assert net(torch.rand(3, 1, 28, 28)).shape == (3, 5)
    assert net[-1].in_features == 8 * 4
    plain = few_shot_network(5, hidden=8, layers=2, normalization=lambda n: nn.Identity())
    assert plain(torch.rand(1, 1, 28, 28)).shape == (1, 5)
    learner = mo.models.maml(few_shot_network(3, hidden=4), steps=2)
    logits = learner(pictures()).final
    assert logits.shape == (2, 6, 3)
    cross_entropy(logits, torch.tensor([[0, 0, 1, 1, 2, 2]] * 2)).backward()
    assert all(bool(p.grad.abs().sum() > 0) for n, p in learner.named_parameters() if "0.bias" not in n and p.ndim > 1)
