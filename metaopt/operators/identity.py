"""Operators that keep every number: the identity, and the embedding of the real numbers in the complex ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import tree
from ..core.errors import MetaoptError
from .operator import Operator
from .reach import Window


@dataclass(frozen=True, eq=False)
class Identity(Operator):
    """y = x, the operator of denoising; any shape."""

    def apply(self, x: Tensor) -> Tensor:
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        return y

    @property
    def is_diagonal(self) -> bool:
        return True

    @property
    def reach(self) -> int:
        return 0

    def crop(self, window: Window) -> Operator:
        return self


@dataclass(frozen=True, eq=False)
class RealToComplex(Operator):
    """y = x + 0i, with the real part as its adjoint; any shape. ``Fourier(mask) @ RealToComplex()`` takes real images.

    Raises: MetaoptError where x is complex already, as the real part would not be the adjoint then.
    """

    def apply(self, x: Tensor) -> Tensor:
        if x.is_complex():
            raise MetaoptError(
                f"RealToComplex takes real input, but got {tree.describe(x)}; leave it out of the product."
            )
        return torch.complex(x, torch.zeros_like(x))  # dynamo does not trace dtype.to_complex()

    def adjoint(self, y: Tensor) -> Tensor:
        return y.real if y.is_complex() else y

    def normal(self, x: Tensor) -> Tensor:
        return x

    @property
    def reach(self) -> int:
        return 0

    def crop(self, window: Window) -> Operator:
        return self
