"""Calls of algorithms, priors and the entries of the core, each run for a step."""

import torch
from torch import nn

import metaopt as mo
from metaopt import algorithms, core, priors
from metaopt.algorithms.coupled_descent import Scale, ScaleGradient
from metaopt.problems import Episode, GraphSignal

from . import NOT_A_CALL, Call


def picture_problem():
    y = torch.linspace(0, 1, 64).reshape(1, 1, 8, 8)
    return mo.InverseProblem(mo.operators.Identity(), y, 0.1)


def grid():
    table = torch.tensor([[0.5, -0.5], [-0.5, 0.5]])
    return mo.FactorGraph.from_factors([2, 2], [((0, 1), table)])


def ring():
    return torch.tensor([[0, 1, 2, 1, 2, 0], [1, 2, 0, 0, 1, 2]])


def signal():
    return GraphSignal.from_edges(torch.eye(3), ring())


def refined():
    return mo.problems.GraphRefinement(torch.linspace(0, 1, 6).reshape(3, 2), torch.ones(6, 1), ring())


def network():
    return nn.Linear(3, 2)


def episode():
    x = torch.linspace(-1, 1, 24).reshape(2, 4, 3)
    return Episode(x, torch.tensor([[0, 1, 0, 1], [1, 0, 1, 0]]), x)


def codes():
    return torch.linspace(-1, 1, 6).reshape(2, 3)


def dictionary():
    return torch.eye(3, 4) + 0.1 * torch.linspace(-1, 1, 12).reshape(3, 4)


def stepped(problem):
    return lambda algorithm: mo.unroll(algorithm, 2)(problem()).final


def halving():
    return mo.Algorithm.from_step(lambda problem, x, k: x / 2, lambda problem: problem)


def prior():
    return priors.Sparsity(0.1)


def looked_at(prior):
    x = picture_problem().y
    proximal = prior.prox(x, 0.1) if hasattr(prior, "prox") else x
    return prior.energy(x), prior.gradient(x), proximal


PRIORS = {
    "FieldOfExperts": Call(
        priors.FieldOfExperts, lambda: {"filters": priors.dct_filters(3), "weight": 1.0, "scale": 0.1}, looked_at
    ),
    "CycleSpinning": Call(priors.CycleSpinning, lambda: {"prior": prior(), "span": 4, "dims": 2}, looked_at),
    "NonNegative": Call(
        priors.NonNegative, lambda: {"prior": prior(), "inner": 2}, lambda made: made.prox(picture_problem().y, 0.1)
    ),
    "Prior": NOT_A_CALL,
    "Sparsity": Call(priors.Sparsity, lambda: {"weight": 0.1, "smoothing": 1e-3}, looked_at),
    "TotalVariation": Call(
        priors.TotalVariation, lambda: {"weight": 0.1, "inner": 2, "dims": 2, "isotropic": False}, looked_at
    ),
    "Wavelet": Call(
        priors.Wavelet, lambda: {"weight": 0.1, "levels": 2, "shifts": 1, "dims": 2, "taps": priors.HAAR}, looked_at
    ),
    "dct_filters": Call(priors.dct_filters, lambda: {"size": 3}),
}

