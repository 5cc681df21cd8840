"""Multiply pictures by the sensitivities of receiver coils, which is how MRI encodes with several coils."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..arguments.checks import check_tensor
from ..core import autodiff, tree
from ..core.errors import MetaoptError
from .operator import Operator, at_least_single, same_kind
from .reach import Window, crop


@dataclass(frozen=True, eq=False)
class Sense(Operator):
    """Apply coil sensitivities: ``y_c = sum_s maps[s, c] x_s``, from (B, S, ...) to (B, C, ...).

    S is the number of sets of maps: 1, or 2 and more for soft SENSE, where x is a picture for each set. The whole model
    of k-space is ``Fourier(mask, centred=True) @ Sense(maps)``, or ``Nufft(points, shape) @ Sense(maps)``. If the
    squares of the maps sum to 1 over the coils of a pixel, as those of ESPIRiT do, the norm of the operator is 1.

    Args:
        maps: The sensitivities, complex: (S, C, ...) for all samples, or (B, S, C, ...) for each its own.
        dims: Number of spatial axes, 1 to 3.

    Raises:
        MetaoptError: The maps are not complex, have another number of axes or are not finite, or do not fit x.

    Source:
        Pruessmann et al., SENSE, 1999, doi:10.1002/(SICI)1522-2594(199911)42:5<952::AID-MRM16>3.0.CO;2-S;
        Uecker et al., ESPIRiT, 2014, doi:10.1002/mrm.24751 (several sets).
    """

    maps: Tensor
    dims: int = 2

    def __post_init__(self) -> None:
        if isinstance(self.dims, bool) or self.dims not in (1, 2, 3):
            raise MetaoptError(f"Sense has 1, 2 or 3 spatial axes, not {self.dims!r:.80}.")
        check_tensor("The maps of Sense", self.maps, "any")
        axes = self.maps.ndim - self.dims
        if not self.maps.is_complex() or axes not in (2, 3):
            raise MetaoptError(
                f"The maps of Sense are complex, (sets, coils, ...) or (B, sets, coils, ...) with {self.dims} spatial "
                f"axes, but got {tree.describe(self.maps)}; give a single set by maps[None]."
            )
        if autodiff.values_known() and not bool(torch.isfinite(self.maps).all()):
            raise MetaoptError("The maps of Sense hold values that are NaN or infinite; set them to 0 there.")

    def apply(self, x: Tensor) -> Tensor:
        maps = self._fitting(x, -self.dims - 2)
        wide = at_least_single(x)
        return (same_kind(maps, wide) * wide.unsqueeze(-self.dims - 1)).sum(-self.dims - 2).to(x.dtype)

    def adjoint(self, y: Tensor) -> Tensor:
        maps = self._fitting(y, -self.dims - 1)
        wide = at_least_single(y)
        return (same_kind(maps, wide).conj() * wide.unsqueeze(-self.dims - 2)).sum(-self.dims - 1).to(y.dtype)

    @property
    def reach(self) -> int:
        return 0

    def crop(self, window: Window) -> Operator:
        return Sense(crop(self.maps, window), self.dims)

    def _fitting(self, x: Tensor, axis: int) -> Tensor:
        """The maps, where x has their shape and at ``axis`` of them their number of pictures."""
        wanted = (self.maps.shape[axis], *self.maps.shape[-self.dims :])
        batch = self.maps.shape[0] if self.maps.ndim == self.dims + 3 else 1
        fits = x.ndim == self.dims + 2 and tuple(x.shape[1:]) == wanted and batch in (1, x.shape[0])
        if not fits or not x.is_complex():
            what = "pictures, one a set" if axis == -self.dims - 2 else "coils"
            raise MetaoptError(
                f"Sense with maps {tuple(self.maps.shape)} takes complex {what}, "
                f"({'B' if batch == 1 else batch}, {', '.join(map(str, wanted))}), but got {tree.describe(x)}."
            )
        return self.maps
