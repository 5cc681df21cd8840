"""One right call of every public constructor and function, in which the tests replace one argument after the other."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metaopt import tree


@dataclass(frozen=True)
class Call:
    """A right call: ``function(**arguments())``.

    - ``use``: what is done with the result, such as running a network once, so that an argument that is kept is seen.
    - ``free``: arguments that are not replaced, with the reason in a comment of the row.
    - ``but``: replacements, as in ``"until=class"``, that cannot be told from right ones.
    - ``finite``: finite arguments give finite results.
    """

    function: Callable[..., Any]
    arguments: Callable[[], Mapping[str, Any]]
    use: Callable[[Any], Any] = lambda result: result
    free: tuple[str, ...] = ()
    but: tuple[str, ...] = ()
    finite: bool = True

    def run(self, **replaced: Any) -> Any:
        return self.use(self.function(**{**self.arguments(), **replaced}))


NOT_A_CALL = object()  # in a table: a name that has no call of its own, such as a protocol or a module

PLAIN: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "text": lambda: "text",
    "3": lambda: 3,
    "2.5": lambda: 2.5,
    "-1": lambda: -1,
    "0": lambda: 0,
    "nan": lambda: float("nan"),
    "True": lambda: True,
    "list": lambda: [1, 2],
    "dict": dict,
    "object": object,
    "class": lambda: torch.nn.Linear,
    "whole": lambda: torch.tensor([[0, 1], [1, 0]]),
    "bools": lambda: torch.tensor([[True, False]]),
    "empty": lambda: torch.zeros(0, 2),
    "scalar": lambda: torch.tensor(0.5),
    "meta": lambda: torch.zeros(2, 3, device="meta"),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "float8": lambda: torch.ones(2, 3).to(torch.float8_e4m3fn),
    "complex": lambda: torch.ones(2, 3, dtype=torch.complex64),
}


def alternatives(right: Any) -> Iterator[tuple[str, Any]]:
    """What stands in the place of a right argument: odd things, and tensors and functions that are nearly right."""
    for name, make in PLAIN.items():
        yield name, make()
    if isinstance(right, Tensor):
        yield from _near(right)
    elif callable(right) and not isinstance(right, type):
        yield "no argument", lambda: torch.zeros(())
        yield "six arguments", lambda a, b, c, d, e, f: torch.zeros(())
    elif isinstance(right, list | tuple) and right:
        yield "one item fewer", type(right)(right[:-1]) if type(right) in (list, tuple) else right
        yield "one item more", type(right)([*right, right[-1]]) if type(right) in (list, tuple) else right
        yield "items of text", ["text"] * len(right)


def _near(right: Tensor) -> Iterator[tuple[str, Tensor]]:
    yield "one axis more", right[None]
    if right.ndim:
        yield "one axis fewer", right[0] if len(right) else right.sum(0)
        yield "longer", torch.cat([right, right])
        yield "shorter", right[:0]
        yield "last axis longer", torch.cat([right, right], dim=-1)
    for dtype in (torch.float16, torch.float64, torch.complex64, torch.int64, torch.bool):
        yield str(dtype), right.real.to(dtype) if right.is_complex() else right.to(dtype)
    yield "on meta", right.to("meta")
    yield "sparse too", right.to_sparse() if right.ndim else right
    if right.dtype != torch.bool:
        yield "negative", -right - 1
        yield "large", right + 100
    if right.is_floating_point() or right.is_complex():
        yield "NaN", right * float("nan")


def finite(result: Any) -> bool:
    """Whether no floating-point tensor of a result holds NaN or infinity, but for the logarithm of 0."""
    tensors = [t for t in tree.leaves(result) if (t.is_floating_point() or t.is_complex()) and not t.is_meta]
    tensors = [t for t in tensors if t.dtype.itemsize > 1]  # torch computes nothing with float8
    tensors = [t if t.layout is torch.strided else t.to_dense() for t in tensors]
    return not any(bool(t.isnan().any()) or bool((t.abs() == torch.inf).logical_and(t.real > 0).any()) for t in tensors)


def has_finite(value: Any) -> bool:
    """Whether a replaced argument is itself finite, or nothing that could be."""
    if isinstance(value, float):
        return value == value
    return not isinstance(value, Tensor) or value.is_meta or value.dtype.itemsize < 2 or finite(value)


def names_of(function: Callable[..., Any]) -> list[str]:
    """The names of the arguments of a public callable."""
    return [
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
