"""Estimate the sensitivities of coils from the centre of k-space, by ESPIRiT."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...arguments.checks import check_finite, check_tensor
from ...arguments.contracts import Count, Rate, Share, checked
from ...core import MetaoptError
from .calibration import calibration_region, central_box, check_origin

_CHUNK = 1 << 22  # entries of the C x C matrices of pixels that are decomposed at once: 32 MiB in complex64


class CoilMaps(NamedTuple):
    """Sensitivities of coils with what they are trusted by.

    ``maps`` are (B, S, C, ...), the set of the largest eigenvalue first, and have unit norm over C where they are
    not zero. ``eigenvalues`` are (B, S, ...), in [0, 1]: near 1 where the set explains the calibration data.
    """

    maps: Tensor
    eigenvalues: Tensor


@checked
def espirit(
    kspace: Tensor,
    calibration: Count | Sequence[Count] | None = None,
    kernel: Count = 6,
    sets: Count = 1,
    threshold: Rate = 0.001,
    crop: Share = 0.8,
    dims: Count = 2,
    centred: bool = False,
) -> CoilMaps:
    """Estimate coil maps by ESPIRiT from the fully sampled centre of k-space.

    Every patch of ``kernel`` points a side is a linear combination of few patches, those of the signal space. At pixel
    x the patch of a point source of sensitivities s(x) lies in that space. So s(x) is an eigenvector of eigenvalue 1 of
    the C x C matrix ``G(x) = E(x)^H V V^H E(x) / K``: V has a basis of the signal space as columns, K is the number of
    points of a patch, and ``E(x) s`` is the patch of the source. Where the field of view is smaller than the object,
    two places share a pixel and two eigenvalues are near 1; then ask for two sets.

    A map is known but for one phase a pixel. It is chosen so that the first principal component of the coils sees a
    real and positive signal.

    Args:
        kspace: (B, C, ...) complex; 0 where it is not measured.
        calibration: Side of the calibration region in points, for each axis of space or for all; an axis that is
            shorter is taken whole. None: the largest sampled centre, of at most 24 points a side.
        kernel: Side of the patches in points, also along an axis of one point, where it is 1.
        sets: Number of map sets, S.
        threshold: Least square of a singular value of the signal space, relative to the largest.
        crop: A map is zero where its eigenvalue is smaller.
        dims: Number of axes of space, 2 or 3.
        centred: Whether frequency 0 of k-space and the middle of the picture are at ``n // 2`` of each axis
            (``Fourier(centred=True)``), and not at index 0.

    Returns:
        The maps, complex like k-space, and their eigenvalues.

    Raises:
        MetaoptError: The k-space is not (B, C, ...) or not finite, the calibration region holds points that are not
            measured or is too small for the kernel, the energy is where frequency 0 is not, or there are fewer coils
            than sets.

    Source:
        Uecker et al., ESPIRiT, an eigenvalue approach to autocalibrating parallel MRI, 2014, doi:10.1002/mrm.24751.
    """
    _check_kspace("espirit", kspace, dims)
    coils, space = kspace.shape[1], tuple(kspace.shape[2:])
    if sets > coils:
        raise MetaoptError(f"espirit cannot find {sets} sets of maps of {coils} coils, at most one a coil.")
    sides = _sides(kspace, calibration, centred)
    window = tuple(min(kernel, n) for n in space)
    patches = math.prod(side - width + 1 for side, width in zip(sides, window, strict=True))
    if any(side < width for side, width in zip(sides, window, strict=True)) or patches < 2:
        raise MetaoptError(
            f"The calibration region of espirit is {_by(sides)} points, too small for a kernel of {_by(window)}: it "
            "must hold several of them; choose a smaller kernel, or measure a larger centre."
        )
    check_origin("espirit", kspace, sides, centred)
    found = [_maps(central_box(y, sides, centred), space, window, sets, threshold, crop, centred) for y in kspace]
    return CoilMaps(torch.stack([maps for maps, _ in found]), torch.stack([values for _, values in found]))


def _check_kspace(who: str, kspace: Tensor, dims: int) -> None:
    if dims not in (2, 3):
        raise MetaoptError(f"{who} takes slices (dims=2) and volumes (dims=3), but got dims={dims}.")
    axes = "(B, C, H, W)" if dims == 2 else "(B, C, D, H, W)"
    check_tensor(f"The k-space of {who}", kspace, "any", axes)
    if kspace.dtype not in (torch.complex64, torch.complex128):
        raise MetaoptError(f"The k-space of {who} must be complex, of 32 or 64 bits, but its dtype is {kspace.dtype}.")
    if not kspace.numel():
        raise MetaoptError(f"The k-space of {who} is empty: its axes {axes} are {tuple(kspace.shape)}.")
    check_finite(f"The k-space of {who}", kspace)


def _sides(kspace: Tensor, calibration: int | Sequence[int] | None, centred: bool) -> tuple[int, ...]:
    space = kspace.shape[2:]
    sampled = (kspace != 0).any(1).all(0)
    if not bool(sampled.any()):
        raise MetaoptError("The k-space of espirit is zero at every point, or no point is measured in the whole batch.")
    if calibration is None:
        return tuple(min(24, side) for side in calibration_region(sampled, centred))
    wanted = [calibration] * len(space) if isinstance(calibration, int) else list(calibration)
    if len(wanted) != len(space):
        raise MetaoptError(f"espirit needs the calibration region as {len(space)} sides, but got {len(wanted)}.")
    sides = tuple(min(side, n) for side, n in zip(wanted, space, strict=True))
    missing = int((~central_box(sampled, sides, centred)).sum())
    if missing:
        raise MetaoptError(
            f"{missing} of {math.prod(sides)} points of the calibration region {_by(sides)} of espirit are not "
            "measured; give calibration=None for the largest region that is."
        )
    return sides


def _by(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))


def _maps(
    region: Tensor,
    space: tuple[int, ...],
    window: tuple[int, ...],
    sets: int,
    threshold: float,
    crop: float,
    centred: bool,
) -> tuple[Tensor, Tensor]:
    """Return maps (S, C, ...) and eigenvalues (S, ...) from the calibration region (C, *sides)."""
    coils = len(region)
    lags = _lag_matrices(_signal_space(region, window, threshold), coils, window).to(region.dtype)
    reference = _principal(region).to(region.dtype)
    maps = torch.empty(sets, coils, *space, dtype=region.dtype, device=region.device)
    values = torch.empty(sets, *space, dtype=region.real.dtype, device=region.device)
    waves = [_waves(n, width, centred, lags) for n, width in zip(space, window, strict=True)]
    for corner in _blocks(space, coils):
        matrices = lags  # (C, C, *lags), one axis of lags after the other becomes one of space
        for wave, block in zip(waves, corner, strict=True):
            matrices = torch.einsum("cdl...,ln->cd...n", matrices, wave[:, block])
        eigenvalues, vectors = _leading(matrices.movedim((0, 1), (-2, -1)).contiguous(), sets)
        seen = torch.einsum("c,...cs->...s", reference.conj(), vectors)[..., None, :]
        vectors = vectors * torch.where(seen == 0, torch.ones_like(seen), torch.sgn(seen).conj())
        vectors = vectors * (eigenvalues >= crop)[..., None, :]
        maps[(slice(None), slice(None), *corner)] = vectors.movedim((-1, -2), (0, 1))
        values[(slice(None), *corner)] = eigenvalues.clamp(0, 1).movedim(-1, 0)
    return maps, values


def _signal_space(region: Tensor, window: tuple[int, ...], threshold: float) -> Tensor:
    """Return an orthonormal basis (C K, n) of the patches of the calibration region, by their Gram matrix."""
    patches = region
    for axis, width in enumerate(window, start=1):
        patches = patches.unfold(axis, width, 1)  # (C, *places, *window)
    places = math.prod(patches.shape[1 : 1 + len(window)])
    rows = patches.movedim(0, len(window)).reshape(places, -1).to(torch.complex128)
    rows = rows / torch.linalg.vector_norm(rows)
    squares, vectors = torch.linalg.eigh(rows.T @ rows.conj())
    return vectors[:, squares > threshold * squares[-1]]


def _lag_matrices(basis: Tensor, coils: int, window: tuple[int, ...]) -> Tensor:
    """Return (C, C, *lags): the coefficients of ``G(x) = sum_l exp(2 pi i x l) g_l``, l from 1 - k to k - 1.

    Entry (c, d) of g_l is the sum over places p - q = l in a patch of the projection's entry (c p, d q), over K: the
    autocorrelation of the basis, by a Fourier transform in which no lag wraps around.
    """
    axes = tuple(range(1, 1 + len(window)))
    sizes = [2 * width - 1 for width in window]
    total = torch.zeros(coils, coils, *sizes, dtype=basis.dtype, device=basis.device)
    for some in basis.split(max(1, _CHUNK // (coils * math.prod(sizes))), dim=1):
        kernels = torch.fft.fftn(some.reshape(coils, *window, -1), s=sizes, dim=axes)
        total += torch.einsum("c...j,d...j->cd...", kernels, kernels.conj())
    lags = torch.fft.ifftn(total, dim=tuple(range(2, 2 + len(window))))
    return torch.fft.fftshift(lags, dim=tuple(range(2, 2 + len(window)))) / math.prod(window)


def _waves(n: int, width: int, centred: bool, lags: Tensor) -> Tensor:
    """Return exp(2 pi i x l) for the lags l of a patch and the places x of n pixels in units of the field of view."""
    places = (torch.arange(n, dtype=torch.float64, device=lags.device) - (n // 2 if centred else 0)) / n
    steps = torch.arange(1 - width, width, dtype=torch.float64, device=lags.device)
    return torch.exp(2j * math.pi * steps[:, None] * places).to(lags.dtype)


def _leading(matrices: Tensor, sets: int) -> tuple[Tensor, Tensor]:
    """Return eigenvalues (..., S) and vectors (..., C, S) after 30 steps of orthogonal iteration from coils S to 1.

    Where eigenvalues cross, exact eigenvectors jump from one pixel to the next, and maps would have edges there. After
    a fixed number of steps from a fixed start they are smooth. The number and the start are those of BART.
    """
    coils = matrices.shape[-1]
    dust = torch.linspace(1, 2, coils, dtype=matrices.real.dtype, device=matrices.device)[:, None]  # for dead coils
    vectors = torch.eye(coils, sets, dtype=matrices.dtype, device=matrices.device).flip(1) + 1e-4 * dust
    power = matrices
    for _ in range(4):  # G^2, G^4, G^8 and G^16: 30 steps
        power = _scaled(power @ power)  # or it underflows where there is no object
        vectors = _orthonormal(power @ vectors)
    eigenvalues = (vectors.conj() * (matrices @ vectors)).sum(-2).real
    return eigenvalues, vectors


def _scaled(matrices: Tensor) -> Tensor:
    """Divide squares of Hermitian matrices by their trace, which is positive and much faster than a norm."""
    trace = matrices.diagonal(dim1=-2, dim2=-1).real.sum(-1)[..., None, None]
    return matrices / trace.clamp_min(torch.finfo(trace.dtype).tiny)


def _orthonormal(vectors: Tensor) -> Tensor:
    """Make the columns orthonormal, one after the other; a column of zeros stays one."""
    done: list[Tensor] = []
    for column in vectors.unbind(-1):
        for earlier in done * 2:  # twice, since columns are nearly parallel
            column = column - (earlier.conj() * column).sum(-1, keepdim=True) * earlier
        norm = torch.linalg.vector_norm(column, dim=-1, keepdim=True)
        done.append(column / norm.clamp_min(torch.finfo(norm.dtype).tiny))
    return torch.stack(done, -1)


def _principal(region: Tensor) -> Tensor:
    """Return the combination of coils (C,) that holds most of the energy."""
    flat = region.flatten(1).to(torch.complex128)
    return torch.linalg.eigh(flat @ flat.mH).eigenvectors[:, -1]


def _blocks(space: tuple[int, ...], coils: int) -> list[tuple[slice, ...]]:
    """Cut the picture into blocks of pixels whose matrices fit in memory, along the first axes first."""
    room = max(1, _CHUNK // coils**2)
    sizes = []
    for n in reversed(space):
        sizes.insert(0, max(1, min(n, room)))
        room //= sizes[0]
    cuts = [[slice(i, min(i + size, n)) for i in range(0, n, size)] for n, size in zip(space, sizes, strict=True)]
    return list(itertools.product(*cuts))
