"""Store a sparse matrix as plain tensors, with products in time and memory linear in the number of its entries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arguments.checks import check_count, check_tensor, said
from ..core import MetaoptError, tree


@dataclass(frozen=True, eq=False)
class SparseMatrix:
    """Store a sparse matrix M with ``M[rows[e], columns[e]] = values[e]``, for products ``M @ dense``.

    Entries at the same place add up. The product can be differentiated with respect to ``values`` and the dense factor,
    to every order. Both M and its transpose are kept in compressed order, so that a product and its gradient are each
    one ``embedding_bag``, which on a CPU is several times faster than a gather and a scatter.

    Args:
        rows: (E,) int64, in any order; the entries are kept sorted by row.
        columns: (E,) int64.
        values: (E,) floating.
        shape: (n, m).

    Raises:
        MetaoptError: These do not fit each other, an entry lies outside of the shape, or a value is not finite.
    """

    rows: Tensor
    columns: Tensor
    values: Tensor
    shape: tuple[int, int]
    starts: Tensor = field(init=False, repr=False)
    column_order: Tensor = field(init=False, repr=False)
    column_rows: Tensor = field(init=False, repr=False)
    column_starts: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check(self)
        order = torch.argsort(self.rows, stable=True)
        self._set("rows", self.rows[order])
        self._set("columns", self.columns[order])
        self._set("values", self.values[order])
        self._set("starts", _starts(self.rows, self.shape[0]))
        by_column = torch.argsort(self.columns, stable=True)
        self._set("column_order", by_column)
        self._set("column_rows", self.rows[by_column])
        self._set("column_starts", _starts(self.columns, self.shape[1]))

    def __matmul__(self, dense: Tensor) -> Tensor:
        """Multiply by a dense matrix: (n, m) @ (m, w) gives (n, w)."""
        if not isinstance(dense, Tensor) or dense.ndim != 2 or len(dense) != self.shape[1]:
            raise MetaoptError(f"A sparse {self.shape} times {said(dense)} does not fit.")
        if not dense.is_floating_point():
            raise MetaoptError(f"A sparse matrix multiplies floating tensors, but got {said(dense)}.")
        return _Product.apply(self.values.to(dense.dtype), dense.contiguous(), self, False)

    def with_values(self, values: Tensor) -> SparseMatrix:
        """Return a matrix with other values at the same places, in the order of ``rows``, without checks or sorting."""
        return tree.replace(self, {"values": values})

    def to_dense(self) -> Tensor:
        """Return the matrix as a dense tensor (n, m)."""
        zeros = self.values.new_zeros(self.shape)
        return zeros.index_put((self.rows, self.columns), self.values, accumulate=True)

    @staticmethod
    def from_dense(matrix: Tensor) -> SparseMatrix:
        """Make a sparse matrix of the entries of a dense one that are not 0."""
        check_tensor("The matrix", matrix, "real", "(n, m)")
        rows, columns = matrix.nonzero(as_tuple=True)
        return SparseMatrix(rows, columns, matrix[rows, columns], (matrix.shape[0], matrix.shape[1]))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _check(matrix: SparseMatrix) -> None:
    if not isinstance(matrix.shape, tuple | list) or len(matrix.shape) != 2:
        raise MetaoptError(f"The shape of a sparse matrix is two whole numbers, but got {said(matrix.shape)}.")
    for size in matrix.shape:
        check_count("A side of a sparse matrix", size, low=0)
    for name in ("rows", "columns", "values"):
        check_tensor(f"The {name} of a sparse matrix", getattr(matrix, name), "any")
    for name, index, size in (("row", matrix.rows, matrix.shape[0]), ("column", matrix.columns, matrix.shape[1])):
        if index.ndim != 1 or index.dtype != torch.int64 or index.shape != matrix.values.shape:
            raise MetaoptError(
                f"A sparse matrix needs one int64 {name} for each value, but has {tree.describe(index)} for "
                f"{tree.describe(matrix.values)}."
            )
        outside = index[(index < 0) | (index >= size)]
        if len(outside):
            raise MetaoptError(f"A sparse matrix of shape {matrix.shape} has no {name} {int(outside[0])}.")
    if not matrix.values.is_floating_point():
        raise MetaoptError(f"The values of a sparse matrix must be floating, not {tree.describe(matrix.values)}.")
    if not bool(torch.isfinite(matrix.values).all()):
        raise MetaoptError("A sparse matrix holds values that are NaN or infinite; set them to 0 or leave them out.")


def _starts(sorted_or_not: Tensor, size: int) -> Tensor:
    """Where each row begins in the order sorted by row, and behind them the number of entries."""
    return F.pad(torch.bincount(sorted_or_not, minlength=size).cumsum(0), (1, 0))


class _Product(torch.autograd.Function):
    """M h, or M^T h, differentiated by M's values and by h through the same function, hence to every order."""

    @staticmethod
    def forward(values: Tensor, h: Tensor, matrix: SparseMatrix, transposed: bool) -> Tensor:
        if transposed:
            return _bags(matrix.column_rows, h, matrix.column_starts, values[matrix.column_order])
        return _bags(matrix.columns, h, matrix.starts, values)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        values, h, ctx.matrix, ctx.transposed = inputs
        ctx.save_for_backward(values, h)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        (values, h), matrix, for_values, for_h = ctx.saved_tensors, ctx.matrix, None, None
        (gradient,) = gradients
        if ctx.needs_input_grad[0]:
            left, right = (h, gradient) if ctx.transposed else (gradient, h)
            for_values = (left[matrix.rows] * right[matrix.columns]).sum(1)  # torch sums 16 bits in 32
        if ctx.needs_input_grad[1]:
            for_h = _Product.apply(values, gradient.contiguous(), matrix, not ctx.transposed)
        return for_values, for_h, None, None


def _bags(index: Tensor, h: Tensor, starts: Tensor, values: Tensor) -> Tensor:
    """Row i is the sum of values[e] h[index[e]] over starts[i] <= e < starts[i + 1]."""
    if not len(index):
        return h.new_zeros(len(starts) - 1, h.shape[1])
    if h.dtype.itemsize < 4:  # sums of many terms need more than 16 bits
        return _bags(index, h.float(), starts, values.float()).to(h.dtype)
    return F.embedding_bag(index, h, starts, mode="sum", per_sample_weights=values, include_last_offset=True)
