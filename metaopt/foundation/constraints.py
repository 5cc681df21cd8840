"""Check the value of a slot, and keep a learned one inside its bounds, as a function of a parameter without any."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor

from .errors import MetaoptError
from .words import describe, said

INFINITE = float("inf")


def is_interval(bounds: Any) -> bool:
    """Tell whether ``bounds`` are two numbers, low < high, both finite or 0 and infinity."""
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        return False
    for bound in bounds:
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            return False
        if not (abs(bound) <= sys.float_info.max or bound == INFINITE):  # an int may be larger than any float
            return False
    low, high = bounds
    return low < high and (high < INFINITE or low == 0)


def constrained(base: Tensor, raw: Tensor, low: float, high: float) -> Tensor:
    """Return the value that belongs to the parameter ``raw``: at 0 it is ``base``.

    It is ``base * exp(raw)`` where there is no upper bound, and otherwise ``base + room * tanh(raw / room)`` with the
    room up to the bound on either side, which is twice continuously differentiable. In a narrow dtype the bounds may be
    beyond its range, and no room may be left by its rounding: then the value stays where it is on that side.

    Args:
        base: The starting value.
        raw: The parameter, of the shape of ``base``.
        low: The lower bound.
        high: The upper bound.
    """
    if high == INFINITE:
        return base * torch.exp(raw)
    limits = torch.finfo(base.dtype)
    above, below = min(float(high), limits.max) - base, base - max(float(low), limits.min)
    room = torch.where(raw >= 0, above, below).clamp(limits.tiny, limits.max)
    return base + room * torch.tanh(raw / room)


def as_number(value: Any) -> Tensor:
    """Return a number or a dense tensor as a tensor of its own, in which a number has 64 bits."""
    if isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized:
        return value.detach().clone()
    large = isinstance(value, int) and abs(value) > torch.finfo(torch.float64).max
    if isinstance(value, bool) or large or not isinstance(value, int | float | complex):
        raise MetaoptError(f"A slot holds a number, dense tensor or module, not {said(value)}.")
    return torch.tensor(value, dtype=torch.complex128 if isinstance(value, complex) else torch.float64)


def check_value(value: Tensor, learned: bool, interval: Any) -> None:
    """Raise if a slot cannot hold ``value``, not learn it, or not keep it within the interval (low, high)."""
    if value.dtype.itemsize == 1 if value.is_floating_point() else learned and not value.is_complex():
        raise MetaoptError(f"A slot learns floating or complex numbers, but its value is {describe(value)}.")
    if value.is_meta:
        return
    if not bool(value.isfinite().all()):
        raise MetaoptError(f"A slot holds finite values, but got {value[~value.isfinite()].flatten()[0].item()}.")
    if interval is None:
        return
    low, high = map(float, interval)
    if value.is_complex() or not bool(((value > low) & (value < high)).all()):
        inside = f"between {interval[0]} and {interval[1]}"
        raise MetaoptError(f"The starting value {value.tolist()} must lie strictly {inside}, or it could never move.")
