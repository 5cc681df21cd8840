"""Grow airway trees, render and measure them.

Volumes are (D, H, W) with the axes (z, y, x), z towards the head; spacings and positions are in millimetres and in the
same order, positions from the centre of the first voxel.
"""

from .chest import draw_lungs
from .growth import Morphometry, branching_angles, grow_airways
from .measure import measure_airways
from .tree import AirwayTree
from .tubes import fill_tubes

__all__ = [
    "AirwayTree",
    "Morphometry",
    "branching_angles",
    "draw_lungs",
    "fill_tubes",
    "grow_airways",
    "measure_airways",
]
