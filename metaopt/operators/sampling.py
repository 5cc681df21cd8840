"""Draw masks of lines and of single points of k-space.

By default frequency zero is at index 0 of each axis, as ``Fourier`` expects it; with ``centred=True`` at ``n // 2``.
Masks of (D, H, W) are those of (H, W), repeated along the leading axis, which is the readout. A draw depends on
``seed`` alone. The acceleration is the number of points over the number of samples, and exact but for rounding to a
whole number of lines or points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..arguments.checks import check_flag, check_number, check_whole
from ..core import random
from ..core.errors import MetaoptError
from .shapes import check_counts


def cartesian_mask(
    shape: Sequence[int], acceleration: float, center_fraction: float, seed: int, *, centred: bool = False
) -> Tensor:
    """Draw a mask that keeps whole columns of k-space, as a 2-D Cartesian scan samples them.

    It keeps exactly ``round(W / acceleration)`` columns: the ``round(W center_fraction)`` lowest frequencies, and
    others that are drawn uniformly from the rest.

    Args:
        shape: (H, W), or (D, H, W).
        acceleration: How many times fewer columns are kept than there are.
        center_fraction: The share of the columns, at the lowest frequencies, that is always kept.
        seed: The seed of the draw.
        centred: Whether frequency zero is at ``n // 2`` of each axis, and not at index 0.

    Returns:
        The mask, of the given shape, float32, zeros and ones.

    Raises:
        MetaoptError: The centre alone has more columns than are to be kept, or none is to be.
    """
    who = "cartesian_mask"
    sizes = check_request(who, shape, acceleration, center_fraction, seed)
    center = _central_columns(sizes[-1], center_fraction)
    total = count_of(who, len(center), acceleration, "columns")
    return placed(draw(who, torch.zeros(len(center), dtype=torch.float64), center, total, seed), sizes, centred)


def gaussian_columns_mask(
    shape: Sequence[int],
    acceleration: float,
    center_fraction: float,
    seed: int,
    *,
    width: float = 0.7,
    centred: bool = False,
) -> Tensor:
    """Draw a mask that keeps whole columns of k-space, the more the nearer they are to frequency zero.

    As :func:`cartesian_mask`, but the columns outside of the centre are drawn from a Gaussian density.

    Args:
        shape: (H, W), or (D, H, W).
        acceleration: How many times fewer columns are kept than there are.
        center_fraction: The share of the columns, at the lowest frequencies, that is always kept.
        seed: The seed of the draw.
        width: The full width at half maximum of the density, as a share of W.
        centred: Whether frequency zero is at ``n // 2`` of each axis, and not at index 0.

    Returns:
        The mask, of the given shape, float32, zeros and ones.

    Raises:
        MetaoptError: The centre alone has more columns than are to be kept, or none is to be.
    """
    who = "gaussian_columns_mask"
    sizes = check_request(who, shape, acceleration, center_fraction, seed)
    check_number(f"The width of {who}", width, above=0)
    center = _central_columns(sizes[-1], center_fraction)
    total = count_of(who, len(center), acceleration, "columns")
    log_density = -4 * math.log(2) * torch.fft.fftfreq(len(center), dtype=torch.float64).square() / width**2
    return placed(draw(who, log_density, center, total, seed), sizes, centred)


def equispaced_mask(
    shape: Sequence[int], acceleration: float, center_fraction: float, seed: int, *, centred: bool = False
) -> Tensor:
    """Draw a mask that keeps whole columns of k-space at equal distances, beside a full centre.

    It keeps exactly ``round(W / acceleration)`` columns: the ``round(W center_fraction)`` lowest frequencies, and of
    the rest columns whose distances differ by at most 1; ``seed`` draws where they begin. For every R-th line, whatever
    the acceleration is with the centre, use :func:`regular_mask`.

    Args:
        shape: (H, W), or (D, H, W).
        acceleration: How many times fewer columns are kept than there are.
        center_fraction: The share of the columns, at the lowest frequencies, that is always kept.
        seed: The seed of the draw.
        centred: Whether frequency zero is at ``n // 2`` of each axis, and not at index 0.

    Returns:
        The mask, of the given shape, float32, zeros and ones.

    Raises:
        MetaoptError: The centre alone has more columns than are to be kept, or none is to be.
    """
    who = "equispaced_mask"
    sizes = check_request(who, shape, acceleration, center_fraction, seed)
    center = torch.fft.fftshift(_central_columns(sizes[-1], center_fraction))
    others = check_room(who, center, count_of(who, len(center), acceleration, "columns"))
    rest = (~center).nonzero()[:, 0]
    start = float(torch.rand((), generator=random.generator(seed), dtype=torch.float64))
    chosen = [rest[math.floor((i + start) * len(rest) / others)] for i in range(others)]
    mask = center.float()
    mask[torch.tensor(chosen, dtype=torch.int64)] = 1
    return placed(torch.fft.ifftshift(mask), sizes, centred)


def gaussian_mask(
    shape: Sequence[int],
    acceleration: float,
    center_fraction: float,
    seed: int,
    *,
    width: float = 0.7,
    centred: bool = False,
) -> Tensor:
    """Draw a mask that keeps single points of k-space, as a 3-D Cartesian scan samples two phase encodings.

    It keeps exactly ``round(H W / acceleration)`` points: an ellipse around frequency zero with half axes
    ``center_fraction`` times H and W, and others that are drawn without replacement from a Gaussian density around
    frequency zero.

    Args:
        shape: (H, W), or (D, H, W).
        acceleration: How many times fewer points are kept than there are.
        center_fraction: The half axes of the ellipse, as a share of H and W.
        seed: The seed of the draw.
        width: The full width at half maximum of the density, as a share of H and W.
        centred: Whether frequency zero is at ``n // 2`` of each axis, and not at index 0.

    Returns:
        The mask, of the given shape, float32, zeros and ones.

    Raises:
        MetaoptError: The ellipse alone has more points than are to be kept, or none is to be.

    Source:
        Lonning et al., Recurrent inference machines for reconstructing heterogeneous MRI data, 2019,
        doi:10.1016/j.media.2019.01.005 (width 0.7, centre 0.02).
    """
    who = "gaussian_mask"
    sizes = check_request(who, shape, acceleration, center_fraction, seed)
    check_number(f"The width of {who}", width, above=0)
    radius = squared_radius(sizes)
    total = count_of(who, radius.numel(), acceleration, "points")
    log_density = -4 * math.log(2) * radius / width**2
    return placed(draw(who, log_density, radius <= center_fraction**2, total, seed), sizes, centred)


def check_shape(who: str, shape: Any) -> tuple[int, ...]:
    """Return the shape of a mask if it is (H, W) or (D, H, W)."""
    sizes = check_counts(f"The shape of {who}", shape)
    if len(sizes) not in (2, 3):
        raise MetaoptError(f"The shape of {who} must be (H, W) or (D, H, W), but got {sizes}.")
    return sizes


def check_request(who: str, shape: Any, acceleration: Any, center_fraction: Any, seed: Any) -> tuple[int, ...]:
    """Return the shape of a mask if it and the numbers that all draws take are right."""
    sizes = check_shape(who, shape)
    check_number(f"The acceleration of {who}", acceleration, 1)
    check_number(f"The center_fraction of {who}", center_fraction, 0, 1)
    check_whole(f"The seed of {who}", seed)
    return sizes


def count_of(who: str, places: int, acceleration: float, what: str, allowed: int | None = None) -> int:
    """Return how many of the places are kept: at least one, and no more than are allowed."""
    total, allowed = round(places / float(acceleration)), places if allowed is None else allowed
    if total < 1:
        raise MetaoptError(f"{who} keeps none of {places} {what} at acceleration {acceleration:g}; lower it.")
    if total > allowed:
        raise MetaoptError(
            f"{who} is asked for {total} {what}, but has places for {allowed} of {places}; raise the acceleration to "
            f"at least {places / max(1, allowed):.3g}."
        )
    return total


def check_room(who: str, center: Tensor, total: int) -> int:
    """Return how many of ``total`` samples are left beside those of the centre."""
    if int(center.sum()) > total:
        raise MetaoptError(
            f"{who} is asked for {total} samples in all, but its centre has {int(center.sum())} already; lower the "
            "center_fraction or the acceleration."
        )
    return total - int(center.sum())


def squared_radius(shape: Sequence[int]) -> Tensor:
    """Return the squared distance from frequency zero, (H, W) uncentred, where the extent of each axis is 1."""
    rows, columns = (torch.fft.fftfreq(size, dtype=torch.float64) for size in shape[-2:])
    return rows.square()[:, None] + columns.square()


def placed(mask: Tensor, shape: Sequence[int], centred: bool) -> Tensor:
    """Return an uncentred mask of columns or points as a mask of k-space, centred if asked for."""
    shifted = torch.fft.fftshift(mask) if check_flag("centred of a mask", centred) else mask
    return shifted.expand(tuple(shape)).clone()


def draw(who: str, log_density: Tensor, center: Tensor, total: int, seed: int) -> Tensor:
    """Return ``total`` places: those of ``center``, and others drawn without replacement by the density.

    The largest of log density + Gumbel noise are such a draw, and do not underflow far from the centre
    (W. Kool et al., Stochastic beams and where to find them, 2019, arXiv:1903.06059).
    """
    check_room(who, center, total)
    uniform = torch.rand(center.shape, generator=random.generator(seed), dtype=torch.float64)
    keys = (log_density - torch.log(-torch.log(uniform))).masked_fill(center, math.inf)
    mask = torch.zeros(center.numel(), dtype=torch.float32)
    mask[keys.flatten().topk(total).indices] = 1
    return mask.view(center.shape)


def _central_columns(width: int, center_fraction: float) -> Tensor:
    center = torch.zeros(width, dtype=torch.bool)
    lowest = torch.fft.fftfreq(width, dtype=torch.float64).abs().argsort(stable=True)
    center[lowest[: round(width * float(center_fraction))]] = True
    return center
