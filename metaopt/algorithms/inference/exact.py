"""Infer factor graphs exactly, as a reference for approximate schemes.

Sums (or maxima) of products are passed along a junction tree from its leaves to its roots and back (Lauritzen and
Spiegelhalter, doi:10.1111/j.2517-6161.1988.tb01721.x), in float64 and in logarithms; a factor may be zero, log 0 =
-inf. States that the unary potentials exclude are left out, so an observed variable costs nothing. The cost is
exponential in the width of the tree.
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

from ...arguments.contracts import Count, checked
from ...problems import FactorGraph
from .belief_propagation import Beliefs
from .elimination import HOPELESS, JunctionTree, TooLargeError, junction_tree
from .reduction import Part, Reduced, nothing_possible, pruned, reduced

LIMIT = 10**8  # entries of the largest table: 0.8 GB, and less than 4 GiB with intermediate results
MESSAGES = 2  # all messages, which are kept at once, may have so many times the limit's entries
GROUP = 64  # a sum of small factors stays smaller than its clique's table by this factor

_Part = Part  # on a junction tree the variables are in the order of their elimination


@dataclass(frozen=True, eq=False)
class _Model:
    """Hold a model on its junction tree.

    ``factors`` are those that each clique multiplies, with axes in the clique's order. ``possible`` are the remaining
    states of each variable, and ``states`` their number. ``children`` are those of each clique, and ``graph`` is the
    graph of the union that it belongs to. ``constant`` (graphs,) is the logarithm of the factors whose variables have
    one state.
    """

    tree: JunctionTree
    possible: list[Tensor]
    states: Sequence[int]
    factors: list[list[_Part]]
    children: list[list[int]]
    graph: list[int]
    constant: Tensor


@checked
def exact_marginals(graph: FactorGraph, limit: Count = LIMIT) -> Beliefs:
    """Compute the marginal distribution of every variable, and log Z, exactly.

    Args:
        graph: A factor graph of one sample. Variables may be observed (:meth:`FactorGraph.observe`).
        limit: The largest number of entries of a table. An entry takes 8 bytes, and about three such tables are held at
            once.

    Returns:
        Log marginals (1, N), -inf where a state is impossible, and log Z (1, graphs), float64.

    Raises:
        MetaoptError: The graph has several samples, a clique of the best junction tree that was found or all messages
            together exceed the limit, or Z = 0.
    """
    listed = reduced(graph)
    try:
        marginals, log_z = _marginals(_model(listed, limit))
    except TooLargeError as refusal:
        marginals, log_z = _by_ancestors(listed, limit, refusal)
    probabilities = torch.zeros(1, len(graph.variable), dtype=torch.float64)
    for offset, states, marginal in zip(graph.offset.tolist(), listed.possible, marginals, strict=True):
        probabilities[0, offset + states] = marginal
    return Beliefs(probabilities.log().to(graph.unary.device), log_z[None].to(graph.unary.device))


@checked
def exact_log_z(graph: FactorGraph, limit: Count = LIMIT) -> Tensor:
    """Compute log Z exactly, after summing out variables that depend on others but on which nothing depends.

    Args:
        graph: As for :func:`exact_marginals`.
        limit: As for :func:`exact_marginals`.

    Returns:
        (1, graphs), float64.

    Raises:
        MetaoptError: As for :func:`exact_marginals`.
    """
    _, log_z = _collect(_model(pruned(reduced(graph), ())[0], limit), _log_sum)
    return log_z[None].to(graph.unary.device)


def _marginals(model: _Model) -> tuple[list[Tensor], Tensor]:
    up, log_z = _collect(model, _log_sum)
    marginals = [torch.ones(1, dtype=torch.float64)] * len(model.states)
    down: list[_Part | None] = [None] * len(up)
    for k, clique in enumerate(model.tree.cliques):
        belief = _product(model, clique, [*_incoming(model, up, k), *filter(None, [down[k]])])
        _distribute(model, k, belief, up, down)
        own = len(clique) - len(model.tree.separator(k))
        for v, marginal in zip(clique[:own], _axis_sums((belief - belief.max()).exp_(), own), strict=True):
            marginals[v] = marginal / marginal.sum()
    return marginals, log_z


def _by_ancestors(listed: Reduced, limit: int, refusal: TooLargeError) -> tuple[list[Tensor], Tensor]:
    """Return the marginals of a Bayesian network that is too large as a whole, a part of the variables at a time.

    The marginals of some variables need only these, the evidence, and the ancestors of both.
    """
    rest, removed = pruned(listed, ())
    if not removed:
        raise refusal
    _, log_z = _collect(_model(rest, limit), _log_sum)
    marginals = [torch.ones(1, dtype=torch.float64)] * len(listed.states)
    gone = set(removed)
    order = [v for v, count in enumerate(listed.states) if count > 1 and v not in gone] + removed[::-1]
    waiting = [order[len(order) // 2 :], order[: len(order) // 2]]
    while waiting:
        group = waiting.pop()
        try:
            found, _ = _marginals(_model(pruned(listed, group)[0], limit)) if group else (marginals, None)
        except TooLargeError:
            if len(group) == 1:
                raise
            waiting += [group[len(group) // 2 :], group[: len(group) // 2]]
            continue
        for v in group:
            marginals[v] = found[v]
    return marginals, log_z


@checked
def exact_map(graph: FactorGraph, limit: Count = LIMIT) -> tuple[Tensor, Tensor]:
    """Compute a most probable assignment and its log potential exactly.

    Args:
        graph: As for :func:`exact_marginals`.
        limit: As for :func:`exact_marginals`.

    Returns:
        The state of every variable, (1, V) int64, and the sum of log potentials, (1, graphs) float64.

    Raises:
        MetaoptError: As for :func:`exact_marginals`.
    """
    model = _model(reduced(graph), limit)
    up, value = _collect(model, torch.amax)
    states = [0] * len(model.states)
    for k, clique in enumerate(model.tree.cliques):
        shared = set(model.tree.separator(k))
        own = tuple(v for v in clique if v not in shared)
        known = {v: states[v] for v in shared}
        rows = [_row(scope, table, known) for scope, table in _incoming(model, up, k)]
        table = _product(model, own, rows)
        for v, state in zip(own, np.unravel_index(int(table.argmax()), table.shape), strict=True):
            states[v] = int(state)
    chosen = [int(possible[state]) for possible, state in zip(model.possible, states, strict=True)]
    device = graph.unary.device
    return torch.tensor([chosen], dtype=torch.long, device=device), value[None].to(device)


def _model(listed: Reduced, limit: int) -> _Model:
    states, owner = listed.states, listed.graph
    tree = junction_tree(states, [scope for scope, _ in listed.parts], max(HOPELESS, log2(limit)))
    _check_size(tree, states, limit)
    factors: list[list[_Part]] = [[] for _ in tree.cliques]
    for scope, table in listed.parts:
        axes = sorted(range(len(scope)), key=lambda a: tree.position[scope[a]])
        order = tuple(scope[axis] for axis in axes)
        factors[tree.home[order[0]]].append((order, table.permute(axes)))
    children: list[list[int]] = [[] for _ in tree.cliques]
    for k, parent in enumerate(tree.parents):
        if parent >= 0:
            children[parent].append(k)
    graphs = [owner[clique[0]] for clique in tree.cliques]
    return _Model(tree, listed.possible, states, factors, children, graphs, listed.constant)


def _check_size(tree: JunctionTree, states: Sequence[int], limit: int) -> None:
    largest = max(tree.log2_entries, default=0.0)
    separators = (tree.separator(k) for k in range(len(tree.cliques)))
    messages = (
        largest if largest > log2(limit) else log2(1 + sum(2.0 ** sum(log2(states[v]) for v in s) for s in separators))
    )
    if largest > log2(limit) + 1e-9 or messages > log2(MESSAGES * limit) + 1e-9:
        raise TooLargeError(
            f"Exact inference needs a table of 2^{largest:.1f} entries (the junction tree has width {tree.width}) and "
            f"messages of 2^{messages:.1f}; limit={limit} allows 2^{log2(limit):.1f} and "
            f"2^{log2(MESSAGES * limit):.1f}. Raise it where memory allows (8 bytes an entry), or use an approximation."
        )


def _collect(model: _Model, summed: Callable[[Tensor, list[int]], Tensor]) -> tuple[list[_Part], Tensor]:
    """Return the message of each clique to its parent, with maximum 0, and the log of each graph's sum (or maximum)."""
    up: list[_Part] = [((), torch.empty(0))] * len(model.tree.cliques)
    value = model.constant.clone()
    for k in reversed(range(len(up))):
        clique, separator = model.tree.cliques[k], model.tree.separator(k)
        table = _product(model, clique, _incoming(model, up, k))
        message = summed(table, list(range(len(clique) - len(separator))))
        largest = float(message.max())
        if largest == -inf:
            raise nothing_possible()
        up[k] = separator, message - largest
        value[model.graph[k]] += largest
    return up, value


