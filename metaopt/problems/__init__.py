"""Problems are frozen dataclasses that say what is to be solved."""

from typing import TYPE_CHECKING

from ..foundation.extras import on_demand
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

if TYPE_CHECKING:
    from .refinement import GraphRefinement, both_directions, gaussian_features, nearest_neighbors, rigid_features

__all__ = [
    "CountingFactors",
    "Episode",
    "FactorGraph",
    "FirstOrder",
    "FunctionObjective",
    "Gaussian",
    "GraphRefinement",
    "GraphSignal",
    "InverseProblem",
    "Likelihood",
    "Objective",
    "Poisson",
    "TableFactors",
    "TrainedRange",
    "Trainings",
    "averaging_adjacency",
    "both_directions",
    "cardinality",
    "collate",
    "gaussian_features",
    "graph_formats",
    "known_labels",
    "log_max",
    "log_sum",
    "logical_and",
    "logical_or",
    "nearest_neighbors",
    "noise_variance",
    "parity",
    "pool",
    "rigid_features",
    "support",
    "symmetric_adjacency",
]

__getattr__ = on_demand(
    __name__,
    dict.fromkeys(
        ("GraphRefinement", "both_directions", "gaussian_features", "nearest_neighbors", "rigid_features"),
        ".refinement",
    ),
)
