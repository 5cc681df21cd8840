from __future__ import annotations

import math

import pytest
import torch

from metaopt.core import MetaoptError
from metaopt.tasks.airways import fill_tubes


def tube(begin, end, radii, count=11):
    t = torch.linspace(0, 1, count)[:, None]
    return (1 - t) * torch.tensor(begin) + t * torch.tensor(end), radii[0] + (radii[1] - radii[0]) * t[:, 0]


@pytest.mark.parametrize("radius", [0.35, 0.5, 1.0, 2.5])
def test_the_volume_of_a_tube_is_conserved_also_where_it_is_narrower_than_a_voxel(radius):
    points, radii = tube([5.0, 6.0, 5.0], [22.0, 15.0, 20.0], (radius, radius))
    spacing = (0.9, 0.6, 0.7)
    filled = fill_tubes([(points, radii)], (40, 40, 40), spacing)
    length = float((points[-1] - points[0]).norm())
    volume = math.pi * radius**2 * length + 4 / 3 * math.pi * radius**3  # with its round ends
    assert float(filled.sum()) * math.prod(spacing) == pytest.approx(volume, rel=0.03)
    assert float(filled.min()) == 0.0
    assert float(filled.max()) <= 1.0


def test_every_voxel_has_the_share_that_dense_sampling_finds():
    tubes = [tube([2.0, 3.0, 3.0], [9.0, 8.0, 7.0], (1.6, 0.7)), tube([9.0, 3.0, 8.0], [2.0, 9.0, 6.0], (0.8, 0.8))]
    shape, spacing, fine = (12, 12, 12), (1.0, 0.9, 1.1), 7
    filled = fill_tubes(tubes, shape, spacing)
    steps = (torch.arange(fine) + 0.5) / fine - 0.5
    axes = [((torch.arange(n)[:, None] + steps).reshape(-1) * s).double() for n, s in zip(shape, spacing, strict=True)]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    inside = torch.zeros(places.shape[:3], dtype=torch.bool)
    for points, radii in tubes:
        for t in torch.linspace(0, 1, 40):  # balls along the line
            center = (1 - t) * points[0] + t * points[-1]
            inside |= (places - center).norm(dim=-1) < (1 - t) * radii[0] + t * radii[-1]
    dense = inside.double().reshape([12, fine] * 3).mean((1, 3, 5)).float()
    assert float((filled - dense).abs().max()) < 0.12
    assert float((filled - dense).abs().mean()) < 0.004


def test_two_tubes_at_one_place_count_once():
    one = tube([3.0, 3.0, 3.0], [9.0, 9.0, 9.0], (1.0, 1.0))
    torch.testing.assert_close(fill_tubes([one, one], (12,) * 3, (1, 1, 1)), fill_tubes([one], (12,) * 3, (1, 1, 1)))


def test_what_lies_outside_the_grid_is_left_out():
    inner, outer = (
        tube([3.0, 3.0, 3.0], [9.0, 9.0, 9.0], (1.0, 1.0)),
        tube([50.0, 3.0, 3.0], [60.0, 9.0, 9.0], (2.0, 2.0)),
    )
    torch.testing.assert_close(
        fill_tubes([inner, outer], (12,) * 3, (1, 1, 1)), fill_tubes([inner], (12,) * 3, (1, 1, 1))
    )
    assert float(fill_tubes([outer], (12,) * 3, (1, 1, 1)).max()) == 0.0
    assert float(fill_tubes([], (12,) * 3, (1, 1, 1)).max()) == 0.0


@pytest.mark.parametrize(
    ("radius", "spacing", "word"),
    [
        (0.2, (1.0, 1.0, 1.0), "less than a quarter of a voxel"),
        (1.0, None, "spacing is missing"),
        (1.0, (1.0, 1.0), "three positive numbers"),
        (1.0, (1.0, -1.0, 1.0), "three positive numbers"),
        (1.0, (1.0, 1.0, math.nan), "three positive numbers"),
    ],
)
def test_what_cannot_be_rendered_is_refused(radius, spacing, word):
    with pytest.raises(MetaoptError, match=word):
        fill_tubes([tube([3.0, 3.0, 3.0], [9.0, 9.0, 9.0], (radius, radius))], (12,) * 3, spacing)


@pytest.mark.parametrize(
    ("given", "shape", "word"),
    [
        (torch.zeros(3, 3), (9, 9, 9), "tube 0 is Tensor"),
        ((torch.zeros(3, 3), torch.ones(2)), (9, 9, 9), "tube 0 is"),
        ((torch.zeros(3, 2), torch.ones(3)), (9, 9, 9), "tube 0 is"),
        ((torch.zeros(3, 3), torch.ones(3) * math.nan), (9, 9, 9), "NaN"),
        ((torch.zeros(3, 3), torch.ones(3)), (9, 9), r"\(D, H, W\)"),
        ((torch.zeros(3, 3), torch.ones(3)), (9, 9, -9), "shape"),
    ],
)
def test_what_is_no_tube_or_no_grid_is_refused(given, shape, word):
    with pytest.raises(MetaoptError, match=word):
        fill_tubes([given], shape, (1, 1, 1))
