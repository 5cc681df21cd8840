"""Complex tensors as real ones: the two parts along an axis of their own."""

from __future__ import annotations

import torch
from torch import Tensor


def split_complex(x: Tensor, dim: int) -> Tensor:
    """The real and the imaginary part of complex x, stacked along a new axis ``dim``: (..., 2, ...) real."""
    return torch.stack([x.real, x.imag], dim)


def join_complex(parts: Tensor, dim: int) -> Tensor:
    """The inverse of :func:`split_complex`; the result of bfloat16 parts is complex64, since it has no complex type."""
    wide = torch.promote_types(parts.dtype, torch.float32)
    return torch.complex(*parts.to(wide).unbind(dim))
