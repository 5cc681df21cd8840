"""Find trees inside a factor graph, for the weights of tree-reweighted propagation and for a schedule."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor, nn

from ...arguments.contracts import Between, Count, checked
from ...core import MetaoptError, random
from ...problems.factor_graph import FactorGraph


@checked
def tree_weights(problem: FactorGraph, trees: Count = 50, seed: int = 0) -> Tensor:
    """Return for each factor how often it is in a random set of factors without a cycle.

    With these weights :class:`BeliefPropagation` minimises a convex free energy, and its ``log_z`` is an upper bound of
    log Z (Wainwright et al., doi:10.1109/TIT.2005.850091; for factors of any arity each set is an exact hypertree).
    Each set is maximal, and begins with the factors that were in the fewest sets before, so that every factor is in
    some set.

    Args:
        problem: The factor graph.
        trees: The least number of sets.
        seed: Seed of the sets.

    Returns:
        rho, (factors,), or the number 1 where there is no factor.

    Raises:
        MetaoptError: There is to be no set.
    """
    if trees < 1:
        raise MetaoptError(f"Weights need at least one set of factors, but got {trees}.")
    generator = random.generator(seed)
    every = [tuple(scope) for group in problem.factors for scope in group.variables.tolist()]
    number: dict[Any, int] = {}  # factors of the same variables share one place, of which a set has room for one factor
    place = [number.setdefault(frozenset(s) if len(s) > 1 else i, len(number)) for i, s in enumerate(every)]
    first = dict(zip(reversed(place), reversed(every), strict=True))
    scopes = [list(first[k]) for k in range(len(number))]
    if not scopes:
        return problem.unary.new_ones(())
    counts = torch.zeros(len(scopes))
    drawn = 0
    while drawn < trees or int(counts.min()) == 0:
        order = (counts + torch.rand(len(scopes), generator=generator)).argsort().tolist()
        counts[_forest(scopes, order, len(problem.cardinalities))] += 1
        drawn += 1
    shared = torch.tensor(place, dtype=torch.long)
    sizes = torch.bincount(shared, minlength=len(scopes)).clamp_min(1)
    return (counts / max(drawn, 1) / sizes)[shared].to(problem.unary)


def has_cycles(problem: FactorGraph) -> bool:
    """Return whether the factors close a cycle; variables with one possible state, such as observed ones, join nothing.

    Args:
        problem: The factor graph.

    Returns:
        False where belief propagation that converges is exact.
    """
    states = problem.possible if problem.possible is not None else torch.ones_like(problem.unary[:1], dtype=torch.bool)
    counts = states.new_zeros(len(states), len(problem.cardinalities), dtype=torch.long)
    several = (counts.index_add(1, problem.variable, states.long()) > 1).any(0).tolist()
    scopes = [[v for v in scope if several[v]] for group in problem.factors for scope in group.variables.tolist()]
    return len(_forest(scopes, list(range(len(scopes))), len(several))) < len(scopes)


def _forest(scopes: list[list[int]], order: list[int], variables: int) -> list[int]:
    """Return the factors, taken in ``order``, that close no cycle."""
    parent, kept = list(range(variables)), []
    for factor in order:
        roots = [_root(parent, variable) for variable in scopes[factor]]
        if len(set(roots)) == len(roots):
            kept.append(factor)
            for root in roots[1:]:
                parent[root] = roots[0]
    return kept


def _root(parent: list[int], node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@checked
class ResidualSchedule(nn.Module):
    """Change only the messages that would change most in a step, a fixed share of the edges.

    The residual of an edge is the largest change of its message. All messages are computed to know it.

    Args:
        share: Share of the edges, in (0, 1].

    Raises:
        MetaoptError: The share is not in (0, 1].

    Source:
        Residual belief propagation, Elidan et al., UAI 2006; many messages at once, as in relaxed residual propagation.
    """

    def __init__(self, share: Annotated[float, Between(above=0, high=1)] = 0.25):
        super().__init__()
        self.share = share

    def forward(self, problem: FactorGraph, proposed: Tensor, messages: Tensor, k: int) -> Tensor:
        if not problem.factors:
            return proposed
        change = (proposed - messages).abs()
        by_edge = [[block.amax(1) for block in group] for group in problem.blocks(change)]
        every = torch.cat([edge for group in by_edge for edge in group], dim=1)
        most = max(1, round(self.share * every.shape[1]))
        least = every.topk(most, dim=1).values[:, -1:]
        blocks = [
            [torch.where((edge >= least).unsqueeze(1), new, old) for edge, new, old in zip(*group, strict=True)]
            for group in zip(by_edge, problem.blocks(proposed), problem.blocks(messages), strict=True)
        ]
        return problem.flat([list(group) for group in blocks], len(messages))


@checked
class TreeSchedule(nn.Module):
    """Pass the messages of a spanning forest from its leaves to its roots and back, then all others, and repeat.

    On a tree one round of ``self.period`` undamped steps is exact. A schedule fits only the graph that it was made for.

    Args:
        problem: The factor graph.

    Raises:
        MetaoptError: When called, the graph is another one.
    """

    turns: Tensor

    def __init__(self, problem: FactorGraph):
        super().__init__()
        turns, self.period = _turns(problem)
        self.register_buffer("turns", turns)

    def forward(self, problem: FactorGraph, proposed: Tensor, messages: Tensor, k: int) -> Tensor:
        if self.turns.shape != problem.edge_state.shape:
            raise MetaoptError("This TreeSchedule was made for another graph; make one with TreeSchedule(graph).")
        return torch.where(self.turns == k % self.period, proposed, messages)


def _turns(problem: FactorGraph) -> tuple[Tensor, int]:
    """Return for each edge state (S,) the step in which its message changes, and the number of steps of a round."""
    scopes = [scope for group in problem.factors for scope in group.variables.tolist()]
    forest = set(_forest(scopes, list(range(len(scopes))), len(problem.cardinalities)))
    factors_of: list[list[int]] = [[] for _ in range(len(problem.cardinalities))]
    for factor in sorted(forest):
        for variable in scopes[factor]:
            factors_of[variable].append(factor)
    parent, depth = _depths(scopes, factors_of)
    deepest = max(depth.values(), default=0)
    period = 2 * deepest + 2 + (len(forest) < len(scopes))
    variables = problem.variable[problem.edge_state].tolist()
    turns = []
    for factor, variable in zip(problem.edge_factor.tolist(), variables, strict=True):
        if factor not in forest:
            turns.append(period - 1)
        elif parent[factor] == variable:  # towards the root
            turns.append(deepest - depth[factor])
        else:
            turns.append(deepest + 1 + depth[factor])
    return torch.tensor(turns, dtype=torch.long, device=problem.edge_state.device), period


def _depths(scopes: list[list[int]], factors_of: list[list[int]]) -> tuple[dict[int, int], dict[int, int]]:
    """Return for each factor of a forest the variable above it, and the number of factors above it."""
    parent: dict[int, int] = {}
    depth: dict[int, int] = {}
    seen = [False] * len(factors_of)
    for root in range(len(factors_of)):
        if seen[root]:
            continue
        seen[root], front = True, [(root, 0)]
        while front:
            variable, level = front.pop()
            for factor in factors_of[variable]:
                if factor in parent:
                    continue
                parent[factor], depth[factor] = variable, level
                for other in scopes[factor]:
                    if not seen[other]:
                        seen[other] = True
                        front.append((other, level + 1))
    return parent, depth
