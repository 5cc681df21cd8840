"""Random factor graphs, and inference by enumeration: what tests of factor graphs compare with."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

import metaopt as mo

Factor = tuple[tuple[int, ...], Tensor]


def random_factors(
    seed: int, cardinalities: list[int], scopes: list[tuple[int, ...]], zeros: float = 0.0
) -> list[Factor]:
    """Log tables, standard normal; a share of ``zeros`` of the entries is probability zero, but never the first."""
    generator = torch.Generator().manual_seed(seed)
    factors = []
    for scope in scopes:
        shape = [cardinalities[v] for v in scope]
        table = torch.randn(shape, dtype=torch.float64, generator=generator)
        dead = torch.rand(shape, generator=generator) < zeros
        dead[(0,) * len(shape)] = False
        factors.append((scope, table.masked_fill(dead, -math.inf)))
    return factors


def joint(cardinalities: list[int], factors: list[Factor]) -> Tensor:
    """log of the unnormalised probability of every assignment, one by one: (c_1, ..., c_V)."""
    table = torch.zeros(cardinalities, dtype=torch.float64)
    for assignment in itertools.product(*(range(c) for c in cardinalities)):
        table[assignment] = sum(float(t[tuple(assignment[v] for v in scope)]) for scope, t in factors)
    return table


def joint_of(graph: mo.FactorGraph, sample: int = 0) -> Tensor:
    """:func:`joint` of one sample of a graph of tables."""
    at = slice(sample, sample + 1)
    groups = tuple(mo.TableFactors(g.variables, g.log_table[at] if g.batch > 1 else g.log_table) for g in graph.factors)
    one = mo.FactorGraph(graph.cardinalities, graph.unary[at] if len(graph.unary) > 1 else graph.unary, groups)
    cards, scopes, tables = mo.problems.graph_formats.list_factors(one)
    return joint(cards, list(zip(scopes, tables, strict=True)))


def marginals(table: Tensor) -> Tensor:
    """Of a joint table: the probabilities of every variable's states, (1, N)."""
    p = (table - table.flatten().logsumexp(0)).exp()
    return torch.cat([p.sum([a for a in range(p.ndim) if a != v]) if p.ndim > 1 else p for v in range(p.ndim)])[None]


def log_z(table: Tensor) -> Tensor:
    return table.flatten().logsumexp(0)


@st.composite
def trees(draw: Any) -> tuple[list[int], list[Factor]]:
    """Mixed cardinalities, arities 0 to 3, several components, no cycle."""
    count = draw(st.integers(1, 6))
    cardinalities = draw(st.lists(st.integers(1, 3), min_size=count, max_size=count))
    scopes: list[tuple[int, ...]] = draw(st.lists(st.sampled_from([(), *((v,) for v in range(count))]), max_size=3))
    variable = 1
    while variable < count:
        size = draw(st.integers(1, min(2, count - variable)))
        if draw(st.booleans()):
            others = list(range(variable, variable + size))
            scopes.append(tuple(draw(st.permutations([draw(st.integers(0, variable - 1)), *others]))))
        variable += size
    seed, zeros = draw(st.integers(0, 999)), draw(st.sampled_from([0.0, 0.3]))
    return cardinalities, random_factors(seed, cardinalities, scopes, zeros)


def loopy(seed: int, batch: int = 1, scale: float = 0.5) -> mo.FactorGraph:
    """Seven variables of two and three states, factors of two and three, cycles; ``batch`` samples of potentials."""
    generator = torch.Generator().manual_seed(seed)
    cards = [2, 3, 2, 2, 3, 2, 2]

    def group(variables: list[list[int]]) -> mo.TableFactors:
        shape = [cards[v] for v in variables[0]]
        table = scale * torch.randn(batch, *shape, len(variables), dtype=torch.float64, generator=generator)
        return mo.TableFactors(torch.tensor(variables), table)

    unary = scale * torch.randn(batch, sum(cards), dtype=torch.float64, generator=generator)
    groups = (group([[0, 1], [2, 1], [3, 4], [5, 4]]), group([[0, 2, 3], [3, 5, 6]]), group([[1, 4]]))
    return mo.FactorGraph(torch.tensor(cards), unary, groups)
