"""Unroll classical algorithms, open the places in them that may be learned, and backpropagate through all steps."""

import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from . import algorithms, core, losses, models, networks, operators, priors, problems, updates, weights
from .algorithms import (
    Adaptation,
    BeliefPropagation,
    ChebyshevFilter,
    ConjugateGradient,
    CoupledDescent,
    CoupledIsta,
    Descent,
    Fista,
    Gibbs,
    Ista,
    MapEstimation,
    MeanField,
    PrimalDual,
    Propagation,
    ProximalGradient,
    RandomRestarts,
    exact_map,
    exact_marginals,
)
from .core import (
    Algorithm,
    Invertible,
    MetaoptError,
    MetaoptWarning,
    Settled,
    Status,
    Trajectory,
    Unrolled,
    fixed,
    parameterize,
    per_step,
    shared,
    slot,
    slots,
    solve,
    tree,
    unroll,
)
from .core.gradients import Backprop, Checkpointed, Implicit, Reversible, Truncated
from .core.tree import vmap
from .losses import mse, trajectory_loss
from .problems import (
    CountingFactors,
    Episode,
    FactorGraph,
    FirstOrder,
    FunctionObjective,
    Gaussian,
    GraphSignal,
    InverseProblem,
    Objective,
    Poisson,
    TableFactors,
    Trainings,
)

if _TYPE_CHECKING:
    from . import compat, data, estimators, export, metrics, optim, scale, tasks, training, viewer

__version__ = "0.1.0"

_LAZY = ("compat", "data", "estimators", "export", "metrics", "optim", "scale", "tasks", "training", "viewer")

__all__ = [
    "Adaptation",
    "Algorithm",
    "Backprop",
    "BeliefPropagation",
    "ChebyshevFilter",
    "Checkpointed",
    "ConjugateGradient",
    "CountingFactors",
    "CoupledDescent",
    "CoupledIsta",
    "Descent",
    "Episode",
    "FactorGraph",
    "FirstOrder",
    "Fista",
    "FunctionObjective",
    "Gaussian",
    "Gibbs",
    "GraphSignal",
    "Implicit",
    "InverseProblem",
    "Invertible",
    "Ista",
    "MapEstimation",
    "MeanField",
    "MetaoptError",
    "MetaoptWarning",
    "Objective",
    "Poisson",
    "PrimalDual",
    "Propagation",
    "ProximalGradient",
    "RandomRestarts",
    "Reversible",
    "Settled",
    "Status",
    "TableFactors",
    "Trainings",
    "Trajectory",
    "Truncated",
    "Unrolled",
    "algorithms",
    "compat",
    "core",
    "data",
    "estimators",
    "exact_map",
    "exact_marginals",
    "export",
    "fixed",
    "losses",
    "metrics",
    "models",
    "mse",
    "networks",
    "operators",
    "optim",
    "parameterize",
    "per_step",
    "priors",
    "problems",
    "scale",
    "shared",
    "slot",
    "slots",
    "solve",
    "tasks",
    "training",
    "trajectory_loss",
    "tree",
    "unroll",
    "updates",
    "viewer",
    "vmap",
    "weights",
]


def __getattr__(name: str) -> _Any:
    """Import the packages that not everyone needs when they are first asked for."""
    if name in _LAZY:
        return _importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
