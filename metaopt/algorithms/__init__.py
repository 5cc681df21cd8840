"""Classical algorithms; nothing in them is learned until a slot is opened."""

from .coupled_descent import CoupledDescent, CoupledState, reversible_momentum
from .descent import Descent, DescentState

__all__ = ["CoupledDescent", "CoupledState", "Descent", "DescentState", "reversible_momentum"]
