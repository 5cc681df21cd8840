"""Convert matrices and the operators of other libraries to an ``Operator``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..core import tree
from ..core.errors import MetaoptError
from .dense import Dense
from .linear_map import LinearMap
from .operator import Operator


def as_operator(thing: Any) -> Operator:
    """Convert a matrix or a linear operator of another library to an :class:`Operator`.

    None of the other libraries is imported.

    Args:
        thing: One of

            - an ``Operator``, which is returned as it is;
            - a tensor (m, n) or (B, m, n), which becomes a :class:`Dense`;
            - an object with ``A`` and ``A_adjoint`` on batched tensors, as in deepinv, which becomes a
              :class:`LinearMap`;
            - an object with ``matmat``, ``rmatmat``, ``shape`` and ``dtype``, as in scipy.sparse.linalg and pylops,
              which becomes a :class:`LinearMap` on vectors (B, n).

    Returns:
        The operator.

    Raises:
        MetaoptError: ``thing`` is none of these.
    """
    if isinstance(thing, Operator):
        return thing
    if isinstance(thing, Tensor):
        if thing.ndim in (2, 3):
            return Dense(thing)
    elif callable(getattr(thing, "A", None)) and callable(getattr(thing, "A_adjoint", None)):
        return LinearMap(thing.A, thing.A_adjoint)
    elif all(hasattr(thing, name) for name in ("matmat", "rmatmat", "shape", "dtype")):
        rows, columns = thing.shape
        return LinearMap.from_numpy(_on_rows(thing.matmat, columns), _on_rows(thing.rmatmat, rows))
    got = tree.describe(thing) if isinstance(thing, Tensor) else type(thing).__name__
    raise MetaoptError(
        f"as_operator cannot make an operator of {got}; it takes an Operator, a tensor (m, n) or (B, m, n), an object "
        "with A and A_adjoint (deepinv), or one with matmat, rmatmat, shape and dtype (which "
        "scipy.sparse.linalg.aslinearoperator makes of an array or a sparse matrix). For two functions use "
        "LinearMap(forward, adjoint)."
    )


def _on_rows(function: Callable[[Any], Any], size: int) -> Callable[[Any], Any]:
    """Scipy keeps one sample per column, this library one per row."""

    def on_rows(x: Any) -> Any:
        if x.ndim != 2 or x.shape[1] != size:
            raise MetaoptError(
                f"This linear operator takes vectors (B, {size}), but got {tuple(x.shape)}; flatten the samples."
            )
        return function(x.T).T

    return on_rows
