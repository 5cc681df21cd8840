from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from metaopt.core import MetaoptError, random
from metaopt.tasks.airways import (
    AirwayCts,
    AirwayTree,
    Scanner,
    Tissue,
    draw_lungs,
    fill_tubes,
    measure_airways,
    simulate_ct,
)

from .test_tree import straight

QUIET = Scanner(blur=0.0, noise=0.0)
PLAIN = Tissue(texture=0.0, artery=0.0, veins=0)
SPACING = (0.9, 0.8, 0.7)
SHAPE = (50, 64, 72)


def bent(radius: float = 2.5) -> AirwayTree:
    """One wide tube that lies slanted in the grid, with a narrower one that leaves it."""
    a, b = straight([5.0, 10.0, 8.0], [24.0, 26.0, 26.0], 30), straight([24.0, 26.0, 26.0], [36.0, 40.0, 40.0], 30)
    return AirwayTree(torch.tensor([-1, 0]), [a, b], [torch.full((30,), radius), torch.full((30,), radius / 2)])


@pytest.fixture(scope="module")
def lungs():
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[2:-2, 4:-4, 4:-4] = True
    return mask


def by_depth(tree, tissue):
    """Where a voxel lies wholly in the lumen, wholly in the wall and wholly outside, by dense distances."""
    places = torch.stack(
        torch.meshgrid(*[torch.arange(n) * s for n, s in zip(SHAPE, SPACING, strict=True)], indexing="ij"), -1
    )
    lumen, wall = torch.full(SHAPE, math.inf), torch.full(SHAPE, math.inf)
    for points, radius in zip(tree.points, tree.radius, strict=True):
        for t in torch.linspace(0, 1, 120):
            away = (places - (points[0] + t * (points[-1] - points[0]))).norm(dim=-1) - radius[0]
            lumen = torch.minimum(lumen, away)
            wall = torch.minimum(wall, away - tissue.walls(radius)[0])
    half = float(torch.tensor(SPACING).norm()) / 2 + 0.02
    return lumen < -half, (lumen > half) & (wall < -half), wall > half


def test_lumen_wall_and_parenchyma_have_their_hounsfield_units(lungs):
    tissue = dataclasses.replace(PLAIN, thickness=2.5)
    ct = simulate_ct(bent(), lungs, SPACING, 0, tissue, QUIET)
    lumen, wall, outside = by_depth(bent(), tissue)
    assert int(lumen.sum()) > 50
    assert int(wall.sum()) > 50
    torch.testing.assert_close(ct.volume[lumen], torch.full_like(ct.volume[lumen], tissue.air))
    torch.testing.assert_close(ct.volume[wall], torch.full_like(ct.volume[wall], tissue.wall))
    parenchyma = ct.volume[outside & lungs]
    torch.testing.assert_close(parenchyma, torch.full_like(parenchyma, tissue.parenchyma))


def test_the_texture_has_the_stated_mean_and_standard_deviation():
    mask = torch.zeros(90, 90, 90, dtype=torch.bool)
    mask[1:-1, 1:-1, 1:-1] = True
    tree = AirwayTree(torch.tensor([-1]), [straight([0.0, 0.0, 0.0], [0.0, 0.0, 9.0])], [torch.ones(21)])
    tissue = dataclasses.replace(PLAIN, texture=40.0)
    values = [simulate_ct(tree, mask, (2.0, 2.0, 2.0), seed, tissue, QUIET).volume[5:-5, 5:-5, 5:-5] for seed in (0, 1)]
    inside = torch.stack(values)
    assert float(inside.mean()) == pytest.approx(tissue.parenchyma, abs=4.0)
    assert float(inside.std()) == pytest.approx(40.0, rel=0.1)


@pytest.mark.parametrize("fwhm", [0.7, 1.5, 3.0])
@pytest.mark.parametrize("spacing", [(0.5, 0.5, 0.5), (1.0, 0.6, 0.5)])
def test_the_blur_has_its_full_width_at_half_maximum_along_every_axis(fwhm, spacing):
    """Second moments of the image of a step's derivative, which the voxels sample: sigma = FWHM / 2.355."""
    if fwhm < 1.4 * max(spacing):
        pytest.skip("a voxel is too wide to measure so narrow a blur")
    point = torch.zeros(41, 41, 41)
    point[20, 20, 20] = 1.0
    image = Scanner(fwhm, 0.0).scan(point, spacing, random.generator(0)).double()
    assert float(image.sum()) == pytest.approx(1.0, rel=1e-5)
    for axis, size in enumerate(spacing):
        line = image.sum([a for a in range(3) if a != axis])
        at = torch.arange(41) * size
        sigma = float(((at - 20 * size) ** 2 * line).sum()) ** 0.5
        assert 2.3548 * sigma == pytest.approx(fwhm, rel=0.02)


