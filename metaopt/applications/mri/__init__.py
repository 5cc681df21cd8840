"""Prepare measured k-space (coil maps, coil compression, the noise) and reconstruct pictures from it."""

from .calibration import calibration_region
from .classical import cg_sense, l1_wavelet, root_sum_of_squares, total_variation, zero_filled
from .compression import Compressed, compress_coils
from .espirit import CoilMaps, espirit
from .noise import border_noise, noise_covariance

__all__ = [
    "CoilMaps",
    "Compressed",
    "border_noise",
    "calibration_region",
    "cg_sense",
    "compress_coils",
    "espirit",
    "l1_wavelet",
    "noise_covariance",
    "root_sum_of_squares",
    "total_variation",
    "zero_filled",
]
