"""Define how far a map looks and by which shifts it is unchanged, which tiling has to know.

Operators, updates, networks, priors and algorithms state it by two attributes:

- ``reach``: the output at a pixel depends on inputs at most this many pixels away. For an operator it is the reach of
  A^H A; for an algorithm it is the reach of a step without the problem's operator.
- ``period``: shifting the input by this many pixels shifts the output. For an operator it is also the number of pixels
  of x for one pixel of y.

Both are an int, which holds for all spatial axes, or a tuple with one int for each of the last axes. A map whose reach
is None, or that has no such attribute, may look everywhere and cannot be tiled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from ..core import MetaoptError

PerAxis = int | tuple[int, ...]
Window = tuple[slice, ...]


class Local(Protocol):
    """A map is local if it can be computed piece by piece; the top of this file explains both attributes."""

    @property
    def reach(self) -> PerAxis | None: ...

    @property
    def period(self) -> PerAxis: ...


def reach_of(part: Any, name: str = "reach") -> PerAxis | None:
    """Return the reach of a module, or the largest reach of the modules in a slot; None where one of them has none.

    Args:
        part: A module or a slot.
        name: The attribute to read; a prior's prox, for example, has the reach ``prox_reach``.
    """
    return largest(*(getattr(module, name, None) for module in _modules(part)))


def period_of(part: Any) -> PerAxis:
    """Return the period of a module, or the least common multiple of the periods of the modules in a slot."""
    return common_multiple(*(getattr(module, "period", 1) for module in _modules(part)))


def total(*values: PerAxis | None) -> PerAxis | None:
    """Return the reach of maps that follow one another: the sum along each axis, or None where one of them is None."""
    return _combine(sum, 0, *values)


def largest(*values: PerAxis | None) -> PerAxis | None:
    """Return the reach of maps side by side: the maximum along each axis, or None where one of them is None."""
    return _combine(max, 0, *values)


def times(factor: PerAxis, value: PerAxis | None) -> PerAxis | None:
    """Convert a reach from coarse pixels, each of ``factor`` fine pixels, to fine pixels."""
    return _combine(math.prod, 1, factor, value)


def common_multiple(*values: PerAxis) -> PerAxis:
    """Return the period of maps that are used together: the least common multiple along each axis."""
    period = _combine(lambda numbers: math.lcm(*numbers), 1, *values)
    assert period is not None
    return period


def per_axis(value: PerAxis, dims: int, fill: int) -> tuple[int, ...]:
    """Return one number for each of ``dims`` spatial axes.

    Args:
        value: An int for all axes, or a tuple for the last axes.
        dims: The number of spatial axes.
        fill: The number for the axes that a tuple leaves out.

    Raises:
        MetaoptError: The tuple has more than ``dims`` entries.
    """
    numbers = (value,) * dims if isinstance(value, int) else tuple(value)
    if len(numbers) > dims:
        raise MetaoptError(f"{numbers} is for {len(numbers)} axes, but there are {dims} spatial ones.")
    return (fill,) * (dims - len(numbers)) + numbers


def coarse(window: Window, period: PerAxis) -> Window:
    """Return the window of y that belongs to a window of x, with one pixel for every ``period`` pixels."""
    factors = per_axis(period, len(window), 1)
    return tuple(slice(s.start // f, -(-s.stop // f)) for s, f in zip(window, factors, strict=True))


def crop(tensor: Tensor, window: Window) -> Tensor:
    """Cut a window out of the last axes of a tensor; an axis of size 1, which all pixels share, is kept whole."""
    axes = window[-tensor.ndim :] if tensor.ndim else ()
    sizes = tensor.shape[tensor.ndim - len(axes) :]
    return tensor[(..., *(slice(None) if n == 1 else s for n, s in zip(sizes, axes, strict=True)))]


def _modules(part: Any) -> list[Any]:
    """What a slot holds, as a list; anything else is itself a module."""
    content = part.content() if callable(getattr(part, "content", None)) else part
    return content if isinstance(content, list) else [content]


def _combine(rule: Callable[[Any], int], fill: int, *values: PerAxis | None) -> PerAxis | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    dims = max((len(value) for value in known if not isinstance(value, int)), default=0)
    if not dims:
        return rule(known)
    return tuple(rule(axis) for axis in zip(*(per_axis(value, dims, fill) for value in known), strict=True))
