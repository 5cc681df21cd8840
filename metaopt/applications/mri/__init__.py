"""Prepare measured k-space (coil maps, coil compression, the noise) and reconstruct pictures from it."""

from .calibration import calibration_region
from .classical import cg_sense, l1_wavelet, root_sum_of_squares, total_variation, zero_filled
from .compression import Compressed, compress_coils
from .consistency import ResidualMaps, residual_maps
from .describe import describe
from .espirit import CoilMaps, espirit
from .methods import Settings
from .noise import border_noise, noise_covariance
from .reconstruct import Reconstruction, reconstruct
from .reconstruct_file import Request, reconstruct_file
from .simulate import simulate_file

__all__ = [
    "CoilMaps",
    "Compressed",
    "Reconstruction",
    "Request",
    "ResidualMaps",
    "Settings",
    "border_noise",
    "calibration_region",
    "cg_sense",
    "compress_coils",
    "describe",
    "espirit",
    "l1_wavelet",
    "noise_covariance",
    "reconstruct",
    "reconstruct_file",
    "residual_maps",
    "root_sum_of_squares",
    "simulate_file",
    "total_variation",
    "zero_filled",
]
