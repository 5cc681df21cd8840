"""What the benchmarks of learning to learn compute beside their tables."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import few_shot_training, sparse_training
from benchmarks.few_shot import accuracies, meta_gradients
from benchmarks.few_shot_training import TRAININGS, row_of
from benchmarks.learned_optimizers import ahead_from
from benchmarks.sparse_coding import nmse
from metaopt.models import maml, prototypes
from metaopt.networks import few_shot_network
from metaopt.tasks import FewShot, Sinusoids
from metaopt.training.recipe import TASK_CALLS
from metaopt.weights import build
from metaopt.weights.calls import MODEL_CALLS

from ..helpers import seeded


def test_a_meta_gradient_is_the_same_mapped_and_looped() -> None:
    net = seeded(lambda: nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1))).float()
    episode, y = Sinusoids(shots=3, queries=4, tasks=5).sample(0)
    runs = meta_gradients(maml(net, 2, 0.05, F.mse_loss), episode, y)
    for a, b in zip(runs["vmap"](), runs["loop"](), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_accuracy_counts_right_answers_by_task() -> None:
    """Every character is a picture of one constant, told apart by its mean."""
    images = torch.arange(6.0)[:, None, None, None, None].expand(6, 20, 1, 28, 28)
    net = prototypes(nn.Sequential(nn.Flatten(), nn.AvgPool1d(784)))
    found = accuracies(net, FewShot(images, 3, 1, rotations=False), 12, 0)
    assert found.shape == (12,)
    assert found.tolist() == [100.0] * 12
    blind = prototypes(nn.Sequential(nn.Flatten(), nn.AvgPool1d(784), nn.Threshold(100.0, 0.0)))
    assert accuracies(blind, FewShot(images, 4, 1, rotations=False), 12, 0).mean() == pytest.approx(25)


@pytest.mark.parametrize("name", TRAININGS)
def test_a_recipe_says_what_its_name_does(name: str) -> None:
    of = row_of(name)
    entries = few_shot_training.recipe(name)
    net = build(entries["model"])
    assert f"metaopt.models.{of.method}" in MODEL_CALLS
    assert entries["task"]["ways"] == of.ways
    network = net.algorithm.network
    assert type(network[1]).__name__ == {"per_step": "PerStep", "frozen": "Frozen", "": "Transductive"}[of.policy]
    if of.method != "prototypes":
        assert network[-1].out_features == of.ways
        assert set(dict(few_shot_network(None).named_parameters())) <= set(dict(network.named_parameters()))


@pytest.mark.parametrize("name", sparse_training.TRAININGS)
def test_the_shipped_numbers_of_sparse_coding_are_trained_ones(name: str) -> None:
    """They complete what the dictionary gives, and find codes about as well as, or better than, before training."""
    net, card = sparse_training.trained(name)
    task = build({**card["recipe"]["validation"], "batch": 100}, TASK_CALLS)
    torch.testing.assert_close(net.algorithm.dictionary, task.dictionary)
    y, x = task.sample(1)
    start = build(sparse_training.recipe(name)["model"])
    assert all(not torch.equal(a, b) for a, b in zip(net.parameters(), start.parameters(), strict=True))
    with torch.no_grad():
        reached, before = (nmse(n(y).final, x) for n in (net, start))
    assert reached < min(before + 0.5, -30)


@pytest.mark.parametrize(
    ("curve", "other", "first"),
    [([3, 2, 1], [4, 4, 4], 1), ([5, 2, 1], [4, 4, 4], 2), ([3, 5, 1], [4, 4, 4], 3), ([3, 3, 4], [4, 4, 4], None)],
)
def test_ahead_from_is_the_first_step_that_is_not_lost_again(curve: list, other: list, first: int | None) -> None:
    assert ahead_from(curve, [other, [9, 9, 9]]) == first
