"""Candidate nodes on a known tree follow each other as its branches do."""

from __future__ import annotations

import torch
from torch import Tensor

from metaopt.algorithms import maximum_arborescence
from metaopt.problems import nearest_neighbors
from metaopt.tasks import tree_edges
from metaopt.tasks.airways import AirwayTree, node_parents


def forked() -> AirwayTree:
    """A trachea of 20 mm that forks in two branches of 10 mm, one of which goes on."""
    lines = [
        [[0.0, 0, 0], [-10, 0, 0], [-20, 0, 0]],
        [[-20.0, 0, 0], [-20, 10, 0]],
        [[-20.0, 0, 0], [-20, -10, 0]],
        [[-20.0, 10, 0], [-30, 10, 0]],
    ]
    points = [torch.tensor(line) for line in lines]
    return AirwayTree(torch.tensor([-1, 0, 0, 1]), points, [torch.full((len(p),), 2.0) for p in points])


def at(*positions: tuple[float, float, float]) -> Tensor:
    return torch.tensor(positions, dtype=torch.float32)


def test_nodes_follow_each_other_along_branches_and_across_forks():
    positions = at((-20, 6, 1), (-4, 0, 1), (-14, 1, 0), (-20, -5, 0), (-26, 10, 0), (-8, 0, -1))
    found = node_parents(forked(), positions)
    assert found.branch.tolist() == [1, 0, 0, 2, 3, 0]
    assert found.parent.tolist() == [2, -1, 5, 2, 0, 1]


def test_a_branch_without_nodes_is_passed_over():
    found = node_parents(forked(), at((-5, 0, 0), (-27, 10, 0)))
    assert found.parent.tolist() == [-1, 0]


def test_nodes_beside_the_tree_are_on_no_branch():
    positions = at((-5, 0, 1.9), (-5, 0, 2.1), (6, 0, 0), (-35, 0, 0))
    found = node_parents(forked(), positions)
    assert found.branch.tolist() == [0, -1, -1, -1]
    assert node_parents(forked(), positions, slack=1.2).branch.tolist() == [0, 0, -1, -1]
    assert found.parent.tolist() == [-1, -1, -1, -1]


def test_the_edges_of_parents_lead_the_arborescence_along_the_tree():
    steps = torch.arange(1.0, 10, 2)[:, None]
    tree = forked()
    positions = torch.cat([p[0] + (p[-1] - p[0]) / (p[-1] - p[0]).norm() * steps for p in tree.points[1:]])
    positions = torch.cat([at((-2, 0, 0), (-9, 0, 0), (-16, 0, 0)), positions, at((-12, 20, 20), (0, 30, 0))])
    found = node_parents(tree, positions)
    edges = nearest_neighbors(positions, 6)
    grown = maximum_arborescence(edges, len(positions), 20 * tree_edges(edges, found.parent) - 10)
    assert torch.equal(grown.parent, found.parent)
    assert torch.equal(grown.reached, found.branch >= 0)
