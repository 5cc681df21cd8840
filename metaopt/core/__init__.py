"""The core: algorithms, slots, unrolling and gradient strategies. It knows no images, graphs or likelihoods."""

from . import autodiff, gradients, random, tree
from .algorithm import Algorithm, Invertible
from .errors import MetaoptError, MetaoptWarning
from .openings import fixed, per_step, shared
from .run import Report, Settled, Status, run_until
from .slots import parameterize, slot, slots
from .unroll import Trajectory, Unrolled, solve, unroll

# fmt: off
__all__ = [
    "Algorithm", "Invertible", "MetaoptError", "MetaoptWarning", "Report", "Settled", "Status", "Trajectory",
    "Unrolled", "autodiff", "fixed", "gradients", "parameterize", "per_step", "random", "run_until", "shared", "slot",
    "slots", "solve", "tree", "unroll",
]
# fmt: on
