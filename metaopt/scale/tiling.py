"""Cut the axes of signals, pictures and volumes into overlapping tiles, and put results of tiles together.

Each tile is computed with a halo around it, which is then discarded. The result is that of the whole where nothing
depends on what lies further away than the halo, also at the borders, since no tile extends beyond them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from ..arguments.checks import said
from ..arguments.contracts import Natural, checked
from ..core import MetaoptError
from ..operators.reach import PerAxis, Window, per_axis


@checked
def assemble(
    compute: Callable[[Window], Tensor], shape: Sequence[Natural], size: PerAxis, halo: PerAxis, period: PerAxis = 1
) -> Tensor:
    """Compute a whole (..., ``*shape``) from windows, one at a time.

    The result is that of ``compute`` on the whole if no output depends on an input more than ``halo`` pixels away, and
    shifting the input by ``period`` pixels shifts the output.

    Args:
        compute: Maps a window, one slice for each axis of ``shape``, to its part (..., ``*sizes of the window``).
        shape: Sizes of the last axes, which are cut.
        size: As for :func:`windows`.
        halo: As for :func:`windows`.
        period: As for :func:`windows`.

    Returns:
        The whole.

    Raises:
        MetaoptError: The shape is empty, or as for :func:`windows`.
    """
    result: Tensor | None = None
    for computed, kept in windows(shape, size, halo, period):
        part = compute(computed)
        sizes = tuple(s.stop - s.start for s in computed)
        if not isinstance(part, Tensor) or tuple(part.shape[max(0, part.ndim - len(sizes)) :]) != sizes:
            raise MetaoptError(
                f"compute must give (..., {', '.join(map(str, sizes))}) for {computed}, not {said(part)}."
            )
        if result is None:
            result = part.new_empty(*part.shape[: part.ndim - len(shape)], *shape)
        inside = (slice(k.start - c.start, k.stop - c.start) for c, k in zip(computed, kept, strict=True))
        result[(..., *kept)] = part[(..., *inside)]
    if result is None:
        raise MetaoptError(f"There is nothing to compute of a shape {tuple(shape)}.")
    return result


@checked
def windows(
    shape: Sequence[Natural], size: PerAxis, halo: PerAxis = 0, period: PerAxis = 1
) -> Iterator[tuple[Window, Window]]:
    """Divide axes into tiles, and give for each tile the window to compute and the tile itself, the last axis fastest.

    Args:
        shape: Sizes of the axes to cut.
        size: Pixels a side of a tile, rounded up to a multiple of ``period``. The last tiles are smaller.
        halo: Pixels around a tile that are computed as well, where they exist.
        period: A window starts at a multiple of it, and ends at one or at the end of the axis.

    Returns:
        An iterator over (window, tile).

    Raises:
        MetaoptError: A size or a period is below 1, or a halo below 0.
    """
    axes = list(zip(shape, *(per_axis(v, len(shape), f) for v, f in ((size, 1), (halo, 0), (period, 1))), strict=True))
    if any(s < 1 or h < 0 or p < 1 for _, s, h, p in axes):
        raise MetaoptError(
            f"Tiles need a size and a period of at least 1 and a halo of at least 0, but got {size}, {period} and "
            f"{halo}."
        )
    for pairs in itertools.product(*(list(along(*axis)) for axis in axes)):
        yield tuple(computed for computed, _ in pairs), tuple(kept for _, kept in pairs)


def along(length: int, size: int, halo: int, period: int, band: slice | None = None) -> Iterator[tuple[slice, slice]]:
    """Give (window, tile) along one axis, as :func:`windows` does, of all of it or of the pixels of a ``band``."""
    size = -(-size // period) * period
    first, last = (0, length) if band is None else (band.start, band.stop)
    for start in range(first, last, size):
        stop = min(last, start + size)
        begin = max(0, start - halo) // period * period
        end = min(length, -(-(stop + halo) // period) * period)
        yield slice(begin, end), slice(start, stop)
