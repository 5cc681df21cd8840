"""Define losses of one output, such as :func:`mse`, and of a run, ``loss(net, trajectory, problem, target)``."""

from .adapters import Supervised, Unsupervised, trajectory_loss
from .energies import energy, log_energy
from .named import LOSSES as LOSSES  # a table, which the reference pages cannot show
from .steps import step_weights, weighted_mean
from .supervised import (
    binary_cross_entropy,
    branch_overlap,
    cross_entropy,
    dice,
    marginal_cross_entropy,
    marginal_error,
    mse,
    negative_psnr,
)
from .training_loss import TrainingLoss

__all__ = [
    "Supervised",
    "TrainingLoss",
    "Unsupervised",
    "binary_cross_entropy",
    "branch_overlap",
    "cross_entropy",
    "dice",
    "energy",
    "log_energy",
    "marginal_cross_entropy",
    "marginal_error",
    "mse",
    "negative_psnr",
    "step_weights",
    "trajectory_loss",
    "weighted_mean",
]
