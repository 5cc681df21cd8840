"""Problems: frozen dataclasses that say what is to be solved, and priors."""

from .episode import Episode
from .field_of_experts import FieldOfExperts, dct_filters
from .first_order import FirstOrder
from .graph_signal import GraphSignal, averaging_adjacency, known_labels, symmetric_adjacency
from .inverse import InverseProblem
from .likelihood import Gaussian, Likelihood, Poisson
from .objective import FunctionObjective, Objective
from .prior import Prior, Sparsity
from .residual_prox import ResidualProx
from .sparse_matrix import SparseMatrix
from .total_variation import TotalVariation
from .trainings import Trainings
from .wavelet import Wavelet

__all__ = [
    "Episode",
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
    "TotalVariation",
    "Trainings",
    "Wavelet",
    "averaging_adjacency",
    "dct_filters",
    "known_labels",
    "symmetric_adjacency",
]
