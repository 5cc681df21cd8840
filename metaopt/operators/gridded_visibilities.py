"""Measure visibilities on a grid of the uv plane, by which trainings draw the coverage of each picture cheaply."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arguments.checks import check_finite, check_tensor
from ..core import tree
from ..core.errors import MetaoptError
from .operator import Operator, at_least_single, same_precision, transformed


@dataclass(frozen=True, eq=False)
class GriddedVisibilities(Operator):
    """Measure pictures (B, 1, H, W) on a grid (B, 1, 2 H, 2 W), ``y = sqrt(weights) FFT(x padded by zeros)``.

    It is what :class:`Visibilities` measures if each (u, v) is one of the grid ``(j / (2 W cell), i / (2 H cell))``,
    but for the phase of the origin, which here is the first pixel, and the factor 1/n. Visibilities at the same (u, v)
    are one, whose weight is the sum of theirs. Each picture of a batch has its own weights.

    Args:
        weights: (B, 1, 2 H, 2 W) or (1, 1, 2 H, 2 W), 1 / variance of the real part and of the imaginary part each; 0
            where nothing was measured.

    Raises:
        MetaoptError: The weights are not finite or negative, or have other axes; or x is not real or has another shape.
    """

    weights: Tensor
    spectrum: Tensor | None = field(default=None, init=False, repr=False, metadata={"derived_from": ("weights",)})

    def __post_init__(self) -> None:
        check_tensor("The weights of GriddedVisibilities", self.weights, "real", "(B, 1, 2 H, 2 W)")
        check_finite("The weights of GriddedVisibilities", self.weights)
        if self.weights.ndim != 4 or bool((self.weights < 0).any()):
            raise MetaoptError(
                f"The weights of GriddedVisibilities are (B, 1, 2 H, 2 W) and at least 0, but got "
                f"{tree.describe(self.weights)}."
            )

        mirrored = self.weights.flip(2, 3).roll((1, 1), (2, 3))  # of a real picture's convolution the real part counts
        half = ((self.weights + mirrored) / 2)[..., : self.weights.shape[3] // 2 + 1].contiguous()
        object.__setattr__(self, "spectrum", half)

    def apply(self, x: Tensor) -> Tensor:
        wide = at_least_single(self._fitting(x))
        padded = F.pad(wide, (0, wide.shape[3], 0, wide.shape[2]))
        return same_precision(self.weights, wide).sqrt() * transformed(torch.fft.fft2, padded, (-2, -1))

    def normal(self, x: Tensor) -> Tensor:
        """Return A^H A x, by real transforms."""
        if self.spectrum is None or not x.numel():
            return self.adjoint(self.apply(x))
        wide, (height, width) = at_least_single(self._fitting(x)), x.shape[2:]
        padded = torch.fft.fft(torch.fft.rfft(wide, n=2 * width), n=2 * height, dim=-2)
        rows = torch.fft.ifft(padded * same_precision(self.spectrum, wide), dim=-2, norm="forward")
        return torch.fft.irfft(rows[..., :height, :], n=2 * width, norm="forward")[..., :width]

    def _fitting(self, x: Tensor) -> Tensor:
        size = tuple(n // 2 for n in self.weights.shape[2:])
        if x.ndim != 4 or tuple(x.shape[2:]) != size or not x.is_floating_point():
            raise MetaoptError(
                f"GriddedVisibilities takes real pictures (B, 1, {size[0]}, {size[1]}), but got {tree.describe(x)}."
            )
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A^H y."""
        tall, wide = (n // 2 for n in self.weights.shape[2:])
        spectrum = same_precision(self.weights, y).sqrt() * at_least_single(y)
        return transformed(torch.fft.ifft2, spectrum, (-2, -1), "forward").real[..., :tall, :wide]
