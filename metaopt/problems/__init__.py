"""Problems: frozen dataclasses that say what is to be solved."""

from .first_order import FirstOrder
from .inverse import InverseProblem
from .likelihood import Gaussian, Likelihood, Poisson
from .objective import FunctionObjective, Objective

__all__ = ["FirstOrder", "FunctionObjective", "Gaussian", "InverseProblem", "Likelihood", "Objective", "Poisson"]
