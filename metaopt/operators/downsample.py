"""Resample images along rows and columns, for super-resolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..arguments.checks import check_count, check_finite, check_tensor
from ..core import tree
from ..core.errors import MetaoptError
from .operator import Operator, check_shared, check_trailing, same_kind
from .reach import Window, coarse
from .shapes import check_counts, check_floating


@dataclass(frozen=True, eq=False)
class Separable(Operator):
    """Multiply the last two axes by one matrix each: ``y = R x C^T``, from (..., H, W) to (..., h, w).

    Args:
        rows: R, real (h, H), or with leading axes that broadcast to those of x, such as (B, 1, h, H).
        columns: C, real (w, W), or with leading axes in the same way.

    Raises:
        MetaoptError: A matrix has fewer than two axes, is complex or not finite, or x does not fit the matrices.
    """

    rows: Tensor
    columns: Tensor

    def __post_init__(self) -> None:
        for name, matrix in (("rows", self.rows), ("columns", self.columns)):
            check_tensor(f"The {name} of Separable", matrix, "real or complex")
            if matrix.ndim < 2 or matrix.is_complex():
                raise MetaoptError(
                    f"Separable needs {name} to be a real (..., out, in) matrix, but got {tree.describe(matrix)}."
                )
            check_finite(f"The {name} of Separable", matrix)

    def apply(self, x: Tensor) -> Tensor:
        check_trailing("Separable", x, (self.rows.shape[-1], self.columns.shape[-1]))
        return self._multiply(self.rows, x, self.columns.mT)

    def adjoint(self, y: Tensor) -> Tensor:
        check_trailing("the adjoint of Separable", y, (self.rows.shape[-2], self.columns.shape[-2]))
        return self._multiply(self.rows.mT, y, self.columns)

    @staticmethod
    def _multiply(left: Tensor, x: Tensor, right: Tensor) -> Tensor:
        for name, matrix in (("rows", left), ("columns", right)):
            check_shared("Separable", f"leading axes of {name}", matrix.shape[:-2], x.shape[:-2])
        return same_kind(left, x) @ x @ same_kind(right, x)

    @property
    def reach(self) -> tuple[int, int] | None:
        """Return the reach that the nonzero entries of the matrices give, or None where H / h or W / w is not whole."""
        if any(matrix.shape[-1] % matrix.shape[-2] for matrix in (self.rows, self.columns)):
            return None
        return _reach(self.rows), _reach(self.columns)

    @property
    def period(self) -> tuple[int, int]:
        return self.rows.shape[-1] // self.rows.shape[-2], self.columns.shape[-1] // self.columns.shape[-2]

    def crop(self, window: Window) -> Operator:
        down, right = coarse(window, self.period)[-2:]
        return Separable(self.rows[..., down, window[-2]], self.columns[..., right, window[-1]])


def _reach(matrix: Tensor) -> int:
    """Return the reach of R^T R: if row i holds pixels at most d away from cell i, it is ``2 d + period - 1``.

    A cell has ``period`` pixels.
    """
    period = matrix.shape[-1] // matrix.shape[-2]
    row, column = (matrix != 0).reshape(-1, *matrix.shape[-2:]).any(0).nonzero().unbind(1)
    beyond = torch.cat([row * period - column, column - (row + 1) * period + 1, row.new_zeros(1)])
    return 2 * int(beyond.max()) + period - 1


def bicubic_downsample(shape: tuple[int, ...], factor: int, *, dtype: torch.dtype = torch.float32) -> Separable:
    """Return the operator that shrinks (..., H, W) by ``factor`` with an antialiased bicubic kernel.

    It agrees with PIL and with ``torch.nn.functional.interpolate(antialias=True)``: Keys' kernel with a = -1/2,
    stretched by ``factor``, is cut off and renormalised at the border.

    Args:
        shape: The shape of the image, whose last two axes are H and W.
        factor: The whole number by which H and W shrink.
        dtype: The dtype of the two matrices.

    Raises:
        MetaoptError: H or W is no multiple of ``factor``.

    Source:
        Keys, Cubic convolution interpolation for digital image processing, 1981, doi:10.1109/TASSP.1981.1163711.
    """
    return _downsample("bicubic_downsample", _keys, shape, factor, dtype)


def box_downsample(shape: tuple[int, ...], factor: int, *, dtype: torch.dtype = torch.float32) -> Separable:
    """Return the operator that takes the mean over every ``factor`` x ``factor`` cell of (..., H, W).

    Args:
        shape: The shape of the image, whose last two axes are H and W.
        factor: The side of a cell, in pixels.
        dtype: The dtype of the two matrices.

    Raises:
        MetaoptError: H or W is no multiple of ``factor``.
    """
    return _downsample("box_downsample", lambda t: (t.abs() < 0.5).to(t.dtype), shape, factor, dtype)


Kernel = Callable[[Tensor], Tensor]


def _downsample(who: str, kernel: Kernel, shape: tuple[int, ...], factor: int, dtype: torch.dtype) -> Separable:
    shape, factor = check_counts(f"The shape of {who}", shape), check_count(f"The factor of {who}", factor)
    check_floating(who, dtype)
    if len(shape) < 2 or any(size % factor for size in shape[-2:]):
        raise MetaoptError(
            f"{who} by {factor} needs a shape (..., H, W) whose H and W are multiples of {factor}, but got "
            f"{tuple(shape)}; crop the image, or choose another factor."
        )
    rows, columns = (_shrink(kernel, size, factor).to(dtype) for size in shape[-2:])
    return Separable(rows, columns)


def _shrink(kernel: Kernel, size: int, factor: int) -> Tensor:
    """(size / factor, size), whose row i holds the kernel around the middle of cell i, with sum one."""
    middles = (torch.arange(size // factor, dtype=torch.float64) + 0.5) * factor
    pixels = torch.arange(size, dtype=torch.float64) + 0.5
    weights = kernel((pixels - middles[:, None]) / factor)
    return weights / weights.sum(1, keepdim=True)


def _keys(t: Tensor, a: float = -0.5) -> Tensor:
    t = t.abs()
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = a * (((t - 5) * t + 8) * t - 4)
    return torch.where(t < 1, near, torch.where(t < 2, far, torch.zeros_like(t)))
