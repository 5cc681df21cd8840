"""Problems are frozen dataclasses that say what is to be solved."""

from . import graph_formats, support
from .collate import collate
from .counting import CountingFactors, cardinality, logical_and, logical_or, parity, pool
from .episode import Episode
from .factor_graph import FactorGraph
from .factors import TableFactors, log_max, log_sum
from .first_order import FirstOrder
from .graph_signal import GraphSignal, averaging_adjacency, known_labels, symmetric_adjacency
from .inverse import InverseProblem
from .likelihood import Gaussian, Likelihood, Poisson
from .noise import noise_variance
from .objective import FunctionObjective, Objective
from .trained_range import TrainedRange
from .trainings import Trainings

__all__ = [
    "CountingFactors",
    "Episode",
    "FactorGraph",
    "FirstOrder",
    "FunctionObjective",
    "Gaussian",
    "GraphSignal",
    "InverseProblem",
    "Likelihood",
    "Objective",
    "Poisson",
    "TableFactors",
    "TrainedRange",
    "Trainings",
    "averaging_adjacency",
    "cardinality",
    "collate",
    "graph_formats",
    "known_labels",
    "log_max",
    "log_sum",
    "logical_and",
    "logical_or",
    "noise_variance",
    "parity",
    "pool",
    "support",
    "symmetric_adjacency",
]
