"""Represent a matrix as an operator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..arguments.checks import check_finite, check_tensor
from ..core import tree
from ..core.errors import MetaoptError
from .operator import Operator, check_shared, check_trailing, same_kind
from .shapes import check_counts


@dataclass(frozen=True, eq=False, init=False)
class Dense(Operator):
    """Multiply the flattened trailing axes of x by a matrix: ``y = A x``, ``(..., *shape) -> (..., m)``.

    Args:
        matrix: A, (m, n) shared by all leading axes of x, or (B, m, n) with one matrix for each entry of the first
            axis. Whole numbers and truth values become float64.
        shape: The trailing axes of x, with n entries in all; by default (n,).

    Raises:
        MetaoptError: The matrix is not finite, it and the shape disagree, x ends in other axes, the batches differ,
            or the matrix is complex and x is real.
    """

    matrix: Tensor
    shape: tuple[int, ...]

    def __init__(self, matrix: Tensor, shape: Sequence[int] | None = None) -> None:
        check_finite("The matrix of Dense", check_tensor("The matrix of Dense", matrix, "any"))
        matrix = matrix if matrix.is_floating_point() or matrix.is_complex() else matrix.double()
        if matrix.ndim not in (2, 3):
            raise MetaoptError(f"Dense needs a matrix (m, n) or (B, m, n), but got {tree.describe(matrix)}.")
        shape = tuple(matrix.shape[-1:]) if shape is None else check_counts("The shape of Dense", shape)
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "shape", shape)
        if torch.Size(shape).numel() != matrix.shape[-1]:
            raise MetaoptError(
                f"Dense with a matrix {tuple(matrix.shape)} acts on {matrix.shape[-1]} entries, but shape "
                f"{shape} has {torch.Size(shape).numel()}; the last axis of the matrix must be their product."
            )

    def apply(self, x: Tensor) -> Tensor:
        check_trailing("Dense", x, self.shape)
        return self._multiply(x.reshape(*x.shape[: x.ndim - len(self.shape)], math.prod(self.shape)), self.matrix.mT)

    def adjoint(self, y: Tensor) -> Tensor:
        check_trailing("the adjoint of Dense", y, self.matrix.shape[-2:-1])
        return self._multiply(y, self.matrix.conj()).unflatten(-1, self.shape)

    def _multiply(self, vectors: Tensor, matrix: Tensor) -> Tensor:
        """Return vectors (..., n) times matrix (n, m) or (B, n, m)."""
        if matrix.is_complex() and not vectors.is_complex():
            raise MetaoptError(
                f"Dense has a complex matrix, but got {tree.describe(vectors)}; for real images compose it with "
                "RealToComplex()."
            )
        matrix = same_kind(matrix, vectors)
        if matrix.ndim == 2:
            return vectors @ matrix
        check_shared("Dense", "batch of matrices", matrix.shape[:1], vectors.shape[:1])
        product = vectors.reshape(len(vectors), math.prod(vectors.shape[1:-1]), vectors.shape[-1]) @ matrix
        return product.reshape(*vectors.shape[:-1], matrix.shape[-1])
