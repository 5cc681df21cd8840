"""Inference on factor graphs."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

import metaopt as mo

from ..factor_graphs import loopy
from ..helpers import Case, positive, seeded


def as_if_trained(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Its last layer, which is zero at first, has random weights too."""

    def other() -> nn.Module:
        module = build()
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.2)
        return module

    return other


INFERENCE = [
    Case(
        "belief propagation",
        lambda: mo.BeliefPropagation(0.3),
        lambda seed: loopy(seed, batch=3),
        {
            "damping": mo.per_step(4, interval=(0.0, 1.0)),
            "temperature": positive(4),
            "weight": mo.shared(positive=True),
        },
        steps=4,
    ),
    Case(
        "belief propagation, max-product",
        lambda: mo.BeliefPropagation(0.3, marginalize=mo.problems.log_max),
        lambda seed: loopy(seed, batch=3),
        {"damping": mo.per_step(4)},
        steps=4,
    ),
    Case(
        "belief propagation, a weight for each factor",
        lambda: mo.BeliefPropagation(0.3, weight=mo.algorithms.tree_weights(loopy(0))),
        lambda seed: loopy(seed, batch=3),
        {"damping": mo.shared(), "weight": mo.shared(positive=True)},
        steps=4,
        fixed_point=200,
    ),
    Case(
        "mean field",
        lambda: mo.MeanField(0.2, colors=mo.algorithms.coloring(loopy(0))),
        lambda seed: loopy(seed, batch=3),
        {"damping": mo.per_step(4), "temperature": positive(4)},
        steps=4,
        fixed_point=60,
    ),
    Case(
        "belief propagation, learned damping",
        lambda: mo.BeliefPropagation(correction=seeded(as_if_trained(mo.networks.LearnedDamping))),
        lambda seed: loopy(seed, batch=3),
        {"damping": mo.shared(), "correction": mo.per_step(4)},
        steps=4,
        memory=lambda state: state.memory,
    ),
    Case(
        "belief propagation, learned weights",
        lambda: mo.BeliefPropagation(0.3, weight=seeded(as_if_trained(mo.networks.LearnedWeights))),
        lambda seed: loopy(seed, batch=3),
        {"weight.scale": mo.per_step(4, positive=True), "weight": mo.shared()},
        steps=4,
    ),
    Case(
        "belief propagation, neural-enhanced",
        lambda: mo.BeliefPropagation(correction=seeded(as_if_trained(lambda: mo.networks.GraphCorrection(4)))),
        lambda seed: loopy(seed, batch=3),
        {"damping": mo.shared(), "correction": mo.shared()},
        steps=4,
        memory=lambda state: state.memory,
    ),
    Case(
        "graph network on a factor graph",
        lambda: seeded(lambda: mo.models.GraphNetwork(4)),
        lambda seed: loopy(seed, batch=3),
        {"entries": mo.per_step(4), "move": mo.shared(), "decide": mo.shared()},
        steps=4,
        memory=lambda state: state.memory,
    ),
]
