"""Tasks draw the distributions that they say: the same seed gives the same batch, and the noise is what is claimed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt import tree
from metaopt.operators import bernoulli_projection, fourier_projection, gaussian_columns_mask, gaussian_projection
from metaopt.tasks import (
    Deblurring,
    Denoising,
    Inpainting,
    Mixture,
    Patches,
    RandomProjections,
    SuperResolution,
    UndersampledMri,
    block_projection,
    grey_levels,
    pool,
    smooth_phase,
)
from metaopt.training.recipe import TASK_CALLS
from metaopt.weights import build


def pictures(count: int = 3, size: int = 80) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (1, size, size + i), generator=generator).byte() for i in range(count)]


TASKS = {
    "denoising": Denoising(Patches(pictures(), 32, 3)),
    "inpainting": Inpainting(Patches(pictures(), 32, 3)),
    "deblurring": Deblurring(Patches(pictures(), 32, 3), size=9),
    "super-resolution": SuperResolution(Patches(pictures(), 36, 3)),
    "mixture": Mixture([Denoising(Patches(pictures(), 32, 3)), Deblurring(Patches(pictures(), 32, 3))], [1, 2]),
    "projections": RandomProjections(Patches(pictures(), 32, 3), block=16),
    "noisy projections": RandomProjections(
        Patches(pictures(), 32, 3), block=16, ratios=(0.1, 1.0), noise_levels=grey_levels(1, 55)
    ),
    "blots": Inpainting(Patches(pictures(), 32, 3), noise_levels=grey_levels(0.3, 5), grains=(4, 8)),
    "mri": UndersampledMri(Patches(pictures(), 32, 3, zoom=2.0)),
}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_seed_is_a_batch(task: Any) -> None:
    torch.manual_seed(1)
    first = tree.leaves(task.sample(5))
    torch.manual_seed(2)
    second, other = tree.leaves(task.sample(5)), tree.leaves(task.sample(6))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[-1], other[-1])
    before = torch.get_rng_state()
    task.sample(5)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("seed", range(4))
def test_the_measurement_is_the_operators_up_to_white_noise_of_the_stated_level(task: Any, seed: int) -> None:
    """Every ensemble of projections comes up among these seeds; for complex y each component has that level."""
    problem, target = task.sample(seed)
    noise = (problem.y - problem.operator(target)).flatten(1)
    if isinstance(task, UndersampledMri | Inpainting):  # only sampled places have noise
        sampled = problem.operator(torch.randn_like(target)).flatten(1).abs() > 1e-6
        assert noise[~sampled].abs().max() < 1e-6
        noise = [row[keep] for row, keep in zip(noise, sampled, strict=True)]
    parts = [[row.real, row.imag] if row.is_complex() else [row] for row in noise]
    levels = problem.noise.expand(len(target))
    for level, components in zip(levels, parts, strict=True):
        for values in components:
            unit = values / level
            assert abs(float(unit.mean())) < 5 / len(unit) ** 0.5
            assert abs(float(unit.var()) - 1) < 5 * (2 / len(unit)) ** 0.5
        if len(components) == 2:
            correlation = float((components[0] * components[1]).mean() / level**2)
            assert abs(correlation) < 5 / len(components[0]) ** 0.5


def test_the_ensembles_all_come_up_and_the_ratio_is_within_its_bounds() -> None:
    rows = [RandomProjections(Patches(pictures(), 32, 1), block=16).sample(seed)[0].y for seed in range(30)]
    ratios = [y.shape[-1] / 16**2 for y in rows]
    assert {y.is_complex() for y in rows} == {True, False}
    assert 0.1 <= min(ratios) < 0.2
    assert 0.4 < max(ratios) <= 0.5


@pytest.mark.parametrize("ensemble", [gaussian_projection, bernoulli_projection, fourier_projection])
def test_a_block_projection_measures_every_block_alike(ensemble: Any) -> None:
    operator = block_projection(ensemble, 0.25, (1, 16, 24), 8, seed=0)
    x = torch.zeros(1, 1, 16, 24)
    x[..., 8:16, 16:24] = tile = torch.rand(8, 8)
    y = operator(x)
    assert y.shape == (1, 6, 16)
    assert y[0, :5].abs().max() == 0
    torch.testing.assert_close(y[0, 5], ensemble(16, (1, 8, 8), 0)(tile[None, None])[0])


def test_noise_levels_are_uniform_between_their_bounds_and_each_patch_has_its_own() -> None:
    task = Denoising(Patches(pictures(), 8, 400), grey_levels(10, 30))
    levels = 255 * task.sample(0)[0].noise
    assert levels.shape == (400,)
    assert 10 <= levels.min() < 11
    assert 29 < levels.max() <= 30
    assert abs(levels.mean() - 20) < 5 * 20 / math.sqrt(12 * 400)


@pytest.mark.parametrize("levels", [(1, 55), (0.3, 0.2), (0.0, 0.1)])
@pytest.mark.parametrize("kind", [Denoising, Inpainting, Deblurring, SuperResolution, RandomProjections])
def test_noise_levels_in_grey_levels_are_refused(kind: Any, levels: tuple[float, float]) -> None:
    with pytest.raises(mo.MetaoptError, match=rf"{kind.__name__} are in the units of pictures in \[0, 1\].*grey"):
        kind(Patches(pictures(), 8, 2), noise_levels=levels)


@pytest.mark.parametrize(
    ("call", "old", "levels"),
    [
        ("Denoising", {"low": 25, "high": 30}, (25 / 255, 30 / 255)),
        ("Denoising", {"high": 30}, (1 / 255, 30 / 255)),
        ("Denoising", {}, (1 / 255, 55 / 255)),
        ("Inpainting", {"noise": [0.3, 5], "low": 0.4}, (0.3 / 255, 5 / 255)),
        ("SuperResolution", {"noise": [0.5, 0.5]}, (0.5 / 255, 0.5 / 255)),
        ("RandomProjections", {"low": 0.2, "high": 0.4}, (1 / 255, 1 / 255)),
        ("Deblurring", {"noise": [1, 2]}, (1 / 255, 2 / 255)),
        ("UndersampledMri", {"noise": [0.01, 0.02]}, (0.01, 0.02)),
    ],
)
def test_a_recipe_of_an_earlier_version_means_the_same_noise(call: str, old: Any, levels: tuple[float, float]) -> None:
    task = build({"call": f"metaopt.tasks.{call}", "patches": Patches(pictures(), 8, 2), **old}, TASK_CALLS)
    assert task.noise_levels == pytest.approx(levels, rel=1e-15)
    if call == "Inpainting":
        assert task.kept_shares == [0.4, 0.9]
    if call == "RandomProjections":
        assert task.ratios == [0.2, 0.4]


def test_a_share_of_the_patches_is_clipped_and_rounded_like_files() -> None:
    whole, share, none = (
        Denoising(Patches(pictures(), 16, 200), grey_levels(40, 50), quantised=q).sample(0)[0].y
        for q in (1.0, 0.5, 0.0)
    )
    torch.testing.assert_close(255 * whole, (255 * none).clamp(0, 255).round(), rtol=0, atol=1e-4)
    rounded = (share == whole).flatten(1).all(1)
    assert torch.equal(share[~rounded], none[~rounded])
    assert abs(float(rounded.float().mean()) - 0.5) < 5 * 0.5 / 200**0.5


def test_each_patch_keeps_a_share_of_its_own_of_its_pixels() -> None:
    problem, target = Inpainting(Patches(pictures(), 32, 60), kept_shares=(0.2, 0.6)).sample(0)
    shares = problem.operator(torch.ones_like(target)).mean((1, 2, 3))
    assert 0.15 < shares.min() < 0.27
    assert 0.53 < shares.max() < 0.65
    assert (problem.y[problem.operator(torch.ones_like(target)) == 0] == 0).all()


def test_grains_say_how_wide_the_blots_are_and_the_share_is_kept() -> None:
    """The wider a blot, the more often neighbours are alike; with one pixel a grain they are independent."""
    alike = []
    for grain in (1, 4, 8):
        task = Inpainting(Patches(pictures(), 32, 40), kept_shares=(0.5, 0.5), grains=(grain,))
        problem, target = task.sample(0)
        mask = problem.operator(torch.ones_like(target))
        assert torch.equal(mask, mask.round())
        torch.testing.assert_close(mask.mean((1, 2, 3)), torch.full((40,), 0.5), rtol=0, atol=1 / 32**2)
        alike.append(float((mask[..., 1:] == mask[..., :-1]).float().mean()))
    assert abs(alike[0] - 0.5) < 5 * 0.5 / (40 * 32 * 31) ** 0.5
    assert 0.8 < alike[1] < alike[2] - 0.05


def test_noise_of_a_range_is_uniform_on_a_logarithmic_scale() -> None:
    levels = 255 * Deblurring(Patches(pictures(), 8, 400), size=3, noise_levels=grey_levels(0.5, 8)).sample(0)[0].noise
    place = (levels / 0.5).log() / math.log(16)
    assert 0 <= place.min() < 0.02
    assert 0.98 < place.max() <= 1 + 1e-6
    assert abs(place.mean() - 0.5) < 5 / math.sqrt(12 * 400)


@pytest.mark.parametrize("seed", range(4))
def test_random_projections_have_norm_one_whatever_the_ratio(seed: int) -> None:
    problem = RandomProjections(Patches(pictures(), 32, 2), block=16, ratios=(0.1, 1.0)).sample(seed)[0]
    columns = torch.eye(256).reshape(256, 1, 16, 16)
    single = torch.zeros(256, 1, 32, 32)
    single[..., :16, :16] = columns
    matrix = problem.operator(single).flatten(1)
    assert abs(float(torch.linalg.matrix_norm(matrix, 2)) - 1) < 0.05


def test_each_patch_is_blurred_by_a_width_of_its_own() -> None:
    problem, _ = Deblurring(Patches(pictures(), 32, 60), widths=(1.0, 2.0), size=13).sample(0)
    impulse = torch.zeros(60, 1, 32, 32)
    impulse[..., 16, 16] = 1
    place = torch.arange(32.0) - 16
    widths = (problem.operator(impulse).sum(2)[:, 0] * place**2).sum(1).sqrt()
    assert 0.99 < widths.min() < 1.1
    assert 1.85 < widths.max() < 2.01


def test_super_resolution_measures_factor_times_the_small_picture() -> None:
    from PIL import Image

    task = SuperResolution(Patches(pictures(), 37, 1), factors=(2, 3), noise_levels=grey_levels(0.0001))
    sizes = set()
    for seed in range(8):
        problem, target = task.sample(seed)
        factor = round(target.shape[-1] / problem.y.shape[-1])
        small = Image.fromarray(target[0, 0].numpy()).resize(problem.y.shape[:-3:-1], Image.Resampling.BICUBIC)
        torch.testing.assert_close(problem.y[0, 0] / factor, torch.tensor(np.asarray(small)), rtol=0, atol=1e-4)
        sizes.add(tuple(target.shape[-2:]))
    assert sizes == {(36, 36)}


def test_a_mixture_draws_in_proportion_to_its_weights() -> None:
    parts = [Denoising(Patches(pictures(), s, 1)) for s in (3, 4, 5)]
    sizes = [Mixture(parts, [1, 3, 0]).sample(seed)[1].shape[-1] for seed in range(300)]
    assert set(sizes) == {3, 4}
    assert abs(sizes.count(4) / 300 - 0.75) < 5 * (0.25 * 0.75 / 300) ** 0.5
    for tasks, weights in (([], None), (parts, [1.0]), (parts, [1, -1, 1]), (parts, [0, 0, 0])):
        with pytest.raises(mo.MetaoptError, match="needs a positive weight each"):
            Mixture(tasks, weights)


def test_every_mri_picture_has_a_mask_and_an_acceleration_of_its_own() -> None:
    problem, target = UndersampledMri(Patches(pictures(), 32, 6), accelerations=(2.0, 6.0)).sample(3)
    sampled = problem.operator(torch.randn_like(target)).abs() > 1e-6
    accelerations = 32 * 32 / sampled.flatten(1).sum(1)
    assert accelerations.min() >= 1.99
    assert accelerations.max() <= 6.1
    assert len(sampled.flatten(1).unique(dim=0)) == 6
    assert len(set(accelerations.tolist())) >= 4, "two may come to the same number of samples"
    torch.testing.assert_close(target.abs().amax(), torch.ones(()), rtol=0, atol=0.05)
    assert target.angle().std() > 0.1


def test_masks_of_another_kind_sample_whole_columns() -> None:
    task = UndersampledMri(Patches(pictures(), 32, 3), (4.0, 4.0), 0.1, mask=gaussian_columns_mask)
    problem, _ = task.sample(1)
    masks = problem.operator.mask
    assert masks.shape == (3, 1, 32, 32)
    assert torch.equal(masks, masks[..., :1, :].expand_as(masks))
    assert masks[:, 0, 0].sum(1).tolist() == [8, 8, 8]


def test_inverted_contrast_keeps_what_is_black() -> None:
    plain, inverted = (UndersampledMri(Patches(pictures(), 32, 4), inverted=share).sample(2)[1] for share in (0, 1))
    bright, dark = plain.abs() > 0.1, plain.abs() < 0.02
    sums = plain.abs() + inverted.abs()
    torch.testing.assert_close(sums[bright], plain.abs().amax((1, 2, 3), keepdim=True).expand_as(sums)[bright])
    assert not dark.any() or float(inverted.abs()[dark].max()) < 0.2


def test_a_batch_of_several_coils_sees_the_picture_through_maps_of_its_own() -> None:
    """Its maps have unit sum of squares, so all of k-space gives the picture back, and noise as of one coil."""
    for seed in range(4):
        task = UndersampledMri(Patches(pictures(), 32, 3), (1.0, 1.0), noise_levels=(0.01, 0.01), coils=(2, 5))
        problem, target = task.sample(seed)
        assert target.shape == (3, 1, 32, 32)
        assert 2 <= problem.y.shape[1] <= 5
        noise = torch.view_as_real(problem.y - problem.operator(target))
        assert abs(float(noise.std()) / 0.01 - 1) < 0.05
        torch.testing.assert_close(problem.operator.adjoint(problem.operator(target)), target, rtol=0, atol=1e-4)
    assert {task.sample(seed)[0].y.shape[1] for seed in range(20)} == {2, 3, 4, 5}
    eight, _ = UndersampledMri(Patches(pictures(), 32, 2), coils=8).sample(0)
    assert eight.y.shape == (2, 8, 32, 32)
    assert float((eight.y[0] - eight.y[1]).abs().max()) > 0.1


def test_one_coil_draws_what_it_drew_before_there_were_several() -> None:
    problem, target = UndersampledMri(Patches(pictures(), 16, 2), coils=(1, 1)).sample(5)
    default, same = UndersampledMri(Patches(pictures(), 16, 2)).sample(5)
    torch.testing.assert_close(target, same, rtol=0, atol=0)
    assert problem.y.shape == default.y.shape == (2, 1, 16, 16)


def test_a_smooth_phase_is_of_modulus_1_and_smooth() -> None:
    phase = smooth_phase((64, 48), torch.Generator().manual_seed(0))
    torch.testing.assert_close(phase.abs(), torch.ones(64, 48))
    steps = [(phase[1:] * phase[:-1].conj()).angle(), (phase[:, 1:] * phase[:, :-1].conj()).angle()]
    assert max(float(s.abs().max()) for s in steps) < 0.5
    assert phase.angle().std() > 0.2
    volume = smooth_phase((24, 28, 32), torch.Generator().manual_seed(0))
    torch.testing.assert_close(volume.abs(), torch.ones(24, 28, 32))
    for axis in range(3):
        assert float((volume.diff(dim=axis)).abs().max()) < 1


def test_patches_are_crops_of_the_pictures_turned_and_mirrored() -> None:
    """A patch of a ramp is one of the eight pictures that the square's symmetries make of a crop."""
    ramp = (torch.arange(20)[:, None] * 10 + torch.arange(20)).byte()[None]
    drawn = Patches([ramp], 5, 64).draw(torch.Generator().manual_seed(0)) * 255
    crop = (torch.arange(5)[:, None] * 10 + torch.arange(5)).float()
    symmetries = [f(torch.rot90(crop, k)) for k in range(4) for f in (lambda t: t, lambda t: t.flip(-1))]
    found = set()
    for patch in drawn[:, 0]:
        matches = [i for i, s in enumerate(symmetries) if torch.allclose(patch - patch.min(), s, atol=1e-3)]
        assert len(matches) == 1
        found.add(matches[0])
    assert len(found) == 8


