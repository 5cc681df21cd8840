"""Make the masks of k-space in which nothing is random: every R-th line, and the larger part for partial Fourier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..arguments.checks import check_count, check_flag, check_number, check_tensor, check_whole
from ..core import tree
from ..core.errors import MetaoptError
from .sampling import check_shape, placed, squared_radius
from .shapes import check_counts

Pair = int | tuple[int, int]


def regular_mask(
    shape: Sequence[int],
    every: Pair,
    center: Pair = 0,
    *,
    offset: Pair = 0,
    elliptical: bool = False,
    centred: bool = False,
) -> Tensor:
    """Return the mask of a parallel-imaging scan: every R-th line of k-space, and all lines of the centre.

    With numbers R for the columns, lines are columns; with pairs, for the rows and the columns, points are kept at
    every R-th row and column, and in a rectangle of the centre. Its acceleration is less than R by the centre, and more
    by the corners.

    Args:
        shape: (H, W), or (D, H, W).
        every: R, or (R of the rows, R of the columns).
        center: The number of central columns, or of central (rows, columns), that are all kept.
        offset: The first column, or (row, column), that is kept, counted from the most negative frequency.
        elliptical: Whether points outside of the ellipse through the edges of k-space are left out.
        centred: Whether frequency zero is at ``n // 2`` of each axis, and not at index 0.

    Returns:
        The mask, of the given shape, float32, zeros and ones.

    Raises:
        MetaoptError: The centre is larger than k-space, or an R exceeds the number of lines.
    """
    who = "regular_mask"
    sizes = check_shape(who, shape)
    columns_only = isinstance(every, int)
    steps, counts, starts = (
        _pair(f"The {name} of {who}", value, low, columns_only)
        for name, value, low in (("every", every, 1), ("center", center, 0), ("offset", offset, 0))
    )
    regular, middle = torch.ones(sizes[-2:], dtype=torch.bool), torch.ones(sizes[-2:], dtype=torch.bool)
    for axis in (1,) if columns_only else (0, 1):
        n, step, count, start = sizes[axis - 2], steps[axis], counts[axis], starts[axis]
        if step > n or count > n or start >= step:
            raise MetaoptError(
                f"{who} is asked for every {step}th line from line {start} on and for {count} central lines, of {n}; "
                f"both must be at most {n}, and the offset below {step}."
            )
        line = torch.arange(n).view(-1, *[1] * (1 - axis))
        regular &= line % step == start
        middle &= (line >= n // 2 - count // 2) & (line < n // 2 - count // 2 + count)
    kept = torch.fft.ifftshift(regular | middle)
    if check_flag(f"elliptical of {who}", elliptical):
        kept &= squared_radius(sizes) <= 0.25
    return placed(kept.float(), sizes, centred)


def partial_fourier_mask(
    shape: Sequence[int], share: float, *, axis: int = -1, mask: Tensor | None = None, centred: bool = False
) -> Tensor:
    """Return the mask of a scan that leaves out one end of k-space, which follows from the other for smooth phase.

    It keeps exactly ``round(n share)`` lines, those of the largest frequencies, so that lines of the most negative ones
    are missing.

    Args:
        shape: (H, W), or (D, H, W).
        share: The share of the lines that is kept, such as 5/8 or 6/8.
        axis: The axis along which lines are left out; the last one by default, of columns.
        mask: Another mask to combine it with, which then loses what is left out: zeros and ones, broadcastable to
            ``shape``, and centred as this one.
        centred: Whether frequency zero is at ``n // 2`` of each axis, and not at index 0.

    Returns:
        The mask, of the given shape, float32, zeros and ones.

    Raises:
        MetaoptError: Frequency zero would not be kept, or the other mask does not fit.
    """
    who = "partial_fourier_mask"
    sizes = check_shape(who, shape)
    check_number(f"The share of {who}", share, 0, 1)
    check_whole(f"The axis of {who}", axis)
    if not -len(sizes) <= axis < len(sizes):
        raise MetaoptError(f"The axis of {who} must be one of {len(sizes)}, but got {axis}.")
    n = sizes[axis]
    count = round(n * float(share))
    if count < n - n // 2:
        raise MetaoptError(
            f"{who} keeps {count} of {n} lines with share {share:g}, without frequency zero; keep more than half."
        )
    lines = (torch.arange(n) >= n - count).float()
    lines = lines if check_flag(f"centred of {who}", centred) else torch.fft.ifftshift(lines)
    kept = lines.view(-1, *[1] * (len(sizes) - 1 - axis % len(sizes))).expand(sizes).clone()
    if mask is None:
        return kept
    check_tensor(f"The mask of {who}", mask, "any")
    fits = mask.ndim <= len(sizes) and all(m in (1, n) for m, n in zip(mask.shape[::-1], sizes[::-1], strict=False))
    if mask.is_complex() or not fits:
        raise MetaoptError(f"The mask of {who} must be real and fit {sizes}, but got {tree.describe(mask)}.")
    return kept * (mask != 0).to(kept)


def _pair(name: str, value: Any, low: int, columns_only: bool) -> tuple[int, int]:
    """Return one number for rows and one for columns; the first counts only where points are kept."""
    if columns_only or isinstance(value, int):
        number = check_count(name, value, low)
        return number, number
    rows, columns = check_counts(name, value, low, 2)
    return rows, columns