@pytest.mark.parametrize("grain", [0.0, 0.8, 2.0])
def test_the_noise_has_its_standard_deviation_and_its_grain(grain):
    noise = Scanner(0.0, 40.0, grain).scan(torch.zeros(64, 64, 64), (1.0, 0.7, 0.7), random.generator(3)).double()
    assert float(noise.std()) == pytest.approx(40.0, rel=0.03)
    assert float(noise.mean()) == pytest.approx(0.0, abs=1.0)
    neighbours = float((noise[:, :, 1:] * noise[:, :, :-1]).mean()) / 1600
    kernel = np.exp(-0.5 * (np.arange(-20, 21) * 0.7 * 2.3548 / max(grain, 1e-3)) ** 2)
    assert neighbours == pytest.approx((kernel[1:] * kernel[:-1]).sum() / (kernel**2).sum(), abs=0.05)


def test_partial_volume_conserves_the_air_of_the_lumen(lungs):
    """However thin the tube, what the lumen takes from the wall is its volume times the difference."""
    tissue = dataclasses.replace(PLAIN, thickness=1.5)
    tree = bent(1.0)
    volume = simulate_ct(tree, lungs, SPACING, 0, tissue, QUIET).volume
    outer = fill_tubes([(p, r + tissue.walls(r)) for p, r in tree.tubes], SHAPE, SPACING)
    solid = tissue.parenchyma + outer * (tissue.wall - tissue.parenchyma)
    missing = float((solid - volume)[lungs].sum()) * math.prod(SPACING) / (tissue.wall - tissue.air)
    exact = math.pi * float((torch.tensor([1.0, 0.25]) * tree.length).sum())
    exact += 2 / 3 * math.pi * (1.0 + 1.0 + 0.125) - math.pi * 0.25 * 0.8  # round ends; the child begins inside
    assert missing == pytest.approx(exact, rel=0.04)


def test_the_lumen_has_the_radius_of_the_tree(lungs):
    """The distance transform of the truth, at the centre line, is the radius to half a voxel."""
    tree = bent(3.0)
    ct = simulate_ct(tree, lungs, SPACING, 0, PLAIN, QUIET)
    depth = ndimage.distance_transform_edt(ct.lumen.numpy(), sampling=SPACING)
    depth = ndimage.maximum_filter(depth, 3)  # the line runs between the centres of voxels
    for points, radius in zip(tree.points, tree.radius, strict=True):
        index = tuple((points[10:20] / torch.tensor(SPACING)).round().long().T.numpy())
        assert np.median(depth[index]) == pytest.approx(float(radius[0]), abs=0.4)


def test_labels_name_the_branch_of_every_voxel_of_the_lumen(lungs):
    tree = bent()
    ct = simulate_ct(tree, lungs, SPACING, 0, PLAIN, QUIET)
    assert torch.equal(ct.labels > 0, ct.lumen)
    for number, points in enumerate(tree.points):
        index = (points[12:] / torch.tensor(SPACING)).round().long()
        assert (ct.labels[tuple(index.T)] == number + 1).float().mean() > 0.9


def test_a_real_mask_is_the_truth_and_gets_the_walls_of_its_radius(lungs):
    pytest.importorskip("skimage")
    tissue = dataclasses.replace(PLAIN, thickness=1.2)
    mask = fill_tubes(bent().tubes, SHAPE, SPACING) >= 0.5
    ct = simulate_ct(mask, lungs, SPACING, 0, tissue, QUIET)
    assert torch.equal(ct.lumen, mask)
    torch.testing.assert_close(ct.volume[mask], torch.full_like(ct.volume[mask], tissue.air))
    wall = (ct.volume[lungs & ~mask] - tissue.parenchyma).sum() / (tissue.wall - tissue.parenchyma)
    drawn = fill_tubes([(p, r + tissue.walls(r)) for p, r in bent().tubes], SHAPE, SPACING)
    assert float(wall) == pytest.approx(float(drawn.sum()) - float(mask.sum()), rel=0.12)
    assert len(ct.tree) == len(measure_airways(mask, SPACING))


