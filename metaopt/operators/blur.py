"""Convolve images with a kernel, with zeros or with periodic repetition beyond the border."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..arguments.checks import check_count, check_number, check_tensor
from ..core import tree
from ..core.errors import MetaoptError
from .operator import Operator, at_least_single, check_real, check_shared, same_kind, same_precision, transformed
from .reach import Window
from .shapes import check_floating


@dataclass(frozen=True, eq=False)
class Blur(Operator):
    """Convolve every (H, W) plane with a kernel, ``y = k * x``, with zeros beyond the border.

    The output has the size of the input.

    Args:
        kernel: k, real, (kh, kw) shared by all samples or (B, kh, kw) with one per sample. Both sizes are odd; the
            centre is the origin.

    Raises:
        MetaoptError: The kernel is complex, not finite or of even size, or its batch differs from that of x.
    """

    kernel: Tensor

    def __post_init__(self) -> None:
        _check_kernel("Blur", self.kernel)

    def apply(self, x: Tensor) -> Tensor:
        return self._convolve(F.conv2d, x, self.kernel.flip(-2, -1))

    def adjoint(self, y: Tensor) -> Tensor:
        return self._convolve(F.conv_transpose2d, y, self.kernel.flip(-2, -1))

    def _convolve(self, convolution: Callable[..., Tensor], x: Tensor, kernel: Tensor) -> Tensor:
        """Samples become groups of one convolution, so that shared and per-sample kernels are one case."""
        height, width = kernel.shape[-2:]
        kernels = same_kind(kernel.reshape(-1, 1, height, width), x)
        check_shared("Blur", "batch of kernels", kernel.shape[:-2], x.shape[: kernel.ndim - 2])
        if not x.numel():
            return x
        planes = x.reshape(len(kernels), -1, *x.shape[-2:]).transpose(0, 1)
        blurred = convolution(planes, kernels, padding=(height // 2, width // 2), groups=len(kernels))
        return blurred.transpose(0, 1).reshape(x.shape)

    @property
    def reach(self) -> tuple[int, int]:
        height, width = self.kernel.shape[-2:]
        return height - 1, width - 1

    def crop(self, window: Window) -> Operator:
        return self


@dataclass(frozen=True, eq=False)
class CircularBlur(Operator):
    """Convolve every (H, W) plane with a kernel, ``y = IFFT(FFT(k) FFT(x))``; the plane repeats beyond the border.

    Args:
        kernel: k, as for :class:`Blur`.

    Raises:
        MetaoptError: The kernel is not one that :class:`Blur` takes, or it is larger than the plane.
    """

    kernel: Tensor

    def __post_init__(self) -> None:
        _check_kernel("CircularBlur", self.kernel)

    def apply(self, x: Tensor) -> Tensor:
        return self._filter(x, self._transfer(x))

    def adjoint(self, y: Tensor) -> Tensor:
        return self._filter(y, self._transfer(y).conj())

    def normal(self, x: Tensor) -> Tensor:
        transfer = self._transfer(x)
        return self._filter(x, transfer.conj() * transfer)

    def _transfer(self, x: Tensor) -> Tensor:
        check_shared("CircularBlur", "batch of kernels", self.kernel.shape[:-2], x.shape[: self.kernel.ndim - 2])
        (height, width), (kh, kw) = x.shape[-2:], self.kernel.shape[-2:]
        if kh > height or kw > width:
            raise MetaoptError(
                f"The kernel {(kh, kw)} of CircularBlur is larger than the plane {(height, width)}; crop the kernel, "
                "or use Blur."
            )
        kernel = at_least_single(same_precision(self.kernel, x))
        padded = F.pad(kernel, (0, width - kw, 0, height - kh)).roll((-(kh // 2), -(kw // 2)), (-2, -1))
        transfer = transformed(torch.fft.fft2, padded, (-2, -1))
        return transfer.reshape(len(transfer), *[1] * (x.ndim - 3), height, width) if transfer.ndim == 3 else transfer

    @staticmethod
    def _filter(x: Tensor, transfer: Tensor) -> Tensor:
        y = transformed(torch.fft.ifft2, transfer * transformed(torch.fft.fft2, at_least_single(x), (-2, -1)), (-2, -1))
        return (y if x.is_complex() else y.real).to(x.dtype)


def gaussian_kernel(size: int, sigma: float, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the (size, size) kernel ``exp(-(i^2 + j^2) / (2 sigma^2))``, scaled to sum 1.

    i and j are the distances in pixels to the centre.

    Args:
        size: The number of rows and of columns, odd.
        sigma: The standard deviation, in pixels.
        dtype: The dtype of the result.

    Returns:
        The kernel, (size, size).

    Raises:
        MetaoptError: The size is even, sigma is not positive, or the dtype holds no fractions.
    """
    check_count("The size of gaussian_kernel", size)
    check_number("The sigma of gaussian_kernel", sigma)
    check_floating("gaussian_kernel", dtype)
    if size % 2 == 0 or sigma <= 0:
        raise MetaoptError(f"gaussian_kernel needs an odd size and a positive sigma, but got {size} and {sigma}.")
    distance = (torch.arange(size, dtype=torch.float64) - size // 2) / sigma  # whose square may be 0 where sigma^2 is
    line = torch.exp(-0.5 * distance.square())
    return torch.outer(line / line.sum(), line / line.sum()).to(dtype)


def _check_kernel(who: str, kernel: Tensor) -> None:
    check_tensor(f"The kernel of {who}", kernel, "real or complex")
    check_real(who, "kernel", kernel)
    if kernel.ndim not in (2, 3) or any(size % 2 == 0 for size in kernel.shape[-2:]):
        raise MetaoptError(
            f"{who} needs a kernel (kh, kw) or (B, kh, kw) of odd sizes, but got {tree.describe(kernel)}; pad it with "
            "zeros to odd sizes, its centre at (kh // 2, kw // 2)."
        )
