"""Zeros come from the tables: every method tells what is impossible from what is merely very unlikely."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import metaopt as mo
from metaopt.core import tree
from metaopt.tasks.batch_marginals import batch_marginals

from ...factor_graphs import Factor, joint, log_z, marginals, random_factors

SCOPES = [(0, 1), (1, 2, 3), (3, 4), (1,), (4,)]
CARDS = [2, 3, 2, 2, 3]


def extreme(seed: int, size: float, zeros: float, scopes: list[tuple[int, ...]]) -> list[Factor]:
    """Tables of normal log potentials up to ``size`` nats with many zeros."""
    return [(scope, size * table) for scope, table in random_factors(seed, CARDS, scopes, zeros)]


def alive(factors: list[Factor]) -> torch.Tensor:
    table = joint(CARDS, factors)
    assume(bool(torch.isfinite(table).any()))
    return table


cases = given(st.integers(0, 10**6), st.sampled_from([1.0, 3e3, 3e4, 1e5]), st.floats(0, 0.6))


@cases
@settings(max_examples=12, deadline=None)
def test_on_a_tree_every_method_is_right_whatever_the_size_of_the_potentials(
    seed: int, size: float, zeros: float
) -> None:
    factors = extreme(seed, size, zeros, SCOPES)
    table, graph = alive(factors), mo.FactorGraph.from_factors(CARDS, factors)
    exact, total = marginals(table), log_z(table)
    found = [
        mo.exact_marginals(graph),
        mo.unroll(mo.BeliefPropagation(), 12)(graph).final,
        mo.unroll(mo.BeliefPropagation(0.5, weight=mo.algorithms.tree_weights(graph)), 90, keep="last")(graph).final,
        mo.RandomRestarts(mo.BeliefPropagation(), steps=20, starts=4)(graph)[0],
    ]
    for beliefs in found:
        torch.testing.assert_close(beliefs.log_marginals.exp(), exact, rtol=0, atol=1e-6)
        torch.testing.assert_close(beliefs.log_z[0, 0], total, rtol=1e-9, atol=1e-6)
    torch.testing.assert_close(batch_marginals(graph)[0], exact, rtol=0, atol=1e-6)
    lower = mo.unroll(mo.MeanField(colors=mo.algorithms.coloring(graph)), 20, keep="last")(graph).final
    assert float(lower.log_z) <= float(total) + 1e-9 * abs(float(total)) + 1e-9
    best = mo.unroll(mo.BeliefPropagation(marginalize=mo.problems.log_max), 12)(graph).final
    torch.testing.assert_close(best.log_z[0, 0], table.max(), rtol=1e-9, atol=1e-6)
    assert float(mo.exact_map(graph)[1]) == pytest.approx(float(table.max()), rel=1e-9)


@cases
@settings(max_examples=6, deadline=None)
def test_gradients_are_finite_and_those_of_log_z(seed: int, size: float, zeros: float) -> None:
    factors = extreme(seed, size, zeros, SCOPES)
    table, graph = alive(factors), mo.FactorGraph.from_factors(CARDS, factors)
    exact = marginals(table)
    for algorithm, steps in ((mo.BeliefPropagation(mo.shared(0.1), mo.shared(1.0), mo.shared(1.0)), 40),):
        unary = graph.unary.clone().requires_grad_()
        final = mo.unroll(algorithm, steps)(tree.replace(graph, {"unary": unary})).final
        parameters = list(algorithm.parameters())
        of_unary, *others = torch.autograd.grad(final.log_z.sum(), [unary, *parameters], retain_graph=True)
        possible = graph.unary > -math.inf
        torch.testing.assert_close(of_unary[possible], exact[possible], rtol=0, atol=1e-5)
        assert all(bool(torch.isfinite(g).all()) for g in others)
        loss = (final.log_marginals * exact).sum()
        assert all(bool(torch.isfinite(g).all()) for g in torch.autograd.grad(loss, [unary, *parameters]))


@pytest.mark.parametrize("build", [mo.models.learned_bp, mo.models.neural_enhanced_decoder, mo.models.mean_field_net])
def test_networks_train_on_graphs_with_impossible_states(build: Any) -> None:
    factors = extreme(3, 1.0, 0.4, [*SCOPES, (0, 4)])
    network = build(steps=5).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(0))
    final = network(mo.FactorGraph.from_factors(CARDS, factors)).final
    mo.losses.marginal_cross_entropy(final, marginals(joint(CARDS, factors))).backward()
    assert all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in network.parameters())
    assert any(p.grad is not None and bool(p.grad.any()) for p in network.parameters())


def test_each_sample_has_its_own_zeros_and_a_contradiction_stays_its_own() -> None:
    equal = torch.tensor([[0.0, -math.inf], [-math.inf, 0.0]], dtype=torch.float64)
    graph = mo.FactorGraph.from_factors([2, 2, 2], [((0, 1), equal), ((1, 2), equal)])
    no = -math.inf
    unary = torch.tensor([[0, 0, 0, 0, 0, 3.0], [no, 0, 0, 0, 5000, 0], [no, 0, 0, 0, 0, no]], dtype=torch.float64)
    algorithms: list[Any] = [mo.BeliefPropagation(0.2), mo.MeanField(colors=mo.algorithms.coloring(graph))]
    for algorithm in algorithms:
        final = mo.unroll(algorithm, 60, keep="last")(graph.with_unary(unary)).final
        assert final.log_marginals[1].exp().tolist() == [0, 1, 0, 1, 0, 1]
        assert final.log_z[1:, 0].tolist() == [0, no]
        alone = mo.unroll(algorithm, 60, keep="last")(graph.with_unary(unary[:1])).final
        torch.testing.assert_close(final.log_z[:1], alone.log_z)


def test_under_vmap_the_zeros_are_those_of_the_graph() -> None:
    factors = extreme(1, 1.0, 0.5, SCOPES)
    graph = mo.FactorGraph.from_factors(CARDS, factors)
    assert graph.possible is not None
    fields = graph.unary + torch.randn(3, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    run = mo.unroll(mo.BeliefPropagation(0.1), 9)
    together = torch.func.vmap(lambda u: run(tree.replace(graph, {"unary": u[None]})).final.log_z)(fields)
    torch.testing.assert_close(together[:, 0], run(graph.with_unary(fields)).final.log_z)


def test_in_single_precision_a_zero_is_not_a_large_potential() -> None:
    table = torch.tensor([[0.0, -math.inf], [-math.inf, -3e4]])
    for seen, expected in ((0.0, 1.0), (6e4, 0.0)):
        own = torch.tensor([0.0, seen])
        graph = mo.FactorGraph.from_factors([2, 2], [((0, 1), table), ((1,), own)])
        final = mo.unroll(mo.BeliefPropagation(), 3)(graph).final
        assert final.log_marginals[0].exp()[0] == expected
        assert final.log_z.item() == max(0.0, seen - 3e4)


def test_a_potential_too_large_to_be_told_from_log_zero_is_refused() -> None:
    with pytest.raises(mo.MetaoptError, match="at most 1e"):
        mo.FactorGraph(torch.tensor([2]), torch.tensor([[0.0, -1e25]]))
    with pytest.raises(mo.MetaoptError, match="at most 1e"):
        mo.TableFactors(torch.tensor([[0, 1]]), torch.tensor([[0.0, 1e25], [0, 0]])[None, :, :, None])


def test_mean_field_and_gibbs_obey_zeros_that_oppose_strong_fields() -> None:
    """Two variables that must be equal, with fields of 20,000 nats towards different states."""
    equal = torch.tensor([[0.0, -math.inf], [-math.inf, 0.0]], dtype=torch.float64)
    fields = [torch.tensor(f, dtype=torch.float64) for f in ([0.0, 2e4], [2.1e4, 0.0])]
    graph = mo.FactorGraph.from_factors([2, 2], [((0, 1), equal), ((0,), fields[0]), ((1,), fields[1])])
    colors = mo.algorithms.coloring(graph)
    final = mo.unroll(mo.MeanField(colors=colors), 30, keep="last")(graph).final
    assert float(final.log_z) in (2e4, 2.1e4), "one of the two states that are possible, and no compromise"
    states = mo.unroll(mo.Gibbs(colors), 10, keep="last")(graph).state.states
    assert float(graph.log_potential(states)) in (2e4, 2.1e4)
