"""Problems: frozen dataclasses that say what is to be solved."""

from .inverse import InverseProblem
from .likelihood import Gaussian, Likelihood, Poisson

__all__ = ["Gaussian", "InverseProblem", "Likelihood", "Poisson"]
