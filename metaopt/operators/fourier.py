"""The masked Fourier transform."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import tree
from ..core.errors import MetaoptError
from .operator import Operator, check_real, check_shared


@dataclass(frozen=True, eq=False)
class Fourier(Operator):
    """y = m FFT(x), the unitary transform over the last ``dims`` axes, uncentred: frequency zero is at index 0.

    Args:
        mask: m, real or bool, broadcastable to x, shared (H, W) or per sample (B, 1, H, W); all ones if left out.
        dims: how many trailing axes are transformed.

    Raises: MetaoptError where the mask is complex or enlarges x, or where x is real (for which there is
    ``Fourier(mask) @ RealToComplex()``).
    """

    mask: Tensor | None = None
    dims: int = 2

    def __post_init__(self) -> None:
        if self.mask is not None:
            check_real("Fourier", "mask", self.mask)

    def apply(self, x: Tensor) -> Tensor:
        if not x.is_complex():
            raise MetaoptError(
                f"Fourier takes complex images, but got {tree.describe(x)}; for real ones use "
                "Fourier(mask) @ RealToComplex()."
            )
        return self._weigh(torch.fft.fftn(x, dim=self._axes, norm="ortho"))

    def adjoint(self, y: Tensor) -> Tensor:
        return torch.fft.ifftn(self._weigh(y), dim=self._axes, norm="ortho")

    def normal(self, x: Tensor) -> Tensor:
        return x if self.mask is None else self.adjoint(self.apply(x))

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-self.dims, 0))

    def _weigh(self, y: Tensor) -> Tensor:
        if self.mask is None:
            return y
        check_shared("Fourier", "mask", self.mask.shape, y.shape)
        return self.mask * y
