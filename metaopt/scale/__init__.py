"""Compute on signals, pictures and volumes larger than memory, tile by tile, with the result of the whole."""

from .in_memory import tiled
from .problem import WindowedProblem, piece, step_halo
from .tiling import assemble, windows

__all__ = ["WindowedProblem", "assemble", "piece", "step_halo", "tiled", "windows"]
