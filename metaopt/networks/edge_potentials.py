"""Potentials of the edges of an over-complete graph, published for airways and of use for any tree or road."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..arguments.contracts import ValueSlot, checked
from ..core import MetaoptError, slot, tree
from ..problems.counting import CountingFactors
from ..problems.factor_graph import FactorGraph
from ..problems.factors import Factors
from ..problems.refinement import GraphRefinement
from ..records import recorded


@recorded
@checked
class EdgePotentials(nn.Module):
    """Give a :class:`~metaopt.problems.GraphRefinement` the published potentials, as a factor graph.

    With s_kj = 1 where edge k -> j is real, the logarithm of the probability is, up to a constant,

    ``sum_k beta[sum_j s_kj] + sum_kj s_kj a x_k + sum_pairs lambda (1 - 2 |s_kl - s_lk|) + (2 s_kl s_lk - 1) w f_kl``.

    ``beta[v]`` is 0 beyond its last entry. A pair is two opposite edges, and f_kl is the mean of their features; an
    edge without an opposite one counts as one whose opposite is not real, which leaves ``-2 lambda s_kl``. The factor
    over the edges that leave a node is exact for any number of them: it counts by dynamic programming.

    It fills the ``potentials`` slot of :class:`~metaopt.algorithms.EdgeInference`.

    Args:
        degree: Fills the slot of that name; two to three children of a node were published.
        node: Fills the slot of that name.
        symmetry: Fills the slot of that name.
        pair: Fills the slot of that name.

    Slots:
        degree: beta, (D + 1,).
        node: a, (F,), or one number for all features.
        symmetry: lambda, a number.
        pair: w, (P,), or one number for all features. For :func:`~metaopt.problems.gaussian_features` it is eta and nu.

    Raises:
        MetaoptError: There is not one weight for each feature, or no potential for the numbers of children (when read).

    Source:
        Selvan et al., 2020, arXiv:1811.08674 (the potentials).
    """

    def __init__(self, degree: ValueSlot, node: ValueSlot = 0.0, symmetry: ValueSlot = 0.0, pair: ValueSlot = 0.0):
        super().__init__()
        self.degree, self.node = slot(degree), slot(node)
        self.symmetry, self.pair = slot(symmetry), slot(pair)

    def at_step(self, k: int) -> Callable[[GraphRefinement], FactorGraph]:
        return functools.partial(self._factor_graph, k)

    def _factor_graph(self, k: int, problem: GraphRefinement) -> FactorGraph:
        beta, symmetry = self.degree(k), self.symmetry(k)
        if beta.ndim != 1 or symmetry.ndim:
            raise MetaoptError(
                "EdgePotentials needs a tensor degree (D + 1,), a log potential for each number of children from 0 "
                f"to D, and one number for symmetry, but got {tuple(beta.shape)} and {tuple(symmetry.shape)} at step "
                f"{k}; a list of numbers is one for each step."
            )
        x, graph = problem.x, problem.graph
        beta, symmetry = beta.to(x), symmetry.to(x)
        weights = torch.cat([beta, beta.new_zeros(1)])  # the last state is "more than D"
        following = torch.arange(len(weights), device=x.device)
        following = torch.stack([following, (following + 1).clamp_max(len(weights) - 1)])
        counted = torch.stack([weights, weights[following[1]]])[None, :, :, None]
        own = _weighted("node", x, self.node(k))[problem.edge_index[0]]
        pair = _weighted("pair", problem.pairs, self.pair(k))
        groups: list[Factors] = []
        alone = torch.ones_like(own)
        for group in graph.factors:
            if isinstance(group, CountingFactors):
                accept = counted.expand(-1, -1, -1, len(group.variables))
                groups.append(tree.replace(group, {"following": following, "accept": accept}))
            else:
                either = pair[group.variables].mean(1)
                same, off = symmetry - either, -symmetry - either
                both = symmetry + either
                table = torch.stack([torch.stack([same, off]), torch.stack([off, both])])[None]
                groups.append(tree.replace(group, {"log_table": table}))
                alone = alone.index_fill(0, group.variables.flatten(), 0.0)
        on = own - 2 * symmetry * alone
        unary = torch.stack([torch.zeros_like(on), on], dim=1).reshape(1, -1)
        return tree.replace(graph, {"unary": unary, "factors": tuple(groups)})


@checked
def potentials_from_numbers(
    degree: Sequence[float], node: Sequence[float], symmetry: float, pair: Sequence[float]
) -> EdgePotentials:
    """Return potentials that are given as numbers, as a recipe or a card can hold them.

    Args:
        degree: beta, the log potential of each number of edges that leave a node, from 0.
        node: a, one weight for each feature of a node.
        symmetry: lambda.
        pair: w, one weight for each feature of an edge.

    Returns:
        The potentials, in torch's default precision.
    """
    return EdgePotentials(
        torch.tensor(list(degree), dtype=torch.get_default_dtype()),
        torch.tensor(list(node), dtype=torch.get_default_dtype()),
        float(symmetry),
        torch.tensor(list(pair), dtype=torch.get_default_dtype()),
    )


def _weighted(name: str, features: Tensor, weight: Tensor) -> Tensor:
    """Sum features (n, F) with weights (F,), or with one weight for all, (n,)."""
    if weight.ndim and weight.shape != features.shape[1:]:
        raise MetaoptError(
            f"The {name} weights are {tuple(weight.shape)}, but the problem has {features.shape[1]} features of a "
            f"{name}; give one number for each, or one for all."
        )
    return (features * weight.to(features)).sum(1)
