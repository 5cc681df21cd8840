"""Exact inference in discrete models, as a reference for what approximates it.

A model is p(x) = 1/Z prod_f exp(log_tables[f][x[scopes[f]]]). Sums (or maxima) of products are passed along a junction
tree from its leaves to its roots, and back (Lauritzen and Spiegelhalter, doi:10.1111/j.2517-6161.1988.tb01721.x), in
float64 and in logarithms; a factor may be zero, log 0 = -inf. The cost is exponential in the tree's width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import inf, log2, prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core import MetaoptError
from .elimination import JunctionTree, Scopes, junction_tree

LIMIT = 10**8  # entries of the largest table: 0.8 GB, and with what is computed on the way less than 4 GiB
MESSAGES = 2  # times the limit, how many entries all messages may have, which are kept at once
GROUP = 64  # how much smaller than its clique's table a sum of small factors stays

_Part = tuple[tuple[int, ...], Tensor]  # variables in the order of their elimination, and a log table over them


@dataclass(frozen=True, eq=False)
class _Model:
    """A model on its junction tree. ``factors``: of each clique, those that it multiplies, axes in the clique's order.

    ``children``: of each clique, those that hang on it. ``constant``: the logarithm of the factors without variables.
    """

    tree: JunctionTree
    states: Sequence[int]
    factors: list[list[_Part]]
    children: list[list[int]]
    constant: float


def exact_marginals(
    cardinalities: Sequence[int], scopes: Scopes, log_tables: Sequence[Any], limit: int = LIMIT
) -> tuple[list[Tensor], float]:
    """The marginal distribution of each variable, (states,) float64 each, and log Z, the natural logarithm.

    Args:
        cardinalities: The number of states of each variable.
        scopes: The variables of each factor.
        log_tables: The logarithms of each factor's values, arrays or tensors with its variables as axes.
        limit: The most entries that a table may have; of 8 bytes, and about three such tables are held at once.

    Raises: MetaoptError where a table does not fit its scope or has NaN or inf, a clique of the best junction tree that
        was found or the messages together are larger than the limit allows, or Z = 0.
    """
    model = _model(cardinalities, scopes, log_tables, limit)
    up, log_z = _collect(model, _log_sum)
    marginals = [torch.ones(1, dtype=torch.float64)] * len(cardinalities)
    down: list[_Part | None] = [None] * len(up)
    for k, clique in enumerate(model.tree.cliques):
        belief = _product(model, clique, [*_incoming(model, up, k), *filter(None, [down[k]])])
        _distribute(model, k, belief, up, down)
        own = len(clique) - len(model.tree.separator(k))
        for v, marginal in zip(clique[:own], _axis_sums((belief - belief.max()).exp_(), own), strict=True):
            marginals[v] = marginal / marginal.sum()
    return [marginal.clone() for marginal in marginals], log_z


def exact_map(
    cardinalities: Sequence[int], scopes: Scopes, log_tables: Sequence[Any], limit: int = LIMIT
) -> tuple[list[int], float]:
    """A most probable assignment, the state of each variable, and the sum of its log factors.

    Arguments and errors are those of `exact_marginals`.
    """
    model = _model(cardinalities, scopes, log_tables, limit)
    up, value = _collect(model, torch.amax)
    states = [0] * len(cardinalities)
    for k, clique in enumerate(model.tree.cliques):
        shared = set(model.tree.separator(k))
        own = tuple(v for v in clique if v not in shared)
        known = {v: states[v] for v in shared}
        rows = [_row(scope, table, known) for scope, table in _incoming(model, up, k)]
        table = _product(model, own, rows)
        for v, state in zip(own, np.unravel_index(int(table.argmax()), table.shape), strict=True):
            states[v] = int(state)
    return states, value


def condition(
    cardinalities: Sequence[int], scopes: Scopes, tables: Sequence[Any], evidence: Mapping[int, int]
) -> tuple[list[int], list[tuple[int, ...]], list[Any]]:
    """The model given ``evidence``, the states of some variables: (cardinalities, scopes, tables).

    An observed variable keeps its number and place in the scopes, with the observed state as its only one. Tables, or
    their logarithms, are sliced, not copied.

    Raises: MetaoptError where the model does not have that variable or state.
    """
    left = list(cardinalities)
    for variable, state in evidence.items():
        if not 0 <= variable < len(left) or not 0 <= state < cardinalities[variable]:
            raise MetaoptError(
                f"Variable {variable} is observed in state {state}, but the model has {len(left)} variables, from 0"
                + (f", and this one {left[variable]} states, from 0." if 0 <= variable < len(left) else ".")
            )
        left[variable] = 1
    every = slice(None)
    sliced = [
        table[tuple(slice(evidence[v], evidence[v] + 1) if v in evidence else every for v in scope)]
        for scope, table in zip(scopes, tables, strict=True)
    ]
    return left, [tuple(scope) for scope in scopes], sliced


def _model(cardinalities: Sequence[int], scopes: Scopes, log_tables: Sequence[Any], limit: int) -> _Model:
    if len(scopes) != len(log_tables) or min(cardinalities, default=1) < 1:
        raise MetaoptError(
            f"The model has {len(scopes)} scopes, {len(log_tables)} tables, and cardinalities from "
            f"{min(cardinalities, default=1)}; it needs a table for each scope, and variables of at least 1 state."
        )
    tree = junction_tree(cardinalities, scopes)
    _check_size(tree, cardinalities, limit)
    factors: list[list[_Part]] = [[] for _ in tree.cliques]
    constant = 0.0
    for factor, (scope, values) in enumerate(zip(scopes, log_tables, strict=True)):
        table = _checked(factor, values, tuple(cardinalities[v] for v in scope))
        axes = sorted(
            (axis for axis, v in enumerate(scope) if cardinalities[v] > 1), key=lambda a: tree.position[scope[a]]
        )
        if axes:
            table = table.permute(*axes, *(a for a in range(len(scope)) if a not in axes))
            order = tuple(scope[axis] for axis in axes)
            factors[tree.home[order[0]]].append((order, table.reshape(table.shape[: len(axes)])))
        else:
            constant += float(table)
    if constant == -inf:
        raise _nothing()
    children: list[list[int]] = [[] for _ in tree.cliques]
    for k, parent in enumerate(tree.parents):
        if parent >= 0:
            children[parent].append(k)
    return _Model(tree, cardinalities, factors, children, constant)


def _checked(factor: int, values: Any, shape: tuple[int, ...]) -> Tensor:
    table = torch.as_tensor(values, dtype=torch.float64).detach()
    if tuple(table.shape) != shape:
        raise MetaoptError(
            f"Factor {factor} has a table {tuple(table.shape)}, but the states of its scope are {shape}."
        )
    if not bool((table < inf).all()):
        raise MetaoptError(f"The table of factor {factor} has NaN or inf; logarithms of factors are below infinity.")
    return table


def _check_size(tree: JunctionTree, states: Sequence[int], limit: int) -> None:
    largest = max(tree.log2_entries, default=0.0)
    separators = (tree.separator(k) for k in range(len(tree.cliques)))
    messages = (
        largest if largest > log2(limit) else log2(1 + sum(2.0 ** sum(log2(states[v]) for v in s) for s in separators))
    )
    if largest > log2(limit) + 1e-9 or messages > log2(MESSAGES * limit) + 1e-9:
        raise MetaoptError(
            f"Exact inference needs a table of 2^{largest:.1f} entries (the junction tree has width {tree.width}) and "
            f"messages of 2^{messages:.1f}; limit={limit} allows 2^{log2(limit):.1f} and "
            f"2^{log2(MESSAGES * limit):.1f}. Raise it where memory allows (8 bytes an entry), or use an approximation."
        )


def _nothing() -> MetaoptError:
    return MetaoptError(
        "The evidence has probability zero: no assignment has all factors above zero (Z = 0), so there are no "
        "marginals; look for factors or evidence that contradict each other."
    )


def _collect(model: _Model, summed: Callable[[Tensor, list[int]], Tensor]) -> tuple[list[_Part], float]:
    """The message of each clique to its parent, of maximum 0, and the logarithm of the whole sum (or maximum)."""
    up: list[_Part] = [((), torch.empty(0))] * len(model.tree.cliques)
    value = model.constant
    for k in reversed(range(len(up))):
        clique, separator = model.tree.cliques[k], model.tree.separator(k)
        table = _product(model, clique, _incoming(model, up, k))
        message = summed(table, list(range(len(clique) - len(separator))))
        largest = float(message.max())
        if largest == -inf:
            raise _nothing()
        up[k], value = (separator, message - largest), value + largest
    return up, value


def _distribute(model: _Model, k: int, belief: Tensor, up: list[_Part], down: list[_Part | None]) -> None:
    """Sets what each child of clique ``k`` is told: the belief in what they share, without what the child said itself.

    Children that share little are told of a sum that serves several of them.
    """
    clique = model.tree.cliques[k]
    parts = [(*up[child], child) for child in model.children[k]]
    for union, members in _groups(model, parts, belief.numel() // GROUP):
        shared = tuple(v for v in clique if v in union)
        partial = _log_sum(belief, [axis for axis, v in enumerate(clique) if v not in union])
        for scope, message, child in members:
            other = _log_sum(partial, [axis for axis, v in enumerate(shared) if v not in scope]) - message
            # Where the child says zero, so does the belief, and it does not matter what the child is told.
            down[child] = scope, torch.where(message == -inf, message, other)
            up[child] = (), message.new_empty(0)
    down[k] = None


def _incoming(model: _Model, up: list[_Part], clique: int) -> list[_Part]:
    return model.factors[clique] + [up[child] for child in model.children[clique]]


def _product(model: _Model, clique: tuple[int, ...], parts: list[_Part]) -> Tensor:
    """The sum of log tables over the clique's variables."""
    shape = [model.states[v] for v in clique]
    groups = _groups(model, parts, prod(shape) // GROUP)
    total = torch.zeros([1] * len(clique), dtype=torch.float64)
    for _, tables in sorted(groups, key=lambda group: _entries(model, group[0])):
        placed = [table.reshape([model.states[v] if v in own else 1 for v in clique]) for own, table in tables]
        together = sum(placed[1:], placed[0])
        total = total.add_(together) if _fits(together, total) else total + together
    return total.expand(shape)


def _groups(model: _Model, parts: list[Any], size: int) -> list[tuple[set[int], list[Any]]]:
    """Parts, each starting with scope and table, whose scopes together have at most ``size`` entries, and that union.

    A clique may hold hundreds of small factors; added to its table one by one, each would cost as much as the table.
    """
    groups: list[tuple[set[int], list[Any]]] = []
    for part in sorted(parts, key=lambda part: -part[1].numel()):
        scope = set(part[0])
        fitting = [group for group in groups if _entries(model, group[0] | scope) <= size]
        if fitting:
            union, tables = min(fitting, key=lambda group: len(scope - group[0]))
            union |= scope
            tables.append(part)
        else:
            groups.append((scope, [part]))
    return groups


def _fits(table: Tensor, into: Tensor) -> bool:
    return all(a <= b for a, b in zip(table.shape, into.shape, strict=True))


def _entries(model: _Model, scope: Iterable[int]) -> int:
    return prod(model.states[v] for v in scope)


def _log_sum(table: Tensor, axes: list[int]) -> Tensor:
    """The logarithm of the sum over axes, one after another: a fifth of the time of ``torch.logsumexp``."""
    for done, axis in enumerate(sorted(axes)):
        table = reduce(torch.logaddexp, table.unbind(axis - done))
    return table


def _axis_sums(table: Tensor, axes: int) -> list[Tensor]:
    """Of each of the first ``axes`` axes, the sum over all others; the axes after them are summed once."""
    if table.ndim > axes:
        table = table.sum(list(range(axes, table.ndim)))
    sums = []
    for _ in range(axes):
        sums.append(table.sum(list(range(1, table.ndim))) if table.ndim > 1 else table)
        table = table.sum(0)
    return sums


def _row(scope: tuple[int, ...], table: Tensor, known: Mapping[int, int]) -> tuple[tuple[int, ...], Tensor]:
    """What is left of a table once some of its variables are known."""
    left = tuple(v for v in scope if v not in known)
    return left, table[tuple(known.get(v, slice(None)) for v in scope)]