def test_zoomed_patches_keep_size_range_and_magnify() -> None:
    ramp = torch.linspace(0, 255, 60).round().byte().expand(1, 60, 60).contiguous()
    plain, zoomed = (Patches([ramp], 16, 40, zoom=z).draw(torch.Generator().manual_seed(0)) for z in (1.0, 3.0))
    assert plain.shape == zoomed.shape == (40, 1, 16, 16)
    assert zoomed.min() >= 0
    assert zoomed.max() <= 1
    extent = [(p.amax((1, 2, 3)) - p.amin((1, 2, 3))) for p in (plain, zoomed)]
    assert extent[0].std() < 0.01
    assert extent[1].mean() < 0.75 * extent[0].mean()
    assert extent[1].min() > 0.3 * extent[0].mean()


def test_pictures_too_small_are_left_out_and_none_is_a_sentence() -> None:
    small, large = torch.zeros(1, 4, 90).byte(), torch.full((1, 9, 9), 255).byte()
    assert Patches([small, large], 9, 8).draw(torch.Generator().manual_seed(0)).min() == 1
    with pytest.raises(mo.MetaoptError, match="None of the 2 pictures is at least 10 x 10"):
        Patches([small, large], 10)


def test_a_pool_gives_each_source_the_same_weight() -> None:
    a, b = pictures(2, 9), pictures(3, 10)
    together = pool({"a": a, "b": b})
    assert [p.shape[-2] for p in together].count(9) == [p.shape[-2] for p in together].count(10) == 3
    assert all(any(p is q for q in together) for p in a + b)
