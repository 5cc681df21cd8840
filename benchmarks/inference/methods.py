"""Every method of inference as a function of a factor graph, classical and learned."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import metaopt as mo

WEIGHTS = Path(__file__).parent.parent / "weights"
STEPS = 200
MOST_STATES = 50_000  # of edges, of what many starts are made for


class Found(NamedTuple):
    """Log marginals (B, N), log Z (B, graphs), the residual (B,) (None: it has no fixed point), and the seconds."""

    log_marginals: Tensor
    log_z: Tensor
    residual: Tensor | None
    seconds: float


Method = Callable[[mo.FactorGraph], Found]


@torch.no_grad()
def iterated(build: Callable[[mo.FactorGraph], Any], steps: int, graph: mo.FactorGraph) -> Found:
    """What ``steps`` steps find; the time is that of the steps and of what is computed from the graph before them."""
    begin = time.perf_counter()
    algorithm = build(graph)
    run = mo.unroll(algorithm, steps, keep="last")(graph)
    seconds = time.perf_counter() - begin
    residual = algorithm.residual(graph, run.state, run.stop - 1) if hasattr(algorithm, "residual") else None
    return Found(*run.final, residual, seconds)


def plain(graph: mo.FactorGraph) -> mo.BeliefPropagation:
    return mo.BeliefPropagation()


def damped(graph: mo.FactorGraph) -> mo.BeliefPropagation:
    return mo.BeliefPropagation(0.5)


def reweighted(graph: mo.FactorGraph) -> mo.BeliefPropagation:
    return mo.BeliefPropagation(0.5, weight=mo.algorithms.tree_weights(graph))


def mean_field(graph: mo.FactorGraph) -> mo.MeanField:
    colors = mo.algorithms.coloring(graph)
    if len(colors) and int(colors.max()) >= 50:  # a sweep would take as many gradients: all in parallel, damped
        return mo.MeanField(0.5)
    return mo.MeanField(colors=colors)


@cache
def network(name: str) -> Any:
    return mo.models.load(WEIGHTS / f"{name}.safetensors")


def trained(name: str, graph: mo.FactorGraph) -> Any:
    """The algorithm of a trained network, in the precision of the graph."""
    return network(name).to(graph.unary.dtype).algorithm


CLASSICAL: dict[str, Method] = {
    "BP": partial(iterated, plain, STEPS),
    "BP, damped": partial(iterated, damped, STEPS),
    "TRW": partial(iterated, reweighted, STEPS),
    "mean field": partial(iterated, mean_field, 50),
}
TRAINED = {  # the steps of each: as in training where more are worse
    "learned BP": ("learned_bp", STEPS),
    "neural-enhanced BP": ("neural_enhanced_bp", 12),
    "graph network": ("graph_network", 12),
    "mean-field network": ("mean_field_net", 12),
}
LEARNED: dict[str, Method] = {
    label: partial(iterated, partial(trained, name), steps) for label, (name, steps) in TRAINED.items()
}


@torch.no_grad()
def started(build: Callable[[mo.FactorGraph], mo.RandomRestarts], graph: mo.FactorGraph) -> Found:
    """Many starts; the residual is that of the best one."""
    if (states := len(graph.edge_state)) > MOST_STATES:
        raise mo.MetaoptError(f"{states} states of edges: not run from 16 starts, which would take half an hour.")
    begin = time.perf_counter()
    beliefs, residual = build(graph)(graph)
    return Found(*beliefs, residual.min()[None], time.perf_counter() - begin)


def damped_starts(graph: mo.FactorGraph) -> mo.RandomRestarts:
    return mo.RandomRestarts(mo.BeliefPropagation(0.3), 400)


def learned_starts(graph: mo.FactorGraph) -> mo.RandomRestarts:
    return mo.models.many_starts(network("learned_bp").to(graph.unary.dtype))


def constant_starts(graph: mo.FactorGraph) -> mo.RandomRestarts:
    """The candidates of :func:`learned_starts` with constant weights, from 1.25 to 4, in the place of learned ones."""
    return mo.models.many_starts()


def weights_read(*labels: str) -> list[Path]:
    """The weights files of those of the methods that are trained."""
    trained = {**TRAINED, "learned BP, 16 starts": TRAINED["learned BP"]}
    return [WEIGHTS / f"{trained[label][0]}.safetensors" for label in labels if label in trained]


STARTED: dict[str, Method] = {
    "BP, damped, 16 starts": partial(started, damped_starts),
    "constant weights, 16 starts": partial(started, constant_starts),
    "learned BP, 16 starts": partial(started, learned_starts),
}


def marginal_error(graph: mo.FactorGraph, found: Tensor, exact: Tensor) -> Tensor:
    """(B,): the mean over variables of the mean over states of |p - exact|."""
    difference = (found[:, : exact.shape[1]].exp() - exact).abs()
    start = difference.new_zeros(len(difference), len(graph.cardinalities))
    return (start.index_add(1, graph.variable, difference) / graph.cardinalities).mean(1)
