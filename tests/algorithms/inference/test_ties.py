"""Ties are seen, and broken without moving the best assignment far."""

from __future__ import annotations

import torch

import metaopt as mo
from metaopt.algorithms.inference import break_ties, has_ties


def test_a_tie_is_two_states_of_one_variable_that_are_near() -> None:
    graph = mo.FactorGraph.from_factors([2, 3], [])
    assert not has_ties(graph, torch.tensor([[0.0, -1.0, -2.0, 0.0, -0.5]]))
    assert has_ties(graph, torch.tensor([[0.0, -1.0, 0.0, -1e-4, -0.5]]))
    assert not has_ties(graph, torch.tensor([[0.0, -1.0, 0.0, -1e-4, -0.5]]), tolerance=1e-5)
    sure = torch.tensor([[0.0, -1.0, -2.0, 0.0, -0.5]])
    assert not has_ties(graph, sure.expand(4, -1)), "of several samples as of one"
    assert has_ties(graph, torch.cat([sure, torch.zeros(1, 5)]))


def test_a_broken_tie_has_one_best_assignment_that_was_one_of_the_best() -> None:
    equal = torch.tensor([[0.0, -3.0], [-3.0, 0.0]], dtype=torch.float64)
    graph = mo.FactorGraph.from_factors([2] * 4, [((i, i + 1), equal) for i in range(3)])
    broken = break_ties(graph)
    assert (broken.unary - graph.unary).abs().max() <= 1e-3
    states, value = mo.exact_map(broken)
    assert len(set(states[0].tolist())) == 1
    assert abs(float(value)) <= 4e-3
    assert torch.equal(broken.unary, break_ties(graph).unary)
    assert not torch.equal(broken.unary, break_ties(graph, seed=1).unary)
    max_product = mo.unroll(mo.BeliefPropagation(marginalize=mo.problems.log_max), 10)
    assert has_ties(graph, max_product(graph).final.log_marginals)
    assert not has_ties(graph, max_product(broken).final.log_marginals, tolerance=1e-9)
    assert torch.equal(broken.decode(max_product(broken).final.log_marginals), states)
