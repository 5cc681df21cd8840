"""Compute on signals, pictures and volumes larger than memory, tile by tile, with the result of the whole."""

from .channels import channel_by_channel
from .convolved import Convolved
from .in_memory import tiled
from .on_disk import out_of_core
from .problem import WindowedProblem, piece, step_halo
from .tiling import assemble, windows

# fmt: off
__all__ = [
    "Convolved", "WindowedProblem", "assemble", "channel_by_channel", "out_of_core", "piece", "step_halo", "tiled",
    "windows",
]
# fmt: on
