"""Networks that refine graphs: untrained they are the classical schemes, and training helps on graphs never seen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import metaopt as mo
from metaopt import models
from metaopt.losses import binary_cross_entropy, dice
from metaopt.networks import EdgePotentials
from metaopt.problems import GraphRefinement
from metaopt.tasks import BranchingGraphs, held_out

from ..cases.graphs import refinement_problem
from ..helpers import seeded


def by_hand() -> EdgePotentials:
    """Near nodes belong together, and a node has one child or two."""
    pair = torch.tensor([3.0, -1.0, -1.0, 0.0, 1.0, 0.0])
    return EdgePotentials(torch.tensor([0.0, 1.0, 1.0, -1.0]), torch.zeros(4), torch.tensor(1.0), pair)


NETS: dict[str, Callable[[], mo.Unrolled]] = {
    "mean field": lambda: models.mean_field_refinement(by_hand(), steps=5),
    "learned bp": lambda: models.learned_bp_refinement(by_hand(), steps=5, hidden=4),
    "edge network": lambda: models.edge_network(4, 6, hidden=8, steps=2),
}
TASK = BranchingGraphs(generations=3, curves=3, points=8, neighbors=6, batch=1)


def loss(net: mo.Unrolled, problem: GraphRefinement, target: torch.Tensor) -> torch.Tensor:
    output = net(problem).final
    return binary_cross_entropy(output, target) + dice(output, target)


def learned(net: mo.Unrolled, updates: int, rate: float) -> tuple[float, float]:
    """The loss on the same graphs, which are not trained on, before and after training."""
    held = [held_out(TASK, i) for i in range(3)]

    def judge() -> float:
        with torch.no_grad():
            return sum(float(loss(net, *pair)) for pair in held) / len(held)

    before = judge()
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    for seed in range(updates):
        optimizer.zero_grad()
        loss(net, *TASK.sample(seed)).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    return before, judge()


@pytest.mark.parametrize("name", NETS)
def test_training_improves_edges_of_graphs_never_seen(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = NETS[name]()
    before, after = learned(net, updates=25, rate=0.02 if name == "edge network" else 0.1)
    assert after < 0.6 * before


SLOTS = {
    "potentials.degree": mo.shared(),
    "potentials.node": mo.shared(),
    "potentials.symmetry": mo.shared(),
    "potentials.pair": mo.shared(),
    "inference.damping": mo.per_step(4, interval=(0.0, 1.0)),
}


@pytest.mark.parametrize("name", SLOTS)
def test_each_slot_alone_improves_edges_of_graphs_never_seen(name):
    algorithm = mo.algorithms.EdgeInference(mo.MeanField(0.5), by_hand())
    before, after = learned(mo.unroll(mo.parameterize(algorithm, {name: SLOTS[name]}), 4), updates=10, rate=0.1)
    assert after < 0.99 * before


CLASSICAL = {"mean field": mo.MeanField, "learned bp": mo.BeliefPropagation}


@pytest.mark.parametrize("name", CLASSICAL)
def test_untrained_it_is_its_classical_scheme(name):
    problem = mo.tree.to(TASK.sample(0)[0], dtype=torch.float64)
    plain = mo.unroll(mo.algorithms.EdgeInference(CLASSICAL[name](0.5), by_hand()).double(), 5)
    learned = NETS[name]().double()
    for ours, expected in zip(learned(problem).outputs, plain(problem).outputs, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NETS)
def test_relabelled_nodes_and_edges_relabel_the_result(name):
    net = seeded(NETS[name])
    problem = mo.tree.to(TASK.sample(1)[0], dtype=torch.float64)
    generator = torch.Generator().manual_seed(2)
    nodes = torch.randperm(len(problem.x), generator=generator)  # new number n is old node nodes[n]
    edges = torch.randperm(len(problem.pairs), generator=generator)
    renamed = nodes.argsort()[problem.edge_index[:, edges]]
    other = GraphRefinement(problem.x[nodes], problem.pairs[edges], renamed)
    torch.testing.assert_close(net(other).final, net(problem).final[edges], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NETS)
def test_graphs_side_by_side_are_refined_each_alone(name):
    net = seeded(NETS[name])
    problems = [mo.tree.to(TASK.sample(seed)[0], dtype=torch.float64) for seed in (3, 4)]
    together = net(GraphRefinement.union(problems)).final
    torch.testing.assert_close(together, torch.cat([net(p).final for p in problems]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NETS)
def test_weights_are_saved_and_loaded(name, tmp_path):
    net = NETS[name]()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05)
    loaded = models.load(models.save(net, tmp_path / "net.safetensors"))
    problem, _ = TASK.sample(5)
    with torch.no_grad():
        assert torch.equal(loaded(problem).final, net(problem).final)


def test_an_edge_network_says_what_it_reads():
    problem = refinement_problem(0)
    for net, sentence in (
        (models.edge_network(4, 2).double(), "reads 4 features of a node and 2 of an edge"),
        (models.edge_network(3, 2), "float32"),
    ):
        with pytest.raises(mo.MetaoptError, match=sentence):
            net(problem)


def test_an_edge_network_reads_edges_without_features():
    problem = refinement_problem(0)
    bare = GraphRefinement(problem.x, problem.pairs[:, :0], problem.edge_index)
    assert models.edge_network(3, 0).double()(bare).final.shape == (9,)
