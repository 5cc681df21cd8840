"""Say where the entries of a state lie over the pixels of x, and hold those of some rows of it in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..core import MetaoptError, tree
from ..operators.reach import PerAxis, Window, coarse, per_axis

FEW = 8  # pixels a side of the windows that are tried, at least
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.AvgPool1d, nn.AvgPool2d, nn.MaxPool1d, nn.MaxPool2d)


class Place(NamedTuple):
    """Hold where the entries of one tensor lie.

    Args:
        factors: How many pixels of x there are for one entry, along each axis; None where no axis is one of x.
        after: How many axes follow the spatial ones.
        example: A small tensor of the same kind.
    """

    factors: tuple[int, ...] | None
    after: int
    example: Tensor

    def entries(self, window: Window, origin: Sequence[int] | None = None) -> tuple[Any, ...]:
        """Return the index of a window of x in a tensor whose first entry is that of the pixel ``origin``."""
        if self.factors is None:
            return (...,)
        shifts = [0] * len(window) if origin is None else [o // f for o, f in zip(origin, self.factors, strict=True)]
        slices = coarse(window, self.factors)
        moved = (slice(s.start - shift, s.stop - shift) for s, shift in zip(slices, shifts, strict=True))
        return (..., *moved, *[slice(None)] * self.after)

    def shape(self, window: Window) -> tuple[int, ...]:
        """Return the shape of the tensor of a window."""
        if self.factors is None:
            return tuple(self.example.shape)
        sizes = [s.stop - s.start for s in coarse(window, self.factors)]
        last = self.example.ndim - self.after
        return (*self.example.shape[: last - len(sizes)], *sizes, *self.example.shape[last:])

    def empty(self, window: Window) -> Tensor:
        """Return a tensor for a window, laid out in memory as the example is."""
        made = self.example.new_empty(self.shape(window))
        last = self.example.ndim == 4 and not self.example.is_contiguous()
        return made.contiguous(memory_format=torch.channels_last) if last else made


@dataclass(frozen=True)
class Layout:
    """Hold the structure of a state, with a small example, and the place of each of its tensors."""

    example: Any
    places: tuple[Place, ...]

    def cut(self, value: Any, computed: Window, kept: Window) -> list[Tensor]:
        """Return the tensors of the part ``kept`` of a state that was computed of a window."""
        origin = [s.start for s in computed]
        return [t[p.entries(kept, origin)] for t, p in zip(tree.leaves(value), self.places, strict=True)]


def layout_of(make: Callable[[Window], Any], shape: Sequence[int], period: PerAxis, algorithm: nn.Module) -> Layout:
    """Find out, from two small windows, how the tensors of a state lie over the pixels of x.

    Args:
        make: A function of a window that returns its state.
        shape: The spatial sizes of x.
        period: The multiple at which windows start.
        algorithm: The algorithm, for error messages.

    Returns:
        The layout.

    Raises:
        MetaoptError: A tensor grows with x, but not by one entry for a whole number of pixels that divides the period.
    """
    periods = per_axis(period, len(shape), 1)
    sides = [p * -(-FEW // p) for p in periods]
    small, large = (tuple(slice(0, min(n, m * s)) for n, s in zip(shape, sides, strict=True)) for m in (1, 2))
    value = make(small)
    named, grown = tree.named_leaves(value, "state"), tree.leaves(make(large))
    sizes = [[s.stop for s in w] for w in (small, large)]
    places = [_place(name, a, b, sizes, periods) for (name, a), b in zip(named, grown, strict=True)]
    for (name, few), place in zip(named, places, strict=True):
        if any(a < b and p % f for a, b, p, f in zip(*sizes, periods, place.factors or periods, strict=True)):
            why = strided(algorithm, periods) or f"{name} {tree.describe(few)} has one entry for {place.factors} pixels"
            raise MetaoptError(
                f"{type(algorithm).__name__} cannot be computed in tiles: it says that a shift by {max(periods)} "
                f"pixels shifts its result, but {why}. Its period must be a multiple of the product of all strides."
            )
    return Layout(value, tuple(places))


def strided(algorithm: nn.Module, period: Sequence[int]) -> str | None:
    """Name the layer with which the product of all strides no longer divides the period, in words; None without one."""
    product = 1
    for name, module in algorithm.named_modules():
        stride = getattr(module, "stride", None)
        if isinstance(module, CONVOLUTIONS) and isinstance(stride, int | tuple):
            product *= stride if isinstance(stride, int) else max(stride)
            if max(period) % product:
                return f"its layer {name} ({type(module).__name__}) has stride {stride}"
    return None


def _place(name: str, few: Tensor, many: Tensor, sizes: list[list[int]], periods: Sequence[int]) -> Place:
    if few.shape == many.shape and sizes[0] != sizes[1]:
        return Place(None, 0, few)
    dims = len(periods)
    for after in range(few.ndim - dims + 1):
        last = few.ndim - after
        shapes = [t.shape[last - dims : last] for t in (few, many)]
        if 0 in shapes[0]:
            continue
        factors = tuple(-(-n // m) for n, m in zip(sizes[0], shapes[0], strict=True))
        if all(
            [-(-n // f) for n, f in zip(s, factors, strict=True)] == list(m) for s, m in zip(sizes, shapes, strict=True)
        ):
            return Place(factors, after, few)
    raise MetaoptError(
        f"{name} is {tree.describe(few)} where x has {sizes[0]} pixels, and {tree.describe(many)} where it has "
        f"{sizes[1]}, so it cannot be cut into tiles: its axes must be those of x, or coarser by a whole number."
    )


class Bands:
    """Hold the state of those rows of x, along its first axis, that are still needed.

    Args:
        layout: The layout of the state.
        shape: The spatial sizes of x.
    """

    def __init__(self, layout: Layout, shape: Sequence[int]):
        self.layout, self.shape = layout, tuple(shape)
        self.first = self.stop = 0
        self.tensors: list[Tensor | None] = [None] * len(layout.places)

    def open(self, stop: int) -> None:
        """Make room for the rows up to ``stop``."""
        if stop <= self.stop:
            return
        before, held = self._window(self.first, self.stop), self.tensors
        after = self._window(self.first, stop)
        for i, (place, tensor) in enumerate(zip(self.layout.places, held, strict=True)):
            if place.factors is None:
                continue
            made = place.empty(after)
            if tensor is not None:
                made[place.entries(before, [self.first, *[0] * (len(before) - 1)])] = tensor
            self.tensors[i] = made
        self.stop = stop

    def read(self, window: Window) -> Any:
        """Return the state of a window."""
        pairs = zip(self.tensors, self.layout.places, strict=True)
        origin = [self.first, *[0] * (len(window) - 1)]
        return tree.fill(self.layout.example, [t[p.entries(window, origin)] for t, p in pairs if t is not None])

    def write(self, window: Window, parts: Sequence[Tensor]) -> None:
        """Store the tensors of a window.

        Raises:
            MetaoptError: One that no axis of x belongs to differs from tile to tile.
        """
        origin = [self.first, *[0] * (len(window) - 1)]
        for i, (place, part) in enumerate(zip(self.layout.places, parts, strict=True)):
            tensor = self.tensors[i]
            if place.factors is None:
                check_same(tensor, part)
                self.tensors[i] = part
            elif tensor is not None:
                tensor[place.entries(window, origin)] = part

    def close(self, stop: int) -> None:
        """Do nothing: what is in memory is there."""

    def drop(self, before: int) -> None:
        """Forget the rows before ``before``."""
        rows = self._window(max(before, self.first), self.stop)
        origin = [self.first, *[0] * (len(rows) - 1)]
        if rows[0].start >= rows[0].stop:
            self.tensors = [
                t if p.factors is None else None for t, p in zip(self.tensors, self.layout.places, strict=True)
            ]
        elif rows[0].start > self.first:
            pairs = zip(self.tensors, self.layout.places, strict=True)
            self.tensors = [
                t if t is None or p.factors is None else t[p.entries(rows, origin)].clone() for t, p in pairs
            ]
        self.first = min(rows[0].start, self.stop)

    def _window(self, first: int, stop: int) -> Window:
        return (slice(first, stop), *(slice(0, n) for n in self.shape[1:]))


def check_same(before: Tensor | None, after: Tensor) -> None:
    """Raise if a tensor of the state that has no axis of x differs between two tiles.

    Args:
        before: That of another tile, or None.
        after: That of this one.

    Raises:
        MetaoptError: They differ.
    """
    if before is not None and not torch.equal(before, after):
        raise MetaoptError(
            f"The state holds {tree.describe(after)}, which has no axis of x but depends on all of it, so this network "
            "cannot be tiled; compute it whole."
        )
