"""Drawn coil sensitivities are like those of real coils: smooth, complete and unlike each other."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import metaopt as mo
from metaopt.tasks import coil_maps
from metaopt.tasks.coils import _field


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from([(24, 24), (17, 30), (1, 9), (12, 8, 10), (6, 6, 1)]))
def test_the_sum_of_squares_over_coils_is_1_at_every_pixel(seed: int, coils: int, shape: tuple[int, ...]) -> None:
    maps = coil_maps(shape, coils, generator(seed))
    assert maps.shape == (coils, *shape)
    assert maps.dtype == torch.complex64
    torch.testing.assert_close(maps.abs().square().sum(0), torch.ones(shape), rtol=0, atol=1e-5)


def test_maps_are_smooth_and_those_of_each_coil_differ() -> None:
    """Of the energy of a map nearly all is in the frequencies beside zero, and no coil is a multiple of another."""
    for seed in range(6):
        maps = coil_maps((64, 64), 8, generator(seed))
        window = torch.hann_window(64, periodic=False)
        energy = torch.fft.fft2(maps * window[:, None] * window).abs().square()
        low = torch.fft.fftfreq(64).abs() * 64 <= 4
        assert float(energy[:, low][:, :, low].sum() / energy.sum()) > 0.999
        flat = maps.flatten(1) / torch.linalg.vector_norm(maps.flatten(1), dim=1, keepdim=True)
        likeness = (flat.conj() @ flat.T).abs() - torch.eye(8)
        assert float(likeness.max()) < 0.995


def test_the_field_of_a_loop_is_that_of_biot_and_savart_on_its_axis() -> None:
    """On the axis of a circle of radius R it is 2 pi R^2 / (R^2 + z^2)^(3/2), along the axis."""
    circle = torch.linspace(0, 2 * math.pi, 13)
    loop = 0.5 * torch.stack([circle.cos(), circle.sin(), 0 * circle], -1)
    heights = torch.linspace(-2, 2, 9)
    field = _field(torch.stack([0 * heights, 0 * heights, heights], -1), loop[None])[0]
    expected = 2 * math.pi * 0.25 / (0.25 + heights**2) ** 1.5
    torch.testing.assert_close(field[:, 2], expected, rtol=0.06, atol=0)
    torch.testing.assert_close(field[:, :2], torch.zeros(9, 2), rtol=0, atol=1e-5)


def test_maps_follow_the_generator() -> None:
    first, again, other = (coil_maps((12, 12), 4, generator(seed)) for seed in (0, 0, 1))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert float((first - other).abs().max()) > 0.1


def test_what_is_no_slice_or_volume_has_no_maps() -> None:
    with pytest.raises(mo.MetaoptError, match=r"slices \(H, W\) and volumes \(D, H, W\), but the shape is \(8,\)"):
        coil_maps((8,), 2, generator())
    with pytest.raises(mo.MetaoptError, match="coils to be a whole number of at least 1, but got 0"):
        coil_maps((8, 8), 0, generator())
