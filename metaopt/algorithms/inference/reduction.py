"""Reduce a model to what exact inference has to compute: without impossible states and barren variables."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from ...core import MetaoptError
from ...problems import FactorGraph, graph_formats

TOLERANCE = 1e-6  # how far from constant, in log, the sums of a conditional table may be; files have six digits

Part = tuple[tuple[int, ...], Tensor]  # variables, and a log table over them


@dataclass(frozen=True, eq=False)
class Reduced:
    """Hold a model as a list: the states that remain, the factors over variables with several, and the constants."""

    possible: list[Tensor]
    states: list[int]
    parts: list[Part]
    graph: list[int]
    constant: Tensor


def reduced(graph: FactorGraph) -> Reduced:
    """List a graph of one sample without the states that its zeros exclude."""
    _, scopes, tables = graph_formats.list_factors(graph)
    possible = _possible(graph)
    states = [len(left) for left in possible]
    owner: list[int] = graph.graph.tolist()
    parts: list[Part] = []
    constant = graph.constant[0].double().cpu().clone()
    for scope, values in zip(scopes, tables, strict=True):
        if not scope:
            continue  # counted in the graph's constant already
        table = _restricted(values.detach().double().cpu(), [possible[v] for v in scope])
        if varying := tuple(v for v in scope if states[v] > 1):
            parts.append((varying, table.reshape([states[v] for v in varying])))
        else:
            constant[owner[scope[0]]] += table.reshape(())
    if bool((constant == -inf).any()):
        raise nothing_possible()
    return Reduced(possible, states, parts, owner, constant)


def pruned(listed: Reduced, kept: Sequence[int]) -> tuple[Reduced, list[int]]:
    """Return the model without variables that say nothing about the others and are not to be kept, and these."""
    varying = [v for v, count in enumerate(listed.states) if count > 1]
    parts, removed, constants = _without_barren(listed.parts, varying, kept)
    states, constant = list(listed.states), listed.constant.clone()
    for v in removed:
        states[v] = 1
        constant[listed.graph[v]] += constants[v]
    return Reduced(listed.possible, states, parts, listed.graph, constant), removed


def _possible(graph: FactorGraph) -> list[Tensor]:
    """Return for each variable the states that the zeros leave by arc consistency."""
    every = torch.ones(1, len(graph.variable), dtype=torch.bool)
    left = (every if graph.possible is None else graph.possible.cpu())[0].split(graph.cardinalities.tolist())
    if not all(bool(states.any()) for states in left):
        raise nothing_possible()
    return [states.nonzero()[:, 0] for states in left]


def _restricted(table: Tensor, possible: Sequence[Tensor]) -> Tensor:
    """Return the entries of the remaining states; a view where an axis keeps one state, as for an observed variable."""
    for axis, states in enumerate(possible):
        if len(states) == 1:
            table = table.narrow(axis, int(states), 1)
        elif len(states) < table.shape[axis]:
            table = table.index_select(axis, states)
    return table


def nothing_possible() -> MetaoptError:
    """Return the error that Z is 0."""
    return MetaoptError(
        "The evidence has probability zero: no assignment has all factors above zero (Z = 0), so there are no "
        "marginals; look for factors or evidence that contradict each other."
    )


def _without_barren(
    parts: Sequence[Part], variables: Sequence[int], kept: Collection[int]
) -> tuple[list[Part], list[int], dict[int, float]]:
    """Remove variables that are in one factor only, if its sum over the variable is the same for all other states.

    A conditional table p(child | parents) sums to 1 over the child, so a child that nothing else depends on says
    nothing about the others; without it, its parents may be such children in turn. Without evidence all variables of a
    Bayesian network go, where elimination would first join all parents of each child.

    Args:
        parts: The factors.
        variables: The variables that may be removed.
        kept: Variables that stay.

    Returns:
        The remaining factors; the removed variables; and for some of these the constant's logarithm, by variable.

    Source:
        Shachter, Evaluating influence diagrams, 1986, doi:10.1287/opre.34.6.871.
    """
    of: dict[int, set[int]] = {v: set() for v in variables}
    for number, (scope, _) in enumerate(parts):
        for v in scope:
            of.setdefault(v, set()).add(number)
    free = set(variables) - set(kept)
    gone: set[int] = set()
    removed: list[int] = []
    constants: dict[int, float] = {}
    waiting = [v for v in variables if v in free]
    while waiting:
        v = waiting.pop()
        if v not in free or len(of[v]) != 1:
            continue
        (number,) = of[v]
        scope, table = parts[number]
        constant = _constant(table, scope.index(v))
        if constant is None:
            continue
        constants[v] = constant
        gone.add(number)
        free.discard(v)
        removed.append(v)
        for u in scope:
            of[u].discard(number)
            waiting.append(u)
    return [part for number, part in enumerate(parts) if number not in gone], removed, constants


def _constant(table: Tensor, axis: int) -> float | None:
    """Return the log sum over an axis if it is the same everywhere, or None."""
    sums = torch.logsumexp(table, axis)
    low, high = float(sums.min()), float(sums.max())
    return (low + high) / 2 if high - low <= TOLERANCE else None
