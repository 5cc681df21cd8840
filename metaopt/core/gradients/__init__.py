"""Gradient strategies: how an unrolled algorithm is differentiated."""

from .backprop import Backprop
from .checkpointed import Checkpointed
from .implicit import Gmres, Implicit, LinearSolver, Neumann, Settled
from .reversible import Reversible
from .strategy import GradientStrategy, Report
from .truncated import Truncated

__all__ = [
    "Backprop",
    "Checkpointed",
    "Gmres",
    "GradientStrategy",
    "Implicit",
    "LinearSolver",
    "Neumann",
    "Report",
    "Reversible",
    "Settled",
    "Truncated",
]
