"""Measure some of the entries: a mask keeps the shape, a selection lists what it keeps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..arguments.checks import check_tensor
from ..core import autodiff, tree
from ..core.errors import MetaoptError
from .operator import Operator, check_real, check_shared, check_trailing, same_precision
from .reach import Window, crop
from .shapes import check_counts


@dataclass(frozen=True, eq=False)
class Mask(Operator):
    """Multiply by a mask, ``y = m x`` entry by entry: the operator of inpainting, or any real weighting.

    Args:
        mask: m, real or bool, broadcastable to x: (H, W) shared, or (B, 1, H, W) per sample, for x (B, C, H, W). For
            inpainting it is 1 where x is known and 0 elsewhere.

    Raises:
        MetaoptError: The mask is complex or not finite, or it would enlarge x.
    """

    mask: Tensor

    def __post_init__(self) -> None:
        check_real("Mask", "mask", self.mask)

    def apply(self, x: Tensor) -> Tensor:
        check_shared("Mask", "mask", self.mask.shape, x.shape)
        return same_precision(self.mask, x) * x

    def adjoint(self, y: Tensor) -> Tensor:
        return self.apply(y)

    @property
    def is_diagonal(self) -> bool:
        return True

    @property
    def reach(self) -> int:
        return 0

    def crop(self, window: Window) -> Operator:
        return Mask(crop(self.mask, window))


@dataclass(frozen=True, eq=False)
class Select(Operator):
    """Select entries of the flattened trailing axes, ``y_j = x[indices_j]``, ``(..., *shape) -> (..., rows)``.

    Args:
        indices: (rows,) integers into the flattened trailing axes.
        shape: The trailing axes of x.

    Raises:
        MetaoptError: An index lies outside, or x ends in other axes.
    """

    indices: Tensor
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        check_tensor("The indices of Select", self.indices, "any")
        size = torch.Size(check_counts("The shape of Select", self.shape)).numel()
        integers = not (
            self.indices.is_floating_point() or self.indices.is_complex() or self.indices.dtype == torch.bool
        )
        outside = autodiff.values_known() and bool(((self.indices < 0) | (self.indices >= size)).any())
        if not integers or self.indices.ndim != 1 or outside:
            raise MetaoptError(
                f"Select needs one axis of integers from 0 to {size - 1} for shape {self.shape}, but got "
                f"{tree.describe(self.indices)} with other values or axes; for a mask use Mask, or "
                "mask.flatten().nonzero()[:, 0]."
            )

    def apply(self, x: Tensor) -> Tensor:
        check_trailing("Select", x, self.shape)
        return x.flatten(x.ndim - len(self.shape)).index_select(-1, self.indices)

    def adjoint(self, y: Tensor) -> Tensor:
        check_trailing("the adjoint of Select", y, self.indices.shape)
        zeros = y.new_zeros(*y.shape[:-1], torch.Size(self.shape).numel())
        return zeros.index_add(-1, self.indices, y).unflatten(-1, self.shape)
