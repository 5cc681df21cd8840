"""metaopt: unroll a classical algorithm, open the places that may be learned, backpropagate through the whole."""

from . import algorithms, core, losses, models, operators, problems, updates
from .algorithms import *  # noqa: F403
from .core import *  # noqa: F403
from .core.gradients import Backprop, Checkpointed, Implicit, Reversible, Truncated
from .core.tree import vmap
from .losses import mse, trajectory_loss
from .problems import *  # noqa: F403

__version__ = "0.1.0"

__all__ = [
    *algorithms.__all__,
    *core.__all__,
    *problems.__all__,
    "Backprop",
    "Checkpointed",
    "Implicit",
    "Reversible",
    "Truncated",
    "algorithms",
    "core",
    "losses",
    "models",
    "mse",
    "operators",
    "problems",
    "trajectory_loss",
    "updates",
    "vmap",
]
