"""Check once that an operator gives measurements like y, and that a foreign map is linear and has its adjoint."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from ..arguments.checks import explained, said
from ..core import autodiff, random, tree
from ..core.errors import MetaoptError, warn
from .linear_map import LinearMap
from .operator import Operator


def check_linear(operator: Operator, y: Tensor) -> None:
    """Raise unless a foreign map is linear, as far as a few random inputs show; operators of this library are.

    For w like y, ``u = A^H w`` and a random v, it compares ``A (u - 2 v)`` with ``A u - 2 A v``, and ``A (c v)`` with
    ``c A v`` where c gives it the norm of y. Then it compares ``Re<A u, w>`` with ``|u|^2``, for a wrong factor,
    and ``Re<A v, w>`` with ``Re<v, A^H w>`` for two w, which shows what the adjoint leaves out. A map is foreign where
    it, or a part of it, is a :class:`LinearMap` or of a class from elsewhere. One that has passed is not tried again
    for a y of the same order of magnitude, dtype and shape of its samples.

    Args:
        operator: A.
        y: A measurement, of which only shape, dtype, device and norm are used.

    Raises:
        MetaoptError: A is not linear, draws random numbers, gives values that are not finite, or another shape than
            that of y; or A or its adjoint cannot be computed.

    Warns:
        MetaoptWarning: The adjoint is wrong by more than one percent.
    """
    foreign = [part for part in _parts(operator) if _is_foreign(part)]
    if not foreign or not _is_known(y):
        return
    size = _norm(y) / y.numel() ** 0.5
    kind = round(math.log10(size)) if 0 < size < math.inf else None, tuple(y.shape[1:]), y.dtype
    if all(kind in vars(part).get("tried", ()) for part in foreign):
        return
    with torch.no_grad():
        wrong = _try(operator, y, size)
    if wrong:
        warn(wrong)
    for part in foreign:
        object.__setattr__(part, "tried", {kind, *vars(part).get("tried", ())})


def check_image(operator: Operator, y: Tensor) -> None:
    """Raise unless ``A A^H y`` has the shape of y, and is complex where y is.

    It is computed once for each shape of y. Maps with foreign parts are left to :func:`check_linear`.

    Args:
        operator: A.
        y: A measurement.

    Raises:
        MetaoptError: The shapes or kinds differ, ``A^H y`` has another number of samples, or A or its adjoint cannot be
            computed.
    """
    kind, tried = (tuple(y.shape), y.dtype), vars(operator).get("fits", ())
    if not _is_known(y) or kind in tried or any(map(_is_foreign, _parts(operator))):
        return
    name = type(operator).__name__
    with torch.no_grad():
        x = _computed(f"The adjoint of {name}", operator.adjoint, y)
        image = _computed(name, operator.apply, x)
    if image.shape != y.shape or image.is_complex() != y.is_complex():
        raise MetaoptError(
            f"{name} gives {tree.describe(image)} for x {tree.describe(x)}, but the measurement y is "
            f"{tree.describe(y)}; y has the shape of A x, batch first, and is complex where A x is."
        )
    _check_batch(name, x, y)
    object.__setattr__(operator, "fits", {kind, *tried})


def _check_batch(name: str, x: Tensor, y: Tensor) -> None:
    """Raise unless x has as many samples as y, which it lacks where the operator takes the samples for an axis."""
    if x.shape[:1] != y.shape[:1]:
        raise MetaoptError(
            f"The adjoint of {name} gives {tree.describe(x)} for the measurement y {tree.describe(y)}, but the first "
            "axis of both is that of the samples; for a single one give y[None]."
        )


def _is_known(y: Tensor) -> bool:
    """Return whether y has values that may be looked at."""
    known = autodiff.values_known() and not autodiff.inside_transform()
    return known and y.device.type != "meta" and y.numel() > 0


def _try(operator: Operator, y: Tensor, size: float) -> str:
    """Raise unless A is linear, and return what is wrong with its adjoint, or nothing."""
    name, generator = type(operator).__name__, random.generator(0, y.numel())
    who = f"The map of this {name}"
    w, other_w = _random(y, generator), _random(y, generator)
    u, other_u = (_computed(f"The adjoint of this {name}", operator.adjoint, t) for t in (w, other_w))
    v = _random(u, generator)
    image, other, both = (_computed(who, operator.apply, x) for x in (u, v, u - 2 * v))
    if image.shape != y.shape:
        raise MetaoptError(
            f"{who} gives {tree.describe(image)} for x {tree.describe(u)}, but the measurement is {tree.describe(y)}."
        )
    _check_batch(f"this {name}", u, y)
    scale = _norm(image) + 2 * _norm(other)
    if not scale < float("inf") or not bool(u.isfinite().all()):
        raise MetaoptError(f"{who}, or its adjoint, gives values that are NaN or infinite for numbers of size 1.")
    numbers = torch.finfo(image.dtype)
    exact = numbers.eps**0.5
    if not _norm(both - (image - 2 * other)) <= max(1e-3, exact) * scale:
        raise MetaoptError(
            f"{who} is not linear, or draws random numbers: A(u - 2 v) differs from A u - 2 A v. InverseProblem needs "
            "a linear A; for another forward model write its energy as an Objective."
        )
    factor = size * y.numel() ** 0.5 / (_norm(other) or math.inf)
    if factor and numbers.tiny < size * numbers.eps and size < numbers.max * numbers.eps:
        large = _computed(who, operator.apply, factor * v)
        if not _norm(large - factor * other) <= max(1e-3, exact) * factor * _norm(other):
            raise MetaoptError(
                f"{who} is not linear for numbers of the size of y, {size:.3g}, though it is for those of size 1: "
                f"A(c v) differs from c A v for c = {factor:.3g}. InverseProblem needs a linear A; mask out what "
                "saturates or is cut off, or write the energy of this forward model as an Objective."
            )
    pairs = [(_inner(image, w), _inner(u, u), _norm(image) * _norm(w))]
    for seen, back in ((w, u), (other_w, other_u)):  # of random numbers, the sides have the size of A v or of A^H w
        pairs.append((_inner(other, seen), _inner(v, back), max(_norm(other), _norm(back))))
    left, right, _ = max(pairs, key=lambda pair: abs(pair[0] - pair[1]) / (pair[2] or 1.0))
    if all(abs(one - two) <= max(1e-2, exact) * most for one, two, most in pairs):
        return ""
    return (
        f"The adjoint of this {name} is wrong: Re<A u, w> is {left:.3g} and Re<u, A^H w> is {right:.3g}, so gradients "
        "are not those of the energy; see check_adjoint."
    )


def _computed(who: str, function: Any, x: Tensor) -> Tensor:
    with explained(f"{who} cannot be computed for {tree.describe(x)}, which a measurement like y leads to"):
        value = function(x)
    if not isinstance(value, Tensor):
        raise MetaoptError(f"{who} must give one tensor, but gave {said(value)} for {tree.describe(x)}.")
    return value


def _parts(operator: Any) -> list[Any]:
    inner = [getattr(operator, f.name, None) for f in fields(operator)] if is_dataclass(operator) else []
    return [operator, *(part for child in inner if isinstance(child, Operator) for part in _parts(child))]


def _is_foreign(operator: Operator) -> bool:
    return isinstance(operator, LinearMap) or not type(operator).__module__.startswith("metaopt.")


def _random(like: Tensor, generator: torch.Generator) -> Tensor:
    dtype = torch.complex64 if like.is_complex() else torch.float32  # the same numbers in every precision
    return torch.randn(like.shape, dtype=dtype, generator=generator).to(like.device, like.dtype)


def _norm(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(_double(tensor)))


def _inner(a: Tensor, b: Tensor) -> float:
    if a.is_complex() != b.is_complex():  # for real y the imaginary part of A u does not count
        a, b = (t.real if t.is_complex() else t for t in (a, b))
    return float((_double(a).conj() * _double(b)).real.sum())


def _double(tensor: Tensor) -> Tensor:
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)
