"""Propagation on graphs."""

from __future__ import annotations

import torch
from torch import nn

import metaopt as mo
from metaopt.models.refinement import EdgePerceptron

from ..helpers import Case, normal, seeded
from .inference import as_if_trained
from .problems import graph_problem


def equilibrium() -> mo.Propagation:
    """Smooth, so that a long run's gradients converge as the run itself does."""
    contraction, inject = mo.networks.Contraction(3, 0.6), mo.networks.NodeEncoder((3, 3))
    return mo.Propagation(nn.Identity(), nn.Linear(3, 2), mix=contraction, inject=inject, activation=nn.Tanh())


def refinement_problem(seed: int) -> mo.problems.GraphRefinement:
    """Five nodes with one to three edges each, some of which have an opposite one."""
    edges = torch.tensor([[0, 0, 1, 1, 2, 2, 2, 3, 4], [1, 2, 0, 2, 1, 0, 3, 2, 0]])
    return mo.problems.GraphRefinement(normal(seed, 5, 3), normal(seed + 1, 9, 2), edges)


def potentials() -> mo.networks.EdgePotentials:
    beta = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64)
    return mo.networks.EdgePotentials(beta, 0.2 * normal(7, 3), 0.4, 0.3 * normal(8, 2))


def weighted_messages() -> mo.BeliefPropagation:
    weights, damping = (as_if_trained(kind)() for kind in (mo.networks.LearnedWeights, mo.networks.LearnedDamping))
    return mo.BeliefPropagation(0.5, weight=weights, correction=damping)


REFINEMENTS = [
    Case(
        "mean field on edges",
        lambda: mo.algorithms.EdgeInference(mo.MeanField(0.4), potentials()),
        refinement_problem,
        {"inference.damping": mo.per_step(4), "potentials.degree": mo.shared(), "potentials.pair": mo.per_step(4)},
        steps=4,
        couples=True,
        fixed_point=200,
    ),
    Case(
        "learned belief propagation on edges",
        lambda: seeded(lambda: mo.algorithms.EdgeInference(weighted_messages(), potentials())),
        refinement_problem,
        {"potentials.node": mo.shared(), "potentials.symmetry": mo.shared(), "inference.weight": mo.shared()},
        steps=4,
        couples=True,
    ),
    Case(
        "edge network",
        lambda: seeded(lambda: mo.models.EdgeNetwork(3, 2, 4)),
        refinement_problem,
        {"join": mo.shared(), "gather": mo.per_step(4), "decode": mo.shared()},
        steps=4,
        couples=True,
    ),
    Case(
        "edge perceptron",
        lambda: seeded(lambda: EdgePerceptron(3, 2, 4)),
        refinement_problem,
        {"decode": mo.shared()},
        steps=3,
        couples=True,
    ),
]

GRAPHS = [
    *REFINEMENTS,
    Case(
        "personalised pagerank",
        lambda: mo.algorithms.personalized_pagerank(0.2),
        graph_problem,
        {"teleport": mo.per_step(5, interval=(0.0, 1.0))},
        couples=True,
    ),
    Case(
        "label propagation",
        lambda: mo.algorithms.label_propagation(0.8),
        graph_problem,
        {"teleport": mo.shared()},
        couples=True,
    ),
    Case(
        "gcn with dropout",
        lambda: seeded(lambda: mo.models.gcn(3, 2, hidden=4, layers=5).algorithm),
        lambda seed: graph_problem(seed, dropped_by=seed),
        {"encode": mo.shared(), "mix": mo.shared(), "decode": mo.shared()},
        couples=True,
    ),
    Case(
        "appnp with dropout",
        lambda: seeded(lambda: mo.models.appnp(3, 2, hidden=4).algorithm),
        lambda seed: graph_problem(seed, dropped_by=seed),
        {"teleport": mo.per_step(5)},
        couples=True,
    ),
    Case(
        "implicit gnn",
        lambda: seeded(equilibrium),
        graph_problem,
        {"mix": mo.shared(), "inject": mo.shared()},
        couples=True,
        fixed_point=120,
    ),
    Case(
        "chebyshev filter",
        lambda: mo.algorithms.heat_kernel(1.5, 5),
        graph_problem,
        {"first": mo.shared(), "coefficient": mo.per_step(5)},
        couples=True,
    ),
]
