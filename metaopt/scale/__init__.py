"""Compute on signals, pictures and volumes larger than memory, tile by tile, with the result of the whole."""

from .tiling import assemble, exact_halo, piece, tiled, windows

__all__ = ["assemble", "exact_halo", "piece", "tiled", "windows"]
