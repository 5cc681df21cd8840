"""Use updates, classical or learned, as optimizers of torch."""

from .as_torch import UpdateOptimizer, as_torch
from .load import load, trained

__all__ = ["UpdateOptimizer", "as_torch", "load", "trained"]
