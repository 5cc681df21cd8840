"""metaopt: unroll a classical algorithm, open the places that may be learned, backpropagate through the whole."""

import importlib as _importlib
from typing import TYPE_CHECKING
from typing import Any as _Any

from . import algorithms, core, losses, models, operators, problems, updates
from .algorithms import *  # noqa: F403
from .core import *  # noqa: F403
from .core.gradients import Backprop, Checkpointed, Implicit, Reversible, Truncated
from .core.tree import vmap
from .losses import mse, trajectory_loss
from .problems import *  # noqa: F403

if TYPE_CHECKING:
    from . import compat, data, estimators, metrics, optim, tasks, training, viewer

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
    "compat",
    "core",
    "data",
    "estimators",
    "losses",
    "metrics",
    "models",
    "mse",
    "operators",
    "optim",
    "problems",
    "tasks",
    "training",
    "trajectory_loss",
    "updates",
    "viewer",
    "vmap",
]


def __getattr__(name: str) -> _Any:
    """Import the packages that not everyone needs when they are first asked for."""
    if name in ("compat", "data", "estimators", "metrics", "optim", "tasks", "training", "viewer"):
        return _importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
