"""Classical algorithms; nothing in them is learned until a slot is opened."""

from .adaptation import Adaptation, first_order_objective
from .coupled_descent import CoupledDescent, CoupledState, reversible_momentum
from .coupled_ista import CoupledIsta, analytic_weights
from .descent import Descent, DescentState
from .map_estimation import MapEstimation
from .propagation import ChebyshevFilter, Propagation, heat_kernel, label_propagation, personalized_pagerank
from .proximal import Fista, Ista, ProximalGradient, step_size_for

__all__ = [
    "Adaptation",
    "ChebyshevFilter",
    "CoupledDescent",
    "CoupledIsta",
    "CoupledState",
    "Descent",
    "DescentState",
    "Fista",
    "Ista",
    "MapEstimation",
    "Propagation",
    "ProximalGradient",
    "analytic_weights",
    "first_order_objective",
    "heat_kernel",
    "label_propagation",
    "personalized_pagerank",
    "reversible_momentum",
    "step_size_for",
]
