"""Trees from scores of edges, against networkx, scipy and all trees there are."""

from __future__ import annotations

import itertools

import networkx
import pytest
import scipy.sparse
import torch
from torch import Tensor

import metaopt as mo
from metaopt.algorithms import maximum_arborescence, minimum_spanning_tree

from ..helpers import normal


def random_graph(seed: int, nodes: int, edges: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    number = torch.randperm(nodes * (nodes - 1), generator=generator)[:edges]
    source, target = number // (nodes - 1), number % (nodes - 1)
    return torch.stack([source, target + (target >= source).long()]), 2 * normal(seed, len(number))


def best_by_enumeration(edges: Tensor, scores: Tensor, nodes: int, root: int) -> float:
    """The best sum over all choices of one parent for each node that lead back to the root; all nodes are reached."""
    others = [n for n in range(nodes) if n != root]
    entering = [[e for e in range(edges.shape[1]) if edges[1, e] == n] for n in others]
    best = -torch.inf
    for choice in itertools.product(*entering):
        parent = {n: int(edges[0, e]) for n, e in zip(others, choice, strict=True)}
        if all(leads_to(n, parent, root, nodes) for n in others):
            best = max(best, float(scores[list(choice)].sum()))
    return best


def leads_to(node: int, parent: dict[int, int], root: int, nodes: int) -> bool:
    for _ in range(nodes):
        if node == root:
            return True
        node = parent[node]
    return False


@pytest.mark.parametrize("seed", range(20))
def test_the_arborescence_is_the_best_of_all(seed):
    root = seed % 5
    edges, scores = random_graph(seed, 5, 14)
    missing = [n for n in range(5) if n != root and [root, n] not in edges.T.tolist()]
    edges = torch.cat([edges, torch.tensor([[root, n] for n in missing], dtype=torch.long).reshape(-1, 2).T], dim=1)
    scores = torch.cat([scores, torch.full((len(missing),), -9.0, dtype=torch.float64)])
    found = maximum_arborescence(edges, 5, scores, root, least=0)
    chosen = found.edge[found.edge >= 0]
    assert len(chosen) == 4
    assert float(scores[chosen].sum()) == pytest.approx(best_by_enumeration(edges, scores, 5, root), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_large_arborescences_weigh_what_networkx_finds(seed):
    nodes, root = 120, 7
    edges, scores = random_graph(seed, nodes, 1500)
    found = maximum_arborescence(edges, nodes, scores, root, least=0)
    assert bool(found.reached.all())
    graph = networkx.DiGraph()
    for (a, b), weight in zip(edges.T.tolist(), scores.tolist(), strict=True):
        if b != root:
            graph.add_edge(a, b, weight=weight)
    expected = networkx.maximum_spanning_arborescence(graph)
    assert float(scores[found.edge[found.edge >= 0]].sum()) == pytest.approx(expected.size(weight="weight"), abs=1e-8)
    assert found.parent[root] == found.edge[root] == -1
    parent = dict(enumerate(found.parent.tolist()))
    assert all(leads_to(n, parent, root, nodes) for n in range(nodes))
    assert torch.equal(edges[0, found.edge[1:7]], found.parent[1:7])


def test_nested_cycles_are_opened_from_outside():
    """A ring of sure edges beside another one: the tree enters each once."""
    ring = torch.tensor([[1, 2, 3, 4, 5, 6, 0, 3, 6], [2, 3, 1, 5, 6, 4, 1, 4, 3]])
    scores = torch.tensor([9.0, 9.0, 9.0, 9.0, 9.0, 9.0, -1.0, 8.0, 8.0])
    found = maximum_arborescence(ring, 7, scores, least=0)
    assert found.parent.tolist() == [-1, 0, 1, 2, 3, 4, 5]


def test_improbable_edges_are_left_out_with_all_behind_them():
    edges, probability = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]]), torch.tensor([0.9, 0.8, 0.3, 0.99])
    found = maximum_arborescence(edges, 5, probability.logit(), least=0.5)
    assert found.parent.tolist() == [-1, 0, 1, -1, -1]
    assert found.reached.tolist() == [True, True, True, False, False]
    assert bool(maximum_arborescence(edges, 5, probability.logit(), least=0.2).reached.all())


def test_certain_and_impossible_edges_are_numbers_like_others():
    edges = torch.tensor([[0, 0, 1], [1, 2, 2]])
    found = maximum_arborescence(edges, 3, torch.tensor([torch.inf, -1.0, torch.inf]), least=1)
    assert found.parent.tolist() == [-1, 0, 1]
    assert maximum_arborescence(edges, 3, torch.tensor([1.0, 0.0, -torch.inf]), least=0).parent.tolist() == [-1, 0, 0]


def test_a_root_that_nothing_leaves_is_told_with_the_best_edge_there_is():
    edges = torch.tensor([[0, 1], [1, 2]])
    with pytest.warns(mo.MetaoptWarning, match=r"root 0, so it is the whole tree; the most probable one has 0\.269"):
        found = maximum_arborescence(edges, 4, torch.tensor([-1.0, 3.0]))
    assert found.reached.tolist() == [True, False, False, False]
    with pytest.warns(mo.MetaoptWarning, match="it has no edge at all"):
        maximum_arborescence(edges, 4, torch.tensor([-1.0, 3.0]), root=3)


@pytest.mark.parametrize("seed", range(5))
def test_the_shortest_tree_is_as_long_as_scipys(seed):
    edges, _ = random_graph(seed, 30, 120)
    edges = edges[:, edges[0] < edges[1]]
    length = normal(seed, edges.shape[1]).abs() + 0.1
    mask = minimum_spanning_tree(edges, 30, length)
    dense = torch.zeros(30, 30, dtype=torch.float64)
    dense[edges[0], edges[1]] = length
    expected = scipy.sparse.csgraph.minimum_spanning_tree(dense.numpy())
    assert float(length[mask].sum()) == pytest.approx(float(expected.sum()))
    both = minimum_spanning_tree(torch.cat([edges, edges.flip(0)], dim=1), 30, length.repeat(2))
    assert torch.equal(both, mask.repeat(2))


@pytest.mark.parametrize(
    ("edges", "scores", "root", "sentence"),
    [
        (torch.zeros(2, 0, dtype=torch.long), torch.zeros(0), 0, "no edge"),
        (torch.tensor([[0, 1], [1, 1]]), torch.zeros(2), 0, "self-loop"),
        (torch.tensor([[0, 1], [1, 5]]), torch.zeros(2), 0, "names node 5, but the nodes are 0 to 2"),
        (torch.tensor([[0, 1], [1, 2]]), torch.zeros(3), 0, "2 edges need as many"),
        (torch.tensor([[0, 1], [1, 2]]), torch.tensor([0.0, torch.nan]), 0, "NaN"),
        (torch.tensor([[0, 1], [1, 2]]), torch.zeros(2), 3, "The root"),
    ],
)
def test_what_is_no_scored_graph_is_refused(edges, scores, root, sentence):
    with pytest.raises(mo.MetaoptError, match=sentence):
        maximum_arborescence(edges, 3, scores, root)
    if "root" not in sentence:
        with pytest.raises(mo.MetaoptError, match=sentence):
            minimum_spanning_tree(edges, 3, scores)
