"""Training: one small loop, checkpoints and logs."""

from ..building import build
from .loop import train, validation_loss
from .muon import Muon
from .recipe import find_recipe, read_recipe, run_recipe
from .settings import Rate, Settings, Watch

__all__ = [
    "Muon",
    "Rate",
    "Settings",
    "Watch",
    "build",
    "find_recipe",
    "read_recipe",
    "run_recipe",
    "train",
    "validation_loss",
]
