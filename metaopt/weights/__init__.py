"""Store trained networks in files with their cards, and load them and those that come with the package."""

from .calls import build
from .cards import load, read_card, read_weights, save, shipped
from .purpose import check_task, tasks_of
from .tensors import load_tensors, save_tensors

__all__ = [
    "build",
    "check_task",
    "load",
    "load_tensors",
    "read_card",
    "read_weights",
    "save",
    "save_tensors",
    "shipped",
    "tasks_of",
]