ALGORITHMS = {
    "Arborescence": NOT_A_CALL,
    "Adaptation": Call(
        algorithms.Adaptation,
        lambda: {"network": network(), "update": mo.updates.Sgd(0.1), "loss": nn.functional.cross_entropy},
        stepped(episode),
    ),
    "ChebyshevFilter": Call(algorithms.ChebyshevFilter, lambda: {"coefficients": [1.0, 0.5, 0.2]}, stepped(signal)),
    "Compiled": Call(algorithms.Compiled, lambda: {"algorithm": halving(), "backend": "eager"}, lambda algorithm: None),
    "Deconvolution": Call(
        algorithms.Deconvolution,
        lambda: {
            "update": mo.updates.ConvGru(2, 4, (1,), context=0),
            "trust": 0.5,
            "iterations": 2,
            "positive": True,
        },
        stepped(picture_problem),
    ),
    "Clean": Call(algorithms.Clean, lambda: {"gain": 0.1, "share": 1.0, "threshold": 0.0}, stepped(picture_problem)),
    "ConjugateGradient": Call(algorithms.ConjugateGradient, lambda: {"weight": 0.1}, stepped(picture_problem)),
    "ConjugateGradientState": NOT_A_CALL,
    "CoupledDescent": Call(
        algorithms.CoupledDescent,
        lambda: {"read": ScaleGradient(-1e-3), "mix": Scale(0.5), "write": Scale(1.0)},
        stepped(picture_problem),
    ),
    "CoupledIsta": Call(
        algorithms.CoupledIsta, lambda: {"dictionary": dictionary(), "penalty": 0.1, "support": [0.5]}, stepped(codes)
    ),
    "CoupledState": NOT_A_CALL,
    "DataConsistency": Call(
        algorithms.DataConsistency,
        lambda: {"algorithm": mo.Descent(mo.updates.Sgd(1e-3)), "trust": 0.1},
        stepped(picture_problem),
    ),
    "Descent": Call(algorithms.Descent, lambda: {"update": mo.updates.Sgd(1e-3)}, stepped(picture_problem)),
    "DescentState": NOT_A_CALL,
    "Fista": Call(algorithms.Fista, lambda: {"prior": prior(), "step_size": 1e-3}, stepped(picture_problem)),
    "Ista": Call(algorithms.Ista, lambda: {"dictionary": dictionary(), "penalty": 0.1}, stepped(codes)),
    "MapEstimation": Call(
        algorithms.MapEstimation,
        lambda: {"prior": prior(), "step_size": 0.1, "unit": mo.problems.noise_variance},
        stepped(picture_problem),
    ),
    "PrimalDual": Call(
        algorithms.PrimalDual,
        lambda: {"prior": priors.TotalVariation(0.1), "step_size": 0.1, "ratio": 10.0},
        stepped(picture_problem),
    ),
    "PrimalDualState": NOT_A_CALL,
    "Propagation": Call(
        algorithms.Propagation,
        lambda: {"encode": nn.Linear(3, 2), "decode": nn.Identity(), "teleport": 0.1, "mix": nn.Linear(2, 2)},
        stepped(signal),
    ),
    "ProximalGradient": Call(
        algorithms.ProximalGradient,
        lambda: {"prior": prior(), "step_size": 0.1, "unit": mo.problems.noise_variance},
        stepped(picture_problem),
    ),
    "maximum_arborescence": Call(
        algorithms.maximum_arborescence,
        lambda: {"edge_index": ring(), "nodes": 3, "log_odds": torch.ones(6), "root": 0, "least": 0.5},
    ),
    "minimum_spanning_tree": Call(
        algorithms.minimum_spanning_tree, lambda: {"edge_index": ring(), "nodes": 3, "length": torch.ones(6)}
    ),
    "analytic_weights": Call(algorithms.analytic_weights, lambda: {"dictionary": torch.eye(3, 4) + 0.1}),
    "first_order_objective": Call(
        algorithms.first_order_objective,
        lambda: {
            "network": network(),
            "loss": nn.functional.cross_entropy,
            "batches": [(torch.ones(2, 3), torch.tensor([0, 1]))],
        },
    ),
    "heat_kernel": Call(algorithms.heat_kernel, lambda: {"time": 1.0, "steps": 2}, stepped(signal)),
    "label_propagation": Call(algorithms.label_propagation, lambda: {"spread": 0.9}, stepped(signal)),
    "personalized_pagerank": Call(algorithms.personalized_pagerank, lambda: {"teleport": 0.1}, stepped(signal)),
    "reversible_momentum": Call(
        algorithms.reversible_momentum, lambda: {"step_size": 1e-3, "momentum": 0.5}, stepped(picture_problem)
    ),
    "step_size_for": Call(algorithms.step_size_for, lambda: {"problem": picture_problem(), "iterations": 3}),
}

