"""Segment the airways of a chest CT: candidate nodes, a graph whose edges are judged, a labelled tree and its mask."""

from .airwayness import airwayness
from .candidates import AirwayNodes, find_candidates
from .evaluate_file import describe_scores, evaluate_file
from .growing import grow_region
from .labelling import LabelledTree, find_root, labelled_tree
from .larynx import BelowLarynx, below_larynx
from .lungs import Lungs, find_lungs
from .measure_file import measure_file
from .measures import AirwayScores, dice_of_edges, evaluate_airways
from .outputs import Outputs
from .refine import airway_graph, refine, refinement
from .segment import Airways, segment_airways
from .segment_file import Segmented, segment_file
from .table import Branch, summarize, tabulate, write_table
from .tree_files import read_tree, write_tree
from .voxels import fill_airways

__all__ = [
    "AirwayNodes",
    "AirwayScores",
    "Airways",
    "BelowLarynx",
    "Branch",
    "LabelledTree",
    "Lungs",
    "Outputs",
    "Segmented",
    "airway_graph",
    "airwayness",
    "below_larynx",
    "describe_scores",
    "dice_of_edges",
    "evaluate_airways",
    "evaluate_file",
    "fill_airways",
    "find_candidates",
    "find_lungs",
    "find_root",
    "grow_region",
    "labelled_tree",
    "measure_file",
    "read_tree",
    "refine",
    "refinement",
    "segment_airways",
    "segment_file",
    "summarize",
    "tabulate",
    "write_table",
    "write_tree",
]
