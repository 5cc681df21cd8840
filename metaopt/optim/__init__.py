"""Updates, classical or learned, as optimizers for ``torch.optim``."""

from .as_torch import UpdateOptimizer, as_torch
from .load import load, trained

__all__ = ["UpdateOptimizer", "as_torch", "load", "trained"]