INFERENCE = {
    "BeliefPropagation": Call(algorithms.BeliefPropagation, lambda: {"damping": 0.5}, stepped(grid)),
    "Beliefs": NOT_A_CALL,
    "ClusterFactors": NOT_A_CALL,
    "EdgeInference": Call(
        algorithms.EdgeInference,
        lambda: {"inference": mo.MeanField(), "potentials": mo.networks.EdgePotentials(torch.tensor([0.0, 1.0]))},
        stepped(refined),
    ),
    "Gibbs": Call(
        algorithms.Gibbs, lambda: {"colors": torch.tensor([0, 1]), "seed": 0, "burn_in": 0}, stepped(grid), finite=False
    ),
    "JunctionTree": NOT_A_CALL,
    "MeanField": Call(algorithms.MeanField, lambda: {"damping": 0.5, "temperature": 1.0}, stepped(grid)),
    "RandomRestarts": Call(
        algorithms.RandomRestarts,
        lambda: {"algorithms": mo.BeliefPropagation(), "steps": 3, "starts": 1, "spread": 2.0, "seed": 0},
        lambda restarts: restarts(grid()),
    ),
    "ResidualSchedule": Call(
        algorithms.ResidualSchedule,
        lambda: {"share": 0.5},
        lambda schedule: stepped(grid)(mo.BeliefPropagation(schedule=schedule)),
    ),
    "TreeSchedule": Call(
        algorithms.TreeSchedule,
        lambda: {"problem": grid()},
        lambda schedule: stepped(grid)(mo.BeliefPropagation(schedule=schedule)),
    ),
    "coloring": Call(algorithms.coloring, lambda: {"problem": grid()}),
    "exact_map": Call(algorithms.exact_map, lambda: {"graph": grid(), "limit": 100}),
    "exact_marginals": Call(algorithms.exact_marginals, lambda: {"graph": grid(), "limit": 100}),
    "join_graph": Call(algorithms.join_graph, lambda: {"graph": grid(), "order": [0, 1], "limit": 16}),
    "junction_tree": NOT_A_CALL,
    "log_partition": Call(algorithms.log_partition, lambda: {"graph": grid(), "order": [0, 1]}),
    "tree_weights": Call(algorithms.tree_weights, lambda: {"problem": grid(), "trees": 2, "seed": 0}),
}

CORE = {
    "Algorithm": NOT_A_CALL,
    "Invertible": NOT_A_CALL,
    "MetaoptError": NOT_A_CALL,
    "MetaoptWarning": NOT_A_CALL,
    "Report": NOT_A_CALL,
    "Settled": Call(core.Settled, lambda: {"relative": 1e-6, "absolute": 1e-14, "residual": None, "every": 1}),
    "Status": NOT_A_CALL,
    "Trajectory": NOT_A_CALL,
    "Unrolled": Call(
        core.Unrolled,
        lambda: {"algorithm": halving(), "steps": 2, "gradient": mo.Backprop(), "keep": "all"},
        lambda net: net(codes()).final,
    ),
    "fixed": Call(core.fixed, lambda: {"value": 0.5}, lambda opening: core.slot(opening)(0)),
    "from_step": Call(
        mo.Algorithm.from_step,
        lambda: {
            "step": lambda problem, x, k: x / 2,
            "init": lambda problem: problem,
            "readout": lambda problem, x, k: x,
            "slots": {},
        },
        lambda algorithm: None,
    ),
    "parameterize": Call(
        core.parameterize,
        lambda: {"algorithm": mo.Descent(mo.updates.Sgd(0.1)), "openings": {"update.step_size": mo.shared()}},
    ),
    "per_step": Call(core.per_step, lambda: {"steps": 2, "value": 0.5}, lambda opening: core.slot(opening)(0)),
    "run_until": NOT_A_CALL,
    "shared": Call(core.shared, lambda: {"value": 0.5}, lambda opening: core.slot(opening)(0)),
    "slot": Call(core.slot, lambda: {"content": 0.5}, lambda slot: slot(0), free=("check",)),
    "slots": Call(
        core.slots,
        lambda: {"module": mo.Descent(mo.updates.Sgd(0.1))},
        free=("module", "prefix"),  # it looks at any module, once for each run
    ),
    "solve": Call(
        core.solve,
        lambda: {"algorithm": halving(), "problem": codes(), "max_steps": 3, "callback": lambda *_: None},
        lambda run: run.final,
        free=("problem", "state"),  # they belong to the function that is given
        but=("until=class", "callback=class", "callback=no argument", "callback=six arguments"),
    ),
    "unroll": Call(
        core.unroll, lambda: {"algorithm": halving(), "steps": 2, "keep": "all"}, lambda net: net(codes()).final
    ),
}
