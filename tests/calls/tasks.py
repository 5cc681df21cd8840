"""Calls of tasks and of what draws them, each drawn from once."""

import numpy as np
import torch
from torch import nn

from metaopt import tasks
from metaopt.operators import gaussian_columns_mask, gaussian_projection
from metaopt.problems import rigid_features

from . import NOT_A_CALL, Call
from .algorithms import network


def drawn(task):
    return task.sample(0)


def filled(network):
    return [p.detach() for p in network.parameters()]


def patches():
    return tasks.Patches([torch.arange(144, dtype=torch.uint8).reshape(1, 12, 12)], 8, 2)


def generator():
    return torch.Generator().manual_seed(0)


def checks():
    return torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1]])


def words():
    return torch.tensor([[0, 1, 1, 0], [1, 1, 0, 0]])


BOUNDS = (0.1, 0.2)

TASKS = {
    "BenchmarkFunction": Call(
        tasks.BenchmarkFunction,
        lambda: {"function": lambda x: x.square().sum(1), "low": -1.0, "high": 1.0, "minimiser": (0.0,)},
        lambda function: drawn(tasks.BenchmarkFunctions(function, 2, 2)),
    ),
    "BenchmarkFunctions": Call(
        tasks.BenchmarkFunctions,
        lambda: {"function": tasks.BENCHMARK_FUNCTIONS["rosenbrock"], "dimension": 2, "batch": 2},
        drawn,
    ),
    "AirwayScenes": NOT_A_CALL,  # in the table of airways
    "read_people": NOT_A_CALL,
    "BranchingGraphs": Call(
        tasks.BranchingGraphs,
        lambda: {
            "generations": 2,
            "spacing": 4.0,
            "curves": 1,
            "points": 2,
            "noise": 0.5,
            "neighbors": 3,
            "features": rigid_features,
            "batch": 1,
        },
        lambda task: drawn(task)[1],
    ),
    "Deblurring": Call(
        tasks.Deblurring,
        lambda: {"patches": patches(), "widths": (0.5, 1.0), "size": 3, "noise_levels": BOUNDS},
        drawn,
    ),
    "Decoding": Call(
        tasks.Decoding, lambda: {"checks": checks(), "snr": (0.0, 4.0), "level": 0.0, "share": 0.05, "batch": 2}, drawn
    ),
    "Denoising": Call(tasks.Denoising, lambda: {"patches": patches(), "noise_levels": BOUNDS, "quantised": 0.5}, drawn),
    "FewShot": Call(
        tasks.FewShot,
        lambda: {
            "images": torch.ones(3, 4, 1, 5, 5),
            "ways": 2,
            "shots": 1,
            "queries": 2,
            "tasks": 2,
            "rotations": True,
            "distortion": 0.1,
        },
        drawn,
    ),
    "FirstOrderTask": Call(tasks.FirstOrderTask, lambda: {"task": tasks.Quadratics(2, 2)}, drawn),
    "IllConditioned": Call(
        tasks.IllConditioned, lambda: {"dimension": 2, "batch": 2, "condition": 10.0, "rotated": True}, drawn
    ),
    "Inpainting": Call(
        tasks.Inpainting,
        lambda: {"patches": patches(), "kept_shares": (0.2, 0.5), "noise_levels": BOUNDS, "grains": [1, 2]},
        drawn,
    ),
    "LogisticRegression": Call(
        tasks.LogisticRegression, lambda: {"dimension": 2, "batch": 2, "points": 4, "decay": 1e-3}, drawn
    ),
    "Mixture": Call(
        tasks.Mixture,
        lambda: {"tasks": [tasks.Quadratics(2, 2), tasks.Quadratics(3, 2)], "weights": [1.0, 2.0]},
        drawn,
    ),
    "NetworkTrainings": Call(
        tasks.NetworkTrainings,
        lambda: {
            "network": network(),
            "data": (torch.ones(6, 3), torch.tensor([0, 1, 0, 1, 0, 1])),
            "trainings": 2,
            "batch": 3,
            "steps": 2,
            "held": 3,
            "loss": nn.functional.cross_entropy,
        },
        drawn,
    ),
    "Patches": Call(
        tasks.Patches,
        lambda: {"pictures": patches().pictures, "size": 8, "batch": 2, "zoom": 1.5},
        lambda patches: patches.draw(generator()),
    ),
    "Quadratics": Call(tasks.Quadratics, lambda: {"dimension": 2, "batch": 2}, drawn),
    "RandomFactors": Call(
        tasks.RandomFactors,
        lambda: {"variables": (3, 4), "states": 2, "arity": 2, "sizes": BOUNDS, "batch": 2},
        drawn,
    ),
    "RandomFields": Call(
        tasks.RandomFields,
        lambda: {"structures": ["path"], "variables": (3, 4), "couplings": BOUNDS, "fields": BOUNDS, "batch": 2},
        drawn,
    ),
    "RandomNetworks": Call(
        tasks.RandomNetworks, lambda: {"variables": (3, 4), "parents": 2, "seen": 0.3, "batch": 2}, drawn
    ),
    "RandomProjections": Call(
        tasks.RandomProjections,
        lambda: {"patches": patches(), "block": 4, "ratios": (0.3, 0.5), "noise_levels": BOUNDS},
        drawn,
    ),
    "ReceivedCodewords": Call(
        tasks.ReceivedCodewords,
        lambda: {"basis": tasks.generator_matrix(checks()), "snr": (0.0, 4.0), "level": 0.0, "batch": 2},
        drawn,
    ),
    "RobustRegression": Call(
        tasks.RobustRegression, lambda: {"dimension": 2, "batch": 2, "points": 4, "outliers": 0.1}, drawn
    ),
    "Rosenbrock": Call(tasks.Rosenbrock, lambda: {"dimension": 2, "batch": 2, "spread": 0.5}, drawn),
    "Sinusoids": Call(tasks.Sinusoids, lambda: {"shots": 2, "queries": 2, "tasks": 2}, drawn),
    "SparseCodes": Call(
        tasks.SparseCodes,
        lambda: {"dictionary": torch.eye(3, 4) + 0.1, "share": 0.9, "snr": 20.0, "batch": 2},
        drawn,
        finite=False,  # a code of zeros has no signal to noise ratio
    ),
    "SuperResolution": Call(
        tasks.SuperResolution, lambda: {"patches": patches(), "factors": [2], "noise_levels": BOUNDS}, drawn
    ),
    "Skies": Call(
        tasks.Skies,
        lambda: {
            "galaxies": [torch.ones(1, 8, 8)],
            "pictures": [torch.ones(1, 8, 8)],
            "size": 8,
            "batch": 1,
            "zooms": (0.5, 2.0),
            "stretches": (10.0, 100.0),
            "galaxy_share": 0.5,
            "picture_share": 0.2,
        },
        lambda skies: skies.draw(generator()),
    ),
    "Task": NOT_A_CALL,
    "RadioImaging": Call(
        tasks.RadioImaging,
        lambda: {
            "skies": tasks.Skies([torch.ones(1, 8, 8)], size=8, batch=1),
            "arrays": ["random"],
            "folder": "radio/antennas",
            "stations": (5, 6),
            "hours": (0.5, 1.0),
            "snapshots": 0.3,
            "oversampling": (1.1, 2.0),
            "signals": (30.0, 100.0),
        },
        lambda task: task.sample(0),
    ),
    "UndersampledMri": Call(
        tasks.UndersampledMri,
        lambda: {
            "patches": patches(),
            "accelerations": (2.0, 3.0),
            "center": 0.1,
            "noise_levels": BOUNDS,
            "coils": (2, 3),
            "mask": gaussian_columns_mask,
            "inverted": 0.5,
        },
        drawn,
    ),
    "UniformQuadratics": Call(tasks.UniformQuadratics, lambda: {"dimension": 2, "batch": 2}, drawn),
    "awgn": Call(tasks.awgn, lambda: {"codewords": words(), "snr": 1.0, "rate": 0.5, "generator": generator()}),
    "block_projection": Call(
        tasks.block_projection,
        lambda: {"ensemble": gaussian_projection, "ratio": 0.5, "shape": (1, 8, 8), "block": 4, "seed": 0},
        lambda operator: operator(torch.ones(1, 1, 8, 8)),
    ),
    "bursty": Call(
        tasks.bursty,
        lambda: {
            "codewords": words(),
            "snr": 1.0,
            "rate": 0.5,
            "level": 1.0,
            "share": 0.1,
            "generator": generator(),
        },
    ),
    "code_graph": Call(tasks.code_graph, lambda: {"checks": checks(), "ratios": torch.ones(2, 4)}),
    "coil_maps": Call(tasks.coil_maps, lambda: {"shape": (6, 8), "coils": 3, "generator": generator()}),
    "conv_net": Call(
        tasks.conv_net,
        lambda: {"size": 8, "classes": 2, "hidden": 2},
        filled,
    ),
    "generator_matrix": Call(tasks.generator_matrix, lambda: {"parity": np.array([[1, 1, 0], [0, 1, 1]])}),
    "grey_levels": Call(tasks.grey_levels, lambda: {"low": 1.0, "high": 2.0}),
    "held_out": Call(tasks.held_out, lambda: {"task": tasks.Quadratics(2, 2), "number": 0}),
    "ising": Call(
        tasks.ising,
        lambda: {"edges": torch.tensor([[0, 1]]), "fields": torch.zeros(2, 2), "couplings": torch.ones(2, 1)},
    ),
    "mlp": Call(tasks.mlp, lambda: {"sizes": [3, 4, 2]}, filled),
    "pool": Call(tasks.pool, lambda: {"sources": {"one": [torch.ones(1, 2, 2)], "two": [torch.ones(1, 2, 2)] * 2}}),
    "random_codewords": Call(
        tasks.random_codewords,
        lambda: {"basis": tasks.generator_matrix(checks()), "count": 2, "generator": generator()},
    ),
    "shrinking": Call(
        tasks.shrinking, lambda: {"shape": (1, 1, 8, 8), "factor": 2}, lambda operator: operator(torch.ones(1, 1, 8, 8))
    ),
    "smooth_phase": Call(
        tasks.smooth_phase, lambda: {"shape": (4, 4), "generator": generator(), "modes": 2, "size": 1.0}
    ),
    "structure": Call(tasks.structure, lambda: {"name": "path", "variables": 3, "generator": generator()}),
    "tree_edges": Call(
        tasks.tree_edges, lambda: {"edge_index": torch.tensor([[0, 1], [1, 2]]), "parent": torch.tensor([-1, 0, 1])}
    ),
}
