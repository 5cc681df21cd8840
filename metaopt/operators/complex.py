"""Represent complex tensors as real ones, with the two parts along an axis of their own."""

from __future__ import annotations

import torch
from torch import Tensor


def split_complex(x: Tensor, dim: int) -> Tensor:
    """Stack the real and the imaginary part of complex x along a new axis ``dim``, which gives a real (..., 2, ...)."""
    return torch.stack([x.real, x.imag], dim)


def join_complex(parts: Tensor, dim: int) -> Tensor:
    """Undo :func:`split_complex`: combine the two parts along the axis ``dim`` to one complex tensor.

    Parts in bfloat16, which has no complex type, give complex64.
    """
    wide = torch.promote_types(parts.dtype, torch.float32)
    joined = torch.complex(*parts.to(wide).unbind(dim))
    return joined.to(torch.complex32) if parts.dtype == torch.float16 else joined
