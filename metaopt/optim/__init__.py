"""Updates, classical or learned, as optimizers of torch."""

from .as_torch import UpdateOptimizer, as_torch

__all__ = ["UpdateOptimizer", "as_torch"]
