"""Draw dictionaries for sparse coding."""

from __future__ import annotations

import torch
from torch import Tensor

from ..arguments.checks import check_count, check_whole
from .shapes import check_floating


def gaussian_dictionary(rows: int, columns: int, seed: int, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw a (rows, columns) matrix of independent normal entries and scale every column to length 1.

    The draw depends on ``seed`` alone. It comes from torch's own stream of that seed, because shipped weights were
    trained for dictionaries drawn from it.
    """
    check_count("The rows of gaussian_dictionary", rows)
    check_count("The columns of gaussian_dictionary", columns)
    check_whole("The seed of gaussian_dictionary", seed)
    check_floating("gaussian_dictionary", dtype)
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (matrix / torch.linalg.vector_norm(matrix, dim=0)).to(dtype)
