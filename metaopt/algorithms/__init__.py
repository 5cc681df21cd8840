"""Define classical algorithms, in which nothing is learned until a slot is opened."""

from typing import TYPE_CHECKING

from ..foundation.extras import on_demand
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

if TYPE_CHECKING:
    from .clean import Clean
    from .deconvolution import Deconvolution
    from .inference.edge_inference import EdgeInference
    from .spanning_trees import Arborescence, maximum_arborescence, minimum_spanning_tree

__all__ = [
    "Adaptation",
    "Arborescence",
    "BeliefPropagation",
    "Beliefs",
    "ChebyshevFilter",
    "Clean",
    "ClusterFactors",
    "Compiled",
    "ConjugateGradient",
    "ConjugateGradientState",
    "CoupledDescent",
    "CoupledIsta",
    "CoupledState",
    "DataConsistency",
    "Deconvolution",
    "Descent",
    "DescentState",
    "EdgeInference",
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
    "maximum_arborescence",
    "minimum_spanning_tree",
    "personalized_pagerank",
    "reversible_momentum",
    "step_size_for",
    "tree_weights",
]

__getattr__ = on_demand(
    __name__,
    {
        "Clean": ".clean",
        "Deconvolution": ".deconvolution",
        "EdgeInference": ".inference.edge_inference",
        "Arborescence": ".spanning_trees",
        "maximum_arborescence": ".spanning_trees",
        "minimum_spanning_tree": ".spanning_trees",
    },
)
