"""Compute exact marginals for a batch of models that share one structure."""

from __future__ import annotations

import torch
from torch import Tensor

from ..algorithms.inference.elimination import junction_tree
from ..algorithms.inference.join_graph import log_partition
from ..problems import FactorGraph


def batch_marginals(graph: FactorGraph) -> tuple[Tensor, Tensor]:
    """Compute exact marginals and log partition functions of a batch by the junction tree, in float64.

    The marginals are the gradient of log Z with respect to the unary potentials.

    Args:
        graph: A factor graph of B samples.

    Returns:
        Marginals (B, N) and log Z (B, graphs), in the precision of the graph.
    """
    tree = junction_tree(graph.cardinalities.tolist(), [s for g in graph.factors for s in g.variables.tolist()])
    order = sorted(range(len(tree.position)), key=lambda v: tree.position[v])
    with torch.enable_grad():
        unary = graph.unary.detach().double().requires_grad_()
        exact = graph.with_unary(unary)
        log_z = log_partition(exact, order)
        if not len(graph.cardinalities):  # nothing to differentiate by
            return graph.unary.new_zeros(graph.batch, 0), log_z.detach().to(graph.unary)
        (marginals,) = torch.autograd.grad(log_z.sum(), unary)
    return marginals.to(graph.unary), log_z.detach().to(graph.unary)
