"""Masks and trajectories of k-space have the samples that they say, where they say."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from metaopt import operators as ops

COLUMNS = (ops.cartesian_mask, ops.gaussian_columns_mask, ops.equispaced_mask)
POINTS = (ops.gaussian_mask, ops.poisson_disc_mask, ops.radial_mask, ops.spiral_mask)
DRAWS = COLUMNS + POINTS
named = pytest.mark.parametrize("mask", DRAWS, ids=lambda f: f.__name__)


@named
@settings(max_examples=25, deadline=None)
@given(st.integers(8, 40), st.integers(8, 40), st.floats(1, 6), st.integers(0, 2**32))
def test_a_mask_has_exactly_the_acceleration_that_it_claims(
    mask: Callable[..., Tensor], height: int, width: int, acceleration: float, seed: int
) -> None:
    drawn = mask((height, width), acceleration, 0.1, seed)
    assert drawn.shape == (height, width)
    assert drawn.dtype == torch.float32
    assert set(drawn.unique().tolist()) <= {0, 1}
    if mask in COLUMNS:
        assert torch.equal(drawn, drawn[:1].expand(height, width))
        assert drawn[0].sum() == round(width / acceleration)
        lowest = np.argsort(np.abs(np.fft.fftfreq(width)), kind="stable")[: round(width * 0.1)]
        assert drawn[0, torch.as_tensor(lowest)].all()
    else:
        assert drawn.sum() == round(height * width / acceleration)
        rows, columns = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
        assert drawn[torch.as_tensor(np.hypot(rows, columns) < 0.0999)].all()


@named
def test_a_mask_depends_on_its_seed_alone_and_its_centre_moves(mask: Callable[..., Tensor]) -> None:
    state = torch.get_rng_state()
    first = mask((33, 32), 4, 0.05, 0)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, mask((33, 32), 4, 0.05, 0))
    assert any(not torch.equal(first, mask((33, 32), 4, 0.05, seed)) for seed in (1, 2))
    centred = mask((33, 32), 4, 0.05, 0, centred=True)
    assert torch.equal(centred, torch.fft.fftshift(first))
    assert centred[33 // 2, 32 // 2] == 1
    assert torch.equal(mask((3, 33, 32), 4, 0.05, 0), first.expand(3, 33, 32))


@named
def test_every_mask_is_called_alike(mask: Callable[..., Tensor]) -> None:
    parameters = list(inspect.signature(mask).parameters)
    assert parameters[:4] == ["shape", "acceleration", "center_fraction", "seed"]
    assert "centred" in parameters


def test_gaussian_columns_have_the_width_asked_for() -> None:
    drawn = [ops.gaussian_columns_mask((1, 64), 32, 0.0, seed, width=0.3).numpy()[0] for seed in range(400)]
    variance = (np.mean(drawn, axis=0) * np.fft.fftfreq(64) ** 2).sum() / np.mean(drawn, axis=0).sum()
    assert variance**0.5 == pytest.approx(0.3 / (8 * np.log(2)) ** 0.5, rel=0.08)


def test_equispaced_columns_are_at_equal_distances() -> None:
    whole = ops.equispaced_mask((2, 96), 4, 0.0, 3, centred=True)[0].nonzero()[:, 0]
    assert set(whole.diff().tolist()) == {4}
    columns = ops.equispaced_mask((2, 97), 5, 0.08, 3, centred=True)[0]
    kept, center = columns.nonzero()[:, 0].tolist(), range(45, 53)
    outside = [column - 8 * (column > 50) for column in kept if column not in center]  # the centre taken out
    assert len(outside) == round(97 / 5) - 8
    assert max(np.diff(outside)) - min(np.diff(outside)) <= 1


def test_regular_lines_are_every_rth_and_the_central_ones() -> None:
    columns = ops.regular_mask((5, 168), 4, 24, centred=True)
    expected = [i for i in range(168) if i % 4 == 0 or 72 <= i < 96]
    assert columns[0].nonzero()[:, 0].tolist() == expected
    assert torch.equal(ops.regular_mask((5, 168), 4, 24), torch.fft.ifftshift(columns))
    assert ops.regular_mask((5, 168), 4, 24, offset=3, centred=True)[0, 3] == 1
    points = ops.regular_mask((12, 15), (2, 3), (4, 5), offset=(1, 2), centred=True)
    for i in range(12):
        for j in range(15):
            assert points[i, j] == ((i % 2 == 1 and j % 3 == 2) or (4 <= i < 8 and 5 <= j < 10))


@pytest.mark.parametrize("shape", [(31, 20), (2, 31, 20)])
def test_elliptical_masks_leave_out_the_corners(shape: tuple[int, ...]) -> None:
    rows, columns = np.meshgrid(np.fft.fftfreq(31), np.fft.fftfreq(20), indexing="ij")
    corners = torch.as_tensor(np.hypot(rows, columns) > 0.5 + 1e-9)
    for mask in (
        ops.regular_mask(shape, (1, 1), elliptical=True),
        ops.poisson_disc_mask(shape, 1.4, 0.05, 0, elliptical=True),
    ):
        assert mask[..., corners].sum() == 0
        assert mask[..., ~corners].sum() == mask.sum()
    assert ops.regular_mask(shape, (1, 1), elliptical=True)[..., ~corners].all()


@pytest.mark.parametrize("falloff", [0.0, 2.0])
def test_poisson_disc_points_keep_their_distance(falloff: float) -> None:
    """No two are nearer than half of what is usual there, where a uniform draw has many that touch."""
    shape = (64, 48)
    mask = ops.poisson_disc_mask(shape, 8, 0.0, 0, falloff=falloff, centred=True)
    places = mask.nonzero().double()
    nearest = (torch.cdist(places, places) + 1e9 * torch.eye(len(places))).min(1).values
    radius = ((places - torch.tensor([32, 24])) / torch.tensor([64, 48])).norm(dim=1)
    growth = 1 + 2 * falloff * radius
    assert float((nearest / growth).min()) >= 0.5 * float((nearest / growth).median())
    edge, middle = nearest[radius > 0.4].min(), nearest[radius < 0.15].min()
    assert edge >= 2 if falloff == 0 else edge >= 1.7 * middle


def test_poisson_disc_thins_out_with_its_falloff() -> None:
    rows, columns = np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64), indexing="ij")
    inside = torch.as_tensor(np.hypot(rows, columns) < 0.2)
    even, steep = (ops.poisson_disc_mask((64, 64), 6, 0.0, 0, falloff=falloff)[inside].mean() for falloff in (0.0, 4.0))
    assert even == pytest.approx(1 / 6, rel=0.1)
    assert steep > 2 * even


@pytest.mark.parametrize(("share", "kept"), [(5 / 8, 10), (6 / 8, 12), (1.0, 16)])
def test_partial_fourier_keeps_its_share_of_the_lines_with_frequency_zero(share: float, kept: int) -> None:
    mask = ops.partial_fourier_mask((6, 16), share, centred=True)
    assert mask[0].tolist() == [0.0] * (16 - kept) + [1.0] * kept
    assert torch.equal(ops.partial_fourier_mask((6, 16), share), torch.fft.ifftshift(mask, dim=1))
    rows = ops.partial_fourier_mask((2, 16, 6), share, axis=1, centred=True)
    assert torch.equal(rows[0], mask.T)
    other = ops.gaussian_mask((6, 16), 2, 0.1, 0)
    both = ops.partial_fourier_mask((6, 16), share, mask=other)
    assert torch.equal(both, other * ops.partial_fourier_mask((6, 16), share))


def test_radial_points_are_lines_through_zero_at_equal_angles() -> None:
    points = ops.radial_points(6, 8).view(6, 8, 2)
    assert torch.equal(points[:, 4], torch.zeros(6, 2, dtype=torch.float64))
    torch.testing.assert_close(points.norm(dim=-1)[0], (torch.arange(8.0, dtype=torch.float64) - 4).abs() / 8)
    angles = torch.atan2(points[:, 5, 0], points[:, 5, 1])
    torch.testing.assert_close(angles.diff(), torch.full((5,), torch.pi / 6, dtype=torch.float64))
    assert angles[0] == 0
    sphere = ops.radial_points(500, 8, dims=3).view(500, 8, 3)[:, -1] * 8 / 3
    torch.testing.assert_close(sphere.norm(dim=1), torch.ones(500, dtype=torch.float64))
    spread = torch.cat([sphere, -sphere]).T @ torch.cat([sphere, -sphere]) / 1000  # a third of the unit matrix
    torch.testing.assert_close(spread, torch.eye(3, dtype=torch.float64) / 3, rtol=0, atol=0.01)


def test_spiral_points_go_outwards_at_equal_distances_of_turns_and_samples() -> None:
    points = ops.spiral_points(3, 2000, 10).view(3, 2000, 2)
    radius = points.norm(dim=-1)
    assert (radius.diff(dim=1) > 0).all()
    assert radius.max() < 0.5
    turn = np.unwrap(np.arctan2(*points[0, 1:].numpy().T)) / (2 * np.pi)
    np.testing.assert_allclose(radius[0, 1:].numpy() / (turn + round(-turn[0])), 0.05, rtol=1e-6)
    step = (points[0, 200:].diff(dim=0)).norm(dim=-1)
    assert step.max() < 1.05 * step.min()
    torch.testing.assert_close(points[1].norm(dim=-1), radius[0])


@pytest.mark.parametrize(
    "make", [lambda: ops.radial_points(101, 7, angle=1.7, start=3.0), lambda: ops.radial_points(4, 2)]
)
def test_points_are_in_the_range_that_nufft_takes(make: Callable[[], Tensor]) -> None:
    assert ops.Nufft(make(), (6, 6)).spectrum is not None


def test_radial_and_spiral_masks_lie_on_their_trajectories() -> None:
    radial = ops.radial_mask((64, 64), 8, 0.0, 0, centred=True)
    assert (radial - radial.flip(0, 1).roll((1, 1), (0, 1)))[1:, 1:].abs().sum() <= 0.1 * radial.sum()  # lines
    assert radial[28:37, 28:37].mean() > 0.7  # which are dense in the middle
    spiral = ops.spiral_mask((64, 64), 8, 0.0, 0, centred=True)
    ring = [float(spiral[32, 32 + k :][: 8 * 2].mean()) for k in range(0, 16, 8)]
    assert max(ring) <= 0.35  # and a spiral is not: its turns are 8 apart on average
