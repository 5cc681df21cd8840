"""How far a map looks, and which shifts it does not notice: what tiling has to know of it.

Operators, updates, networks, priors and algorithms say so by two attributes, ``reach`` and ``period``:

- ``reach``: the output at a pixel depends on inputs at most so many pixels away. Of an operator it is that of A^H A, of
  an algorithm that of a step apart from the problem's operator.
- ``period``: shifting the input by so many pixels shifts the output. Of an operator it is also how many pixels of x
  there are for one of y.

Both are an int, which holds for all spatial axes, or a tuple with one int for each of the last axes. A map whose reach
is None, or that has none, may look everywhere and cannot be tiled.
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
    """What can be computed piece by piece; see this file's first lines."""

    @property
    def reach(self) -> PerAxis | None: ...

    @property
    def period(self) -> PerAxis: ...


def reach_of(part: Any, name: str = "reach") -> PerAxis | None:
    """The reach of a module, or the largest one of the modules in a slot; None where one of them has none.

    ``name``: the attribute that says it; a prior's prox has the reach ``prox_reach``.
    """
    return largest(*(getattr(module, name, None) for module in _modules(part)))


def period_of(part: Any) -> PerAxis:
    """The period of a module, or the least common multiple of those in a slot."""
    return common_multiple(*(getattr(module, "period", 1) for module in _modules(part)))


def total(*values: PerAxis | None) -> PerAxis | None:
    """The reach of maps one after another: the sum, axis by axis; None where one of them is."""
    return _combine(sum, 0, *values)


def largest(*values: PerAxis | None) -> PerAxis | None:
    """The reach of maps side by side: the maximum, axis by axis; None where one of them is."""
    return _combine(max, 0, *values)


def times(factor: PerAxis, value: PerAxis | None) -> PerAxis | None:
    """A reach in coarse pixels, each of ``factor`` fine ones, in fine ones."""
    return _combine(math.prod, 1, factor, value)


def common_multiple(*values: PerAxis) -> PerAxis:
    """The period of maps that are used together: the least common multiple, axis by axis."""
    period = _combine(lambda numbers: math.lcm(*numbers), 1, *values)
    assert period is not None
    return period


def per_axis(value: PerAxis, dims: int, fill: int) -> tuple[int, ...]:
    """One number for each of ``dims`` spatial axes; a tuple is for the last ones, and the others get ``fill``."""
    numbers = (value,) * dims if isinstance(value, int) else tuple(value)
    if len(numbers) > dims:
        raise MetaoptError(f"{numbers} is for {len(numbers)} axes, but there are {dims} spatial ones.")
    return (fill,) * (dims - len(numbers)) + numbers


def coarse(window: Window, period: PerAxis) -> Window:
    """The window of y that belongs to one of x, with one pixel for every ``period`` pixels."""
    factors = per_axis(period, len(window), 1)
    return tuple(slice(s.start // f, -(-s.stop // f)) for s, f in zip(window, factors, strict=True))


def crop(tensor: Tensor, window: Window) -> Tensor:
    """The window of the last axes; an axis of size 1 is shared by all pixels and stays."""
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
