"""Calls of what grows, renders, measures and simulates airways."""

import torch

from metaopt.tasks.airways import (
    AirwayCts,
    AirwayScenes,
    AirwayTree,
    Morphometry,
    Scanner,
    Tissue,
    branching_angles,
    by_generation,
    draw_lungs,
    fill_tubes,
    grow_airways,
    measure_airways,
    node_parents,
    simulate_ct,
)

from . import NOT_A_CALL, Call

COARSE = (8.0, 8.0, 8.0)
LUNGS = draw_lungs(0, COARSE)
BOX = torch.ones(12, 12, 12, dtype=torch.bool)


def line():
    return torch.stack([torch.linspace(2, 9, 8), torch.full((8,), 5.0), torch.linspace(4, 6, 8)], 1)


def tree():
    return AirwayTree(torch.tensor([-1]), [line()], [torch.full((8,), 1.5)])


def grown(tree):
    return [*tree.points, *tree.radius]


AIRWAYS = {
    "AirwayCts": Call(
        AirwayCts,
        lambda: {
            "lungs": [(LUNGS, (3.2, 3.2, 3.2))],
            "size": 6,
            "batch": 1,
            "spacing": (0.8, 1.0),
            "blur": (0.7, 1.0),
            "noise": (20.0, 30.0),
            "thickness": (0.5, 0.9),
            "opaque": 0.5,
        },
        lambda task: task.sample(0),
        but=("lungs=None",),  # right, but whole lungs take seconds
    ),
    "AirwayGraphs": NOT_A_CALL,  # of files, which tests/tasks/airways writes first; so are the next two
    "read_graph": NOT_A_CALL,
    "write_graph": NOT_A_CALL,
    "AirwayScenes": Call(
        AirwayScenes,
        lambda: {
            "patches": AirwayCts(lungs=[(LUNGS, (3.2, 3.2, 3.2), tree())], size=6, batch=1, spacing=(0.8, 1.0)),
            "scenes": 1,
        },
        lambda task: task.sample(0),
    ),
    "read_people": NOT_A_CALL,  # it reads data that may not be there
    "AirwayTree": Call(
        AirwayTree,
        lambda: {"parent": torch.tensor([-1, 0]), "points": [line(), line()], "radius": [torch.ones(8), torch.ones(8)]},
        lambda tree: (tree.length, tree.mean_radius, tree.generation),
    ),
    "Generation": NOT_A_CALL,
    "NodeParents": NOT_A_CALL,
    "node_parents": Call(
        node_parents, lambda: {"tree": tree(), "positions": line(), "slack": 1.0}, lambda found: list(found)
    ),
    "Morphometry": Call(
        Morphometry,
        lambda: {
            "trachea": 8.0,
            "exponent": 2.2,
            "length": 7.0,
            "spread": 0.4,
            "narrowest": 2.0,
            "smallest_share": 0.2,
            "pull": 0.5,
            "turn": 20.0,
        },
        lambda numbers: grown(grow_airways(LUNGS, COARSE, 0, numbers)),
    ),
    "Scanner": Call(
        Scanner,
        lambda: {"blur": 1.0, "noise": 20.0, "grain": 0.8},
        lambda scanner: scanner.scan(torch.zeros(6, 6, 6), (1, 1, 1), torch.Generator().manual_seed(0)),
    ),
    "SimulatedCt": NOT_A_CALL,
    "Tissue": Call(
        Tissue,
        lambda: {
            "thickness": 0.6,
            "wall": 20.0,
            "air": -990.0,
            "parenchyma": -850.0,
            "texture": 30.0,
            "artery": 1.4,
            "veins": 0,
            "opacities": 1,
        },
        lambda tissue: simulate_ct(tree(), LUNGS, (4.0, 4.0, 4.0), 0, tissue).volume,
    ),
    "branching_angles": Call(branching_angles, lambda: {"share": 0.4, "exponent": 2.8}),
    "by_generation": Call(
        by_generation, lambda: {"trees": [tree(), tree()]}, lambda rows: [row.length for row in rows]
    ),
    "draw_lungs": Call(draw_lungs, lambda: {"seed": 0, "spacing": COARSE, "litres": 5.0}),
    "fill_tubes": Call(
        fill_tubes,
        lambda: {"tubes": tree().tubes, "shape": (12, 12, 12), "spacing": (1.0, 1.0, 1.0)},
    ),
    "grow_airways": Call(
        grow_airways,
        lambda: {"lungs": LUNGS, "spacing": COARSE, "seed": 0, "morphometry": Morphometry(narrowest=2.0)},
        grown,
    ),
    "measure_airways": Call(
        measure_airways,
        lambda: {"mask": fill_tubes(tree().tubes, (12, 12, 12), (1, 1, 1)) > 0.5, "spacing": (1.0, 1.0, 1.0)},
        grown,
    ),
    "simulate_ct": Call(
        simulate_ct,
        lambda: {
            "airways": tree(),
            "lungs": BOX,
            "spacing": (1.0, 1.0, 1.0),
            "seed": 0,
            "tissue": Tissue(veins=0),
            "scanner": Scanner(),
        },
        lambda ct: ct.volume,
    ),
}
