"""Few-shot tasks: what is drawn, and what learners make of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import metaopt as mo
from metaopt.data import read_omniglot
from metaopt.models import Learner, Prototypes, few_shot_network
from metaopt.tasks import FewShot, Sinusoids

from ..helpers import normal, seeded

IMAGES = torch.arange(6 * 5 * 4.0).reshape(6, 5, 1, 2, 2)  # every pixel of every example is another number


@pytest.mark.parametrize("rotations", [False, True])
def test_a_task_has_classes_examples_and_labels_of_its_own(rotations: bool) -> None:
    task = FewShot(IMAGES, ways=3, shots=2, queries=3, tasks=4, rotations=rotations)
    (inputs, labels), (queries, answers) = task.sample(0)
    assert (inputs.shape, labels.shape, queries.shape) == ((4, 6, 1, 2, 2), (4, 6), (4, 9, 1, 2, 2))
    assert labels[0].tolist() == [0, 0, 1, 1, 2, 2]
    assert answers[3].tolist() == [0] * 3 + [1] * 3 + [2] * 3
    for t in range(4):
        originals = torch.cat([inputs[t], queries[t]]).flatten(1).amin(1) // 20  # which class an example was
        ways = torch.cat([labels[t], answers[t]])
        classes = [set(originals[ways == way].tolist()) for way in range(3)]
        assert all(len(c) == 1 for c in classes)
        assert rotations or len(set.union(*classes)) == 3
        seen = torch.cat([inputs[t], queries[t]]).flatten(1).amin(1).tolist()
        assert rotations or len(set(seen)) == len(seen), "an example is in the support or in the queries, once"
    turned = inputs[..., 0, 0] > inputs[..., 1, 1]
    assert bool(turned.any()) is rotations
    assert torch.equal(task.sample(0)[0][0], inputs)
    assert not torch.equal(task.sample(1)[0][0], inputs)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ways": 25}, "25 ways needs as many classes, but there are 24"),
        ({"shots": 3, "queries": 3}, "has 5 examples, fewer than 3 shots and 3 queries"),
        ({"images": IMAGES[0]}, r"needs images \(classes, examples, C, H, W\), but got \(5, 1, 2, 2\)"),
    ],
)
def test_a_task_that_cannot_be_is_a_sentence(options: dict[str, Any], words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        FewShot(**({"images": IMAGES, "ways": 3, "shots": 1, "queries": 2} | options))


def test_sinusoids_are_sinusoids() -> None:
    (x, y), (more, values) = Sinusoids(shots=5, queries=7, tasks=300).sample(0)
    assert (x.shape, y.shape, more.shape, values.shape) == ((300, 5, 1), (300, 5, 1), (300, 7, 1), (300, 7, 1))
    angles = torch.cat([torch.sin(x), torch.cos(x)], 2)
    fitted = torch.linalg.lstsq(angles, y).solution  # a sin(x - p) = a cos p sin x - a sin p cos x
    queried = torch.cat([torch.sin(more), torch.cos(more)], 2) @ fitted
    assert float((queried - values).abs().median()) < 1e-4
    amplitude, phase = fitted.square().sum(1).sqrt(), torch.atan2(-fitted[:, 1], fitted[:, 0])
    assert 0.09 < float(amplitude.quantile(0.02)) < float(amplitude.quantile(0.98)) < 5.01
    assert -0.01 < float(phase.quantile(0.02)) < float(phase.quantile(0.98)) < math.pi + 0.01


def network() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))


def by_hand(net: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, rate: float, steps: int, second: bool) -> Any:
    x = dict(net.named_parameters())
    for _ in range(steps):
        loss = F.cross_entropy(torch.func.functional_call(net, x, inputs), labels)
        gradients = torch.autograd.grad(loss, list(x.values()), create_graph=second)
        x = {name: p - rate * g for (name, p), g in zip(x.items(), gradients, strict=True)}
    return x


@pytest.mark.parametrize("first_order", [False, True])
def test_a_learner_is_maml_written_by_hand(first_order: bool) -> None:
    net = network()
    support = normal(0, 4, 6, 3), torch.tensor([[0, 1, 0, 1, 0, 1]] * 4)
    queries, answers = normal(1, 4, 5, 3), torch.tensor([[1, 0, 1, 0, 1]] * 4)
    learner = Learner(net, mo.updates.Sgd(0.3), steps=2, first_order=first_order)
    logits = learner(support, queries)
    F.cross_entropy(logits.flatten(0, 1), answers.flatten()).backward()
    found = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    losses = []
    for t in range(4):
        x = by_hand(net, support[0][t], support[1][t], 0.3, 2, second=not first_order)
        out = torch.func.functional_call(net, x, queries[t])
        torch.testing.assert_close(out, logits[t])
        losses.append(F.cross_entropy(out, answers[t]))
    torch.stack(losses).mean().backward()
    for a, p in zip(found, net.parameters(), strict=True):
        torch.testing.assert_close(a, p.grad)


def test_maml_learns_sinusoids_and_meta_sgd_its_step_sizes() -> None:
    task = Sinusoids(shots=10, queries=20, tasks=8)
    for update in (lambda net: mo.updates.Sgd(mo.shared(0.01)), lambda net: mo.updates.MetaSgd(named(net), 0.01)):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(1, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 1))
        learner = Learner(net, update(net), steps=1, loss=F.mse_loss)
        optimizer = torch.optim.Adam(learner.parameters(), 1e-2)
        losses = []
        for seed in range(250):
            support, (x, y) = task.sample(seed)
            loss = F.mse_loss(learner(support, x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert sum(losses[-50:]) < 0.7 * sum(losses[:50])
        moved = [p for name, p in learner.named_parameters() if "step_size" in name]
        assert moved
        assert all(not torch.allclose(p, torch.tensor(0.01, dtype=p.dtype)) for p in moved)


def named(net: nn.Module) -> dict[str, torch.Tensor]:
    return dict(net.named_parameters())


def test_meta_sgd_refuses_another_network() -> None:
    update = mo.updates.MetaSgd(named(nn.Linear(2, 3)))
    with pytest.raises(mo.MetaoptError, match=r"made for tensors of shapes \[\(3, 2\), \(3,\)\], but x has"):
        update.init(named(nn.Linear(4, 3)))


def test_prototypes_are_means_and_scores_distances() -> None:
    inputs, labels = normal(0, 2, 6, 3), torch.tensor([[0, 1, 2, 0, 1, 2], [2, 2, 1, 1, 0, 0]])
    queries = normal(1, 2, 4, 3)
    scores = Prototypes(nn.Identity())((inputs, labels), queries)
    for t in range(2):
        for c in range(3):
            mean = inputs[t][labels[t] == c].mean(0)
            torch.testing.assert_close(scores[t, :, c], -(queries[t] - mean).square().sum(1))


def test_the_network_for_characters_has_the_usual_shape() -> None:
    net = few_shot_network(5, hidden=8)
    assert net(torch.rand(3, 1, 28, 28)).shape == (3, 5)
    assert net[-1].in_features == 8 * 4
    plain = few_shot_network(5, hidden=8, layers=2, normalization=lambda n: nn.Identity())
    assert plain(torch.rand(1, 1, 28, 28)).shape == (1, 5)
    learner = Learner(few_shot_network(3, hidden=4), mo.updates.Sgd(mo.shared(0.4)), steps=2)
    support, (queries, answers) = FewShot(torch.rand(4, 5, 1, 28, 28), 3, 1, 2, tasks=2).sample(0)
    logits = learner(support, queries)
    assert logits.shape == (2, 6, 3)
    F.cross_entropy(logits.flatten(0, 1), answers.flatten()).backward()
    assert all(bool(p.grad.abs().sum() > 0) for n, p in learner.named_parameters() if "0.bias" not in n and p.ndim > 1)


def test_omniglot_is_read_as_ink(tmp_path: Path) -> None:
    paper = np.ones((2, 20, 105, 105), bool)
    paper[1, 3, :, :50] = False
    np.savez(tmp_path / "images_background.npz", images=paper)
    found = read_omniglot(tmp_path, "background", size=21)
    assert found.shape == (2, 20, 1, 21, 21)
    assert float(found[0].abs().max()) == 0
    assert torch.equal(found[1, 3, 0, 7], (torch.arange(21) < 10).float())
    with pytest.raises(mo.MetaoptError, match=r"There is no .*images_evaluation\.npz"):
        read_omniglot(tmp_path, "evaluation")
    with pytest.raises(mo.MetaoptError, match="parts background and evaluation, not 'test'"):
        read_omniglot(tmp_path, "test")
    np.savez(tmp_path / "images_evaluation.npz", other=paper)
    with pytest.raises(mo.MetaoptError, match="does not hold Omniglot's drawings"):
        read_omniglot(tmp_path, "evaluation")
    (tmp_path / "images_evaluation.npz").write_bytes(b"no zip")
    with pytest.raises(mo.MetaoptError, match="does not hold Omniglot's drawings"):
        read_omniglot(tmp_path, "evaluation")
    np.savez(tmp_path / "images_evaluation.npz", images=np.ones((2, 3)))
    with pytest.raises(mo.MetaoptError, match=r"holds images \(2, 3\) float64"):
        read_omniglot(tmp_path, "evaluation")
