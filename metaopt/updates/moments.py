"""Running means of gradients and of their squares, as Adam and RMSprop keep them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..core import tree


def zeros(x: Any) -> Any:
    """A running mean before the first step. Complex numbers are kept as their real and imaginary parts."""
    return tree.map(lambda t: torch.zeros_like(as_real(t)), x)


def running_mean(mean: Any, values: Any, rate: Tensor) -> Any:
    """mean <- mean + rate * (values - mean)."""
    rates: dict[Any, Tensor] = {}  # lerp wants one of each dtype; casting for every tensor would show in the time

    def blend(old: Tensor, new: Tensor) -> Tensor:
        kind = new.dtype, new.device
        if kind not in rates:
            rates[kind] = rate.to(new)
        return torch.lerp(old, new, rates[kind])

    return tree.map(blend, mean, values)


def root(square: Tensor) -> Tensor:
    """The square root, with derivative 0 at 0 instead of infinity, which would make 0 * infinity = NaN of it.

    An exactly zero gradient is common (a dead ReLU unit). The floor is the smallest positive number there is, so that
    no other value changes and the root of 0 is lost beside any epsilon.
    """
    limits = torch.finfo(square.dtype)
    return square.clamp_min(limits.tiny * limits.eps).sqrt()


def as_real(tensor: Tensor) -> Tensor:
    """Complex numbers as a last axis of length 2: ``torch.optim`` scales real and imaginary parts separately."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def like(change: Tensor, x: Tensor) -> Tensor:
    """Undo :func:`as_real` where x is complex, and keep x's dtype where it is 0-dim."""
    return torch.view_as_complex(change) if x.is_complex() else change.to(x.dtype)
