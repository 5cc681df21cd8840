"""Calls of problems, of tiles, of exports and of estimators."""

import torch
from torch import nn

import metaopt as mo
from metaopt import estimators, export, losses, problems, scale

from . import NOT_A_CALL, Call
from .algorithms import grid, network, picture_problem, ring, signal


def measured(problem):
    x = problem.start()
    return x, problem.energy(x), problem.gradient(x)


def minimised(problem):
    return mo.unroll(mo.Descent(mo.updates.Sgd(1e-3)), 1)(problem).final


def descent():
    return mo.unroll(mo.Descent(mo.updates.Sgd(mo.shared(1e-3))), 2)


def initial():
    return {name: torch.stack([p.detach()] * 2) for name, p in network().named_parameters()}


def window():
    return (slice(0, 4), slice(0, 8))


def read_window(window):
    return scale.piece(picture_problem(), window)


def energy_of_run(net, trajectory, problem, target):
    return losses.energy(trajectory.final, problem)


def make_problem(y):
    return mo.InverseProblem(mo.operators.Identity(), y, 0.1)


VARIABLES = torch.tensor([[0, 1]])

PROBLEMS = {
    "Episode": Call(
        problems.Episode,
        lambda: {
            "inputs": torch.ones(2, 4, 3),
            "targets": torch.tensor([[0, 1, 0, 1], [1, 0, 1, 0]]),
            "queries": torch.ones(2, 5, 3),
        },
    ),
    "FirstOrder": Call(problems.FirstOrder, lambda: {"problem": picture_problem()}, minimised),
    "FunctionObjective": Call(
        problems.FunctionObjective,
        lambda: {"function": lambda x, a: (a * x).square().sum(), "initial": torch.ones(3), "data": (torch.ones(3),)},
        measured,
    ),
    "Gaussian": Call(problems.Gaussian, dict),
    "InverseProblem": Call(
        problems.InverseProblem,
        lambda: {"operator": mo.operators.Identity(), "y": torch.ones(2, 3), "noise": 0.1, "guess": 0.5},
        measured,
    ),
    "Likelihood": NOT_A_CALL,
    "Objective": Call(
        problems.Objective,
        lambda: {
            "module": network(),
            "loss": nn.functional.cross_entropy,
            "batches": [(torch.ones(4, 3), torch.tensor([0, 1, 0, 1]))],
        },
        measured,
    ),
    "Poisson": Call(
        problems.Poisson,
        lambda: {"background": 0.1, "floor": 1e-6},
        lambda p: measured(mo.InverseProblem(mo.operators.Identity(), torch.ones(2, 3), likelihood=p)),
    ),
    "Trainings": Call(
        problems.Trainings,
        lambda: {
            "module": network(),
            "loss": nn.functional.cross_entropy,
            "initial": initial(),
            "data": (torch.ones(6, 3), torch.tensor([0, 1, 0, 1, 0, 1])),
            "minibatches": torch.zeros(2, 3, 4, dtype=torch.int64),
            "held": torch.zeros(2, 4, dtype=torch.int64),
        },
        measured,
    ),
    "collate": Call(problems.collate, lambda: {"items": [picture_problem(), picture_problem()]}),
    "graph_formats": NOT_A_CALL,
    "noise_variance": Call(
        problems.noise_variance, lambda: {"problem": picture_problem(), "x": torch.ones(1, 1, 8, 8)}
    ),
}

IN_STEPS = ("x", "dims")  # steps call it, so it checks nothing

