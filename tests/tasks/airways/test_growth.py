from __future__ import annotations

import math

import pytest
import torch
from scipy import ndimage

from metaopt.core import MetaoptError
from metaopt.tasks.airways import (
    AirwayTree,
    Morphometry,
    branching_angles,
    draw_lungs,
    fill_tubes,
    grow_airways,
    measure_airways,
)

from ...real_data import real_data

SPACING = (4.0, 4.0, 4.0)


@pytest.fixture(scope="module")
def lungs():
    return draw_lungs(3, SPACING)


@pytest.fixture(scope="module")
def tree(lungs):
    return grow_airways(lungs, SPACING, seed=5)


def test_the_law_of_flow_holds_at_every_division(tree):
    n, divisions = Morphometry().exponent, 0
    radius = tree.mean_radius.double() ** n
    for number, children in enumerate(tree.children):
        if children:
            assert len(children) == 2
            assert float(radius[children].sum()) == pytest.approx(float(radius[number]), rel=1e-4)
            divisions += 1
    assert divisions > 40


def test_all_branches_after_the_main_bronchi_lie_in_the_lungs(tree, lungs):
    for generation, points in zip(tree.generation.tolist(), tree.points, strict=True):
        if generation > 1:
            index = (points / torch.tensor(SPACING)).round().long()
            assert bool(lungs[tuple(index.T)].all())


def test_branches_begin_where_their_parents_end_and_are_no_narrower_than_asked(tree):
    for number, parent in enumerate(tree.parent.tolist()):
        if parent >= 0:
            torch.testing.assert_close(tree.points[number][0], tree.points[parent][-1])
    assert float(tree.mean_radius.min()) >= Morphometry().narrowest - 1e-6


def test_the_tree_reaches_both_lungs_and_all_their_thirds(tree, lungs):
    """Most of the lung is near to an airway, and each third of each lung holds its share of branches."""
    ends = torch.stack([points[-1] for points, c in zip(tree.points, tree.children, strict=True) if not c])
    inside = lungs.nonzero() * torch.tensor(SPACING)
    middle = float(inside[:, 2].mean())
    for side in (ends[:, 2] > middle, ends[:, 2] < middle):
        height = (ends[side, 0] - inside[:, 0].min()) / (inside[:, 0].max() - inside[:, 0].min())
        counts = torch.histc(height, bins=3, min=0, max=1)
        assert int(counts.min()) >= 3
    assert float(torch.cdist(inside[::50].float(), ends).amin(1).quantile(0.9)) < 65.0  # in people 2 and 3: 65 and 42


def test_the_same_seed_grows_the_same_tree_and_another_one_another(tree, lungs):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    again, other = grow_airways(lungs, SPACING, seed=5), grow_airways(lungs, SPACING, seed=6)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(tree.points, again.points, strict=True))
    assert float(other.mean_radius[0]) != float(tree.mean_radius[0])


def test_sizes_follow_the_spacing(lungs):
    """The same lungs at twice the distance of voxels are eight times as large, and hold a wider trachea."""
    small, large = (grow_airways(lungs[::2, ::2, ::2], [s * k for s in SPACING], seed=1) for k in (1.6, 2.0))
    assert float(large.mean_radius[0] / small.mean_radius[0]) == pytest.approx(2.0 / 1.6, rel=1e-3)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("exponent", [2.5, 3.0])
def test_the_angles_are_those_of_least_volume(share, exponent):
    """Moving the division in any direction costs volume, where a tube costs its length times its area."""
    a, b = branching_angles(share, exponent)
    areas = torch.tensor([1.0, share ** (2 / exponent), (1 - share) ** (2 / exponent)], dtype=torch.float64)
    far = torch.tensor([[-1.0, 0.0], [math.cos(a), math.sin(a)], [math.cos(b), -math.sin(b)]], dtype=torch.float64)

    place = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    (areas * (far - place).norm(dim=1)).sum().backward()
    torch.testing.assert_close(place.grad, torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-9)


def test_a_grown_tree_is_found_again_in_its_mask(tree):
    pytest.importorskip("skimage")
    wide = tree.wider_than(1.6)
    spacing = (1.0, 1.0, 1.0)
    shape = [int(max(float(p[:, axis].max()) for p in wide.points)) + 15 for axis in range(3)]
    filled = fill_tubes(list(zip(wide.points, wide.radius, strict=True)), shape, spacing)
    found = measure_airways(filled >= 0.5, spacing)
    early = [(t.generation <= 2) for t in (wide, found)]
    assert int(early[0].sum()) == int(early[1].sum())
    ratio = found.mean_radius[:3].sort().values / wide.mean_radius[:3].sort().values  # those long against their width
    assert float((ratio - 1).abs().max()) < 0.1


def test_drawn_lungs_are_two_of_the_wanted_volume_and_differ_by_seed():
    drawn = [draw_lungs(seed, SPACING) for seed in range(4)]
    for mask in drawn:
        assert 3.5 < float(mask.sum()) * 64 / 1e6 < 8
        sizes = sorted(torch.from_numpy(ndimage.label(mask.numpy())[0]).flatten().bincount()[1:].tolist())
        assert len(sizes) == 2
        assert sizes[0] > 0.6 * sizes[1]
    assert len({mask.shape for mask in drawn}) > 1
    assert torch.equal(drawn[0], draw_lungs(0, SPACING))


@pytest.mark.parametrize(
    ("mask", "spacing", "word"),
    [
        (torch.zeros(30, 30, 30, dtype=torch.bool), SPACING, "is empty"),
        (torch.ones(3, 3, 3, dtype=torch.bool), SPACING, "too little for two lungs"),
        (torch.ones(60, 60, 60, dtype=torch.bool), None, "spacing is missing"),
        (torch.ones(60, 60, 60, dtype=torch.bool), (4.0, 0.0, 4.0), "three positive numbers"),
        (torch.ones(60, 60, 60), SPACING, "tensor of bools"),
    ],
)
def test_what_is_no_lung_mask_is_refused(mask, spacing, word):
    with pytest.raises(MetaoptError, match=word):
        grow_airways(mask, spacing, 0)


def test_the_branches_of_a_real_person_are_those_of_an_airway_tree():
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.load(real_data("ct/airway_masks/patient1/bronchialTree.nii.gz"))
    mask = torch.from_numpy(image.dataobj[...] > 0).permute(2, 1, 0)
    found = measure_airways(mask, image.header.get_zooms()[2::-1])
    assert isinstance(found, AirwayTree)
    assert (found.generation <= 2).sum() == 7  # trachea, two main bronchi, four that follow
    assert 7 < float(found.mean_radius[0]) < 8.5
    assert 80 < float(found.length[0]) < 100
    assert 50 < len(found) < 90
