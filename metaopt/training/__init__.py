"""Training: one small loop, checkpoints and logs."""

from .loop import Rate, Settings, Watch, train
from .recipe import build, find_recipe, read_recipe, run_recipe

__all__ = ["Rate", "Settings", "Watch", "build", "find_recipe", "read_recipe", "run_recipe", "train"]
