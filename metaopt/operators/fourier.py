"""Apply the masked Fourier transform."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..arguments.checks import check_count
from ..core import tree
from ..core.errors import MetaoptError
from .operator import Operator, at_least_single, check_real, check_shared, same_precision


@dataclass(frozen=True, eq=False)
class Fourier(Operator):
    """Apply the unitary Fourier transform over the last ``dims`` axes, then a mask: ``y = m FFT(x)``.

    The spectrum is uncentred: frequency zero is at index 0 of each axis. For real x use ``Fourier(mask) @
    RealToComplex()``.

    Args:
        mask: m, real or bool, broadcastable to x: (H, W) shared or (B, 1, H, W) per sample; by default all ones.
        dims: How many trailing axes are transformed.

    Raises:
        MetaoptError: The mask is complex or would enlarge x, or x is real.
    """

    mask: Tensor | None = None
    dims: int = 2

    def __post_init__(self) -> None:
        check_count("The number of axes of Fourier", self.dims)
        if self.mask is not None:
            check_real("Fourier", "mask", self.mask)

    def apply(self, x: Tensor) -> Tensor:
        if not x.is_complex():
            raise MetaoptError(
                f"Fourier takes complex images, but got {tree.describe(x)}; for real ones use "
                "Fourier(mask) @ RealToComplex()."
            )
        return self._weigh(torch.fft.fftn(at_least_single(x), dim=self._axes, norm="ortho")).to(x.dtype)

    def adjoint(self, y: Tensor) -> Tensor:
        return torch.fft.ifftn(self._weigh(at_least_single(y)), dim=self._axes, norm="ortho").to(y.dtype)

    def normal(self, x: Tensor) -> Tensor:
        return x if self.mask is None else self.adjoint(self.apply(x))

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-self.dims, 0))

    def _weigh(self, y: Tensor) -> Tensor:
        if self.mask is None:
            return y
        check_shared("Fourier", "mask", self.mask.shape, y.shape)
        return same_precision(self.mask, y) * y
