"""Wavelet sparsity is the prior of images of which few details, over all scales, differ from zero."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..arguments.contracts import Count, NumberSlot, Positive, checked, within
from ..core import slot
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


@checked
class Wavelet(nn.Module):
    """This prior says that few wavelet coefficients of x differ from zero: ``energy(x) = weight * sum |c|``.

    c holds the details of all levels in an orthonormal periodic wavelet basis (sym4); the coarsest approximation is
    free. For complex x, ``|c|`` is the magnitude. x is (B, ..., H, W). The gradient is that of ``weight * sum
    sqrt(|c|^2 + smoothing^2)``. The prox is exact: it transforms x, applies the soft threshold to the details and
    transforms back.

    Sides that are no multiples of 2^levels are extended by reflection to the next multiple, and the result is cropped.
    Energy and gradient are those of the extended image, and the prox is then approximate near those borders.

    With ``shifts`` = s > 1 the basis is replaced by its s^2 translates by 0 to s - 1 pixels along both axes. Energy and
    gradient are the means over the translates, and the prox is the mean of their proxes (cycle spinning); for small
    steps this is close to the prox of that energy, and it has no block artefacts.

    Args:
        weight: The weight, a number or an opening of a slot.
        levels: How many times the approximation is split.
        shifts: The number of translates along each axis; the cost grows with its square.
        smoothing: The size of a coefficient, in the units of x, below which the gradient is linear.

    Slots:
        weight: The weight, in units of 1 / x.

    Raises:
        MetaoptError: ``levels`` or ``shifts`` is below 1.

    Source:
        Coifman and Donoho, Translation-invariant de-noising, 1995, doi:10.1007/978-1-4612-2544-7_9.
    """

    def __init__(self, weight: NumberSlot, levels: Count = 4, shifts: Count = 1, smoothing: Positive = 1e-3):
        super().__init__()
        self.weight, self.levels, self.shifts = slot(weight, within("weight", 0)), levels, shifts
        self.smoothing = smoothing

    def energy(self, x: Tensor, k: int = 0) -> Tensor:
        planes = self._pad(to_planes(x))
        totals = [_total(planes.roll(move, (-2, -1)), self.levels) for move in self._moves()]
        return self.weight(k) * sum(totals) / len(totals)

    def gradient(self, x: Tensor, k: int = 0) -> Tensor:
        def pull_back(planes: Tensor) -> Tensor:
            *details, coarse = _analyze(planes, self.levels)
            return _synthesize([*(smoothed_sign(d, self.smoothing) for d in details), torch.zeros_like(coarse)])

        planes = to_planes(x)
        return from_planes(self.weight(k) * self._unpad(self._spin(pull_back, self._pad(planes)), planes))

    def prox(self, x: Tensor, step: Any, k: int = 0) -> Tensor:
        threshold = step * self.weight(k)

        def shrink(planes: Tensor) -> Tensor:
            *details, coarse = _analyze(planes, self.levels)
            return _synthesize([*(_shrink(d, threshold) for d in details), coarse])

        planes = to_planes(x)
        return from_planes(self._spin(shrink, self._pad(planes))[..., : x.shape[-2], : x.shape[-1]])

    def _moves(self) -> list[tuple[int, int]]:
        return [(i, j) for i in range(self.shifts) for j in range(self.shifts)]

    def _spin(self, function: Callable[[Tensor], Tensor], planes: Tensor) -> Tensor:
        """The mean over all moves of ``function`` on the moved image, moved back."""
        moved = [function(planes.roll((i, j), (-2, -1))).roll((-i, -j), (-2, -1)) for i, j in self._moves()]
        return reduce(torch.add, moved) / len(moved)

    def _indices(self, planes: Tensor, axis: int) -> Tensor:
        """Which pixel stands at each place of the mirrored axis."""
        n, unit = planes.shape[axis], 2**self.levels
        place = torch.arange(-(-n // unit) * unit, device=planes.device) % max(2 * n - 2, 1)
        return torch.where(place < n, place, 2 * n - 2 - place)

    def _pad(self, planes: Tensor) -> Tensor:
        for axis in (-2, -1):
            if planes.shape[axis] % 2**self.levels:
                planes = planes.index_select(axis, self._indices(planes, axis))
        return planes

    def _unpad(self, padded: Tensor, planes: Tensor) -> Tensor:
        """The adjoint of ``_pad``: every copy adds to its pixel."""
        for axis in (-1, -2):
            if planes.shape[axis] % 2**self.levels:
                shape = list(padded.shape)
                shape[axis] = planes.shape[axis]
                padded = padded.new_zeros(shape).index_add(axis, self._indices(planes, axis), padded)
        return padded


def _analyze(planes: Tensor, levels: int) -> list[Tensor]:
    """The details of every level, (..., 3, H/2, W/2), finest first, and the last approximation, (..., 1, H, W).

    One level is a convolution of the four polyphase components x[2m+p, 2n+q], periodic, with a 4x4 kernel for each
    of the four bands: the same sums as filtering rows and columns, in one pass.
    """
    batch, approximation = planes.shape[:-2], planes.reshape(-1, 1, *planes.shape[-2:])
    bands = []
    for _ in range(levels):
        split = F.conv2d(_wrap(F.pixel_unshuffle(approximation, 2), after=True), _bank(planes))
        approximation, details = split[:, :1], split[:, 1:]
        bands.append(details)
    return [band.unflatten(0, batch) for band in (*bands, approximation)]


def _synthesize(bands: list[Tensor]) -> Tensor:
    """The adjoint of ``_analyze``, which is its inverse, as the filters are orthonormal."""
    batch = bands[0].shape[:-3]
    *details, approximation = (band.flatten(0, -4) for band in bands)
    bank = _bank(approximation).transpose(0, 1).flip(-2, -1)
    for detail in reversed(details):
        joined = F.conv2d(_wrap(torch.cat((approximation, detail), 1), after=False), bank)
        approximation = F.pixel_shuffle(joined, 2)
    return approximation.squeeze(1).unflatten(0, batch)


def _bank(like: Tensor) -> Tensor:
    """(4 bands, 4 phases, 4, 4): products of the low-pass h_t and its mirror (-1)^t h_{7-t}, low-low first."""
    low = like.new_tensor(SYM4)
    filters = torch.stack((low, low.flip(0) * like.new_tensor([1.0, -1.0] * 4))).unflatten(1, (4, 2))
    return torch.einsum("aip,bjq->abpqij", filters, filters).flatten(0, 1).flatten(1, 2)


def _wrap(x: Tensor, after: bool) -> Tensor:
    """Three more rows and columns of the periodic (..., H, W), after its end or before its start; any H and W."""
    for axis in (-2, -1):
        n = x.shape[axis]
        copies = [x] * (1 + 3 // n)
        rest = x.narrow(axis, 0 if after else n - 3 % n, 3 % n)
        x = torch.cat([*copies, rest] if after else [rest, *copies], axis)
    return x


def _total(planes: Tensor, levels: int) -> Tensor:
    """sum |c| over all details, (B,)."""
    *details, _ = _analyze(planes, levels)
    return reduce(torch.add, (from_planes(d).abs().flatten(1).sum(1) for d in details))


def _shrink(planes: Tensor, threshold: Any) -> Tensor:
    """The soft threshold by the magnitude over planes, for details (planes, B, ..., 3, H, W)."""
    if isinstance(threshold, Tensor) and threshold.ndim:
        threshold = threshold.unsqueeze(-3)
    size = from_planes(planes).abs()
    return planes * torch.relu(1 - threshold / size.clamp_min(torch.finfo(size.dtype).tiny))
