"""Apply the masked Fourier transform."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..arguments.checks import check_count, check_flag
from ..core import tree
from ..core.errors import MetaoptError
from .operator import Operator, at_least_single, check_real, check_shared, same_precision, transformed


@dataclass(frozen=True, eq=False)
class Fourier(Operator):
    """Apply the unitary Fourier transform over the last ``dims`` axes, then a mask: ``y = m FFT(x)``.

    For real x use ``Fourier(mask) @ RealToComplex()``.

    Args:
        mask: m, real or bool, broadcastable to x: (H, W) shared or (B, 1, H, W) per sample; by default all ones.
        dims: How many trailing axes are transformed.
        centred: Where the origins are. False, as in ``torch.fft``: frequency zero and the first pixel are at index 0.
            True, as scanners store k-space: both are at index ``n // 2`` of each axis, and the mask is given so too.

    Raises:
        MetaoptError: The mask is complex, not finite or would enlarge x, or x is real.
    """

    mask: Tensor | None = None
    dims: int = 2
    centred: bool = False

    def __post_init__(self) -> None:
        check_count("The number of axes of Fourier", self.dims)
        check_flag("centred of Fourier", self.centred)
        if self.mask is not None:
            check_real("Fourier", "mask", self.mask)

    def apply(self, x: Tensor) -> Tensor:
        if not x.is_complex():
            raise MetaoptError(
                f"Fourier takes complex images, but got {tree.describe(x)}; for real ones use "
                "Fourier(mask) @ RealToComplex()."
            )
        spectrum = transformed(torch.fft.fftn, self._first(at_least_single(x)), self._axes, norm="ortho")
        return self._weigh(self._middle(spectrum)).to(x.dtype)

    def adjoint(self, y: Tensor) -> Tensor:
        spectrum = self._first(self._weigh(at_least_single(y)))
        return self._middle(transformed(torch.fft.ifftn, spectrum, self._axes, norm="ortho")).to(y.dtype)

    def normal(self, x: Tensor) -> Tensor:
        return x if self.mask is None else self.adjoint(self.apply(x))

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-self.dims, 0))

    def _first(self, x: Tensor) -> Tensor:
        """Move the origin to index 0."""
        return torch.fft.ifftshift(x, dim=self._axes) if self.centred else x

    def _middle(self, x: Tensor) -> Tensor:
        """Move it to the middle."""
        return torch.fft.fftshift(x, dim=self._axes) if self.centred else x

    def _weigh(self, y: Tensor) -> Tensor:
        if self.mask is None:
            return y
        check_shared("Fourier", "mask", self.mask.shape, y.shape)
        return same_precision(self.mask, y) * y
