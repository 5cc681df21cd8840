"""Grow airway trees, simulate chest CT of them, and measure the trees of lumen masks.

Volumes are (D, H, W) with the axes (z, y, x), z towards the head; spacings and positions are in millimetres and in the
same order, positions from the centre of the first voxel.
"""

from .chest import draw_lungs
from .ct import SimulatedCt, simulate_ct
from .graphs import AirwayGraphs, read_graph, write_graph
from .growth import Morphometry, branching_angles, grow_airways
from .measure import measure_airways
from .nodes import NodeParents, node_parents
from .patches import AirwayCts
from .people import read_people
from .scanner import Scanner
from .scenes import AirwayScenes
from .statistics import Generation, by_generation
from .tissue import Tissue
from .tree import AirwayTree
from .tubes import fill_tubes

__all__ = [
    "AirwayCts",
    "AirwayGraphs",
    "AirwayScenes",
    "AirwayTree",
    "Generation",
    "Morphometry",
    "NodeParents",
    "Scanner",
    "SimulatedCt",
    "Tissue",
    "branching_angles",
    "by_generation",
    "draw_lungs",
    "fill_tubes",
    "grow_airways",
    "measure_airways",
    "node_parents",
    "read_graph",
    "read_people",
    "simulate_ct",
    "write_graph",
]
