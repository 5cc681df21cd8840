"""What the benchmark of citation networks trains, on a graph of its own."""

from __future__ import annotations

import pytest
import torch

import metaopt as mo
from benchmarks.citation import RECIPES, Network, epoch_of, labels_spread, optimizer_of, summary, trained

geometric = pytest.importorskip("torch_geometric")


def two_rings(nodes: int = 40) -> Network:
    """Two rings that do not touch; features are noise, so that only the graph tells them apart."""
    ring = torch.arange(nodes // 2)
    edges = torch.cat([torch.stack([ring + at, ring.roll(1) + at]) for at in (0, nodes // 2)], 1)
    x = torch.rand(nodes, 6, generator=torch.Generator().manual_seed(0))
    data = geometric.data.Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], 1))
    data.y = (torch.arange(nodes) >= nodes // 2).long()
    index = torch.arange(nodes)
    data.train_mask, data.val_mask, data.test_mask = (index % 4 == 0), (index % 4 == 1), (index % 4 > 1)
    return Network(data, mo.GraphSignal.from_data(data), 2)


@pytest.mark.parametrize("name", RECIPES)
def test_l2_is_where_the_recipe_says(name: str) -> None:
    recipe = RECIPES[name]
    net = recipe.build(6, 2, recipe.depth)
    decayed = {
        id(p) for group in optimizer_of(net, recipe).param_groups if group["weight_decay"] for p in group["params"]
    }
    shapes = sorted(tuple(p.shape) for p in net.parameters() if id(p) in decayed)
    expected = {
        "GCN": [(6, 16), (16,)],
        "SGC": [(2,), (6, 2)],
        "APPNP": [(6, 64), (64,), (64, 2), (2,)],
        "implicit GNN": [(6, 16), (16,)],
    }
    assert shapes == sorted(expected[name])


def test_an_epoch_is_a_function_of_its_seed() -> None:
    given, runs = two_rings(), []
    for seed in (1, 1, 2):
        torch.manual_seed(0)
        net = RECIPES["APPNP"].build(6, 2, 3)
        epoch_of(net, optimizer_of(net, RECIPES["APPNP"]), given, seed, given.problem)
        torch.rand(1)  # what others draw changes nothing
        runs.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_what_only_the_graph_tells_is_learned() -> None:
    given = two_rings()
    assert labels_spread(given)["accuracy"] == 100
    assert trained(RECIPES["APPNP"], given, 10, 0, 0.25)[0] > 75


def test_a_summary_says_which_epoch_it_is_of() -> None:
    runs = [(80.0, 70.0), (82.0, 74.0)]
    found, last = summary(runs), summary(runs, chosen=False)
    assert (found["accuracy"], found["epoch"], found["at the other"]) == (81, "chosen", 72)
    assert (last["accuracy"], last["epoch"], last["at the other"]) == (72, "last", 81)
