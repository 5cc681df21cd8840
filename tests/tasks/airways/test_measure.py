from __future__ import annotations

import math

import pytest
import torch

from metaopt.core import MetaoptError
from metaopt.tasks.airways import fill_tubes, measure_airways

from .test_tree import fork, straight

pytest.importorskip("skimage")


def rendered(tree, shape, spacing):
    return fill_tubes(list(zip(tree.points, tree.radius, strict=True)), shape, spacing) >= 0.5


@pytest.mark.parametrize("spacing", [(0.8, 0.8, 0.8), (1.2, 0.7, 0.7)])
@pytest.mark.parametrize("degrees", [25.0, 45.0])
def test_a_fork_is_measured_as_it_was_drawn(degrees, spacing):
    tree = fork(degrees)
    shape = [math.ceil(extent / s) for extent, s in zip((100, 80, 100), spacing, strict=True)]
    found = measure_airways(rendered(tree, shape, spacing), spacing)
    assert found.parent.tolist() == [-1, 0, 0]
    torch.testing.assert_close(found.mean_radius, tree.mean_radius, rtol=0.07, atol=0)
    torch.testing.assert_close(found.length, tree.length, rtol=0, atol=6.0)  # a skeleton ends before the tube does
    torch.testing.assert_close(found.angle[1:], tree.angle[1:], rtol=0, atol=7.0)
    assert (found.points[0][0] - torch.tensor([90.0, 40.0, 50.0])).norm() < 6.0
    assert (found.points[0][-1] - torch.tensor([30.0, 40.0, 50.0])).norm() < 6.0


@pytest.mark.parametrize("radius", [0.8, 1.5, 3.0])
def test_the_radius_of_a_slanted_tube_is_right_from_two_voxels_up(radius):
    line = straight([8.0, 8.0, 10.0], [50.0, 40.0, 36.0], 40)
    mask = fill_tubes([(line, torch.full((40,), radius))], (80, 70, 65), (0.75, 0.7, 0.7)) >= 0.5
    found = measure_airways(mask, (0.75, 0.7, 0.7))
    assert len(found) == 1
    assert float(found.mean_radius[0]) == pytest.approx(radius, rel=0.1)


def test_loose_voxels_and_holes_change_nothing():
    tree, shape = fork(35.0), (100, 80, 100)
    clean = rendered(tree, shape, (1, 1, 1))
    dirty = clean.clone()
    dirty[5:7, 5:7, 5:7] = True  # a part of its own
    dirty[60, 40, 50] = False  # in the middle of the trachea
    a, b = measure_airways(clean, (1, 1, 1)), measure_airways(dirty, (1, 1, 1))
    assert a.parent.tolist() == b.parent.tolist()
    for first, second in zip(a.points + a.radius, b.points + b.radius, strict=True):
        torch.testing.assert_close(first, second)


def test_positions_are_those_of_the_whole_volume_in_millimetres():
    tree = fork(35.0)
    mask = rendered(tree, (125, 80, 143), (0.8, 1.0, 0.7))
    found = measure_airways(mask, (0.8, 1.0, 0.7))
    center = (found.points[0] - torch.tensor([0.0, 40.0, 50.0]))[:, 1:]
    assert float(center.abs().max()) < 1.5


@pytest.mark.parametrize(
    ("mask", "spacing", "word"),
    [
        (torch.zeros(8, 8, 8, dtype=torch.bool), (1, 1, 1), "is empty"),
        (torch.ones(8, 8, 8), (1, 1, 1), "tensor of bools"),
        (torch.ones(8, 8, dtype=torch.bool), (1, 1, 1), r"\(D, H, W\)"),
        (torch.eye(8, dtype=torch.bool)[None].expand(8, 8, 8) & (torch.arange(8) == 1), (1, 1, 0), "three positive"),
        (torch.arange(512).reshape(8, 8, 8) == 77, (1, 1, 1), "no centre line"),
        (torch.ones(8, 8, 8, dtype=torch.bool), None, "spacing is missing"),
    ],
)
def test_what_cannot_be_measured_is_refused(mask, spacing, word):
    with pytest.raises(MetaoptError, match=word):
        measure_airways(mask, spacing)
