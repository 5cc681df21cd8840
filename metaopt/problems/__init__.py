"""Problems: frozen dataclasses that say what is to be solved, and priors."""

from .episode import Episode
from .field_of_experts import FieldOfExperts, dct_filters
from .first_order import FirstOrder
from .inverse import InverseProblem
from .likelihood import Gaussian, Likelihood, Poisson
from .objective import FunctionObjective, Objective
from .prior import Prior, Sparsity
from .residual_prox import ResidualProx
from .total_variation import TotalVariation
from .trainings import Trainings
from .wavelet import Wavelet

__all__ = [
    "Episode",
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
    "TotalVariation",
    "Trainings",
    "Wavelet",
    "dct_filters",
]
