"""Inference on edges: each update is the maximum of the ELBO, found by going through all states."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

import metaopt as mo
from metaopt.algorithms import EdgeInference
from metaopt.networks import EdgePotentials
from metaopt.problems import GraphRefinement

from ...helpers import normal
from ...refinements import all_energies, elbo

BETAS = {2: [0.3, -0.7, 1.1], 3: [0.0, 0.8, 1.0, -0.6], 10: [0.1 * (v - 2) * (5 - v) for v in range(11)]}


def star(seed: int, arms: int = 4) -> GraphRefinement:
    """Node 0 with edges to all others, each with its opposite, and one edge without."""
    ends = torch.arange(1, arms + 1)
    edges = torch.stack([torch.zeros_like(ends), ends])
    edges = torch.cat([edges, edges.flip(0), torch.tensor([[1], [2]])], dim=1)
    return GraphRefinement(normal(seed, arms + 1, 3), normal(seed + 1, edges.shape[1], 2), edges)


def values(degree: int, seed: int = 3) -> tuple[Tensor, Tensor, float, Tensor]:
    beta = torch.tensor(BETAS[degree], dtype=torch.float64)
    return beta, 0.5 * normal(seed, 3), 0.4, 0.5 * normal(seed + 1, 2)


def inference(algorithm: mo.Algorithm, degree: int) -> EdgeInference:
    return EdgeInference(algorithm, EdgePotentials(*values(degree)))


def beliefs(q: Tensor) -> mo.algorithms.inference.mean_field.Logits:
    return mo.algorithms.inference.mean_field.Logits(torch.stack([1 - q, q], dim=1).log().reshape(1, -1))


def stepped(problem: GraphRefinement, q: Tensor, degree: int) -> Tensor:
    algorithm = inference(mo.MeanField(), degree)
    return algorithm.readout(problem, algorithm.step(problem, beliefs(q), 0), 0)


@pytest.mark.parametrize("degree", BETAS)
def test_the_factor_graph_has_the_published_energy(degree):
    problem = star(0, arms=3)
    states, energies = all_energies(problem, *values(degree))
    graph = EdgePotentials(*values(degree)).at_step(0)(problem)
    ours = graph.log_potential(states[:1].long().expand(1, -1)), graph.log_potential(states[-1:].long())
    every = torch.stack([graph.log_potential(s[None].long())[0, 0] for s in states])
    torch.testing.assert_close(every, energies, rtol=1e-12, atol=1e-12)
    assert ours[0] != ours[1]


@pytest.mark.parametrize("degree", BETAS)
def test_a_step_of_mean_field_is_the_maximum_of_the_elbo_in_each_edge(degree):
    problem = star(1)
    states, energies = all_energies(problem, *values(degree))
    q = 0.05 + 0.9 * torch.rand(problem.edge_index.shape[1], dtype=torch.float64)
    best = torch.sigmoid(stepped(problem, q, degree))
    for e in range(len(q)):
        own = q.clone()
        own[e] = best[e]
        own.requires_grad_()
        (slope,) = torch.autograd.grad(elbo(own, states, energies), own)
        assert abs(float(slope[e])) < 1e-10, "the ELBO is concave in each edge, so a slope of 0 is its maximum"


def closed_form(problem: GraphRefinement, q: Tensor, edge: int, pairs_counted: int) -> float:
    """The update of the paper for up to two children; it counts each pair of siblings twice."""
    beta, node, symmetry, pair = values(2)
    k, l = problem.edge_index[:, edge].tolist()  # noqa: E741
    edges = problem.edge_index.T.tolist()
    siblings = torch.stack([q[e] for e, (a, b) in enumerate(edges) if a == k and b != l])
    odds = siblings / (1 - siblings)
    two = pairs_counted * (odds.sum() ** 2 - odds.square().sum()) / 2
    none = (1 - siblings).prod()
    logit = none * (beta[1] - beta[0] + (beta[2] - beta[1]) * odds.sum() - beta[2] * two) + node @ problem.x[k]
    other = edges.index([l, k])
    both = pair @ (problem.pairs[edge] + problem.pairs[other]) / 2
    return float(logit + (4 * q[other] - 2) * symmetry + 2 * q[other] * both)


def test_siblings_count_once_for_each_pair_and_not_twice_as_was_published():
    problem = star(2)
    q = torch.linspace(0.2, 0.8, problem.edge_index.shape[1], dtype=torch.float64)
    ours = float(stepped(problem, q, 2)[0])
    assert ours == pytest.approx(closed_form(problem, q, 0, pairs_counted=1), abs=1e-12)
    published = closed_form(problem, q, 0, pairs_counted=2)
    assert abs(ours - published) > 0.05
    states, energies = all_energies(problem, *values(2))
    at = [elbo(torch.cat([torch.sigmoid(torch.tensor([v])), q[1:]]), states, energies) for v in (ours, published)]
    assert at[0] > at[1] + 1e-4, "the published update lowers the bound"


def test_a_degree_of_ten_children_is_exact():
    problem = star(4, arms=11)
    degree = torch.tensor(BETAS[10], dtype=torch.float64)
    q = torch.linspace(0.1, 0.7, problem.edge_index.shape[1], dtype=torch.float64)
    only = EdgeInference(mo.MeanField(), EdgePotentials(degree))
    ours = only.readout(problem, only.step(problem, beliefs(q), 0), 0)[0]
    count = torch.ones(1, dtype=torch.float64)  # the distribution of a sum of independent edges, by polynomials
    for p in q[1:11]:
        count = torch.cat([count * (1 - p), count.new_zeros(1)]) + torch.cat([count.new_zeros(1), count * p])
    padded = torch.cat([degree, degree.new_zeros(1)])
    assert float(ours) == pytest.approx(float((count * (padded[1:12] - padded[:11])).sum()), abs=1e-12)


@pytest.mark.parametrize("degree", BETAS)
def test_belief_propagation_is_exact_where_the_factor_graph_is_a_tree(degree):
    problem = star(5, arms=3)
    ends = problem.edge_index[:, :6]  # without the edge that closes a cycle
    problem = GraphRefinement(problem.x, problem.pairs[:6], ends)
    states, energies = all_energies(problem, *values(degree))
    exact = (energies.softmax(0)[:, None] * states).sum(0)
    ours = mo.unroll(inference(mo.BeliefPropagation(), degree), 12)(problem).final
    torch.testing.assert_close(torch.sigmoid(ours), exact, rtol=1e-10, atol=1e-10)


def test_with_one_colour_after_the_other_the_elbo_never_falls():
    problem = star(6)
    potentials = EdgePotentials(*values(3))
    colors = mo.algorithms.coloring(potentials.at_step(0)(problem))
    states, energies = all_energies(problem, *values(3))
    outputs = mo.unroll(EdgeInference(mo.MeanField(colors=colors), potentials), 8)(problem).outputs
    bounds = [float(elbo(torch.sigmoid(o), states, energies)) for o in outputs]
    assert all(b >= a - 1e-12 for a, b in itertools.pairwise(bounds))
    assert bounds[-1] > bounds[0] + 1e-3
    assert bounds[-1] < float(energies.logsumexp(0)), "a lower bound of log Z"


@pytest.mark.parametrize("algorithm", [mo.MeanField(0.3), mo.BeliefPropagation(0.3)], ids=["mean field", "bp"])
def test_gradients_are_those_of_differences(algorithm):
    problem = star(7, arms=3)
    inputs = [torch.as_tensor(v, dtype=torch.float64).requires_grad_() for v in values(3)]
    opened = mo.parameterize(
        EdgeInference(algorithm, EdgePotentials(*[i.detach() for i in inputs])),
        {f"potentials.{name}": mo.shared() for name in ("degree", "node", "symmetry", "pair")},
    )
    net = mo.unroll(opened, 3)

    def run(*given):
        names = [f"algorithm.potentials.module.{n}.value" for n in ("degree", "node", "symmetry", "pair")]
        return torch.func.functional_call(net, dict(zip(names, given, strict=True)), (problem,)).final

    assert torch.autograd.gradcheck(run, inputs)


def test_potentials_of_other_features_are_refused():
    problem = star(8)
    wrong = {"node": {"node": normal(0, 4)}, "pair": {"pair": normal(0, 3)}, "symmetry": {"symmetry": normal(0, 2)}}
    for name, weight in wrong.items():
        algorithm = EdgeInference(mo.MeanField(), EdgePotentials(normal(1, 3), **weight))
        with pytest.raises(mo.MetaoptError, match=name):
            mo.unroll(algorithm, 2)(problem)
