"""Ties of max-product: where states are equally likely, the best of each variable need not go together."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core import random
from ...problems import FactorGraph

TIE = 1e-3  # log max-marginals that are nearer than this are equal


def has_ties(graph: FactorGraph, log_marginals: Tensor, tolerance: float = TIE) -> bool:
    """Whether a variable has two best states: log max-marginals (B, N) within ``tolerance`` of each other."""
    near = log_marginals > graph.highest(log_marginals)[:, graph.variable] - tolerance
    return int(near.sum()) > near.shape[0] * len(graph.cardinalities)


def break_ties(graph: FactorGraph, size: float = TIE, seed: int = 0) -> FactorGraph:
    """The graph with unary potentials that differ by up to ``size``, at random: one best state is then most likely.

    The best assignment of the new graph is within ``size`` times the number of variables of that of the old one.
    """
    generator = random.generator(seed, device=graph.unary.device)
    noise = torch.rand(graph.unary.shape, generator=generator, dtype=graph.unary.dtype, device=graph.unary.device)
    return graph.with_unary(graph.unary + size * noise)
