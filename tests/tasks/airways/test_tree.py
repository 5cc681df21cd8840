from __future__ import annotations

import math

import pytest
import torch

from metaopt.core import MetaoptError
from metaopt.tasks.airways import AirwayTree


def straight(begin, end, count=21):
    t = torch.linspace(0, 1, count)[:, None]
    return (1 - t) * torch.tensor(begin) + t * torch.tensor(end)


def fork(degrees: float, radius: float = 4.0) -> AirwayTree:
    """A trachea of 60 mm that divides into two branches of 30 mm, each turned by ``degrees``."""
    a = math.radians(degrees)
    lines = [straight([90.0, 40.0, 50.0], [30.0, 40.0, 50.0])]
    for side in (1, -1):
        lines.append(straight([30.0, 40.0, 50.0], [30 - 30 * math.cos(a), 40.0, 50 + side * 30 * math.sin(a)]))
    radii = [torch.full((21,), r) for r in (radius, radius / 2, radius / 2)]
    return AirwayTree(torch.tensor([-1, 0, 0]), lines, radii)


@pytest.mark.parametrize("degrees", [10.0, 35.0, 70.0])
def test_lengths_angles_and_generations_are_those_that_the_tree_was_built_with(degrees):
    tree = fork(degrees)
    torch.testing.assert_close(tree.length, torch.tensor([60.0, 30.0, 30.0]))
    torch.testing.assert_close(
        tree.angle, torch.tensor([math.nan, degrees, degrees]), equal_nan=True, rtol=0, atol=1e-3
    )
    assert tree.generation.tolist() == [0, 1, 1]
    assert tree.children == [[1, 2], [], []]
    assert tree.mean_radius.tolist() == [4.0, 2.0, 2.0]


def test_what_is_too_narrow_goes_with_all_that_follows_it():
    lines = [straight([0.0, 0.0, i * 10.0], [0.0, 0.0, i * 10.0 + 10]) for i in range(4)]
    radii = [torch.full((21,), r) for r in (4.0, 1.0, 3.0, 2.0)]
    tree = AirwayTree(torch.tensor([-1, 0, 1, 0]), lines, radii).wider_than(1.5)
    assert tree.parent.tolist() == [-1, 0]
    assert tree.mean_radius.tolist() == [4.0, 2.0]
    with pytest.raises(MetaoptError, match="no branch is left"):
        tree.wider_than(5.0)


LINE, RADIUS = straight([0.0, 0.0, 0.0], [0.0, 0.0, 9.0], 4), torch.ones(4)


@pytest.mark.parametrize(
    ("parent", "points", "radius", "word"),
    [
        ([-1, 0], [LINE], [RADIUS], "2 parents"),
        ([], [], [], "at least one branch"),
        ([0], [LINE], [RADIUS], "branch 0 has parent 0"),
        ([-1, 1], [LINE] * 2, [RADIUS] * 2, "branch 1 has parent 1"),
        ([-1, -1], [LINE] * 2, [RADIUS] * 2, "branch 1 has parent -1"),
        ([-1], [LINE[:1]], [RADIUS[:1]], "at least 2 points"),
        ([-1], [LINE], [RADIUS[:3]], "4 points and 3 radii"),
        ([-1], [LINE], [RADIUS - 1], "0 are positive"),
        ([-1], [LINE * math.nan], [RADIUS], "NaN"),
        ([-1], [LINE[:, :2]], [RADIUS], r"\(P, 3\)"),
    ],
)
def test_what_is_no_tree_is_refused(parent, points, radius, word):
    with pytest.raises(MetaoptError, match=word):
        AirwayTree(torch.tensor(parent, dtype=torch.long), points, radius)
