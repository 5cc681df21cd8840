"""Break the ties of max-product, where the best states of different variables may not fit together."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core import random
from ...problems import FactorGraph

TIE = 1e-3  # log max-marginals within this distance count as equal


def has_ties(graph: FactorGraph, log_marginals: Tensor, tolerance: float = TIE) -> bool:
    """Return whether a variable has two best states, with log max-marginals within ``tolerance`` of each other.

    Args:
        graph: The factor graph.
        log_marginals: Log max-marginals, (B, N).
        tolerance: The largest difference that counts as a tie.

    Returns:
        True if some variable of some sample has two.
    """
    near = log_marginals > graph.highest(log_marginals)[:, graph.variable] - tolerance
    return int(near.sum()) > near.shape[0] * len(graph.cardinalities)


def break_ties(graph: FactorGraph, size: float = TIE, seed: int = 0) -> FactorGraph:
    """Return the graph with random numbers up to ``size`` added to its unary potentials, so that ties end.

    The log potential of the new best assignment in the original graph is within ``size`` times the number of variables
    of the best one.

    Args:
        graph: The factor graph.
        size: The largest number that is added.
        seed: Seed of the numbers.

    Returns:
        The changed graph.
    """
    generator = random.generator(seed, len(graph.cardinalities), device=graph.unary.device)
    noise = torch.rand(graph.unary.shape, generator=generator, dtype=graph.unary.dtype, device=graph.unary.device)
    return graph.with_unary(graph.unary + size * noise)