def _distribute(model: _Model, k: int, belief: Tensor, up: list[_Part], down: list[_Part | None]) -> None:
    """Set the messages to the children of clique ``k``: the belief in what they share, without the child's own message.

    Children that share few variables with the clique get their messages from a sum that serves several of them.
    """
    clique = model.tree.cliques[k]
    parts = [(*up[child], child) for child in model.children[k]]
    for union, members in _groups(model, parts, belief.numel() // GROUP):
        shared = tuple(v for v in clique if v in union)
        partial = _log_sum(belief, [axis for axis, v in enumerate(clique) if v not in union])
        for scope, message, child in members:
            other = _log_sum(partial, [axis for axis, v in enumerate(shared) if v not in scope]) - message
            # Where the child's message is zero the belief is zero too, and the message back to it does not matter.
            down[child] = scope, torch.where(message == -inf, message, other)
            up[child] = (), message.new_empty(0)
    down[k] = None


def _incoming(model: _Model, up: list[_Part], clique: int) -> list[_Part]:
    return model.factors[clique] + [up[child] for child in model.children[clique]]


def _product(model: _Model, clique: tuple[int, ...], parts: list[_Part]) -> Tensor:
    """Return the sum of log tables over the clique's variables."""
    shape = [model.states[v] for v in clique]
    groups = _groups(model, parts, prod(shape) // GROUP)
    total = torch.zeros([1] * len(clique), dtype=torch.float64)
    for _, tables in sorted(groups, key=lambda group: _entries(model, group[0])):
        placed = [table.reshape([model.states[v] if v in own else 1 for v in clique]) for own, table in tables]
        together = reduce(torch.add, placed)
        total = total.add_(together) if _fits(together, total) else total + together
    return total.expand(shape)


def _groups(model: _Model, parts: list[Any], size: int) -> list[tuple[set[int], list[Any]]]:
    """Group parts, which start with scope and table, so that each group's union of scopes has at most ``size`` entries.

    A clique may have hundreds of small factors. Added to its table one by one, each would cost as much as the table.
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
    """Return the log of the sum over axes, one by one, which takes a fifth of the time of ``torch.logsumexp``."""
    for done, axis in enumerate(sorted(axes)):
        table = reduce(torch.logaddexp, table.unbind(axis - done))
    return table


def _axis_sums(table: Tensor, axes: int) -> list[Tensor]:
    """Return for each of the first ``axes`` axes the sum over all others; the axes after them are summed once."""
    if table.ndim > axes:
        table = table.sum(list(range(axes, table.ndim)))
    sums = []
    for _ in range(axes):
        sums.append(table.sum(list(range(1, table.ndim))) if table.ndim > 1 else table)
        table = table.sum(0)
    return sums


def _row(scope: tuple[int, ...], table: Tensor, known: Mapping[int, int]) -> tuple[tuple[int, ...], Tensor]:
    """Return what remains of a table once some of its variables are known."""
    left = tuple(v for v in scope if v not in known)
    return left, table[tuple(known.get(v, slice(None)) for v in scope)]
