"""Tasks: distributions of (problem, target)."""

from .few_shot import FewShot, Sinusoids
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
from .optimizees import IllConditioned, LogisticRegression, Quadratics, RobustRegression, Rosenbrock
from .sparse import SparseCodes, gaussian_dictionary
from .task import Task

__all__ = [
    "Deblurring",
    "Denoising",
    "FewShot",
    "IllConditioned",
    "Inpainting",
    "LogisticRegression",
    "Mixture",
    "Patches",
    "Quadratics",
    "RandomProjections",
    "RobustRegression",
    "Rosenbrock",
    "Sinusoids",
    "SparseCodes",
    "SuperResolution",
    "Task",
    "UndersampledMri",
    "block_projection",
    "gaussian_dictionary",
    "pool",
    "shrinking",
    "smooth_phase",
]
