"""The abstraction: algorithms, slots, unrolling and gradient strategies. Knows no image, no graph, no likelihood."""

from . import autodiff, gradients, tree
from .algorithm import Algorithm, Invertible
from .errors import MetaoptError, MetaoptWarning
from .slots import fixed, parameterize, per_step, shared, slot, slots
from .unroll import Trajectory, Unrolled, solve, unroll

__all__ = [
    "Algorithm",
    "Invertible",
    "MetaoptError",
    "MetaoptWarning",
    "Trajectory",
    "Unrolled",
    "autodiff",
    "fixed",
    "gradients",
    "parameterize",
    "per_step",
    "shared",
    "slot",
    "slots",
    "solve",
    "tree",
    "unroll",
]
