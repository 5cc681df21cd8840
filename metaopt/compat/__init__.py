"""Offer users of ``higher`` its inner loop, with differentiable optimizers that compute what torch's do."""

from . import optim, patch
from . import structures as utils
from .differentiable import DifferentiableOptimizer
from .inner_loop import innerloop_ctx
from .optim import create_diff_optim, get_diff_optim, register_optim
from .patch import FunctionalModule, make_functional, monkeypatch
from .structures import apply_trainable_opt_params, get_trainable_opt_params

__all__ = [
    "DifferentiableOptimizer",
    "FunctionalModule",
    "apply_trainable_opt_params",
    "create_diff_optim",
    "get_diff_optim",
    "get_trainable_opt_params",
    "innerloop_ctx",
    "make_functional",
    "monkeypatch",
    "optim",
    "patch",
    "register_optim",
    "utils",
]
