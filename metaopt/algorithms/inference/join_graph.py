"""Cluster the factors of a graph into a join graph, whose clusters are connected by sets of variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...arguments.contracts import Count, Natural, checked
from ...core import MetaoptError
from ...problems.factor_graph import FactorGraph
from ...problems.factors import LOG_ZERO, Marginalize, checked_log, same_batch, scaled, table_features


@dataclass(frozen=True, eq=False)
class ClusterFactors:
    """Hold F tables over m variables that are connected to the graph by sets of their variables.

    Args:
        variables: (F, ports), the joint variable at each port, whose states are those of the port's axes, row-major.
        log_table: (B, c_1, ..., c_m, F).
        ports: The axes that each port spans, from 0. Ports may overlap.
    """

    variables: Tensor
    log_table: Tensor
    ports: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "log_table", checked_log(self.log_table, "table"))

    @property
    def batch(self) -> int:
        return len(self.log_table)

    def shape(self) -> tuple[int, ...]:
        return tuple(prod(self.log_table.shape[1 + axis] for axis in port) for port in self.ports)

    def messages(self, cavities: Sequence[Tensor], scale: Any, marginalize: Marginalize) -> list[Tensor]:
        joint, axes = self._joint(cavities, scale), range(self.log_table.ndim - 2)
        return [
            marginalize(joint, [1 + a for a in axes if a not in port]).flatten(1, -2) - cavity
            for port, cavity in zip(self.ports, cavities, strict=True)
        ]

    def log_total(self, cavities: Sequence[Tensor], scale: Any, marginalize: Marginalize) -> Tensor:
        return marginalize(self._joint(cavities, scale), range(1, self.log_table.ndim - 1))

    def expected(self, beliefs: Sequence[Tensor]) -> Tensor:
        raise MetaoptError("A join graph's sets overlap, so they have no independent beliefs; use the graph itself.")

    def tables(self) -> Tensor:
        raise MetaoptError("A join graph's clusters overlap in their sets; take the tables of the graph itself.")

    def features(self) -> Tensor:
        return table_features(self.log_table)

    def key(self) -> Any:
        return tuple(self.log_table.shape[1:-1]), self.ports

    @staticmethod
    def joined(groups: Sequence[ClusterFactors]) -> ClusterFactors:
        tables = same_batch([group.log_table for group in groups])
        return ClusterFactors(torch.cat([g.variables for g in groups]), torch.cat(tables, dim=-1), groups[0].ports)

    def _joint(self, cavities: Sequence[Tensor], scale: Any) -> Tensor:
        joint, sizes = scaled(self.log_table, scale), self.log_table.shape[1:-1]
        for port, cavity in zip(self.ports, cavities, strict=True):
            shape = [size if axis in port else 1 for axis, size in enumerate(sizes)]
            joint = joint + cavity.reshape(len(cavity), *shape, cavity.shape[-1])
        return joint


class _Cluster(NamedTuple):
    variables: tuple[int, ...]  # in the order of elimination, so that of its bucket comes first
    factors: tuple[tuple[int, int], ...]  # (group, number in the group)
    below: tuple[int, ...]  # clusters whose messages it receives


@checked
def join_graph(graph: FactorGraph, order: Sequence[Natural], limit: Count = 1024) -> FactorGraph:
    """Cluster the factors of a graph into tables of at most ``limit`` entries, connected by sets of variables.

    The clusters and sets are those of mini-bucket elimination. Belief propagation on the result is iterative join-graph
    propagation. It is exact where no bucket had to be divided, and otherwise the more accurate the higher the limit.
    The first variables and states of the result are those of ``graph``; each further variable is the set between two
    clusters. A factor with more entries than the limit is a cluster of its own.

    Args:
        graph: The factor graph.
        order: All variables, in the order of elimination, such as the variables sorted by their position in a
            :func:`junction_tree`.
        limit: The largest number of entries of a cluster's table.

    Returns:
        The join graph.

    Raises:
        MetaoptError: The order does not hold each variable once.

    Source:
        Mateescu, Kask, Gogate and Dechter, JAIR 37, 2010.
    """
    cards = graph.cardinalities.tolist()
    if sorted(order) != list(range(len(cards))):
        raise MetaoptError(f"The order holds each of the {len(cards)} variables once; this one does not.")
    clusters = _clusters(graph, order, cards, limit)
    sets = [(below, above) for above, cluster in enumerate(clusters) for below in cluster.below]
    number = {pair: len(cards) + i for i, pair in enumerate(sets)}
    spans = {pair: clusters[pair[0]].variables[1:] for pair in sets}
    above_of = dict(sets)
    groups: dict[Any, list[tuple[list[int], Tensor]]] = {}
    for i, cluster in enumerate(clusters):
        joints = [(below, i) for below in cluster.below] + ([(i, above_of[i])] if i in above_of else [])
        axis = {variable: a for a, variable in enumerate(cluster.variables)}
        ports = ((0,), *(tuple(axis[v] for v in spans[pair]) for pair in joints))
        table = _table(graph, cluster, cards)
        key = tuple(table.shape[1:]), ports
        groups.setdefault(key, []).append(([cluster.variables[0], *(number[pair] for pair in joints)], table))
    sizes = torch.tensor([prod(cards[v] for v in spans[pair]) for pair in sets], dtype=torch.long)
    owner = torch.tensor([int(graph.graph[spans[pair][0]]) for pair in sets], dtype=torch.long)
    nothing = graph.unary.new_zeros(len(graph.unary), int(sizes.sum()))
    return FactorGraph(
        torch.cat([graph.cardinalities, sizes]),
        torch.cat([graph.unary, nothing], dim=1),
        tuple(
            ClusterFactors(torch.tensor([v for v, _ in g]), torch.stack(same_batch([t for _, t in g]), dim=-1), key[1])
            for key, g in groups.items()
        ),
        torch.cat([graph.graph, owner]),
        graph.constant,
    )


def _clusters(graph: FactorGraph, order: Sequence[int], cards: list[int], limit: int) -> list[_Cluster]:
    place = {variable: i for i, variable in enumerate(order)}
    buckets: list[list[tuple[frozenset[int], Any]]] = [[] for _ in order]
    for g, group in enumerate(graph.factors):
        for f, scope in enumerate(group.variables.tolist()):
            buckets[min(place[v] for v in scope)].append((frozenset(scope), (g, f)))
    clusters: list[_Cluster] = []
    for bucket in buckets:
        for scope, items in _divide(bucket, cards, limit):
            variables = tuple(sorted(scope, key=lambda v: place[v]))
            below = tuple(item for item in items if isinstance(item, int))
            clusters.append(_Cluster(variables, tuple(i for i in items if isinstance(i, tuple)), below))
            if len(variables) > 1:
                buckets[place[variables[1]]].append((frozenset(variables[1:]), len(clusters) - 1))
    return clusters


def _divide(bucket: list[tuple[frozenset[int], Any]], cards: list[int], limit: int) -> list[tuple[set[int], list[Any]]]:
    """Pack scopes, the largest first, each where it adds the fewest entries within the limit."""
    packs: list[tuple[set[int], list[Any]]] = []
    for scope, item in sorted(bucket, key=lambda pair: -prod(cards[v] for v in pair[0])):
        fits = [(prod(cards[v] for v in scope - pack[0]), pack) for pack in packs]
        fits = [(more, pack) for more, pack in fits if more * prod(cards[v] for v in pack[0]) <= limit]
        if fits:
            pack = min(fits, key=lambda pair: pair[0])[1]
            pack[0].update(scope)
            pack[1].append(item)
        else:
            packs.append((set(scope), [item]))
    return packs


def _table(graph: FactorGraph, cluster: _Cluster, cards: list[int]) -> Tensor:
    """Return the sum of a cluster's log tables, (B, c_1, ..., c_m)."""
    axis = {variable: a for a, variable in enumerate(cluster.variables)}
    shape = [cards[v] for v in cluster.variables]
    total = graph.unary.new_zeros(graph.batch if cluster.factors else 1, *shape)
    for g, f in cluster.factors:
        group = graph.factors[g]
        scope = group.variables[f].tolist()
        table = group.tables()[..., f]
        sorted_axes = sorted(range(len(scope)), key=lambda a: axis[scope[a]])
        table = table.permute(0, *(1 + a for a in sorted_axes))
        joined = {axis[v] for v in scope}
        total = total + table.reshape(len(table), *(s if a in joined else 1 for a, s in enumerate(shape)))
    return total


