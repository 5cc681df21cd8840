"""Prepare measured k-space for reconstruction: coil maps, coil compression and the noise."""

from .calibration import calibration_region
from .compression import Compressed, compress_coils
from .espirit import CoilMaps, espirit
from .noise import border_noise, noise_covariance

__all__ = [
    "CoilMaps",
    "Compressed",
    "border_noise",
    "calibration_region",
    "compress_coils",
    "espirit",
    "noise_covariance",
]
