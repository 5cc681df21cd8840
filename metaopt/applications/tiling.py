"""Large pictures piece by piece, with the result of doing them whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..core import MetaoptError, Unrolled

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Tiling:
    """How to cut (H, W): tiles of ``size`` pixels a side, each computed with ``halo`` pixels around it.

    The result is that of the whole picture, to rounding, where no output pixel depends on an input more than ``halo``
    pixels away, and where shifting the input by ``cell`` pixels shifts the output: windows begin at multiples of it.
    """

    size: int
    halo: int
    cell: int = 1

    def __post_init__(self) -> None:
        if self.size < 1 or self.halo < 0 or self.cell < 1:
            raise MetaoptError(f"A tiling needs size and cell of at least 1 and a halo of at least 0, but got {self}.")

    def windows(self, height: int, width: int) -> Iterator[tuple[Window, Window]]:
        """(what to compute, what of the picture it is good for), tile after tile, row by row."""
        for rows in self._along(height):
            for columns in self._along(width):
                yield (rows[0], columns[0]), (rows[1], columns[1])

    def _along(self, length: int) -> Iterator[tuple[slice, slice]]:
        for start in range(0, length, self.size):
            stop = min(length, start + self.size)
            begin = max(0, start - self.halo) // self.cell * self.cell
            end = min(length, -(-(stop + self.halo) // self.cell) * self.cell)
            yield slice(begin, end), slice(start, stop)


def tiled(compute: Callable[[Window], Tensor], shape: tuple[int, int], tiling: Tiling) -> Tensor:
    """The picture (..., H, W) that ``compute(window)`` gives windows of; in memory is one window at a time."""
    result: Tensor | None = None
    for computed, kept in tiling.windows(*shape):
        part = compute(computed)
        if result is None:
            result = part.new_empty(*part.shape[:-2], *shape)
        inside = (slice(k.start - c.start, k.stop - c.start) for c, k in zip(computed, kept, strict=True))
        result[(..., *kept)] = part[(..., *inside)]
    if result is None:
        raise MetaoptError(f"There is nothing to compute of a picture of {shape[0]} x {shape[1]} pixels.")
    return result


def tiling_for(net: Unrolled, steps: int | None, size: int, reach: int = 0, cell: int = 1) -> Tiling:
    """The tiling that is exact for a machine whose cell has a ``reach`` and a ``cell``.

    ``reach`` says how far A^H A of the problem's operator reaches, and A^H y beyond the pixel that it measures;
    shifting by ``cell`` pixels shifts what the operator does.
    """
    update = cell_of(net)
    if not hasattr(update, "reach"):
        raise MetaoptError(f"Nothing says how far a step of {type(update).__name__} reaches, so it cannot be tiled.")
    cell = math.lcm(cell, update.cell)
    halo = (net.steps if steps is None else steps) * (update.reach + reach) + reach
    return Tiling(-(-size // cell) * cell, halo, cell)


def cell_of(net: Unrolled) -> Any:
    """The network that a machine repeats; the algorithm itself where its steps are no single network's."""
    return getattr(getattr(net.algorithm, "update", None), "module", net.algorithm)
