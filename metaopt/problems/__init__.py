"""Problems: frozen dataclasses that say what is to be solved, and priors."""

from . import graph_formats
from .counting import CountingFactors, cardinality, logical_and, logical_or, parity, pool
from .episode import Episode
from .factor_graph import FactorGraph
from .factors import TableFactors, log_max, log_sum
from .field_of_experts import FieldOfExperts, dct_filters
from .first_order import FirstOrder
from .inverse import InverseProblem
from .join_graph import ClusterFactors, join_graph, log_partition
from .likelihood import Gaussian, Likelihood, Poisson
from .objective import FunctionObjective, Objective
from .prior import Prior, Sparsity
from .residual_prox import ResidualProx
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
    "InverseProblem",
    "Likelihood",
    "Objective",
    "Poisson",
    "Prior",
    "ResidualProx",
    "Sparsity",
    "TableFactors",
    "TotalVariation",
    "Trainings",
    "Wavelet",
    "cardinality",
    "dct_filters",
    "graph_formats",
    "join_graph",
    "log_max",
    "log_partition",
    "log_sum",
    "logical_and",
    "logical_or",
    "parity",
    "pool",
]
