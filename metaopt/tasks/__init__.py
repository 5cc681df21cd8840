"""Tasks: distributions of (problem, target)."""

from .images import (
    Deblurring,
    Denoising,
    Inpainting,
    Mixture,
    Patches,
    RandomProjections,
    SuperResolution,
    block_projection,
    pool,
    shrinking,
)
from .mri import UndersampledMri, smooth_phase
from .task import Task

__all__ = [
    "Deblurring",
    "Denoising",
    "Inpainting",
    "Mixture",
    "Patches",
    "RandomProjections",
    "SuperResolution",
    "Task",
    "UndersampledMri",
    "block_projection",
    "pool",
    "shrinking",
    "smooth_phase",
]
