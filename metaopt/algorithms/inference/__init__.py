"""Infer discrete models by approximate schemes on factor graphs, and by exact ones on junction trees."""

from typing import TYPE_CHECKING

from ...foundation.extras import on_demand
from .belief_propagation import BeliefPropagation, Beliefs
from .elimination import JunctionTree, junction_tree
from .exact import exact_log_z, exact_map, exact_marginals
from .gibbs import Gibbs
from .hard_constraints import possible_states, rests_on_impossible
from .join_graph import ClusterFactors, join_graph, log_partition
from .mean_field import MeanField, coloring
from .restarts import RandomRestarts, Restarted
from .ties import break_ties, has_ties
from .tree_weights import ResidualSchedule, TreeSchedule, has_cycles, tree_weights

if TYPE_CHECKING:
    from .edge_inference import EdgeInference

__all__ = [
    "BeliefPropagation",
    "Beliefs",
    "ClusterFactors",
    "EdgeInference",
    "Gibbs",
    "JunctionTree",
    "MeanField",
    "RandomRestarts",
    "ResidualSchedule",
    "Restarted",
    "TreeSchedule",
    "break_ties",
    "coloring",
    "exact_log_z",
    "exact_map",
    "exact_marginals",
    "has_cycles",
    "has_ties",
    "join_graph",
    "junction_tree",
    "log_partition",
    "possible_states",
    "rests_on_impossible",
    "tree_weights",
]

__getattr__ = on_demand(__name__, {"EdgeInference": ".edge_inference"})
