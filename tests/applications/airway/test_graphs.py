"""Graphs to train on are made of simulated CTs, are kept, and say what is real."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt.applications.airway import refinement
from metaopt.applications.airway.graphs import make_graphs, simulate_chest
from metaopt.losses import binary_cross_entropy
from metaopt.tasks import AirwayGraphs
from metaopt.tasks.airways import SimulatedCt, draw_lungs, fill_tubes, read_graph
from metaopt.tasks.airways.people import masks_of
from metaopt.training.recipe import read_recipe, task_of
from metaopt.weights import build

SIZE = 3.0  # mm; coarse, so that a chest is made in a moment


def sight(ct: SimulatedCt, lungs: Tensor) -> Tensor:
    """What a network would see that is perfect but for some noise."""
    noise = 0.1 * torch.rand(ct.volume.shape, generator=torch.Generator().manual_seed(0))
    return (0.9 * fill_tubes(ct.tree.tubes, tuple(lungs.shape), ct.spacing) + noise).clamp(0, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graphs")
    assert len(list(make_graphs(folder, 1, sight=sight, size=SIZE))) == 1
    return folder


def test_graphs_that_are_there_are_not_made_again(folder):
    assert list(make_graphs(folder, 1, sight=sight, size=SIZE)) == []


def test_real_edges_join_most_nodes_of_the_tree_and_are_not_most_edges(folder):
    graph = read_graph(folder / "0000.npz")
    joined = graph["edge_index"][:, graph["real"] > 0].unique()
    assert len(joined) > 60
    assert 0 < float(graph["real"].mean()) < 0.4
    lengths = (graph["position"][graph["edge_index"][0]] - graph["position"][graph["edge_index"][1]]).norm(dim=1)
    assert float(lengths[graph["real"] > 0].mean()) < float(lengths[graph["real"] == 0].mean())


@pytest.mark.parametrize("method", ["gnn", "mfn", "mfn3", "lbp", "edge"])
def test_every_recipe_builds_the_untrained_method_and_learns(method, folder):
    recipe = read_recipe(mo.training.find_recipe(f"airway_{method}"))
    recipe["task"]["folder"] = str(folder)
    task = task_of(recipe)
    assert isinstance(task, AirwayGraphs)
    net = build(recipe["model"])
    own = refinement(method, trained=False)
    assert {n: p.shape for n, p in net.state_dict().items()} == {n: p.shape for n, p in own.state_dict().items()}
    if method not in ("gnn", "edge"):
        assert all(torch.equal(net.state_dict()[n], p) for n, p in own.state_dict().items() if "potentials" in n)
    problem, real = AirwayGraphs(str(folder), nodes=150).sample(0)
    optimizer = torch.optim.Adam(own.parameters(), lr=0.02)
    losses = []
    for _ in range(8):
        loss = binary_cross_entropy(own(problem).final, real)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_people_give_their_own_airways_at_odd_seeds_and_their_lungs_to_grown_ones_at_even_seeds():
    lungs = draw_lungs(0, (4.0, 4.0, 4.0), litres=3.0)
    lumen = torch.zeros_like(lungs)
    middle = lungs.shape[2] // 2
    lumen[40:, 20:24, middle - 2 : middle + 2] = True
    lumen[34:42, 20:23, middle : middle + 16] = True
    masks = [(lungs, lumen, (4.0, 4.0, 4.0))]
    own, _ = simulate_chest(1, 4.0, masks)
    assert own.volume.numel() < lungs.numel()
    assert int(own.lumen.sum()) == int(lumen.sum())
    grown, same = simulate_chest(2, 4.0, masks)
    assert torch.equal(same, lungs)
    assert len(grown.tree) > len(own.tree)


def test_missing_masks_are_said():
    with pytest.raises(mo.MetaoptError, match="patient9"):
        masks_of(Path("/nowhere"), 9)