@checked
def log_partition(graph: FactorGraph, order: Sequence[Natural]) -> Tensor:
    """Return log Z exactly, by eliminating the variables in the given order.

    The gradient of the result in ``unary`` is the marginals. Memory is that of the largest clique of the order.

    Args:
        graph: The factor graph.
        order: All variables, in the order of elimination.

    Returns:
        (B, graphs).

    Raises:
        MetaoptError: The order does not hold every variable once.
    """
    cards = graph.cardinalities.tolist()
    if sorted(order) != list(range(len(cards))):
        raise MetaoptError(f"The order holds each of the {len(cards)} variables once, but it is {order!r:.80}.")
    unary = graph.exclude(graph.soft_unary).split(cards, dim=1)
    clusters = _clusters(graph, order, cards, 2**62)
    sent: list[Tensor] = []
    roots = graph.unary.new_zeros(graph.batch, graph.constant.shape[1]) + graph.constant
    alone = set(order)
    for cluster in clusters:
        first, *rest = cluster.variables
        axis = {variable: a for a, variable in enumerate(cluster.variables)}
        table = _table(graph, cluster, cards).clamp_min(LOG_ZERO) + unary[first].reshape(
            -1, cards[first], *[1] * len(rest)
        )
        for below in cluster.below:
            joined = {axis[v] for v in clusters[below].variables[1:]}
            shape = [cards[v] if a in joined else 1 for v, a in axis.items()]
            table = table + sent[below].reshape(-1, *shape)
        message = table.logsumexp(1)
        sent.append(message)
        alone.discard(first)
        if not rest:
            roots = roots.index_add(1, graph.graph[first : first + 1], message.reshape(-1, 1).expand(len(roots), 1))
    for variable in sorted(alone):
        total = unary[variable].logsumexp(1, keepdim=True).expand(len(roots), 1)
        roots = roots.index_add(1, graph.graph[variable : variable + 1], total)
    return torch.where(roots < LOG_ZERO / 2, -inf, roots)  # no assignment is without a zero
