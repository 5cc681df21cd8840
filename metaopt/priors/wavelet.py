"""Wavelet sparsity is the prior of images of which few details, over all scales, differ from zero."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..arguments.contracts import Count, NumberSlot, Positive, checked, within
from ..core import MetaoptError, slot
from .prior import from_planes, smoothed_sign, to_planes

# The least asymmetric Daubechies filter with 4 vanishing moments ("sym4"): I. Daubechies, Ten Lectures on Wavelets,
# 1992, doi:10.1137/1.9781611970104, table 6.3; digits beyond the table solve the same equations to float64.
SYM4 = (
    -0.07576571478950203,
    -0.02963552764600278,
    0.4976186676327739,
    0.8037387518051323,
    0.2978577956053072,
    -0.09921954357663362,
    -0.012603967262031493,
    0.032223100604051556,
)
HAAR = (0.5**0.5, 0.5**0.5)  # Haar: 1 vanishing moment; its blocks need cycle spinning
TAPS = 8  # shorter filters are padded to


@checked
class Wavelet(nn.Module):
    """This prior says that few wavelet coefficients of x differ from zero: ``energy(x) = weight * sum |c|``.

    c holds the details of all levels in an orthonormal periodic wavelet basis, by default sym4; the coarsest
    approximation is free. For complex x, ``|c|`` is the magnitude. x is (B, ..., H, W), or (B, ..., D, H, W) with
    ``dims`` = 3, and every channel counts separately. The gradient is that of ``weight * sum sqrt(|c|^2 +
    smoothing^2)``. The prox is exact: it transforms x, applies the soft threshold to the details and transforms back.

    Sides that are no multiples of 2^levels are extended by reflection to the next multiple, and the result is cropped.
    Energy and gradient are those of the extended image, and the prox is then approximate near those borders.

    With ``shifts`` = s > 1 the basis is replaced by its translates by 0 to s - 1 pixels along every axis. Energy and
    gradient are the means over the translates, and the prox is the mean of their proxes (cycle spinning); for small
    steps this is close to the prox of that energy, and it has no block artefacts. :class:`CycleSpinning` uses one
    translate a step instead, at no cost.

    Args:
        weight: The weight, a number or an opening of a slot.
        levels: How many times the approximation is split.
        shifts: The number of translates along each axis; the cost grows with its power ``dims``.
        smoothing: The size of a coefficient, in the units of x, below which the gradient is linear.
        dims: How many trailing axes are the image's, 1 to 3.
        taps: The low-pass filter of the basis, orthonormal, of an even number of at most 8 taps, such as ``HAAR``.

    Slots:
        weight: The weight, in units of 1 / x.

    Raises:
        MetaoptError: ``levels`` or ``shifts`` is below 1, ``dims`` is not 1, 2 or 3, or the filter is not orthonormal.

    Source:
        Coifman and Donoho, Translation-invariant de-noising, 1995, doi:10.1007/978-1-4612-2544-7_9.
    """

    def __init__(
        self,
        weight: NumberSlot,
        levels: Count = 4,
        shifts: Count = 1,
        smoothing: Positive = 1e-3,
        dims: Count = 2,
        taps: Sequence[float] = SYM4,
    ):
        super().__init__()
        if dims > 3:
            raise MetaoptError(f"Wavelet transforms 1, 2 or 3 trailing axes, but got dims={dims}.")
        self.weight, self.levels, self.shifts = slot(weight, within("weight", 0)), levels, shifts
        self.smoothing, self.dims, self._low = smoothing, dims, _padded(taps)

    def energy(self, x: Tensor, k: int = 0) -> Tensor:
        planes = self._pad(to_planes(x))
        totals = [_total(planes.roll(move, self._axes), self.levels, self.dims, self._low) for move in self._moves()]
        return self.weight(k) * sum(totals) / len(totals)

    def gradient(self, x: Tensor, k: int = 0) -> Tensor:
        def pull_back(planes: Tensor) -> Tensor:
            *details, coarse = _analyze(planes, self.levels, self.dims, self._low)
            signs = [smoothed_sign(d, self.smoothing) for d in details]
            return _synthesize([*signs, torch.zeros_like(coarse)], self.dims, self._low)

        planes = to_planes(x)
        return from_planes(self.weight(k) * self._unpad(self._spin(pull_back, self._pad(planes)), planes))

    def prox(self, x: Tensor, step: Any, k: int = 0) -> Tensor:
        threshold = step * self.weight(k)

        def shrink(planes: Tensor) -> Tensor:
            *details, coarse = _analyze(planes, self.levels, self.dims, self._low)
            shrunk = [_shrink(d, threshold, self.dims) for d in details]
            return _synthesize([*shrunk, coarse], self.dims, self._low)

        inside = (..., *(slice(n) for n in x.shape[-self.dims :]))
        return from_planes(self._spin(shrink, self._pad(to_planes(x)))[inside])

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-self.dims, 0))

    def _moves(self) -> list[tuple[int, ...]]:
        return list(itertools.product(range(self.shifts), repeat=self.dims))

    def _spin(self, function: Callable[[Tensor], Tensor], planes: Tensor) -> Tensor:
        """The mean over all moves of ``function`` on the moved image, moved back."""
        axes = self._axes
        moved = [function(planes.roll(move, axes)).roll([-i for i in move], axes) for move in self._moves()]
        return reduce(torch.add, moved) / len(moved)

    def _indices(self, planes: Tensor, axis: int) -> Tensor:
        """Which pixel stands at each place of the mirrored axis."""
        n, unit = planes.shape[axis], 2**self.levels
        place = torch.arange(-(-n // unit) * unit, device=planes.device) % max(2 * n - 2, 1)
        return torch.where(place < n, place, 2 * n - 2 - place)

    def _pad(self, planes: Tensor) -> Tensor:
        for axis in self._axes:
            if planes.shape[axis] % 2**self.levels:
                planes = planes.index_select(axis, self._indices(planes, axis))
        return planes

    def _unpad(self, padded: Tensor, planes: Tensor) -> Tensor:
        """The adjoint of ``_pad``: every copy adds to its pixel."""
        for axis in reversed(self._axes):
            if planes.shape[axis] % 2**self.levels:
                shape = list(padded.shape)
                shape[axis] = planes.shape[axis]
                padded = padded.new_zeros(shape).index_add(axis, self._indices(planes, axis), padded)
        return padded


def _padded(taps: Sequence[float]) -> tuple[float, ...]:
    """The filter with zeros on both sides, even numbers of them; raise unless its moves by 2 are orthonormal."""
    n = len(taps)
    moves = [sum(taps[i] * taps[i + j] for i in range(n - j)) for j in range(0, n, 2)]
    if (
        n % 2
        or not 2 <= n <= TAPS
        or abs(abs(sum(taps)) - 2**0.5) > 1e-4
        or any(abs(move - (j == 0)) > 1e-4 for j, move in enumerate(moves))
    ):
        raise MetaoptError(
            f"The filter of Wavelet needs 2, 4, 6 or 8 taps of sum sqrt(2) that are orthonormal to their moves by 2, "
            f"but got {tuple(taps)}."
        )
    left = 2 * ((TAPS - n) // 4)
    return (*(0.0,) * left, *taps, *(0.0,) * (TAPS - n - left))


def _analyze(planes: Tensor, levels: int, dims: int, low: Sequence[float]) -> list[Tensor]:
    """The details of every level, (..., 3, H/2, W/2), finest first, and the last approximation, (..., 1, H, W).

    One level is a convolution of the four polyphase components x[2m+p, 2n+q], periodic, with a 4x4 kernel for each
    of the four bands: the same sums as filtering rows and columns, in one pass. Other ``dims`` have 2^dims of each.
    """
    batch, approximation = planes.shape[:-dims], planes.reshape(-1, 1, *planes.shape[-dims:])
    bands = []
    for _ in range(levels):
        split = _convolve(_wrap(_phases(approximation), dims, after=True), _bank(planes, dims, low))
        approximation, details = split[:, :1], split[:, 1:]
        bands.append(details)
    return [band.unflatten(0, batch) for band in (*bands, approximation)]


def _synthesize(bands: list[Tensor], dims: int, low: Sequence[float]) -> Tensor:
    """The adjoint of ``_analyze``, which is its inverse, as the filters are orthonormal."""
    batch = bands[0].shape[: -dims - 1]
    *details, approximation = (band.flatten(0, -dims - 2) for band in bands)
    bank = _bank(approximation, dims, low).transpose(0, 1).flip(tuple(range(-dims, 0)))
    for detail in reversed(details):
        joined = _convolve(_wrap(torch.cat((approximation, detail), 1), dims, after=False), bank)
        approximation = _join(joined)
    return approximation.squeeze(1).unflatten(0, batch)


def _convolve(x: Tensor, bank: Tensor) -> Tensor:
    return (F.conv1d, F.conv2d, F.conv3d)[x.ndim - 3](x, bank)


def _phases(x: Tensor) -> Tensor:
    """(N, 2^dims, n/2, ...) of (N, 1, n, ...): every other pixel along each axis."""
    dims = x.ndim - 2
    pairs = x.reshape(len(x), *(n for size in x.shape[2:] for n in (size // 2, 2)))
    return pairs.permute(0, *range(2, 2 * dims + 1, 2), *range(1, 2 * dims, 2)).flatten(1, dims)


def _join(x: Tensor) -> Tensor:
    """Undo ``_phases``."""
    dims = x.ndim - 2
    order = (axis for i in range(dims) for axis in (1 + dims + i, 1 + i))
    pairs = x.unflatten(1, [2] * dims).permute(0, *order)
    return pairs.reshape(len(x), 1, *(2 * n for n in x.shape[2:]))


def _bank(like: Tensor, dims: int, filter: Sequence[float]) -> Tensor:
    """(2^dims bands, 2^dims phases, 4, ...): products of the low-pass h_t and its mirror (-1)^t h_{7-t}, low first."""
    low = like.new_tensor(filter)
    filters = torch.stack((low, low.flip(0) * like.new_tensor([1.0, -1.0] * 4))).unflatten(1, (4, 2))
    products = ("aip->api", "aip,bjq->abpqij", "aip,bjq,ckr->abcpqrijk")[dims - 1]
    return torch.einsum(products, *[filters] * dims).reshape(2**dims, 2**dims, *[4] * dims)


def _wrap(x: Tensor, dims: int, after: bool) -> Tensor:
    """Three more entries along every axis of the periodic x, after its end or before its start; for any size."""
    for axis in range(-dims, 0):
        n = x.shape[axis]
        copies = [x] * (1 + 3 // n)
        rest = x.narrow(axis, 0 if after else n - 3 % n, 3 % n)
        x = torch.cat([*copies, rest] if after else [rest, *copies], axis)
    return x


def _total(planes: Tensor, levels: int, dims: int, low: Sequence[float]) -> Tensor:
    """sum |c| over all details, (B,)."""
    *details, _ = _analyze(planes, levels, dims, low)
    return reduce(torch.add, (from_planes(d).abs().flatten(1).sum(1) for d in details))


def _shrink(planes: Tensor, threshold: Any, dims: int) -> Tensor:
    """The soft threshold by the magnitude over planes, for details (planes, B, ..., 3, H, W)."""
    if isinstance(threshold, Tensor) and threshold.ndim:
        threshold = threshold.unsqueeze(-dims - 1)
    size = from_planes(planes).abs()
    return planes * torch.relu(1 - threshold / size.clamp_min(torch.finfo(size.dtype).tiny))
