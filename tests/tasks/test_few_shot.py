"""Few-shot tasks: what is drawn."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import metaopt as mo
from metaopt.data import read_omniglot
from metaopt.tasks import FewShot, Sinusoids

IMAGES = torch.arange(6 * 5 * 4.0).reshape(6, 5, 1, 2, 2)  # every pixel of every example is another number


@pytest.mark.parametrize("rotations", [False, True])
def test_a_task_has_classes_examples_and_labels_of_its_own(rotations: bool) -> None:
    task = FewShot(IMAGES, ways=3, shots=2, queries=3, tasks=4, rotations=rotations)
    episode, answers = task.sample(0)
    inputs, labels, queries = episode.inputs, episode.targets, episode.queries
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
    assert torch.equal(task.sample(0)[0].inputs, inputs)
    assert not torch.equal(task.sample(1)[0].inputs, inputs)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ways": 25}, "25 ways needs as many classes, but there are 24"),
        ({"shots": 3, "queries": 3}, "has 5 examples, fewer than 3 shots and 3 queries"),
        (
            {"images": IMAGES[0]},
            r"images to be a real .* \(classes, examples, channels, height, width\) .*\(5, 1, 2, 2\)",
        ),
    ],
)
def test_a_task_that_cannot_be_is_a_sentence(options: dict[str, Any], words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        FewShot(**({"images": IMAGES, "ways": 3, "shots": 1, "queries": 2} | options))


def test_sinusoids_are_sinusoids() -> None:
    episode, values = Sinusoids(shots=5, queries=7, tasks=300).sample(0)
    x, y, more = episode.inputs, episode.targets, episode.queries
    assert (x.shape, y.shape, more.shape, values.shape) == ((300, 5, 1), (300, 5, 1), (300, 7, 1), (300, 7, 1))
    angles = torch.cat([torch.sin(x), torch.cos(x)], 2)
    fitted = torch.linalg.lstsq(angles, y).solution  # a sin(x - p) = a cos p sin x - a sin p cos x
    queried = torch.cat([torch.sin(more), torch.cos(more)], 2) @ fitted
    assert float((queried - values).abs().median()) < 1e-4
    amplitude, phase = fitted.square().sum(1).sqrt(), torch.atan2(-fitted[:, 1], fitted[:, 0])
    assert 0.09 < float(amplitude.quantile(0.02)) < float(amplitude.quantile(0.98)) < 5.01
    assert -0.01 < float(phase.quantile(0.02)) < float(phase.quantile(0.98)) < math.pi + 0.01


def test_omniglot_is_read_as_ink(tmp_path: Path) -> None:
    paper = np.ones((2, 20, 105, 105), bool)
    paper[1, 3, :, :50] = False
    np.savez(tmp_path / "images_background.npz", images=paper)
    found = read_omniglot(tmp_path, "background", size=21)
    assert found.shape == (2, 20, 1, 21, 21)
    assert float(found[0].abs().max()) == 0
    assert torch.equal(found[1, 3, 0, 7], (torch.arange(21) < 10).float())
    assert torch.equal(read_omniglot(tmp_path, "background", size=21, first=1), found[1:])
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


def test_distorted_images_are_near_the_drawn_ones_and_each_in_its_own_way() -> None:
    blurred = torch.linspace(-1, 1, 28).square().neg().exp()
    images = (blurred[:, None] * blurred).expand(6, 5, 1, 28, 28).clone()
    options: dict[str, Any] = {"ways": 3, "shots": 2, "queries": 3, "tasks": 2}
    plain = FewShot(images, **options).sample(0)[0].queries
    drawn = FewShot(images, **options, distortion=0.1).sample(0)[0].queries
    assert torch.equal(drawn, FewShot(images, **options, distortion=0.1).sample(0)[0].queries)
    assert 0 < float((drawn - plain).square().mean()) < 0.01
    assert not torch.equal(drawn[0, 0], drawn[0, 1])
