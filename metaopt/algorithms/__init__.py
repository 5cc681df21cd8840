"""Define classical algorithms, in which nothing is learned until a slot is opened."""

from .adaptation import Adaptation, first_order_objective
from .compiled import Compiled
from .conjugate_gradient import ConjugateGradient, ConjugateGradientState
from .coupled_descent import CoupledDescent, CoupledState, reversible_momentum
from .coupled_ista import CoupledIsta, analytic_weights
from .data_consistency import DataConsistency
from .descent import Descent, DescentState
from .inference import (
    BeliefPropagation,
    Beliefs,
    ClusterFactors,
    Gibbs,
    JunctionTree,
    MeanField,
    RandomRestarts,
    ResidualSchedule,
    TreeSchedule,
    coloring,
    exact_map,
    exact_marginals,
    join_graph,
    junction_tree,
    log_partition,
    tree_weights,
)
from .map_estimation import MapEstimation
from .primal_dual import PrimalDual, PrimalDualState
from .propagation import ChebyshevFilter, Propagation, heat_kernel, label_propagation, personalized_pagerank
from .proximal import Fista, Ista, ProximalGradient, step_size_for

__all__ = [
    "Adaptation",
    "BeliefPropagation",
    "Beliefs",
    "ChebyshevFilter",
    "ClusterFactors",
    "Compiled",
    "ConjugateGradient",
    "ConjugateGradientState",
    "CoupledDescent",
    "CoupledIsta",
    "CoupledState",
    "DataConsistency",
    "Descent",
    "DescentState",
    "Fista",
    "Gibbs",
    "Ista",
    "JunctionTree",
    "MapEstimation",
    "MeanField",
    "PrimalDual",
    "PrimalDualState",
    "Propagation",
    "ProximalGradient",
    "RandomRestarts",
    "ResidualSchedule",
    "TreeSchedule",
    "analytic_weights",
    "coloring",
    "exact_map",
    "exact_marginals",
    "first_order_objective",
    "heat_kernel",
    "join_graph",
    "junction_tree",
    "label_propagation",
    "log_partition",
    "personalized_pagerank",
    "reversible_momentum",
    "step_size_for",
    "tree_weights",
]