def test_the_same_seed_gives_the_same_ct_and_another_one_another(lungs):
    tissue = Tissue(veins=0, opacities=2)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, again, other = (simulate_ct(bent(), lungs, SPACING, seed, tissue).volume for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    assert float((first - other)[lungs].std()) > 20


def test_vessels_and_opacities_are_dense_and_leave_the_lumen_open(lungs):
    with_vessels = simulate_ct(bent(), lungs, SPACING, 0, dataclasses.replace(PLAIN, artery=1.4), QUIET)
    plain = simulate_ct(bent(), lungs, SPACING, 0, PLAIN, QUIET)
    denser = (with_vessels.volume - plain.volume)[lungs]
    assert float(denser.max()) > 800
    opaque = simulate_ct(bent(), lungs, SPACING, 0, dataclasses.replace(PLAIN, opacities=3), QUIET)
    assert float(opaque.volume[lungs].mean()) > float(plain.volume[lungs].mean()) + 20
    deep = by_depth(bent(), PLAIN)[0]
    for ct in (with_vessels, opaque):
        torch.testing.assert_close(ct.volume[deep], plain.volume[deep])


def test_veins_grow_in_a_whole_chest():
    chest = draw_lungs(0, (5.0, 5.0, 5.0))
    tree = AirwayTree(torch.tensor([-1]), [straight([9.0, 9.0, 9.0], [9.0, 9.0, 40.0])], [torch.full((21,), 3.0)])
    volumes = [
        simulate_ct(tree, chest, (5.0, 5.0, 5.0), 0, dataclasses.replace(PLAIN, veins=n), QUIET).volume for n in (0, 1)
    ]
    assert int(((volumes[1] - volumes[0]) > 100).sum()) > 100
    assert float(volumes[0][0, 0, 0]) == -1000.0  # outside of the body


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"airways": torch.zeros(SHAPE, dtype=torch.bool)}, "mask of the lumen is empty"),
        ({"airways": torch.ones(9, 9, 9, dtype=torch.bool)}, "must share one grid"),
        ({"airways": torch.ones(SHAPE)}, "tensor of bools"),
        ({"airways": "tree"}, "tensor of bools"),
        ({"lungs": torch.zeros(SHAPE, dtype=torch.bool)}, "lung mask is empty"),
        ({"spacing": None}, "spacing is missing"),
        ({"spacing": (0.7, -0.7, 0.7)}, "three positive numbers"),
        ({"spacing": (0.7, math.nan, 0.7)}, "three positive numbers"),
        ({"airways": bent(0.2)}, "less than a quarter of a voxel"),
        (
            {
                "airways": AirwayTree(
                    torch.tensor([-1]), [straight([0.0, 900.0, 0.0], [9.0, 900.0, 0.0])], [torch.ones(21)]
                )
            },
            "No branch",
        ),
        ({"tissue": 3}, "Tissue"),
    ],
)
def test_what_cannot_be_simulated_is_refused(lungs, change, word):
    given = {"airways": bent(), "lungs": lungs, "spacing": SPACING, "seed": 0, "tissue": PLAIN} | change
    with pytest.raises(MetaoptError, match=word):
        simulate_ct(**given)


def test_patches_show_lumen_as_dark_as_air_within_brighter_surroundings():
    task = AirwayCts(size=32, batch=4, noise=(5.0, 10.0), blur=(0.6, 0.8), opaque=0.0)
    ct, lumen = task.sample(5)
    assert ct.shape == lumen.shape == (4, 1, 32, 32, 32)
    assert ct.dtype == lumen.dtype == torch.float32
    assert set(lumen.unique().tolist()) == {0.0, 1.0}
    deep = torch.from_numpy(ndimage.binary_erosion(lumen.numpy()[:, 0], np.ones((1, 3, 3, 3))))
    assert int(deep.sum()) > 20
    assert float(ct[:, 0][deep].median()) == pytest.approx(Tissue().air, abs=25)


def test_patches_repeat_with_their_seed():
    task = AirwayCts(lungs=[(draw_lungs(1, (4.0, 4.0, 4.0)), (4.0, 4.0, 4.0))], size=16, batch=2)
    first, again, other = task.sample(1), task.sample(1), task.sample(2)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"lungs": []}, "at least one lung mask"),
        ({"lungs": [(torch.zeros(4, 4, 4, dtype=torch.bool), (1, 1, 1))]}, "is empty"),
        ({"lungs": [(torch.ones(4, 4, 4, dtype=torch.bool), None)]}, "spacing is missing"),
        ({"size": 0}, "size"),
        ({"blur": (0.0, 1.0)}, "blur"),
        ({"opaque": 2.0}, "opaque"),
    ],
)
def test_settings_of_patches_that_make_no_sense_are_refused(settings, word):
    with pytest.raises(MetaoptError, match=word):
        AirwayCts(**settings)
