"""The published energy of a refinement, and what follows from it by going through all states: the oracle of tests."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from metaopt.problems import GraphRefinement


def energy(problem: GraphRefinement, s: tuple[int, ...], beta: Tensor, node: Tensor, symmetry: float, pair: Tensor):
    """log p up to a constant, edge by edge as in the paper."""
    edges = [tuple(e) for e in problem.edge_index.T.tolist()]
    state = dict(zip(edges, s, strict=True))
    total = torch.zeros((), dtype=torch.float64)
    for k in range(len(problem.x)):
        leaving = [e for e in edges if e[0] == k]
        degree = sum(state[e] for e in leaving)
        if leaving:
            total = total + (beta[degree] if degree < len(beta) else 0) + degree * (node @ problem.x[k])
    for e, (k, l) in enumerate(edges):  # noqa: E741
        if (l, k) in state and k < l:
            other = edges.index((l, k))
            both = pair @ (problem.pairs[e] + problem.pairs[other]) / 2
            product, differ = state[k, l] * state[l, k], abs(state[k, l] - state[l, k])
            total = total + symmetry * (1 - 2 * differ) + (2 * product - 1) * both
        if (l, k) not in state:
            total = total - 2 * symmetry * state[k, l]
    return total


def all_energies(problem: GraphRefinement, *potentials) -> tuple[Tensor, Tensor]:
    """All states (2^E, E) and their energies (2^E,)."""
    states = list(itertools.product((0, 1), repeat=problem.edge_index.shape[1]))
    return torch.tensor(states, dtype=torch.float64), torch.stack([energy(problem, s, *potentials) for s in states])


def elbo(q: Tensor, states: Tensor, energies: Tensor) -> Tensor:
    """E_q[energy] + H(q) for independent edges, by the sum over all states."""
    probability = (states * q + (1 - states) * (1 - q)).prod(1)
    entropy = -(torch.special.xlogy(q, q) + torch.special.xlogy(1 - q, 1 - q)).sum()
    return (probability * energies).sum() + entropy
