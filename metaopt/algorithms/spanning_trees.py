"""Trees from scores of edges: the most probable arborescence from a root, and the shortest spanning tree."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from ..arguments.checks import check_labels
from ..arguments.contracts import Axes, Count, Natural, Share, checked
from ..core import MetaoptError, tree
from ..core.errors import warn
from ..problems.refinement import check_edges

Scores = Annotated[Tensor, Axes("real", "(E,)", finite=False)]
Lengths = Annotated[Tensor, Axes("real", "(E,)")]
SURE = 1e6  # the largest log-odds that count; infinite ones could not be compared


class Arborescence(NamedTuple):
    """Hold a rooted tree.

    ``parent`` (N,) int64 is -1 for the root and for nodes out of the tree, ``edge`` (N,) is the number of the edge from
    the parent, or -1, and ``reached`` (N,) says which nodes are in the tree.
    """

    parent: Tensor
    edge: Tensor
    reached: Tensor


@checked
def maximum_arborescence(
    edge_index: Tensor, nodes: Count, log_odds: Scores, root: Natural = 0, least: Share = 0.5
) -> Arborescence:
    """Return the most probable tree that leads from a root to all nodes that probable edges can reach.

    Edges of a probability below ``least`` are left out. Among the trees of the others that reach the same nodes from
    the root, it has the largest sum of log-odds, which is the largest probability if edges are independent. It is found
    by contracting cycles (Chu and Liu, 1965; Edmonds, 1967) in O(E log^2 N).

    Args:
        edge_index: (2, E) int64, from row 0 to row 1.
        nodes: Number N of nodes.
        log_odds: (E,), the output of a refinement; infinite values are probabilities 0 and 1.
        root: The node that the tree begins with.
        least: The least probability of an edge. 0: all edges may be used.

    Returns:
        The tree. With only the root in it, a warning says so.

    Raises:
        MetaoptError: There is no edge, or one is a self-loop, comes twice or names a node that does not exist; the root
            does not exist; or a log-odds is NaN or not one for each edge.
    """
    edge_index = check_edges(edge_index, nodes)
    _check_scores("log-odds", log_odds, edge_index)
    check_labels("The root", torch.tensor([root]), nodes, "nodes")
    scores = log_odds.detach().double().clamp(-SURE, SURE).cpu()
    bound = -math.inf if not least else math.log(least) - math.log1p(-least) if least < 1 else SURE
    number = (scores >= bound).nonzero()[:, 0]
    source, target = edge_index[:, number.to(edge_index.device)].tolist()
    reached = _reached(source, target, nodes, root)
    if sum(reached) == 1:
        leaving = torch.sigmoid(scores[edge_index[0].cpu() == root])
        best = f"the most probable one has {float(leaving.max()):.3g}" if len(leaving) else "it has no edge at all"
        warn(f"No edge of a probability of at least {least:g} leaves root {root}, so it is the whole tree; {best}.")
    kept = [e for e in range(len(source)) if reached[source[e]] and target[e] != root]
    ends = [(source[e], target[e]) for e in kept]
    chosen = _incoming(ends, (-scores[number]).gather(0, torch.tensor(kept, dtype=torch.long)).tolist(), reached, root)
    edge = torch.tensor([int(number[kept[e]]) if e >= 0 else -1 for e in chosen])
    parent = torch.where(edge < 0, -1, edge_index[0].cpu()[edge])
    where = edge_index.device
    return Arborescence(parent.to(where), edge.to(where), torch.tensor(reached, device=where))


@checked
def minimum_spanning_tree(edge_index: Tensor, nodes: Count, length: Lengths) -> Tensor:
    """Return which edges are in the shortest tree that joins all nodes that edges join (Kruskal, 1956).

    Edges count in both directions. The mask holds both of two opposite edges, of which the shorter one counts.

    Args:
        edge_index: (2, E) int64.
        nodes: Number of nodes.
        length: (E,), lengths of the edges.

    Returns:
        (E,) bool; in a graph of several parts it is a tree in each.

    Raises:
        MetaoptError: There is no edge, one is a self-loop, comes twice or names a node that does not exist, or there
            is not one length for each.
    """
    edge_index = check_edges(edge_index, nodes)
    _check_scores("lengths", length, edge_index)
    source, target = edge_index.tolist()
    leader, joined = list(range(nodes)), set()
    for e in torch.argsort(length.detach(), stable=True).tolist():
        a, b = _find(leader, source[e]), _find(leader, target[e])
        if a != b:
            leader[a] = b
            joined.add((source[e], target[e]))
    mask = [(a, b) in joined or (b, a) in joined for a, b in zip(source, target, strict=True)]
    return torch.tensor(mask, device=edge_index.device)


def _check_scores(name: str, scores: Tensor, edge_index: Tensor) -> None:
    if len(scores) != edge_index.shape[1] or bool(scores.isnan().any()):
        raise MetaoptError(
            f"{edge_index.shape[1]} edges need as many {name}, none of them NaN, but got {tree.describe(scores)} with "
            f"{int(scores.isnan().sum())} of them NaN."
        )


def _reached(source: Sequence[int], target: Sequence[int], nodes: int, root: int) -> list[bool]:
    following: list[list[int]] = [[] for _ in range(nodes)]
    for a, b in zip(source, target, strict=True):
        following[a].append(b)
    reached, waiting = [False] * nodes, [root]
    reached[root] = True
    while waiting:
        for b in following[waiting.pop()]:
            if not reached[b]:
                reached[b] = True
                waiting.append(b)
    return reached


def _find(leader: list[int], node: int) -> int:
    while leader[node] != node:
        leader[node] = leader[leader[node]]
        node = leader[node]
    return node


def _incoming(ends: Sequence[tuple[int, int]], costs: list[float], reached: Sequence[bool], root: int) -> list[int]:
    """Return for each node the number of the edge that enters it in the cheapest arborescence, or -1.

    Each node takes its cheapest edge. Where these close a cycle, its nodes become one new node, for which the cost of
    an edge is what it costs more than the edge that it would replace. In the end the cycles are opened again, the last
    one first: the node at which the tree enters a cycle gives up its edge in it.
    """
    nodes = len(reached)
    leader, around = list(range(nodes)), [-1] * nodes  # the outermost node, and the next one outside
    shift, chosen = [0.0] * nodes, [-1] * nodes
    heaps: list[list[tuple[float, int]]] = [[] for _ in range(nodes)]
    for e, (_, b) in enumerate(ends):
        heaps[b].append((costs[e], e))
    for heap in heaps:
        heapq.heapify(heap)
    visit = [-1 if r else nodes for r in reached]  # who came by first; -1 nobody, ``nodes`` nobody needs to
    visit[root] = nodes
    for start in range(nodes):
        path: list[int] = []
        u = _find(leader, start)
        while visit[u] < 0:
            visit[u] = start
            path.append(u)
            cost, e = heapq.heappop(heaps[u])
            while _find(leader, ends[e][0]) == u:
                cost, e = heapq.heappop(heaps[u])
            chosen[u], shift[u] = e, -cost
            u = _find(leader, ends[e][0])
            if visit[u] == start:
                cycle = [path.pop()]
                while cycle[-1] != u:
                    cycle.append(path.pop())
                u = len(leader)
                for part in cycle:
                    leader[part] = around[part] = u
                heap, moved = _merged([(heaps[part], shift[part]) for part in cycle])
                leader.append(u)
                for values in (around, chosen, visit):
                    values.append(-1)
                heaps.append(heap)
                shift.append(moved)
    for outer in reversed(range(nodes, len(leader))):
        part = ends[chosen[outer]][1]
        while around[part] != outer:
            part = around[part]
        chosen[part] = chosen[outer]
    return chosen[:nodes]


def _merged(heaps: Sequence[tuple[list[tuple[float, int]], float]]) -> tuple[list[tuple[float, int]], float]:
    """Merge heaps, each with a number that is to be added to all of its costs, into the largest."""
    largest, shift = max(heaps, key=lambda pair: len(pair[0]))
    for heap, other in heaps:
        if heap is not largest:
            for cost, e in heap:
                heapq.heappush(largest, (cost + other - shift, e))
    return largest, shift
