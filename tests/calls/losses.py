"""Calls of losses, metrics and estimators."""

import torch

import metaopt as mo
from metaopt import losses, metrics

from . import NOT_A_CALL, Call


def output():
    return torch.linspace(0, 1, 12).reshape(2, 6)


def pictures():
    return torch.linspace(0, 1, 2 * 12 * 12).reshape(2, 12, 12)


def run(keep="all"):
    halve = mo.Algorithm.from_step(lambda problem, x, k: x / 2, lambda problem: problem)
    return mo.unroll(halve, 3, keep=keep)(output())


def problem():
    return mo.InverseProblem(mo.operators.Identity(), output(), 0.1)


def beliefs():
    graph = mo.FactorGraph(torch.tensor([2, 2]), torch.zeros(2, 4))
    return mo.unroll(mo.BeliefPropagation(), 1)(graph).final


def judged(loss):
    return loss(None, run(), problem(), output() + 1)


COMPARED = {"output": output, "target": lambda: output() + 1}


def pair(first, second):
    return lambda: {"output": first(), "target": second()}


def log_odds():
    return torch.linspace(-2, 2, 64).reshape(1, 1, 4, 4, 4)


def tubes():
    return (log_odds() > 1).float()


CALLS = {
    "Supervised": Call(losses.Supervised, lambda: {"loss": losses.mse, "weights": "uniform"}, judged),
    "TrainingLoss": NOT_A_CALL,
    "Unsupervised": Call(losses.Unsupervised, lambda: {"loss": losses.energy, "weights": [0.0, 0.5, 0.5]}, judged),
    "binary_cross_entropy": Call(losses.binary_cross_entropy, pair(output, output)),
    "branch_overlap": Call(losses.branch_overlap, pair(log_odds, tubes)),
    "cross_entropy": Call(losses.cross_entropy, pair(output, lambda: torch.tensor([0, 5]))),
    "dice": Call(losses.dice, pair(output, output)),
    "energy": Call(losses.energy, lambda: {"output": output(), "problem": problem()}),
    "log_energy": Call(losses.log_energy, lambda: {"output": output() + 1, "problem": problem()}, finite=False),
    "marginal_cross_entropy": Call(losses.marginal_cross_entropy, pair(beliefs, lambda: torch.full((2, 4), 0.5))),
    "marginal_error": Call(losses.marginal_error, pair(beliefs, lambda: torch.full((2, 4), 0.5))),
    "mse": Call(losses.mse, pair(output, lambda: output() + 1)),
    "negative_psnr": Call(losses.negative_psnr, pair(output, lambda: output() + 1)),
    "step_weights": Call(losses.step_weights, lambda: {"weights": [0.5, 0.5], "steps": 2}),
    "trajectory_loss": Call(
        losses.trajectory_loss,
        lambda: {"trajectory": run(), "target": output(), "loss": losses.mse, "weights": "linear"},
    ),
    "weighted_mean": Call(
        losses.weighted_mean, lambda: {"trajectory": run(), "measure": torch.mean, "weights": "linear"}
    ),
}

METRICS = {
    "magnitude": Call(metrics.magnitude, lambda: {"x": output()}),
    "psnr": Call(metrics.psnr, lambda: {"estimate": output(), "target": output() + 1, "peak": 1.0}, finite=False),
    "ssim": Call(metrics.ssim, lambda: {"estimate": pictures(), "target": pictures() / 2, "peak": 1.0}),
}
