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
    "Branch": NOT_A_CALL,
    "Outputs": NOT_A_CALL,  # it names files; those that are given to the functions below, tests/cli tries
    "measure_file": NOT_A_CALL,
    "read_tree": NOT_A_CALL,
    "summarize": Call(airway.summarize, lambda: {"tree": tree()}),
    "tabulate": Call(airway.tabulate, lambda: {"tree": tree()}, lambda rows: [row.length_mm for row in rows]),
    "write_table": NOT_A_CALL,
    "write_tree": NOT_A_CALL,
}