# The graphs of inference and of node features.
MEAN = torch.linspace(0.5, 1.5, 21).reshape(3, 7)
GRAPHS = {
    "CountingFactors": Call(
        problems.CountingFactors,
        lambda: {
            "variables": VARIABLES,
            "following": problems.parity(VARIABLES).following,
            "accept": problems.parity(VARIABLES).accept,
        },
    ),
    "FactorGraph": Call(
        problems.FactorGraph,
        lambda: {"cardinalities": torch.tensor([2, 2]), "unary": torch.zeros(1, 4), "factors": grid().factors},
        lambda graph: mo.unroll(mo.BeliefPropagation(), 1)(graph).final,
    ),
    "GraphRefinement": Call(
        problems.GraphRefinement,
        lambda: {"x": torch.ones(3, 2), "pairs": torch.ones(6, 1), "edge_index": ring()},
        lambda problem: problem.x,
    ),
    "GraphSignal": Call(
        problems.GraphSignal, lambda: {"x": torch.eye(3), "adjacency": signal().adjacency, "seed": None}
    ),
    "TableFactors": Call(problems.TableFactors, lambda: {"variables": VARIABLES, "log_table": torch.zeros(1, 2, 2, 1)}),
    "TrainedRange": Call(
        problems.TrainedRange,
        lambda: (
            {"intensity": (0.5, 1.0), "noise": (0.01, 0.1), "is_complex": False, "units": "u", "name": "n"}
            | {"acceleration": (1.0, 2.0), "pixels": (8.0, 9.0), "voxel": (1.0, 2.0)}
        ),
    ),
    "averaging_adjacency": Call(
        problems.averaging_adjacency, lambda: {"edge_index": ring(), "nodes": 3, "weight": torch.ones(6)}
    ),
    "both_directions": Call(problems.both_directions, lambda: {"edge_index": ring()}),
    "cardinality": Call(problems.cardinality, lambda: {"variables": VARIABLES, "log_weights": torch.zeros(3)}),
    "gaussian_features": Call(
        problems.gaussian_features,
        lambda: {"mean": MEAN, "variance": MEAN.square(), "edge_index": ring(), "scale": torch.ones(14)},
    ),
    "known_labels": Call(
        problems.known_labels,
        lambda: {"labels": torch.tensor([0, 1, 1]), "known": torch.tensor([True, True, False]), "classes": 2},
    ),
    "log_max": Call(problems.log_max, lambda: {"x": torch.zeros(1, 2), "dims": [1]}, free=IN_STEPS),
    "log_sum": Call(problems.log_sum, lambda: {"x": torch.zeros(1, 2), "dims": [1]}, free=IN_STEPS),
    "logical_and": Call(problems.logical_and, lambda: {"parents": VARIABLES, "child": torch.tensor([2])}),
    "logical_or": Call(problems.logical_or, lambda: {"parents": VARIABLES, "child": torch.tensor([2])}),
    "nearest_neighbors": Call(problems.nearest_neighbors, lambda: {"positions": MEAN, "count": 2}),
    "parity": Call(problems.parity, lambda: {"variables": VARIABLES, "odd": False}),
    "pool": Call(problems.pool, lambda: {"choices": VARIABLES, "indicator": torch.tensor([2])}),
    "rigid_features": Call(
        problems.rigid_features,
        lambda: {"mean": MEAN, "variance": MEAN.square(), "edge_index": ring(), "unit": 5.0},
    ),
    "symmetric_adjacency": Call(
        problems.symmetric_adjacency, lambda: {"edge_index": ring(), "nodes": 3, "weight": torch.ones(6)}
    ),
}

SCALE = {
    "Convolved": Call(
        scale.Convolved,
        lambda: {"dirty": torch.ones(1, 1, 8, 8), "transfer": torch.ones(8, 8), "noise": 0.1},
        lambda problem: problem.gradient(problem.start()),
    ),
    "channel_by_channel": NOT_A_CALL,  # they write a folder
    "out_of_core": NOT_A_CALL,
    "assemble": Call(
        scale.assemble,
        lambda: {"compute": lambda window: torch.ones(1, 8, 8)[(..., *window)], "shape": [8, 8], "size": 4, "halo": 1},
    ),
    "WindowedProblem": Call(
        scale.WindowedProblem,
        lambda: {"read": read_window, "shape": (8, 8), "operator": mo.operators.Identity()},
        lambda problem: problem.read((slice(0, 4), slice(0, 4))),
    ),
    "piece": Call(scale.piece, lambda: {"problem": picture_problem(), "window": window()}),
    "step_halo": Call(scale.step_halo, lambda: {"net": descent(), "operator": mo.operators.Identity()}),
    "tiled": Call(
        scale.tiled, lambda: {"net": descent(), "problem": picture_problem(), "size": 4, "halo": 1, "steps": 1}
    ),
    "windows": Call(scale.windows, lambda: {"shape": [8, 8], "size": 4, "halo": 1, "period": 1}, list),
}

EXPORT = {
    "TensorModule": Call(
        export.TensorModule,
        lambda: {"net": descent(), "make_problem": make_problem},
        lambda module: module(torch.ones(1, 1, 4, 4)),
    ),
    "as_module": Call(
        export.as_module,
        lambda: {"net": descent(), "make_problem": make_problem},
        lambda module: module(torch.ones(1, 1, 4, 4)),
    ),
    "export_onnx": NOT_A_CALL,  # it takes a program, and writes a file
    "export_program": Call(
        export.export_program,
        lambda: {"net": descent(), "make_problem": make_problem, "examples": [torch.ones(1, 1, 4, 4)], "dynamic": ()},
        lambda program: None,
    ),
}

ESTIMATED = {
    "net": descent,
    "problem": picture_problem,
    "loss": lambda: energy_of_run,
    "pairs": lambda: 2,
    "sigma": lambda: 0.1,
    "seed": lambda: 0,
}


def estimated():
    return {name: make() for name, make in ESTIMATED.items()}


ESTIMATORS = {
    "Estimate": NOT_A_CALL,
    "Particles": NOT_A_CALL,
    "es": Call(estimators.es, estimated, lambda estimate: estimate.gradients),
    "pes": Call(estimators.pes, estimated, lambda estimate: estimate.gradients),
}
