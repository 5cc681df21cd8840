"""Inference in discrete models: approximate schemes on factor graphs, and exact ones on junction trees."""

from .belief_propagation import BeliefPropagation, Beliefs
from .elimination import JunctionTree, junction_tree
from .exact import condition, exact_map, exact_marginals
from .gibbs import Gibbs
from .join_graph import ClusterFactors, join_graph, log_partition
from .mean_field import MeanField, coloring
from .restarts import RandomRestarts
from .tree_weights import ResidualSchedule, TreeSchedule, tree_weights

__all__ = [
    "BeliefPropagation",
    "Beliefs",
    "ClusterFactors",
    "Gibbs",
    "JunctionTree",
    "MeanField",
    "RandomRestarts",
    "ResidualSchedule",
    "TreeSchedule",
    "coloring",
    "condition",
    "exact_map",
    "exact_marginals",
    "join_graph",
    "junction_tree",
    "log_partition",
    "tree_weights",
]
