"""Whitened noise is white, and the picture that k-space is of stays the same."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from metaopt import MetaoptError
from metaopt import operators as ops
from metaopt.applications.mri import noise_covariance

from .cases import covariance, random_complex

DOUBLE = torch.float64


def correlated(count: int) -> tuple[Tensor, Tensor]:
    """Noise of 4 coils of very unlike size, and its covariance E[n n^H]."""
    mix = random_complex(4, 4, dtype=DOUBLE, seed=3) * torch.tensor([1.0, 10.0, 0.01, 1.0])[:, None]
    return mix @ random_complex(4, count, dtype=DOUBLE, seed=4), 2 * mix @ mix.mH


def test_whitened_noise_has_standard_deviation_1_in_both_parts_and_no_correlation() -> None:
    noise, known = correlated(200_000)
    for given in (known, noise_covariance(noise)):
        white = ops.Whitening(given)(noise[None])[0]
        parts = torch.cat([white.real, white.imag])
        torch.testing.assert_close(parts @ parts.T / parts.shape[1], torch.eye(8, dtype=DOUBLE), rtol=0, atol=0.02)


def test_whitening_is_the_inverse_cholesky_factor() -> None:
    given, y = covariance(3, dtype=DOUBLE, seed=0), random_complex(2, 3, 5, 4, dtype=DOUBLE, seed=1)
    factor = torch.linalg.inv(torch.linalg.cholesky(given)) * 2**0.5
    torch.testing.assert_close(ops.Whitening(given)(y), torch.einsum("cd,bdhw->bchw", factor, y))


@pytest.mark.parametrize("maps", ["shared", "each"])
@pytest.mark.parametrize("noise", ["shared", "each"])
def test_prewhitened_coils_encode_prewhitened_kspace(maps: str, noise: str) -> None:
    leading = {"shared": (), "each": (2,)}
    sense = ops.Sense(random_complex(*leading[maps], 2, 3, 5, 4, dtype=DOUBLE, seed=0))
    given = covariance(*leading[noise], 3, dtype=DOUBLE, seed=1)
    x, fourier = random_complex(2, 2, 5, 4, dtype=DOUBLE, seed=2), ops.Fourier(torch.ones(5, 4), 2, True)
    kspace, white = ops.prewhiten((fourier @ sense)(x), sense, given)
    torch.testing.assert_close((fourier @ white)(x), kspace)
    torch.testing.assert_close(kspace, ops.Whitening(given)((fourier @ sense)(x)))


def test_kspace_off_the_grid_is_prewhitened_alike() -> None:
    sense = ops.Sense(random_complex(1, 3, 5, 4, dtype=DOUBLE, seed=0))
    nufft = ops.Nufft(ops.radial_points(4, 6), (5, 4))
    x = random_complex(2, 1, 5, 4, dtype=DOUBLE, seed=2)
    kspace, white = ops.prewhiten((nufft @ sense)(x), sense, covariance(3, dtype=DOUBLE, seed=1))
    torch.testing.assert_close((nufft @ white)(x), kspace, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-14, 1e12])
def test_singular_is_judged_whatever_the_unit(scale: float) -> None:
    good = scale * torch.diag(torch.tensor([1.0, 1e-4, 1e4], dtype=DOUBLE))
    assert torch.isfinite(ops.Whitening(good)(torch.ones(1, 3, 2, dtype=torch.complex128))).all()
    noise = random_complex(3, 2, dtype=torch.float32, seed=0)  # two samples of three coils
    with pytest.raises(MetaoptError, match="singular"):
        ops.Whitening(scale * noise @ noise.mH)
