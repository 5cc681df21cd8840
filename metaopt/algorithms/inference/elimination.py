"""Build junction trees of discrete models from orders in which their variables are eliminated."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, log2

from ...core import MetaoptError

TRIVIAL, EASY = 2.0**5, 2.0**11  # entries of all cliques per variable, below which one or two orders do
HOPELESS = 64.0  # log2 entries of the largest clique; if the first order makes more, no other is tried
COMFORTABLE = 26.5  # log2 entries of a largest clique that fits into memory; below, all entries count
RESTARTS = 12
WORK = 10**7  # pairs of neighbours that the search for an order looks at, which takes a few seconds

Scopes = Sequence[Sequence[int]]


class TooLargeError(MetaoptError):
    """This error says that exact inference would need tables that are too large."""


@dataclass(frozen=True, eq=False)
class JunctionTree:
    """Hold cliques that contain every factor's scope, and in which the cliques of each variable are connected.

    Args:
        cliques: The variables of each clique in the order of their elimination; a parent comes before its children.
            Variables with one state are in none.
        parents: The parent of each clique, or -1 for a root.
        position: The position of each variable in the order of elimination, or -1 for a variable with one state.
        home: The clique in which each variable is eliminated, or -1. It contains every factor whose first variable by
            position is that variable.
        log2_entries: Logarithms to base 2 of the sizes of the tables of the cliques.
    """

    cliques: list[tuple[int, ...]]
    parents: list[int]
    position: list[int]
    home: list[int]
    log2_entries: list[float]

    @property
    def width(self) -> int:
        """Return the number of variables of the largest clique minus one, an upper bound of the treewidth."""
        return max(map(len, self.cliques), default=1) - 1

    def separator(self, clique: int) -> tuple[int, ...]:
        """Return the variables that a clique shares with its parent.

        The other variables of the clique are eliminated in it, and come first.

        Args:
            clique: The index of the clique.

        Returns:
            The variables.
        """
        if self.parents[clique] < 0:
            return ()
        parent = set(self.cliques[self.parents[clique]])
        return tuple(v for v in self.cliques[clique] if v in parent)


def junction_tree(cardinalities: Sequence[int], scopes: Scopes, largest: float = inf) -> JunctionTree:
    """Return a junction tree of small cliques, the best of several greedy orders; the result is the same at each call.

    Variables are eliminated by the size of the resulting clique. Unless that tree is good already or hopeless, two more
    kinds of orders are tried: one in which a wave passes through the graph, which suits long grids, and min-fill, by
    the number of edges that an elimination adds, a few times with ties broken at random (Koller and Friedman,
    Probabilistic Graphical Models, section 9.4.3). Among orders whose cliques fit into memory, the one with the fewest
    entries is taken.

    The search looks at a bounded number of pairs of neighbours. What is left of the first order when it has used them
    up is eliminated in any order, as if all of it were joined.

    Args:
        cardinalities: Number of states of each variable.
        scopes: Variables of each factor.
        largest: Log2 of the entries of a clique beyond which no order is of use.

    Returns:
        The tree.

    Raises:
        MetaoptError: A scope names an unknown variable, or one twice; or no order was found whose cliques are within
            ``largest``, or in a bounded time.
    """
    graph = _graph(cardinalities, scopes)
    weights = [log2(c) for c in cardinalities]
    work = _Work(WORK)
    best = _eliminate(graph, weights, [0] * len(graph), 0, largest, work=work)
    if not best.buckets and len(graph) and any(weights):
        raise TooLargeError(
            f"No order of elimination was found whose cliques have at most 2^{largest:.1f} entries: {len(graph)} "
            f"variables in {len(scopes)} factors are too densely connected; use an approximation."
        )
    if TRIVIAL * len(graph) < best.entries and best.largest < HOPELESS and work.left > 0:
        best = min(best, _eliminate(graph, weights, _wave(graph), 0, HOPELESS, work=work), key=_Run.cost)
    if EASY * len(graph) < best.entries and best.largest < HOPELESS and work.allow(graph):
        fill = [_missing(graph, v) for v in range(len(graph))]
        for seed in range(RESTARTS):
            bound = max(best.largest, COMFORTABLE)
            run = _eliminate(graph, weights, fill, seed, bound, by_fill=True, work=work)
            best = min(best, run, key=_Run.cost)
            if work.left <= 0:
                break
    return _tree(best.buckets, weights)


class _Work:
    """Count how many pairs of neighbours may still be looked at."""

    def __init__(self, left: float):
        self.left = left

    def allow(self, graph: list[set[int]]) -> bool:
        """Take what it costs to look at all pairs of neighbours of every variable, if there is as much left."""
        self.left -= sum(len(around) ** 2 for around in graph)
        return self.left > 0


def _graph(cardinalities: Sequence[int], scopes: Scopes) -> list[set[int]]:
    """Return for each variable with several states the other such variables that share a factor with it."""
    graph: list[set[int]] = [set() for _ in cardinalities]
    for factor, scope in enumerate(scopes):
        if len(set(scope)) < len(scope) or not all(0 <= v < len(cardinalities) for v in scope):
            raise MetaoptError(
                f"Factor {factor} has the scope {tuple(scope)}; it has to name different ones of the "
                f"{len(cardinalities)} variables, from 0."
            )
        varying = {v for v in scope if cardinalities[v] > 1}
        for v in varying:
            graph[v] |= varying
    for v, around in enumerate(graph):
        around.discard(v)
    return graph


def _wave(graph: list[set[int]]) -> list[int]:
    """Return the rank of each variable in breadth-first order from where another such order ended (Cuthill-McKee)."""
    ranks: dict[int, int] = {}
    for start in range(len(graph)):
        if start not in ranks:
            end = _breadth_first(graph, start)[-1]
            ranks.update((v, len(ranks) + k) for k, v in enumerate(_breadth_first(graph, end)))
    return [ranks[v] for v in range(len(graph))]


def _breadth_first(graph: list[set[int]], start: int) -> list[int]:
    order, seen = [start], {start}
    for v in order:
        new = sorted(graph[v] - seen, key=lambda u: (len(graph[u]), u))
        order += new
        seen.update(new)
    return order


@dataclass(frozen=True, eq=False)
class _Run:
    """Hold an elimination: each variable with its neighbours then, log2 of the largest clique, and all entries."""

    buckets: list[tuple[int, set[int]]]
    largest: float
    entries: float

    def cost(self) -> tuple[float, float]:
        return max(self.largest, COMFORTABLE), self.entries


NO_RUN = _Run([], inf, inf)
FILL = 4  # how much more an elimination costs that keeps the number of missing edges
MOST_LEFT = 2000  # variables that are eliminated in any order


def _eliminate(
    graph: list[set[int]],
    weights: list[float],
    ranks: list[int],
    seed: int,
    bound: float = inf,
    by_fill: bool = False,
    work: _Work | None = None,
) -> _Run:
    """Eliminate by rank, then by clique size, and give up on a clique larger than ``bound``.

    With ``by_fill`` the ranks are the numbers of edges that an elimination adds, and are updated as they change. Where
    the work is used up, an order by fill or of a bounded size is given up, and any other one is finished at once.
    """
    work = work or _Work(inf)
    graph, ranks, rng = [set(around) for around in graph], list(ranks), random.Random(seed)
    left = {v for v, weight in enumerate(weights) if weight > 0}
    sizes = {v: _size(graph, weights, v) for v in left}
    keys = {v: (ranks[v], sizes[v], rng.random()) for v in left}
    heap = [(key, v) for v, key in keys.items()]
    heapq.heapify(heap)
    buckets: list[tuple[int, set[int]]] = []
    largest = entries = 0.0
    while left:
        key, v = heapq.heappop(heap)
        if keys.get(v) != key:
            continue
        around = graph[v]
        if (size := sizes[v]) > bound + 1e-9:
            return NO_RUN
        work.left -= len(around) ** 2 * (FILL if by_fill else 1)
        if work.left <= 0 and len(around) < len(left) - 1:
            if bound < inf or len(left) > MOST_LEFT:
                return NO_RUN
            around = left - {v}
            size = sum(weights[u] for u in left)
        largest, entries = max(largest, size), entries + 2.0 ** min(size, 1000.0)
        buckets.append((v, around))
        if len(around) == len(left) - 1:  # the remaining graph is complete
            buckets += _in_any_order(around)
            break
        left.remove(v)
        del keys[v]
        for u in _remove(graph, v, ranks if by_fill else None, sizes, weights):
            keys[u] = (ranks[u], sizes[u], keys[u][2])
            heapq.heappush(heap, (keys[u], u))
    return _Run(buckets, largest, entries)


def _in_any_order(complete: set[int]) -> Iterator[tuple[int, set[int]]]:
    rest = set(complete)
    while rest:
        v = rest.pop()
        yield v, set(rest)


def _size(graph: list[set[int]], weights: list[float], v: int) -> float:
    return weights[v] + sum(weights[u] for u in graph[v])


def _missing(graph: list[set[int]], v: int) -> int:
    """Return the number of edges that the elimination of ``v`` adds between its neighbours."""
    around = graph[v]
    return sum(len(around - graph[u]) - 1 for u in around) // 2


def _remove(
    graph: list[set[int]], v: int, fill: list[int] | None, sizes: dict[int, float], weights: list[float]
) -> set[int]:
    """Connect the neighbours of ``v`` with each other and disconnect ``v``; return the variables whose keys change."""
    around = graph[v]
    changed = set(around)
    for u in around:
        graph[u].discard(v)
        new = around - graph[u]
        new.discard(u)
        sizes[u] += sum(weights[w] for w in new) - weights[v]
        if fill is not None:
            for w in new:  # a common neighbour of u and w no longer lacks the edge u - w
                both = graph[u] & graph[w]
                changed |= both
                for x in both:
                    fill[x] -= 1
                graph[w].add(u)
                sizes[w] += weights[u]
        graph[u] |= new
    if fill is not None:
        for u in around:
            fill[u] = _missing(graph, u)
    return changed


def _tree(buckets: list[tuple[int, set[int]]], weights: list[float]) -> JunctionTree:
    """Attach each bucket to that of its first neighbour, or merge the two where one contains the other."""
    position = [-1] * len(weights)
    for k, (v, _) in enumerate(buckets):
        position[v] = k
    cliques: list[tuple[int, ...]] = []
    parents: list[int] = []
    home = [-1] * len(weights)
    for v, around in reversed(buckets):
        clique = (v, *sorted(around, key=position.__getitem__))
        parent = home[clique[1]] if around else -1
        if parent >= 0 and len(cliques[parent]) == len(around):
            cliques[parent], home[v] = clique, parent
        else:
            home[v] = len(cliques)
            cliques.append(clique)
            parents.append(parent)
    return JunctionTree(cliques, parents, position, home, [sum(weights[v] for v in clique) for clique in cliques])
