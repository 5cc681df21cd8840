"""Tasks: distributions of (problem, target)."""

from .images import Denoising, Patches, RandomProjections, block_projection, pool
from .mri import UndersampledMri, smooth_phase
from .task import Task

__all__ = [
    "Denoising",
    "Patches",
    "RandomProjections",
    "Task",
    "UndersampledMri",
    "block_projection",
    "pool",
    "smooth_phase",
]
