"""Calls of what finds, measures and keeps the airways of CT."""

import torch

from metaopt.applications import airway
from metaopt.tasks.airways import AirwayTree

from . import NOT_A_CALL, Call


def line(y=5.0):
    return torch.stack([torch.linspace(2, 9, 8), torch.full((8,), y), torch.linspace(4, 6, 8)], 1)


def tree():
    return AirwayTree(torch.tensor([-1, 0]), [line(), line(6.0)], [torch.full((8,), 1.5), torch.ones(8)])


AIRWAY = {
    "AirwayNodes": NOT_A_CALL,
    "AirwayScores": NOT_A_CALL,
    "Airways": NOT_A_CALL,
    "Branch": NOT_A_CALL,
    "LabelledTree": NOT_A_CALL,
    "Outputs": NOT_A_CALL,  # it names files; those that are given to the functions below, tests/cli tries
    "airway_graph": NOT_A_CALL,  # of it and the others before segment_airways, the tests of the application try more
    "dice_of_edges": NOT_A_CALL,
    "evaluate_airways": NOT_A_CALL,
    "fill_airways": NOT_A_CALL,
    "find_candidates": NOT_A_CALL,
    "find_root": NOT_A_CALL,
    "labelled_tree": NOT_A_CALL,
    "measure_file": NOT_A_CALL,
    "read_tree": NOT_A_CALL,
    "refine": NOT_A_CALL,
    "refinement": NOT_A_CALL,
    "segment_airways": NOT_A_CALL,
    "summarize": Call(airway.summarize, lambda: {"tree": tree()}),
    "tabulate": Call(airway.tabulate, lambda: {"tree": tree()}, lambda rows: [row.length_mm for row in rows]),
    "write_table": NOT_A_CALL,
    "write_tree": NOT_A_CALL,
}
