"""Convert matrices and the operators of other libraries to an ``Operator``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arguments.arrays import from_array
from ..arguments.checks import check_finite, check_tensor, explained, said
from ..core.errors import MetaoptError
from .dense import Dense
from .linear_map import LinearMap
from .operator import Operator


def as_operator(thing: Any) -> Operator:
    """Convert a matrix or a linear operator of another library to an :class:`Operator`.

    None of the other libraries is imported. A foreign map is taken to be linear, and its adjoint to be its own:
    :class:`~metaopt.InverseProblem` tries both once on random numbers, and :func:`check_adjoint` does so exactly.

    Args:
        thing: One of

            - an ``Operator``, which is returned as it is;
            - a tensor or a NumPy array (m, n) or (B, m, n), which becomes a :class:`Dense`;
            - a sparse matrix (m, n), of torch or of scipy, which becomes a :class:`LinearMap` on vectors (B, n);
            - an object with ``A`` and ``A_adjoint`` on batched tensors, as in deepinv, which becomes a
              :class:`LinearMap`;
            - an object with ``matmat``, ``rmatmat``, ``shape`` and ``dtype``, as in scipy.sparse.linalg and pylops,
              which becomes a :class:`LinearMap` on vectors (B, n).

    Returns:
        The operator.

    Raises:
        MetaoptError: ``thing`` is none of these, holds NaN or infinity, or has no adjoint.
    """
    if isinstance(thing, Operator):
        return thing
    if isinstance(thing, np.ndarray):
        thing = from_array("The matrix of as_operator", thing)
    if isinstance(thing, Tensor):
        if thing.layout != torch.strided and thing.ndim == 2:
            matrix = thing.detach().to_sparse_coo().coalesce()
            _check_values(matrix.values())
            return LinearMap(_SparseRows(matrix), _SparseRows(matrix.transpose(0, 1).conj_physical()))
        if thing.ndim in (2, 3):
            return Dense(thing)
    elif callable(getattr(thing, "A", None)) and callable(getattr(thing, "A_adjoint", None)):
        return LinearMap(thing.A, thing.A_adjoint)
    elif callable(getattr(thing, "tocsr", None)) and len(getattr(thing, "shape", ())) == 2:
        matrix, (rows, columns) = thing.tocsr(), thing.shape
        _check_values(from_array("The values of a sparse matrix", matrix.data))
        back = matrix.conj().T.tocsr()
        return LinearMap.from_numpy(_on_rows(matrix.dot, columns, rows), _on_rows(back.dot, rows, columns))
    elif all(hasattr(thing, name) for name in ("matmat", "rmatmat", "shape", "dtype")):
        rows, columns = thing.shape
        _check_products(thing, rows, columns)
        return LinearMap.from_numpy(_on_rows(thing.matmat, columns, rows), _on_rows(thing.rmatmat, rows, columns))
    raise MetaoptError(
        f"as_operator cannot make an operator of {said(thing)}; it takes an Operator, a tensor or array (m, n) or (B, "
        "m, n), a sparse matrix (m, n), an object with A and A_adjoint (deepinv), or one with matmat, rmatmat, shape "
        "and dtype (scipy.sparse.linalg, pylops). For two functions use LinearMap(forward, adjoint)."
    )


def _check_values(values: Tensor) -> None:
    check_finite(
        "The sparse matrix of as_operator", check_tensor("The values of a sparse matrix", values, "any", "(n)")
    )


def _check_products(thing: Any, rows: int, columns: int) -> None:
    """Scipy defines ``rmatmat`` in every case, and says only when it is called that there is no adjoint."""
    name, dtype = type(thing).__name__, np.float64 if thing.dtype is None else thing.dtype
    with explained(f"The product A x of this {name} {(rows, columns)} cannot be computed"):
        thing.matmat(np.zeros((columns, 1), dtype=dtype))
    try:
        thing.rmatmat(np.zeros((rows, 1), dtype=dtype))
    except (NotImplementedError, AttributeError, TypeError) as error:
        raise MetaoptError(
            f"This {name} has no adjoint that works ({error!r}): give it rmatvec or rmatmat, as in "
            "scipy.sparse.linalg.LinearOperator(shape, matvec=..., rmatvec=...)."
        ) from error
    except (ValueError, LookupError, RuntimeError, ArithmeticError) as error:
        raise MetaoptError(
            f"The product A^H y of this {name} {(rows, columns)} cannot be computed, look at its rmatvec: {error}"
        ) from error
    _check_columns(f"matvec of this {name}", getattr(thing, "matvec", None), thing.matmat, columns)
    _check_columns(f"rmatvec of this {name}", getattr(thing, "rmatvec", None), thing.rmatmat, rows)


def _check_columns(who: str, one: Any, many: Any, size: int) -> None:
    """Scipy hands columns (n, 1) to what was written for vectors (n), and np.fft.fft transforms the wrong axis then."""
    vector = np.arange(1.0, size + 1)
    try:
        alone = np.ravel(one(vector.copy()))
    except Exception:  # what takes no vectors alone is not asked for them
        return
    column = np.ravel(many(vector[:, None]))
    if alone.shape != column.shape or np.linalg.norm(alone - column) > 1e-2 * np.linalg.norm(alone):
        raise MetaoptError(
            f"The {who} gives another result for a vector ({size},) than for a column ({size}, 1), which scipy hands "
            "to it too; flatten what it gets, as in matvec=lambda x: function(x.ravel())."
        )


@dataclass(frozen=True, eq=False)
class _SparseRows:
    """Multiply rows x (B, n) by a sparse matrix (m, n) in the precision of x."""

    matrix: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        _check_rows(x, self.matrix.shape[1])
        dtype = torch.promote_types(x.dtype, torch.float32)
        if self.matrix.is_complex() and not dtype.is_complex:
            dtype = dtype.to_complex()
        y = (self.matrix.to(x.device, dtype) @ x.to(dtype).mT).mT
        return y if x.dtype.itemsize >= 4 else y.to(x.dtype)


def _on_rows(function: Callable[[Any], Any], size: int, result: int) -> Callable[[Any], Any]:
    """Scipy keeps one sample per column, this library one per row."""

    def on_rows(x: Any) -> Any:
        _check_rows(x, size)
        y = function(x.T)
        if np.shape(y) != (result, len(x)):
            raise MetaoptError(
                f"This linear operator must give an array {(result, len(x))} for one {(size, len(x))}, but gave "
                f"{np.shape(y)}; look at its matvec and rmatvec."
            )
        return y.T

    return on_rows


def _check_rows(x: Any, size: int) -> None:
    if x.ndim != 2 or x.shape[1] != size:
        raise MetaoptError(
            f"This linear operator takes vectors (B, {size}), but got {tuple(x.shape)}; flatten the samples."
        )
