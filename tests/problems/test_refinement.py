"""Refinement problems: their edges, their features, and what cannot be one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt.problems import GraphRefinement, both_directions, gaussian_features, nearest_neighbors, rigid_features

from ..cases.graphs import refinement_problem
from ..helpers import normal


def gaussians(seed: int, count: int = 12) -> tuple[Tensor, Tensor]:
    mean, variance = normal(seed, count, 7), normal(seed + 1, count, 7).square() + 0.01
    mean[:, :3] *= 10
    mean[:, 3] = mean[:, 3].abs() + 0.5
    return mean, variance


def rotation(seed: int) -> Tensor:
    return torch.linalg.qr(normal(seed, 3, 3)).Q


def test_neighbours_are_the_nearest_others_in_order():
    positions = normal(0, 2500, 3)  # more rows than are held at a time
    edges = nearest_neighbors(positions, 4).reshape(2, 2500, 4)
    assert torch.equal(edges[0], torch.arange(2500)[:, None].expand(-1, 4))
    for node in (0, 1023, 1024, 2499):
        nearest = (positions - positions[node]).square().sum(1).argsort()
        assert edges[1, node].tolist() == [n for n in nearest.tolist() if n != node][:4]


def test_neighbours_far_from_the_origin_are_told_apart_in_float32():
    positions = (1e4 + 0.01 * torch.arange(20.0).square()[:, None]) * torch.tensor([[1.0, 0.0, 0.0]])
    edges = nearest_neighbors(positions, 1)
    assert edges[1].tolist() == [1, *range(19)]


def test_coincident_nodes_are_neighbours_and_never_their_own():
    edges = nearest_neighbors(torch.zeros(4, 3), 10)
    assert edges.shape == (2, 12), "all the others, where there are fewer than ten"
    assert bool((edges[0] != edges[1]).all())


def test_opposite_edges_are_paired_once():
    problem = refinement_problem(0)
    found = problem.edge_index.T[problem.opposite].tolist()
    assert sorted(found) == [[[0, 1], [1, 0]], [[0, 2], [2, 0]], [[1, 2], [2, 1]], [[2, 3], [3, 2]]]


def test_both_directions_adds_what_is_missing():
    edges = both_directions(torch.tensor([[0, 1, 2], [1, 0, 0]]))
    assert edges.T.tolist() == [[0, 1], [0, 2], [1, 0], [2, 0]]


def test_rigid_features_see_no_motion_mirror_or_sign():
    mean, variance = gaussians(0)
    variance[:, :3], variance[:, 4:] = variance[:, :1], variance[:, 4:5]  # the same along every axis
    edges = nearest_neighbors(mean[:, :3], 3)
    turn = rotation(3) * torch.tensor([1.0, 1.0, -1.0])
    moved = mean.clone()
    moved[:, :3], moved[:, 4:] = mean[:, :3] @ turn.T + 40, mean[:, 4:] @ turn.T
    moved[::2, 4:] *= -1
    first, second = (rigid_features(m, variance, edges) for m in (mean, moved))
    for before, after in zip(first, second, strict=True):
        torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("features", [rigid_features, gaussian_features])
def test_features_of_opposite_edges_are_equal(features):
    mean, variance = gaussians(1)
    edges = both_directions(nearest_neighbors(mean[:, :3], 3))
    problem = GraphRefinement(*features(mean, variance, edges), edges)
    first, second = problem.opposite.unbind(1)
    assert len(first) == edges.shape[1] // 2
    torch.testing.assert_close(problem.pairs[first], problem.pairs[second])


def test_published_features_see_no_shift_and_are_those_of_the_formula():
    mean, variance = gaussians(2)
    edges, scale = nearest_neighbors(mean[:, :3], 3), torch.full((14,), 2.0, dtype=torch.float64)
    shift = torch.zeros(7, dtype=torch.float64)
    shift[:3] = 30
    (x, pairs), (_, moved) = (gaussian_features(m, variance, edges, scale) for m in (mean, mean + shift))
    torch.testing.assert_close(moved, pairs)
    k, l = edges[:, 5].tolist()  # noqa: E741
    torch.testing.assert_close(pairs[5, :7], (mean[k] - mean[l]).abs() / 2)
    torch.testing.assert_close(pairs[5, 14:], x[k] * x[l])
    standard, _ = gaussian_features(mean, variance, edges)
    torch.testing.assert_close(standard.std(0, correction=0), torch.ones(14, dtype=torch.float64))


def test_coincident_nodes_have_finite_features_and_gradients():
    mean, variance = gaussians(3)
    mean[1, :3] = mean[0, :3]
    edges = nearest_neighbors(mean[:, :3], 2)
    for features in (rigid_features, gaussian_features):
        x, pairs = features(mean.requires_grad_(), variance, edges)
        (gradient,) = torch.autograd.grad(x.sum() + pairs.sum(), mean)
        assert bool(pairs.isfinite().all())
        assert bool(gradient.isfinite().all())


def test_a_union_puts_graphs_side_by_side():
    one, two = refinement_problem(0), refinement_problem(5)
    both = GraphRefinement.union([one, two])
    assert torch.equal(both.edge_index, torch.cat([one.edge_index, two.edge_index + 5], dim=1))
    assert torch.equal(both.x, torch.cat([one.x, two.x]))
    assert len(both.opposite) == 8


X, PAIRS, EDGES = torch.zeros(4, 3), torch.zeros(3, 2), torch.tensor([[0, 1, 2], [1, 2, 3]])
REFUSED = {
    "no edge": (X, PAIRS[:0], EDGES[:, :0], "4 nodes has no edge"),
    "self-loop": (X, PAIRS, torch.tensor([[0, 1, 2], [1, 1, 3]]), r"self-loops, such as that of node 1"),
    "twice": (X, PAIRS, torch.tensor([[0, 1, 0], [1, 2, 1]]), "from node 0 to node 1 comes twice"),
    "beyond the last node": (X, PAIRS, EDGES + 1, "names node 4, but the nodes are 0 to 3"),
    "negative": (X, PAIRS, EDGES - 1, "names node -1"),
    "fractions": (X, PAIRS, EDGES + 0.5, "whole numbers"),
    "transposed": (X, PAIRS, EDGES.T, r"\(2, E\)"),
    "NaN": (X.clone().fill_(torch.nan), PAIRS, EDGES, "NaN"),
    "other number of edges": (X, PAIRS[:2], EDGES, "3 edges need features"),
    "other precision": (X, PAIRS.double(), EDGES, "precision"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_graph_to_refine_is_refused(name):
    x, pairs, edges, sentence = REFUSED[name]
    with pytest.raises(mo.MetaoptError, match=sentence):
        GraphRefinement(x, pairs, edges)


def test_isolated_nodes_are_told():
    with pytest.warns(mo.MetaoptWarning, match="2 of the 6 nodes have no edge"):
        GraphRefinement(torch.zeros(6, 3), PAIRS, EDGES)
