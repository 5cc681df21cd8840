"""Classical algorithms; nothing in them is learned until a slot is opened."""

from .adaptation import Adaptation, first_order_objective
from .coupled_descent import CoupledDescent, CoupledState, reversible_momentum
from .coupled_ista import CoupledIsta, analytic_weights
from .descent import Descent, DescentState
from .elimination import JunctionTree, junction_tree
from .exact import condition, exact_map, exact_marginals
from .map_estimation import MapEstimation
from .proximal import Fista, Ista, ProximalGradient, step_size_for

__all__ = [
    "Adaptation",
    "CoupledDescent",
    "CoupledIsta",
    "CoupledState",
    "Descent",
    "DescentState",
    "Fista",
    "Ista",
    "JunctionTree",
    "MapEstimation",
    "ProximalGradient",
    "analytic_weights",
    "condition",
    "exact_map",
    "exact_marginals",
    "first_order_objective",
    "junction_tree",
    "reversible_momentum",
    "step_size_for",
]
