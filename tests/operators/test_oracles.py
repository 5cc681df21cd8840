"""Every operator against an implementation that shares no code with it: numpy, scipy, scikit-image or torch's own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.util import view_as_blocks
from torch import Tensor
from torch.nn import functional as F

from metaopt import operators as ops

from .cases import random, random_complex

DOUBLE = torch.float64
sizes = st.integers(1, 9)
seeds = st.integers(0, 10**6)
few = settings(max_examples=25, deadline=None)


def close(a: Tensor, b: Tensor | np.ndarray, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, torch.as_tensor(b), rtol=tolerance, atol=tolerance)


@few
@given(cells=st.tuples(sizes, sizes), factor=st.integers(1, 6), seed=seeds)
def test_bicubic_is_antialiased_interpolation(cells: tuple[int, int], factor: int, seed: int) -> None:
    cells = (cells[0], cells[1] + 1)  # at an output width of 1 torch 2.13 is wrong: see the next test
    x = random(2, 3, cells[0] * factor, cells[1] * factor, dtype=DOUBLE, seed=seed)
    y = ops.bicubic_downsample(tuple(x.shape), factor, dtype=DOUBLE)(x)
    close(y, F.interpolate(x, size=cells, mode="bicubic", antialias=True), 1e-10)


def test_bicubic_to_a_width_of_one_is_pils() -> None:
    x = random(4, 2, dtype=torch.float32, seed=0)
    expected = np.array(Image.fromarray(x.numpy()).resize((1, 2), Image.Resampling.BICUBIC))
    close(ops.bicubic_downsample((4, 2), 2)(x), expected, 1e-6)


@few
@given(cells=st.tuples(sizes, sizes), factor=st.integers(1, 6), seed=seeds)
def test_box_is_average_pooling(cells: tuple[int, int], factor: int, seed: int) -> None:
    x = random(2, 3, cells[0] * factor, cells[1] * factor, dtype=DOUBLE, seed=seed)
    close(ops.box_downsample(tuple(x.shape[1:]), factor, dtype=DOUBLE)(x), F.avg_pool2d(x, factor))


@few
@given(height=sizes, width=sizes, kernel=st.tuples(st.integers(0, 3), st.integers(0, 3)), seed=seeds)
def test_blur_is_a_same_size_convolution(height: int, width: int, kernel: tuple[int, int], seed: int) -> None:
    x = random(2, 1, height, width, dtype=DOUBLE, seed=seed)
    k = random(2, 2 * kernel[0] + 1, 2 * kernel[1] + 1, dtype=DOUBLE, seed=seed + 1)
    expected = [scipy.ndimage.convolve(x[i, 0].numpy(), k[i].numpy(), mode="constant") for i in range(2)]
    close(ops.Blur(k)(x)[:, 0], np.stack(expected))
    close(ops.Blur(k[0])(x)[0, 0], expected[0])


@few
@given(
    height=st.integers(7, 9), width=st.integers(7, 9), half=st.tuples(st.integers(0, 3), st.integers(0, 3)), seed=seeds
)
def test_circular_blur_is_a_periodic_convolution(height: int, width: int, half: tuple[int, int], seed: int) -> None:
    x = random(2, 1, height, width, dtype=DOUBLE, seed=seed)
    k = random(2, 2 * half[0] + 1, 2 * half[1] + 1, dtype=DOUBLE, seed=seed + 1)
    expected = [scipy.ndimage.convolve(x[i, 0].numpy(), k[i].numpy(), mode="wrap") for i in range(2)]
    close(ops.CircularBlur(k)(x)[:, 0], np.stack(expected))


def test_gaussian_kernel_is_scipys_window() -> None:
    line = scipy.signal.windows.gaussian(7, 1.3)
    close(ops.gaussian_kernel(7, 1.3, dtype=DOUBLE), np.outer(line, line) / np.outer(line, line).sum())


@few
@given(height=sizes, width=sizes, seed=seeds)
def test_fourier_is_the_explicit_unitary_dft(height: int, width: int, seed: int) -> None:
    x = random_complex(2, 3, height, width, dtype=DOUBLE, seed=seed)
    mask = random(height, width, dtype=DOUBLE, seed=seed + 1)
    left, right = (scipy.linalg.dft(size, scale="sqrtn") for size in (height, width))
    close(ops.Fourier(mask)(x), mask.numpy() * (left @ x.numpy() @ right.T), 1e-10)


def test_fourier_of_volumes_is_numpys() -> None:
    x = random_complex(2, 1, 3, 4, 5, dtype=DOUBLE, seed=0)
    close(ops.Fourier(dims=3)(x), np.fft.fftn(x.numpy(), axes=(-3, -2, -1), norm="ortho"))


def test_a_centred_fourier_transform_has_its_origins_in_the_middle() -> None:
    x = random_complex(2, 1, 5, 4, dtype=torch.float64, seed=0)
    rows, columns = (np.arange(n) - n // 2 for n in (5, 4))
    left, right = (np.exp(-2j * np.pi * np.outer(a, a) / len(a)) / len(a) ** 0.5 for a in (rows, columns))
    close(ops.Fourier(centred=True)(x), left @ x.numpy() @ right.T, 1e-10)


def test_sense_sums_the_sets_of_every_coil() -> None:
    maps, x = (random_complex(*shape, dtype=torch.float64, seed=1) for shape in ((2, 3, 5, 4), (2, 2, 5, 4)))
    close(ops.Sense(maps)(x), np.einsum("schw,bshw->bchw", maps.numpy(), x.numpy()), 1e-12)
    each = torch.stack([maps, 2 * maps])
    close(ops.Sense(each)(x)[1], 2 * ops.Sense(maps)(x)[1].numpy(), 1e-12)


def test_fourier_projection_lists_scaled_coefficients_of_the_dft() -> None:
    x = random(2, 3, 4, 5, dtype=DOUBLE, seed=0)
    everything, some = (ops.fourier_projection(rows, (3, 4, 5), 1)(x).numpy() for rows in (60, 15))
    spectrum = np.fft.fft2(x.numpy(), norm="ortho").reshape(2, 60)
    order = [int(np.argmin(np.abs(spectrum[0] - coefficient))) for coefficient in everything[0]]
    assert sorted(order) == list(range(60))
    np.testing.assert_allclose(everything, spectrum[:, order], atol=1e-12)
    np.testing.assert_allclose(some, 2 * everything[:, :15], atol=1e-12)


def test_blocks_are_skimages() -> None:
    x = random(2, 3, 8, 12, dtype=DOUBLE, seed=0)
    blocks = np.stack([view_as_blocks(image.numpy(), (3, 4, 4)).reshape(-1, 3, 4, 4) for image in x])
    close(ops.Blocks((3, 8, 12), 4)(x), blocks, 0)
    close(ops.Blocks((3, 8, 12), 4).H(torch.as_tensor(blocks)), x, 0)


def test_dense_is_einsum_on_any_leading_axes() -> None:
    x = random(2, 7, 3, 4, dtype=DOUBLE, seed=0)
    shared, each = random(5, 12, dtype=DOUBLE, seed=1), random(2, 5, 12, dtype=DOUBLE, seed=2)
    close(ops.Dense(shared, (3, 4))(x), np.einsum("mn,bkn->bkm", shared, x.flatten(2)))
    close(ops.Dense(each, (3, 4))(x), np.einsum("bmn,bkn->bkm", each, x.flatten(2)))
    close(
        ops.Dense(each, (3, 4)).adjoint(x[:, 0, 0, 0, None].expand(2, 5)),
        torch.einsum("bmn,b->bn", each, x[:, 0, 0, 0]).view(2, 3, 4),
    )


def test_mask_and_select_keep_the_entries_they_name() -> None:
    x = torch.arange(12.0).view(1, 3, 4)
    mask = x[0] % 5 == 0
    assert ops.Mask(mask)(x)[0, mask].tolist() == [0, 5, 10]
    assert ops.Mask(mask)(x).sum() == 15
    assert ops.Select(torch.tensor([10, 0]), (3, 4))(x).tolist() == [[10, 0]]


def mean_normal(projection: Callable[..., ops.Operator]) -> torch.Tensor:
    """E[A^T A] of 4 rows for 2 channels of 2 x 2 pixels."""
    units = torch.eye(8).view(8, 2, 2, 2)
    return torch.stack([projection(4, (2, 2, 2), seed).normal(units).flatten(1) for seed in range(600)]).mean(0)


@pytest.mark.parametrize("projection", [ops.gaussian_projection, ops.bernoulli_projection])
def test_projections_keep_energy_on_average(projection: Callable[..., ops.Operator]) -> None:
    torch.testing.assert_close(mean_normal(projection), torch.eye(8), rtol=0, atol=0.1)


def test_fourier_projections_always_have_the_constants_and_draw_the_others_evenly() -> None:
    """Of 8 coefficients the two constants, and two of the other six: 8/4 times the projections onto them."""
    constants = torch.block_diag(torch.full((4, 4), 0.25), torch.full((4, 4), 0.25))
    expected = 2 * (constants + 2 / 6 * (torch.eye(8) - constants))
    torch.testing.assert_close(mean_normal(ops.fourier_projection), expected, rtol=0, atol=0.1)


@pytest.mark.parametrize("projection", [ops.gaussian_projection, ops.bernoulli_projection, ops.fourier_projection])
def test_projections_depend_on_their_seed_alone(projection: Callable[..., ops.Operator]) -> None:
    x, state = random(1, 2, 4, 4, dtype=torch.float32, seed=0), torch.get_rng_state()
    first = projection(9, (2, 4, 4), 3)(x)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, projection(9, (2, 4, 4), 3)(x))
    assert not torch.allclose(first, projection(9, (2, 4, 4), 4)(x))


def test_bernoulli_entries_are_signs_and_draws_agree_at_each_precision() -> None:
    assert ops.bernoulli_projection(4, (10,), 0).matrix.unique().tolist() == [-0.5, 0.5]
    for projection in (ops.gaussian_projection, ops.bernoulli_projection):
        single, double = (projection(4, (10,), 0, dtype=dtype).matrix for dtype in (torch.float32, DOUBLE))
        close(single, double.float(), 0)


@few
@given(height=st.integers(8, 40), width=st.integers(8, 40), acceleration=st.floats(1, 6), seed=seeds)
def test_masks_hold_exactly_the_samples_asked_for(height: int, width: int, acceleration: float, seed: int) -> None:
    lines = ops.cartesian_mask((height, width), acceleration, 0.1, seed)
    assert torch.equal(lines, lines[:1].expand(height, width))
    assert lines[0].sum() == round(width / acceleration)
    center = round(0.1 * width)
    lowest = [k for k in range(width) if min(k, width - k) < (center + 1) // 2]
    assert lines[0, lowest].all()
    assert len(lowest) in (center, center - 1, 0)
    points = ops.gaussian_mask((height, width), acceleration, 0.1, seed)
    assert points.sum() == round(height * width / acceleration)
    rows, columns = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    assert points[torch.as_tensor(np.hypot(rows, columns) < 0.0999)].all()
    assert set(points.unique().tolist()) | set(lines.unique().tolist()) <= {0, 1}


def test_gaussian_mask_has_the_width_asked_for() -> None:
    masks = np.mean([ops.gaussian_mask((64, 48), 50, 0.0, seed, width=0.3).numpy() for seed in range(200)], axis=0)
    for axis, size in ((1, 64), (0, 48)):
        variance = (masks.sum(axis) * np.fft.fftfreq(size) ** 2).sum() / masks.sum()
        assert variance**0.5 == pytest.approx(0.3 / (8 * np.log(2)) ** 0.5, rel=0.06)


@pytest.mark.parametrize("mask", [ops.cartesian_mask, ops.gaussian_mask])
def test_masks_depend_on_their_seed_alone(mask: Callable[..., Tensor]) -> None:
    state = torch.get_rng_state()
    first = mask((32, 32), 4, 0.05, 0)
    assert torch.equal(first, mask((32, 32), 4, 0.05, 0))
    assert not torch.equal(first, mask((32, 32), 4, 0.05, 1))
    assert torch.equal(torch.get_rng_state(), state)
