"""Calls of what finds, measures and keeps the airways of CT."""

import torch

from metaopt.applications import airway
from metaopt.tasks.airways import AirwayTree, fill_tubes

from ..applications.airway.chests import chest
from . import NOT_A_CALL, Call


def line(y=5.0):
    return torch.stack([torch.linspace(2, 9, 8), torch.full((8,), y), torch.linspace(4, 6, 8)], 1)


def tree():
    return AirwayTree(torch.tensor([-1, 0]), [line(), line(6.0)], [torch.full((8,), 1.5), torch.ones(8)])


TUBE = 0.9 * fill_tubes([(line(), torch.full((8,), 1.5))], (12, 12, 12), (1.0, 1.0, 1.0))
CHEST = chest((6.0, 6.0, 6.0))
LUNGS = airway.find_lungs(*CHEST[:2])
NODES = airway.find_candidates(TUBE, (1.0, 1.0, 1.0))


def joined():
    """A graph of three nodes in a row, with its edges in both directions."""
    edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    nodes = airway.AirwayNodes(torch.cat([line()[:3], torch.ones(3, 4)], dim=1), torch.ones(3, 7), torch.ones(3))
    return nodes, edges, torch.tensor([2.0, 2.0, 1.0, 1.0])


AIRWAY = {
    "AirwayNodes": NOT_A_CALL,
    "AirwayScores": NOT_A_CALL,
    "Airways": NOT_A_CALL,
    "Branch": NOT_A_CALL,
    "BelowLarynx": NOT_A_CALL,
    "LabelledTree": NOT_A_CALL,
    "Segmented": NOT_A_CALL,
    "Outputs": NOT_A_CALL,  # it names files; those that are given to the functions below, tests/cli tries
    "airway_graph": Call(
        airway.airway_graph,
        lambda: {"nodes": NODES, "airwayness": TUBE, "spacing": (1.0, 1.0, 1.0), "neighbors": 2},
        lambda graph: (graph.x, graph.pairs),
    ),
    "describe_scores": NOT_A_CALL,
    "below_larynx": Call(airway.below_larynx, lambda: {"tree": tree()}, lambda found: [*found.tree.points]),
    "dice_of_edges": Call(
        airway.dice_of_edges,
        lambda: {"edges": torch.tensor([[0, 1, 2], [1, 2, 3]]), "truth": torch.tensor([[1, 1], [0, 3]])},
    ),
    "evaluate_airways": Call(
        airway.evaluate_airways,
        lambda: {
            "mask": TUBE > 0.2,
            "truth": TUBE > 0.4,
            "spacing": (1.0, 1.0, 1.0),
            "tree": tree(),
            "truth_tree": tree(),
            "wall": 1.0,
        },
        list,
    ),
    "evaluate_file": NOT_A_CALL,
    "fill_airways": Call(
        airway.fill_airways,
        lambda: {"tree": tree(), "airwayness": TUBE, "spacing": (1.0, 1.0, 1.0), "level": 0.4, "reach": 1.5},
    ),
    "Lungs": NOT_A_CALL,
    "airwayness": Call(
        airway.airwayness,
        lambda: {"volume": CHEST.volume, "lungs": LUNGS, "spacing": CHEST.spacing, "method": "tubeness", "net": None},
        free=("volume", "net"),  # tests/applications/airway tries volumes; tubeness takes no network
    ),
    "find_lungs": Call(
        airway.find_lungs, lambda: {"volume": CHEST.volume, "spacing": CHEST.spacing}, list, free=("volume",)
    ),
    "grow_region": Call(
        airway.grow_region,
        lambda: {
            "volume": CHEST.volume,
            "seed": LUNGS.seed,
            "spacing": CHEST.spacing,
            "threshold": -950.0,
            "within": None,
            "jump": 0.15,
            "most": 400.0,
        },
        free=("volume",),
    ),
    "find_candidates": Call(
        airway.find_candidates,
        lambda: {"airwayness": TUBE, "spacing": (1.0, 1.0, 1.0), "least": 0.06, "apart": 1.5, "most": 20},
        list,
    ),
    "find_root": Call(airway.find_root, lambda: {"nodes": NODES, "trachea": TUBE > 0.5, "spacing": (1.0, 1.0, 1.0)}),
    "labelled_tree": Call(
        airway.labelled_tree,
        lambda: dict(zip(("nodes", "edge_index", "log_odds"), joined(), strict=True)) | {"root": 0, "least": 0.1},
        lambda found: [*found.tree.points, found.probability],
    ),
    "measure_file": NOT_A_CALL,
    "read_tree": NOT_A_CALL,
    "refine": Call(
        airway.refine,
        lambda: {
            "problem": airway.airway_graph(NODES, TUBE, (1.0, 1.0, 1.0)),
            "method": "mfn",
            "net": airway.refinement("mfn", trained=False),
        },
    ),
    "refinement": Call(airway.refinement, lambda: {"method": "mfn", "trained": False}, lambda net: net.steps),
    "segment_airways": Call(
        airway.segment_airways,
        lambda: {
            "volume": -900 * torch.ones(12, 12, 12),
            "spacing": (1.0, 1.0, 1.0),
            "method": "mst",
            "airwayness": TUBE,
            "progress": print,
            "lungs": None,
            "net": None,
        },
        lambda found: [*found.tree.points, found.mask],
        but=("airwayness=None",),  # the lungs would be looked for
    ),
    "segment_file": NOT_A_CALL,
    "summarize": Call(airway.summarize, lambda: {"tree": tree()}),
    "tabulate": Call(airway.tabulate, lambda: {"tree": tree()}, lambda rows: [row.length_mm for row in rows]),
    "write_table": NOT_A_CALL,
    "write_tree": NOT_A_CALL,
}
