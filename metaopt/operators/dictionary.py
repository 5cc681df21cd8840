"""Dictionaries of sparse coding."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian_dictionary(rows: int, columns: int, seed: int, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Independent normal entries, every column then made of length 1."""
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (matrix / torch.linalg.vector_norm(matrix, dim=0)).to(dtype)
