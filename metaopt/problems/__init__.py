"""Problems: frozen dataclasses that say what is to be solved, and priors."""

from . import graph_formats
from .counting import CountingFactors, cardinality, logical_and, logical_or, parity, pool
from .episode import Episode
from .factor_graph import FactorGraph
from .factors import TableFactors, log_max, log_sum
from .field_of_experts import FieldOfExperts, dct_filters
from .first_order import FirstOrder
from .graph_signal import GraphSignal, averaging_adjacency, known_labels, symmetric_adjacency
from .inverse import InverseProblem
from .join_graph import ClusterFactors, join_graph, log_partition
from .likelihood import Gaussian, Likelihood, Poisson
from .noise import noise_variance
from .objective import FunctionObjective, Objective
from .prior import Prior, Sparsity
from .residual_prox import ResidualProx
from .sparse_matrix import SparseMatrix
from .total_variation import TotalVariation
from .trainings import Trainings
from .wavelet import Wavelet

__all__ = [
    "ClusterFactors",
    "CountingFactors",
    "Episode",
    "FactorGraph",
    "FieldOfExperts",
    "FirstOrder",
    "FunctionObjective",
    "Gaussian",
    "GraphSignal",
    "InverseProblem",
    "Likelihood",
    "Objective",
    "Poisson",
    "Prior",
    "ResidualProx",
    "SparseMatrix",
    "Sparsity",
    "TableFactors",
    "TotalVariation",
    "Trainings",
    "Wavelet",
    "averaging_adjacency",
    "cardinality",
    "dct_filters",
    "graph_formats",
    "join_graph",
    "known_labels",
    "log_max",
    "log_partition",
    "log_sum",
    "logical_and",
    "logical_or",
    "noise_variance",
    "parity",
    "pool",
    "symmetric_adjacency",
]
