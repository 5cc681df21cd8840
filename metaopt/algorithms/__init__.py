"""Classical algorithms; nothing in them is learned until a slot is opened."""

from .coupled_descent import CoupledDescent, CoupledState, reversible_momentum
from .descent import Descent, DescentState
from .map_estimation import MapEstimation
from .proximal import Fista, Ista, ProximalGradient, step_size_for

__all__ = [
    "CoupledDescent",
    "CoupledState",
    "Descent",
    "DescentState",
    "Fista",
    "Ista",
    "MapEstimation",
    "ProximalGradient",
    "reversible_momentum",
    "step_size_for",
]
