"""Keep every number: the identity, and the embedding of real numbers in the complex ones."""

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
    """Return x itself, ``y = x``, in any shape: the operator of denoising."""

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
    """Embed real x in the complex numbers, ``y = x + 0i``, in any shape.

    The adjoint is the real part. ``Fourier(mask) @ RealToComplex()`` takes real images.

    Raises:
        MetaoptError: x is complex already; the real part would not be the adjoint then.
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
