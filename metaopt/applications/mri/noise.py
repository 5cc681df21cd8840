"""Estimate the noise of the coils, from a noise scan or from the border of k-space."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...arguments.checks import check_finite, check_tensor, said
from ...arguments.contracts import Share, checked
from ...core import MetaoptError
from .calibration import check_origin

_QUANTILE = 0.975  # of the noise within the threshold beyond which samples count as signal
_OUTSIDE = 0.15  # the share of the samples beyond the threshold with which too many are signal
_TREND = 1.25  # by how much the power may fall from the inner to the outer half of the border
_SPREAD = 0.25  # by how much the power of the border's picture may vary from place to place, beyond chance
_REMEDY = "give a noise scan, a known noise level or a smaller share"


@checked
def noise_covariance(noise: Tensor) -> Tensor:
    """Return the covariance ``E[n n^H]`` of the noise of the coils, from a scan without signal.

    The standard deviation of the real and of the imaginary part of coil c is ``sqrt(covariance[c, c] / 2)``.

    Args:
        noise: (C, ...) complex: the samples of every coil, at least ten times as many as coils.

    Returns:
        The covariance, (C, C) complex and Hermitian.

    Raises:
        MetaoptError: The scan is not (C, ...), complex and finite, is too short, or has a coil without noise.
    """
    check_tensor("The noise scan", noise, "any", "(C, N, ...)")
    if noise.dtype not in (torch.complex64, torch.complex128):
        raise MetaoptError(f"The noise scan must be complex, of 32 or 64 bits, but its dtype is {noise.dtype}.")
    check_finite("The noise scan", noise)
    return _covariance("The noise scan", noise.flatten(1).to(torch.complex128)).to(noise.dtype)


@checked
def border_noise(kspace: Tensor, share: Share = 0.05, readout: int | None = None, centred: bool = False) -> Tensor:
    """Estimate the covariance ``E[n n^H]`` of the noise of the coils from the border of k-space.

    The border is the ``share`` of the measured samples that lie farthest from frequency 0. Some of them may hold
    signal: the covariance is that of the samples of small ``n^H covariance^{-1} n``, corrected for what white noise
    loses by that, and scaled to the power where the picture of the border is darkest. What signal is left makes
    the estimate too large, so a noise scan is better where there is one.

    Args:
        kspace: (B, C, ...) complex; 0 where it is not measured.
        share: The share of the measured samples that are the border.
        readout: The axis of ``kspace`` along which the distance is measured, such as -1. None: along all of space.
        centred: Whether frequency 0 is at ``n // 2`` of each axis, and not at index 0.

    Returns:
        The covariance, (C, C) complex and Hermitian, as from :func:`noise_covariance`.

    Raises:
        MetaoptError: The border cannot tell: it is too small, holds much signal, or has a coil without noise. The
            energy is where frequency 0 is not.
    """
    check_tensor("The k-space of border_noise", kspace, "any", "(B, C, N, ...)")
    if kspace.dtype not in (torch.complex64, torch.complex128) or not kspace.numel():
        raise MetaoptError(f"border_noise needs complex k-space (B, C, ...) of 32 or 64 bits, not {said(kspace)}.")
    check_finite("The k-space of border_noise", kspace)
    axis = None if readout is None else readout % kspace.ndim
    if readout is not None and (axis is None or axis < 2 or not -kspace.ndim <= readout < kspace.ndim):
        raise MetaoptError(f"The readout axis of k-space {tuple(kspace.shape)} must be of space, but got {readout}.")
    check_origin("border_noise", kspace, [max(1, n // 8) for n in kspace.shape[2:]], centred)
    distance = _distance(kspace, axis, centred)
    samples = kspace.movedim(1, 0).flatten(1).to(torch.complex128)
    order = _outermost(samples, distance.expand(len(kspace), *distance.shape).flatten(), share)
    _check_length("The border of k-space", samples[:, order])
    covariance, inside = _robust(samples[:, order])
    border = torch.zeros_like(samples)
    border[:, order[inside]] = torch.linalg.solve_triangular(
        torch.linalg.cholesky(covariance), samples[:, order[inside]], upper=False
    )
    floor = _floor(border.unflatten(1, (len(kspace), *distance.shape)).movedim(1, 0), int(inside.sum()))
    return (covariance * floor).to(kspace.dtype)


def _distance(kspace: Tensor, axis: int | None, centred: bool) -> Tensor:
    """Return how far each point of space is from frequency 0, squared, where the edge of each axis is at 1."""
    space = kspace.shape[2:]
    total = torch.zeros(space, dtype=torch.float64, device=kspace.device)
    for i, n in enumerate(space):
        if axis in (None, i + 2):
            place = (torch.arange(n, dtype=torch.float64, device=kspace.device) - n // 2) / max(1, n / 2)
            place = place if centred else torch.fft.ifftshift(place)
            total += (place**2).reshape(-1, *[1] * (len(space) - i - 1))
    return total


def _outermost(samples: Tensor, distance: Tensor, share: float) -> Tensor:
    """Return which of the samples (C, N) are the outermost of those that are measured, the farthest first."""
    measured = (samples != 0).any(0).nonzero()[:, 0]
    count = min(len(measured), max(20 * len(samples), round(share * len(measured))))
    return measured[distance[measured].argsort(descending=True, stable=True)[:count]]


def _floor(border: Tensor, count: int) -> float:
    """Return the power where the picture of a whitened border (B, C, ...) is darkest, relative to its mean.

    White noise is the same in each of the blocks into which the picture is cut, and signal is at the edges of the
    object. So the darkest quarter of the blocks tells the noise; by chance it is 1.27 standard deviations below the
    mean. Where the blocks differ much the covariance is that of the signal, and is refused.
    """
    axes = tuple(range(2, border.ndim))
    power = torch.fft.fftn(border, dim=axes).abs().square().sum(1)
    blocks = [min(8, n) for n in border.shape[2:]]
    mean = power
    for axis, number in enumerate(blocks, start=1):
        parts = mean.tensor_split(number, dim=axis)
        mean = torch.stack([part.mean(axis) for part in parts], axis)
    chance = len(border) * math.prod(blocks) / (count * border.shape[1])
    spread = float(mean.var(correction=0) / mean.mean() ** 2) - chance
    if spread > _SPREAD**2:
        raise MetaoptError(
            f"The border of k-space holds more than noise: the power of its picture varies by {spread**0.5:.0%} from "
            f"place to place beyond chance; {_REMEDY}."
        )
    darkest = mean.flatten().sort().values[: max(1, mean.numel() // 4)].mean() / mean.mean()
    return min(1.0, float(darkest) / max(0.5, 1 - 1.27 * chance**0.5))


def _check_length(what: str, samples: Tensor) -> None:
    coils, count = samples.shape
    if not coils or count < 10 * coils:
        raise MetaoptError(
            f"{what} has {count} samples of each of {coils} coils, too few for the covariance of its noise: at least "
            f"{10 * max(1, coils)} are needed; give a noise scan, or a known noise level."
        )


def _covariance(what: str, samples: Tensor) -> Tensor:
    _check_length(what, samples)
    silent = [c for c, power in enumerate(samples.abs().amax(1).tolist()) if power == 0]
    if silent:
        raise MetaoptError(f"{what} is zero in coil {', '.join(map(str, silent))}; leave out dead coils.")
    scale = samples.abs().amax()
    scaled = samples / scale
    return scaled @ scaled.mH / samples.shape[1] * scale**2


def _robust(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Return the covariance of samples (C, N), the farthest first, and which of them are noise by it.

    Refuse where too many are not.
    """
    coils = len(samples)
    _covariance("The border of k-space", samples)  # for its checks
    power = samples.abs().square().median(1).values / torch.log(torch.tensor(2.0, dtype=torch.float64))
    if not bool((power > 0).all()):
        raise MetaoptError("Most of the border of k-space is zero in some coil, so it has no noise; give a level.")
    covariance = torch.diag(power).to(samples.dtype)
    limit = _quantile(coils, _QUANTILE)
    trimmed = _cumulative(coils + 1, limit) / _cumulative(coils, limit)  # the power that is left below the limit
    size = torch.zeros(samples.shape[1], dtype=torch.float64)
    for _ in range(20):
        size = (samples.conj() * torch.linalg.solve(covariance, samples)).sum(0).real
        scale = size.median() / _quantile(coils, 0.5)  # the median holds where a part is signal
        inside = samples[:, size <= limit * scale]
        if inside.shape[1] < 10 * coils:
            break
        covariance = inside @ inside.mH / inside.shape[1] / trimmed
    outside = float((size > limit).double().mean())
    half = len(size) // 2
    trend = float(size[half:].median() / size[:half].median())
    chance = 2 / (coils * half) ** 0.5  # the standard deviation of the trend of white noise
    if outside > _OUTSIDE + 1 / half or trend > _TREND + 4 * chance:
        raise MetaoptError(
            f"The border of k-space holds more than noise: {outside:.0%} of its samples are too large for it, and the "
            f"power of its inner half is {trend:.2f} times that of its outer half; {_REMEDY}."
        )
    return covariance, size <= limit


def _cumulative(coils: int, limit: float) -> float:
    """Return the probability that ``n^H covariance^{-1} n`` of C coils is at most ``limit``: a gamma distribution."""
    shape = torch.tensor(float(coils), dtype=torch.float64)
    return float(torch.special.gammainc(shape, torch.tensor(limit, dtype=torch.float64)))


def _quantile(coils: int, probability: float) -> float:
    low, high = 0.0, 10.0 * coils + 20
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _cumulative(coils, middle) < probability else (low, middle)
    return high
