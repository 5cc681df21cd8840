"""What is larger than memory: computing signals, pictures and volumes tile by tile, with the result of the whole."""

from .tiling import assemble, exact_halo, piece, tiled, windows

__all__ = ["assemble", "exact_halo", "piece", "tiled", "windows"]
