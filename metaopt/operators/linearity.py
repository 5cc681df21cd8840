"""Check once, on random numbers, that a foreign map is linear and that its adjoint belongs to it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from ..core import autodiff, random, tree
from ..core.errors import MetaoptError, warn
from .linear_map import LinearMap
from .operator import Operator


def check_linear(operator: Operator, y: Tensor) -> None:
    """Raise unless a foreign map is linear, as far as one pair of random inputs shows; operators of this library are.

    For w like y, ``u = A^H w`` and a random v, it compares ``A (u - 2 v)`` with ``A u - 2 A v``, and ``Re<A u, w>``
    with ``|u|^2``. A map is foreign where it, or a part of it, is a :class:`LinearMap` or of a class from elsewhere.
    One that has passed is not tried again.

    Args:
        operator: A.
        y: A measurement, of which only shape, dtype and device are used.

    Raises:
        MetaoptError: A is not linear, draws random numbers, gives values that are not finite, or another shape than
            that of y.

    Warns:
        MetaoptWarning: The adjoint is wrong by more than one percent.
    """
    foreign = [part for part in _parts(operator) if _is_foreign(part)]
    known = autodiff.values_known() and not autodiff.inside_transform() and y.device.type != "meta"
    if not known or not y.numel() or all(vars(part).get("tried") for part in foreign):
        return
    generator = random.generator(0, y.numel())
    who = f"The map of this {type(operator).__name__}"
    with torch.no_grad():
        w = _random(y, generator)
        u = operator.adjoint(w)
        v = _random(u, generator)
        image, other, both = operator.apply(u), operator.apply(v), operator.apply(u - 2 * v)
    if image.shape != y.shape:
        raise MetaoptError(
            f"{who} gives {tree.describe(image)} for x {tree.describe(u)}, but the measurement is {tree.describe(y)}."
        )
    scale = float(image.norm() + 2 * other.norm())
    if not scale < float("inf") or not bool(u.isfinite().all()):
        raise MetaoptError(f"{who}, or its adjoint, gives values that are NaN or infinite for numbers of size 1.")
    exact = torch.finfo(image.dtype).eps ** 0.5
    if not float((both - (image - 2 * other)).norm()) <= max(1e-3, exact) * scale:
        raise MetaoptError(
            f"{who} is not linear, or draws random numbers: A(u - 2 v) differs from A u - 2 A v. InverseProblem needs "
            "a linear A; for another forward model write its energy as an Objective."
        )
    left, right = _inner(image, w), _inner(u, u)
    if not abs(left - right) <= max(1e-2, exact) * float(image.norm() * w.norm()):
        warn(
            f"The adjoint of this {type(operator).__name__} is wrong: Re<A u, w> is {left:.3g} and Re<u, A^H w> is "
            f"{right:.3g}, so gradients are not those of the energy; see check_adjoint."
        )
    for part in foreign:
        object.__setattr__(part, "tried", True)


def _parts(operator: Any) -> list[Any]:
    inner = [getattr(operator, f.name, None) for f in fields(operator)] if is_dataclass(operator) else []
    return [operator, *(part for child in inner if isinstance(child, Operator) for part in _parts(child))]


def _is_foreign(operator: Operator) -> bool:
    return isinstance(operator, LinearMap) or not type(operator).__module__.startswith("metaopt.")


def _random(like: Tensor, generator: torch.Generator) -> Tensor:
    dtype = torch.complex64 if like.is_complex() else torch.float32  # the same numbers in every precision
    return torch.randn(like.shape, dtype=dtype, generator=generator).to(like.device, like.dtype)


def _inner(a: Tensor, b: Tensor) -> float:
    if a.is_complex() != b.is_complex():  # for real y the imaginary part of A u does not count
        a, b = (t.real if t.is_complex() else t for t in (a, b))
    return float((a.conj() * b).real.sum())
