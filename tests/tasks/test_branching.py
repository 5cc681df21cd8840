"""Random trees among other curves: what is called real is the tree."""

from __future__ import annotations

import torch

from metaopt.algorithms import maximum_arborescence
from metaopt.core import random
from metaopt.problems import gaussian_features
from metaopt.tasks import BranchingGraphs, tree_edges


def test_the_same_seed_draws_the_same_graph():
    task = BranchingGraphs()
    (first, target), (second, again), (other, _) = task.sample(1), task.sample(1), task.sample(2)
    assert torch.equal(first.x, second.x)
    assert torch.equal(target, again)
    assert first.x.shape != other.x.shape or not torch.equal(first.x, other.x)


def test_the_nodes_of_the_tree_are_joined_to_its_root_and_the_others_are_not():
    drawn = BranchingGraphs(noise=0.0).draw(random.generator(0))
    parent = drawn.parent.tolist()
    assert parent[0] == -1
    assert [n for n, p in enumerate(parent) if p < 0 and bool(drawn.real[n])] == [0]
    assert all(p < n for n, p in enumerate(parent))
    assert bool((drawn.parent[~drawn.real] == -1).all())
    steps = (drawn.mean[1:, :3] - drawn.mean[drawn.parent[1:], :3])[drawn.real[1:]].norm(dim=1)
    torch.testing.assert_close(steps, torch.full_like(steps, 4.0))
    children = torch.bincount(drawn.parent[drawn.parent >= 0], minlength=len(parent))[drawn.real]
    assert int(children.max()) == 2
    assert int((children == 2).sum()) == 7, "four generations fork 1 + 2 + 4 times"


def test_the_targets_lead_the_arborescence_through_the_whole_tree():
    task = BranchingGraphs(batch=1, features=gaussian_features)
    problem, target = task.sample(3)
    assert problem.x.shape[1] == 14
    found = maximum_arborescence(problem.edge_index, len(problem.x), 20 * target - 10)
    drawn = task.draw(random.generator(3))
    assert torch.equal(found.reached, drawn.real)
    assert torch.equal(found.parent, drawn.parent)


def test_edges_of_a_tree_count_in_both_directions_and_no_others():
    edges = torch.tensor([[0, 1, 1, 2, 0, 3], [1, 0, 2, 1, 2, 0]])
    assert tree_edges(edges, torch.tensor([-1, 0, 1, -1])).tolist() == [1, 1, 1, 1, 0, 0]
