"""Check that an operator and its adjoint belong together, by the dot test."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..arguments.checks import check_number, check_tensor, check_whole
from ..core import random, tree
from ..core.errors import MetaoptError
from .adapt import as_operator
from .operator import Operator
from .shapes import check_counts


def check_adjoint(
    operator: Any, x: Tensor | tuple[int, ...], *, tolerance: float | None = None, seed: int = 0
) -> float:
    """Return the largest ``|Re<A u, v> - Re<u, A^H v>| / (|A u| |v|)`` over two random pairs u, v.

    Args:
        operator: A, or anything that :func:`as_operator` takes.
        x: An example input, or the shape of one, which then has the precision of the operator's tensors (float64 where
            it has none), and is complex where the operator takes no real input.
        tolerance: The largest error that passes; by default 1e-10 for float64, 1e-4 for float32 and 1e-2 below.
        seed: The seed of the random pairs.

    Returns:
        The largest relative error, a number without unit.

    Raises:
        MetaoptError: The error exceeds the tolerance, or A^H v has another shape than u. The message says by how much
            the adjoint is wrong, and by which factor if it is a multiple of the right one.
    """
    operator = as_operator(operator)
    if tolerance is not None:
        check_number("The tolerance of check_adjoint", tolerance, 0)
    generator = random.generator(check_whole("The seed of check_adjoint", seed))
    if isinstance(x, Tensor):
        example = check_tensor("The example input of check_adjoint", x, "real or complex")
    else:
        example = _example(operator, check_counts("The shape of the input of check_adjoint", x))
    if tolerance is None:
        tolerance = {torch.float64: 1e-10, torch.float32: 1e-4}.get(example.dtype.to_real(), 1e-2)
    with torch.no_grad():
        errors, factors = zip(*(_compare(operator, example, generator) for _ in range(2)), strict=True)
    error = max(errors)
    if not error <= tolerance:
        constant = abs(factors[0] - factors[1]) <= 1e-3 * abs(factors[0])
        finding = f"it is {factors[0]:.6g} times the right one" if constant else "it is no multiple of the right one"
        raise MetaoptError(
            f"The adjoint of {type(operator).__name__} is wrong by {error:.3g} of |A u| |v|, more than the tolerance "
            f"{tolerance:.3g}; {finding}."
        )
    return error


def _example(operator: Operator, shape: tuple[int, ...]) -> Tensor:
    """An input of the given shape, in the precision and on the device of the operator, of the kind that it takes."""
    held = [t for t in tree.leaves(operator) if t.is_floating_point() or t.is_complex()]
    dtype, device = (held[0].dtype, held[0].device) if held else (torch.float64, None)
    example = torch.zeros(shape, dtype=dtype.to_real(), device=device)
    try:
        with torch.no_grad():
            operator.apply(example)
    except MetaoptError as error:
        complex_example = example.to(dtype.to_complex())
        try:
            with torch.no_grad():
                operator.apply(complex_example)
        except MetaoptError:
            raise error from None
        return complex_example
    return example


def _compare(operator: Operator, example: Tensor, generator: torch.Generator) -> tuple[float, float]:
    """The relative error of one dot test, and the ratio of its two sides."""
    u = _random_like(example, generator)
    image = operator.apply(u)
    v = _random_like(image, generator)
    back = operator.adjoint(v)
    if back.shape != u.shape:
        raise MetaoptError(
            f"The adjoint of {type(operator).__name__} gives {tree.describe(back)} for inputs {tree.describe(u)}; it "
            "must return their shape."
        )
    left, right = _inner(image, v), _inner(u, back)
    scale = max(float(image.norm() * v.norm()), torch.finfo(u.dtype.to_real()).tiny)
    return abs(left - right) / scale, right / left if left else float("inf")


def _random_like(example: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(example.shape, dtype=example.dtype, generator=generator).to(example.device)


def _inner(a: Tensor, b: Tensor) -> float:
    """Re<a, b>, summed in double precision."""
    return float((a.to(torch.complex128).conj() * b.to(torch.complex128)).real.sum())
