"""Propagation on graphs."""

from __future__ import annotations

from torch import nn

import metaopt as mo

from ..helpers import Case, seeded
from .problems import graph_problem


def equilibrium() -> mo.Propagation:
    """Smooth, so that a long run's gradients converge as the run itself does."""
    contraction, inject = mo.networks.Contraction(3, 0.6), mo.networks.NodeEncoder((3, 3))
    return mo.Propagation(nn.Identity(), nn.Linear(3, 2), mix=contraction, inject=inject, activation=nn.Tanh())


GRAPHS = [
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
