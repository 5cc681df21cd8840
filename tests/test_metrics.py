"""The metrics against other people's formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve
from skimage.metrics import peak_signal_noise_ratio

from metaopt.core.errors import MetaoptError
from metaopt.metrics import psnr, ssim


def drawn(shape: tuple[int, ...], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(shape, generator=generator)
    return target + 0.1 * torch.randn(shape, generator=generator), target


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=5).map(tuple),
    peak=st.sampled_from([1.0, 255.0]),
    seed=st.integers(0, 999),
)
def test_psnr_of_each_sample_is_scikit_images(shape: tuple[int, ...], peak: float, seed: int) -> None:
    estimate, target = drawn(shape, seed)
    pairs = zip(estimate.numpy(), target.numpy(), strict=True)
    expected = [peak_signal_noise_ratio(other, one, data_range=peak) for one, other in pairs]
    torch.testing.assert_close(psnr(estimate, target, peak), torch.tensor(expected, dtype=torch.float32))


def test_psnr_of_equals_is_infinite() -> None:
    assert psnr(torch.ones(2, 3), torch.ones(2, 3)).isinf().all()


def ssim_by_its_formula(x: np.ndarray, y: np.ndarray, peak: float) -> float:
    """Wang et al. (2004), equation 13, with an 11 x 11 Gaussian window at every place where it fits."""
    bell = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(bell, bell) / bell.sum() ** 2
    mean = [convolve(z, window, "valid") for z in (x, y, x * x, y * y, x * y)]
    variances = mean[2] - mean[0] ** 2 + mean[3] - mean[1] ** 2
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    upper = (2 * mean[0] * mean[1] + c1) * (2 * (mean[4] - mean[0] * mean[1]) + c2)
    return float((upper / ((mean[0] ** 2 + mean[1] ** 2 + c1) * (variances + c2))).mean())


@pytest.mark.parametrize("peak", [1.0, 255.0])
@pytest.mark.parametrize("shape", [(2, 20, 17), (2, 1, 11, 30), (2, 3, 16, 16)])
def test_ssim_is_the_papers(shape: tuple[int, ...], peak: float) -> None:
    estimate, target = (peak * picture.double() for picture in drawn(shape))
    planes = zip(estimate.numpy().reshape(-1, *shape[-2:]), target.numpy().reshape(-1, *shape[-2:]), strict=True)
    each = torch.tensor([ssim_by_its_formula(x, y, peak) for x, y in planes], dtype=torch.float64)
    torch.testing.assert_close(ssim(estimate, target, peak), each.reshape(shape[0], -1).mean(1), rtol=1e-9, atol=1e-9)


def test_ssim_takes_volumes() -> None:
    estimate, target = drawn((1, 1, 11, 12, 13))
    assert ssim(target, target).item() == pytest.approx(1)
    assert 0 < ssim(estimate, target).item() < 1


def test_what_does_not_fit_is_said() -> None:
    picture = torch.rand(2, 1, 16, 16)
    for metric in (psnr, ssim):
        with pytest.raises(MetaoptError, match=r"\(2, 1, 16, 16\) and \(1, 1, 16, 16\)"):
            metric(picture, picture[:1])
        with pytest.raises(MetaoptError, match="abs"):
            metric(picture + 0j, picture)
        with pytest.raises(MetaoptError, match="int64"):
            metric(picture.long(), picture.long())
        with pytest.raises(MetaoptError, match="peak"):
            metric(picture, picture, peak=0)
    with pytest.raises(MetaoptError, match=r"11 pixels a side.*\(10, 16\)"):
        ssim(picture[..., :10, :], picture[..., :10, :])
    with pytest.raises(MetaoptError, match="batch axis"):
        ssim(picture[0, 0], picture[0, 0])
