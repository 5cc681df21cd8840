"""Running means of gradients and of their squares, as Adam and RMSprop keep them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..core import tree


def zeros(x: Any) -> Any:
    """Return a running mean before the first step, with complex numbers as their real and imaginary parts."""
    return tree.map(lambda t: torch.zeros_like(as_real(t)), x)


def running_mean(mean: Any, values: Any, rate: Tensor) -> Any:
    """Return ``mean + rate * (values - mean)``."""
    weight = matching(rate)
    return tree.map(lambda old, new: torch.lerp(old, as_real(new), weight(old)), mean, values)


def running_square(mean: Any, values: Any, decay: Tensor) -> Any:
    """Return ``decay * mean + (1 - decay) * values^2``.

    It is not written with ``lerp``, whose difference makes NaN of a square that overflows. With this order of factors
    a square overflows where it does in ``torch.optim``, and its mean is then infinite: the step is 0.
    """
    keep, take = matching(decay), matching(1 - decay)

    def blend(old: Tensor, new: Tensor) -> Tensor:
        new = as_real(new)
        return torch.addcmul(keep(old) * old, take(old) * new, new)

    return tree.map(blend, mean, values)


def matching(value: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function that converts ``value`` to a tensor's dtype and device, once for each.

    Operations on mixed dtypes would convert it every time.
    """
    converted: dict[Any, Tensor] = {}

    def like(tensor: Tensor) -> Tensor:
        kind = tensor.dtype, tensor.device
        if kind not in converted:
            converted[kind] = value.to(tensor)
        return converted[kind]

    return like


def root(square: Tensor) -> Tensor:
    """Return the square root, with derivative 0 at 0 instead of infinity.

    An exactly zero gradient is common (a dead ReLU unit), and 0 * infinity would make NaN of it. The floor is the
    smallest normal number, whose root is negligible beside any epsilon; subnormal numbers would take the processor ten
    times as long. ``threshold`` is used since the derivative of ``clamp_min`` is slower.
    """
    # Squares of ordinary gradients are subnormal numbers in half precision, which nothing slows down.
    tiny = 2.0**-24 if square.dtype == torch.float16 else torch.finfo(square.dtype).tiny
    return torch.threshold(square, tiny, tiny).sqrt()


def as_real(tensor: Tensor) -> Tensor:
    """View complex numbers as pairs along a last axis: ``torch.optim`` scales real and imaginary parts separately."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def as_complex(change: Tensor, x: Tensor) -> Tensor:
    """Undo :func:`as_real` where x is complex."""
    return torch.view_as_complex(change) if x.is_complex() else change
