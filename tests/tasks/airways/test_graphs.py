"""Graphs of candidate nodes come back from files as they were written, whole or in parts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import metaopt as mo
from metaopt.problems import GraphRefinement, both_directions, nearest_neighbors
from metaopt.tasks import AirwayGraphs, tree_edges
from metaopt.tasks.airways import read_graph, write_graph


def graph(count: int, seed: int) -> tuple[GraphRefinement, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    position = 50 * torch.rand(count, 3, generator=generator)
    edges = both_directions(nearest_neighbors(position, 4))
    # The features say what they belong to, so that parts can be compared.
    x, pairs = position[:, :2].clone(), (position[edges[0]] + position[edges[1]])[:, :1]
    first = (edges[0] == torch.arange(count)[:, None]).int().argmax(1)  # the number of an edge that leaves each node
    parent = torch.where(torch.arange(count) % 3 == 0, edges[1, first], -1)
    return GraphRefinement(x, pairs, edges), position, tree_edges(edges, parent)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(2):
        write_graph(tmp_path / f"{number}.npz", *graph(40 + number, number))
    return tmp_path


def test_a_graph_comes_back_as_it_was_written(folder):
    problem, position, real = graph(41, 1)
    found = read_graph(folder / "1.npz")
    for name, expected in {"x": problem.x, "pairs": problem.pairs, "position": position, "real": real}.items():
        assert torch.equal(found[name], expected)
    assert torch.equal(found["edge_index"], problem.edge_index)


def test_whole_graphs_follow_each_other(folder):
    task = AirwayGraphs(str(folder))
    counts = [len(task.sample(seed)[0].x) for seed in range(4)]
    assert counts == [40, 41, 40, 41]
    both, real = AirwayGraphs(str(folder), batch=2).sample(0)
    assert len(both.x) == 81
    assert len(real) == both.edge_index.shape[1]


def test_a_part_holds_the_nearest_nodes_with_their_edges_and_targets(folder):
    problem, real = AirwayGraphs(str(folder), nodes=15).sample(3)
    assert 10 < len(problem.x) <= 15
    whole = next(g for g in map(read_graph, task_files(folder)) if bool((g["x"] == problem.x[0]).all(1).any()))
    number = [int((whole["x"] == x).all(1).nonzero()[0]) for x in problem.x]
    known = {(a, b): i for i, (a, b) in enumerate(whole["edge_index"].T.tolist())}
    edges = [known[number[a], number[b]] for a, b in problem.edge_index.T.tolist()]
    assert torch.equal(problem.pairs, whole["pairs"][edges])
    assert torch.equal(real, whole["real"][edges])
    inside = set(number)
    assert len(edges) == sum(a in inside and b in inside for a, b in known)


def task_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npz"))


def test_the_same_seed_draws_the_same_part(folder):
    task = AirwayGraphs(str(folder), nodes=12, batch=2)
    a, b, c = task.sample(5)[0], task.sample(5)[0], task.sample(6)[0]
    assert torch.equal(a.x, b.x)
    assert a.x.shape != c.x.shape or not torch.equal(a.x, c.x)


def test_a_folder_without_graphs_and_files_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(mo.MetaoptError, match="has no graphs"):
        AirwayGraphs(str(tmp_path))
    (tmp_path / "a.npz").write_bytes(b"no graph")
    with pytest.raises(mo.MetaoptError, match=r"a\.npz is no graph of airways"):
        AirwayGraphs(str(tmp_path)).sample(0)
    problem, position, real = graph(10, 0)
    with pytest.raises(mo.MetaoptError, match="has as many positions and targets, but got 9"):
        write_graph(tmp_path / "b.npz", problem, position[:9], real)
