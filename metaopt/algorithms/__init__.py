"""Classical algorithms; nothing in them is learned until a slot is opened."""

from .adaptation import Adaptation, first_order_objective
from .belief_propagation import BeliefPropagation, Beliefs
from .coupled_descent import CoupledDescent, CoupledState, reversible_momentum
from .coupled_ista import CoupledIsta, analytic_weights
from .descent import Descent, DescentState
from .elimination import JunctionTree, junction_tree
from .exact import condition, exact_map, exact_marginals
from .gibbs import Gibbs
from .graph_network import GraphNetwork
from .map_estimation import MapEstimation
from .mean_field import MeanField, coloring
from .propagation import ChebyshevFilter, Propagation, heat_kernel, label_propagation, personalized_pagerank
from .proximal import Fista, Ista, ProximalGradient, step_size_for
from .restarts import FromManyStarts
from .tree_weights import Residual, TreeSchedule, tree_weights

__all__ = [
    "Adaptation",
    "BeliefPropagation",
    "Beliefs",
    "ChebyshevFilter",
    "CoupledDescent",
    "CoupledIsta",
    "CoupledState",
    "Descent",
    "DescentState",
    "Fista",
    "FromManyStarts",
    "Gibbs",
    "GraphNetwork",
    "Ista",
    "JunctionTree",
    "MapEstimation",
    "MeanField",
    "Propagation",
    "ProximalGradient",
    "Residual",
    "TreeSchedule",
    "analytic_weights",
    "coloring",
    "condition",
    "exact_map",
    "exact_marginals",
    "first_order_objective",
    "heat_kernel",
    "junction_tree",
    "label_propagation",
    "personalized_pagerank",
    "reversible_momentum",
    "step_size_for",
    "tree_weights",
]
