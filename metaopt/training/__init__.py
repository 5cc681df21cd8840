"""Train networks by one small loop with checkpoints and logs, and by recipes that describe whole trainings."""

from .loop import train
from .muon import Muon
from .recipe import find_recipe, read_recipe, run_recipe
from .settings import LearningRate, Settings, Watch
from .validation import validation_loss

__all__ = [
    "LearningRate",
    "Muon",
    "Settings",
    "Watch",
    "find_recipe",
    "read_recipe",
    "run_recipe",
    "train",
    "validation_loss",
]
