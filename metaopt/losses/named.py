"""Name the losses that a recipe can refer to."""

from __future__ import annotations

from .adapters import Supervised, Unsupervised
from .energies import energy, log_energy
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

LOSSES: dict[str, TrainingLoss] = {
    "binary_cross_entropy": Supervised(binary_cross_entropy),
    "branch_overlap": Supervised(branch_overlap),
    "cross_entropy": Supervised(cross_entropy),
    "dice": Supervised(dice),
    "energy": Unsupervised(energy),
    "log_energy": Unsupervised(log_energy),
    "marginal_cross_entropy": Supervised(marginal_cross_entropy),
    "marginal_error": Supervised(marginal_error),
    "mse": Supervised(mse),
    "negative_psnr": Supervised(negative_psnr),
}
