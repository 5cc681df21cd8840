"""Gradient strategies say how an unrolled algorithm is differentiated."""

from ..run import GradientStrategy
from .backprop import Backprop
from .checkpointed import Checkpointed
from .implicit import Gcr, Implicit, LinearSolver
from .reversible import Reversible
from .truncated import Truncated

__all__ = ["Backprop", "Checkpointed", "Gcr", "GradientStrategy", "Implicit", "LinearSolver", "Reversible", "Truncated"]
