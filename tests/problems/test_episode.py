"""Episodes have examples, labels that are classes and finite values, or are refused before anything is learned."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import metaopt as mo

X = torch.linspace(-1, 1, 24).reshape(2, 4, 3)
LABELS = torch.tensor([[0, 1, 0, 1], [1, 0, 1, 0]])


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"inputs": X[:, :0], "targets": LABELS[:, :0]}, "with an example and a query, but one of them is empty"),
        ({"queries": X[:, :0]}, "with an example and a query, but one of them is empty"),
        ({"inputs": X / 0}, "needs inputs to be .* with 24 values that are NaN or infinite"),
        ({"targets": LABELS / 0.0}, "needs targets to be a tensor .* of finite values"),
        ({"targets": LABELS[:, :3]}, "inputs \\(tasks, n, ...\\)"),
        ({"inputs": X.to_sparse()}, "Episode needs inputs to be a tensor"),
    ],
)
def test_an_episode_that_cannot_be_is_a_sentence(parts: dict[str, Any], sentence: str) -> None:
    with pytest.raises(mo.MetaoptError, match=sentence):
        mo.Episode(**{"inputs": X, "targets": LABELS, "queries": X, **parts})


@pytest.mark.parametrize(
    ("targets", "sentence"),
    [
        (LABELS + 7, "The loss of Linear cannot be computed.*out of bounds"),
        (LABELS - 1, "Labels of classes count from 0, but one of this Episode is -1"),
        (torch.stack([LABELS[0], LABELS[1] + 1]), "out of bounds"),  # in the second task alone
        (LABELS.float(), "The loss of Linear cannot be computed"),
    ],
)
def test_labels_that_are_no_classes_of_the_network_are_refused_by_maml(targets: torch.Tensor, sentence: str) -> None:
    with pytest.raises(mo.MetaoptError, match=sentence):
        mo.models.maml(nn.Linear(3, 2), 1)(mo.Episode(X, targets, X))


def test_inputs_that_do_not_fit_the_network_are_refused_by_maml() -> None:
    with pytest.raises(mo.MetaoptError, match="The loss of Linear cannot be computed on the data it was given: mat1"):
        mo.models.maml(nn.Linear(4, 2), 1)(mo.Episode(X, LABELS, X))


def test_prototypes_need_an_example_of_each_class() -> None:
    network = mo.models.prototypes(nn.Linear(3, 2))
    with pytest.raises(mo.MetaoptError, match="Task 1 of this Episode has no example of class 0"):
        network(mo.Episode(X, torch.tensor([[0, 1, 0, 1], [1, 1, 1, 1]]), X))
    with pytest.raises(mo.MetaoptError, match="count from 0"):
        network(mo.Episode(X, LABELS - 1, X))
    with pytest.raises(mo.MetaoptError, match="must be an Episode, but got None"):
        network(None)
