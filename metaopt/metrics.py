"""Measure the distance between an estimate and its target, one number for every sample of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from .arguments.checks import check_number, check_tensor
from .core.errors import MetaoptError
from .foundation.extras import require

WINDOW = 11
"""The side in pixels of SSIM's Gaussian window."""


def magnitude(x: Tensor) -> Tensor:
    """Return the absolute value of a complex x, as MR images are shown and measured, and a real x unchanged.

    Args:
        x: A tensor of any shape.

    Returns:
        A real tensor of the shape of ``x``.
    """
    check_tensor("The picture whose magnitude is taken", x, "any")
    return x.abs() if x.is_complex() else x


def psnr(estimate: Tensor, target: Tensor, peak: float = 1.0) -> Tensor:
    """Return the peak signal-to-noise ratio, ``10 log10(peak^2 / mean((estimate - target)^2))``, in dB.

    It is differentiable where estimate and target differ.

    Args:
        estimate: (B, ...), real.
        target: A tensor of the same shape.
        peak: The largest value that a sample can take.

    Returns:
        (B,), infinite where the two are equal.

    Raises:
        MetaoptError: The shapes differ, there is no batch axis, or a tensor is not of a real floating-point type.
    """
    _check(estimate, target, peak)
    error = (estimate - target).square().flatten(1).mean(1)
    return 10 * torch.log10(peak**2 / error)


def ssim(estimate: Tensor, target: Tensor, peak: float = 1.0) -> Tensor:
    """Return the structural similarity of Wang et al. (2004, https://doi.org/10.1109/TIP.2003.819861), at most 1.

    The settings are those of the paper, computed by scikit-image: a Gaussian window of 11 x 11 pixels with a standard
    deviation of 1.5, population covariances, K1 = 0.01, K2 = 0.03, no downsampling. The result is the mean over the
    pixels whose window lies inside the picture and, for colour, over the channels. It is not differentiable.

    Args:
        estimate: (B, H, W), (B, C, H, W), or volumes (B, C, D, H, W); real.
        target: A tensor of the same shape.
        peak: The largest value that a sample can take.

    Returns:
        (B,) float64.

    Raises:
        MetaoptError: The shapes differ, a tensor is complex, a side is smaller than the window, or scikit-image is not
            installed.
    """
    _check(estimate, target, peak)
    if estimate.ndim not in (3, 4, 5):
        shape = tuple(estimate.shape)
        raise MetaoptError(f"ssim takes (B, H, W), (B, C, H, W) or (B, C, D, H, W), not {shape}; add a batch axis?")
    sides = tuple(estimate.shape[1 if estimate.ndim == 3 else 2 :])
    if min(sides) < WINDOW:
        raise MetaoptError(
            f"ssim needs at least {WINDOW} pixels a side for its window, but these have {sides}; use psnr."
        )
    pairs = zip(estimate.detach().cpu().double(), target.detach().cpu().double(), strict=True)
    return torch.tensor([_similarity(one, other, peak) for one, other in pairs], dtype=torch.float64)


def _similarity(estimate: Tensor, target: Tensor, peak: float) -> float:
    return require("skimage.metrics", "pictures").structural_similarity(
        estimate.numpy(),
        target.numpy(),
        data_range=float(peak),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=None if estimate.ndim == 2 else 0,
    )


def _check(estimate: Tensor, target: Tensor, peak: float) -> None:
    for name, tensor in (("estimate", estimate), ("target", target)):
        check_tensor(f"The {name} of a metric", tensor, "any")
    check_number("The peak of a metric, the largest value that a sample can take,", peak, above=0)
    if estimate.shape != target.shape or estimate.ndim < 2 or 0 in estimate.shape:
        shapes = f"{tuple(estimate.shape)} and {tuple(target.shape)}"
        raise MetaoptError(f"An estimate and its target have one shape (B, ...) with no empty axis, not {shapes}.")
    if estimate.is_complex() or target.is_complex():
        raise MetaoptError("The metrics compare real pictures; take .abs() of a complex estimate and target first.")
    if not (estimate.is_floating_point() and target.is_floating_point()):
        raise MetaoptError(f"The metrics need floats, not {estimate.dtype} and {target.dtype}; scale to [0, 1] first.")
