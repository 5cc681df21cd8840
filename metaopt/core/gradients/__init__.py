"""Gradient strategies: how an unrolled algorithm is differentiated."""

from .backprop import Backprop
from .checkpointed import Checkpointed
from .implicit import Gcr, Implicit, LinearSolver, Settled
from .reversible import Reversible
from .strategy import GradientStrategy, Report
from .truncated import Truncated

__all__ = [
    "Backprop",
    "Checkpointed",
    "Gcr",
    "GradientStrategy",
    "Implicit",
    "LinearSolver",
    "Report",
    "Reversible",
    "Settled",
    "Truncated",
]
