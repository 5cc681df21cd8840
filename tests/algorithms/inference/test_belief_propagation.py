"""Belief propagation against enumeration: trees are exact, bounds are bounds, fixed points stay."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import metaopt as mo

from ...factor_graphs import joint, joint_of, log_z, loopy, marginals, random_factors, trees

STEPS = 14  # more than any of the trees is deep
SQUARE = [(0, 1), (1, 2), (2, 3), (3, 0)]


def alive(case: Any) -> torch.Tensor:
    table = joint(*case)
    assume(bool(torch.isfinite(table).any()))
    return table


@given(trees(), st.sampled_from(["flooding", "residual", "tree"]))
@settings(max_examples=60, deadline=None)
def test_trees_are_exact(case: Any, schedule: str) -> None:
    table, graph = alive(case), mo.FactorGraph.from_factors(*case)
    tree = mo.algorithms.TreeSchedule(graph)
    algorithm, steps = {
        "flooding": (mo.BeliefPropagation(), STEPS),
        "residual": (mo.BeliefPropagation(schedule=mo.algorithms.ResidualSchedule(0.4)), 60),
        "tree": (mo.BeliefPropagation(schedule=tree), tree.period),
    }[schedule]
    run = mo.unroll(algorithm, steps)(graph)
    torch.testing.assert_close(run.final.log_marginals.exp(), marginals(table), rtol=0, atol=1e-10)
    torch.testing.assert_close(run.final.log_z[0, 0], log_z(table), rtol=1e-10, atol=1e-10)
    assert float(algorithm.residual(graph, run.state, run.stop - 1)) < 1e-9


@given(trees())
@settings(max_examples=40, deadline=None)
def test_max_product_finds_the_best_of_a_tree(case: Any) -> None:
    table, graph = alive(case), mo.FactorGraph.from_factors(*case)
    final = mo.unroll(mo.BeliefPropagation(marginalize=mo.problems.log_max), STEPS)(graph).final
    torch.testing.assert_close(final.log_z[0, 0], table.max(), rtol=1e-10, atol=1e-10)
    best = graph.decode(final.log_marginals)[0].tolist()
    if int((table == table.max()).sum()) == 1:
        torch.testing.assert_close(table[tuple(best)], table.max())


@pytest.mark.parametrize("seed", range(8))
def test_tree_weights_bound_log_z_from_above_and_mean_field_from_below(seed: int) -> None:
    graph = loopy(seed, scale=1.0)
    exact = log_z(joint_of(graph))
    reweighted = mo.BeliefPropagation(damping=0.5, weight=mo.algorithms.tree_weights(graph))
    upper = mo.unroll(reweighted, 400, keep="last")(graph)
    assert float(reweighted.residual(graph, upper.state, upper.stop - 1)) < 1e-6
    lower = mo.unroll(mo.MeanField(colors=mo.algorithms.coloring(graph)), 50, keep="last")(graph).final.log_z
    assert float(lower) <= float(exact) <= float(upper.final.log_z)


def test_the_weights_of_a_tree_are_one_and_of_a_cycle_less() -> None:
    cards = [2, 2, 2, 2]
    tree = mo.FactorGraph.from_factors(cards, random_factors(0, cards, SQUARE[:3]))
    assert mo.algorithms.tree_weights(tree).tolist() == [1, 1, 1]
    square = mo.FactorGraph.from_factors(cards, random_factors(0, cards, SQUARE))
    torch.testing.assert_close(
        mo.algorithms.tree_weights(square, 400), torch.full((4,), 0.75).double(), atol=0.01, rtol=0
    )


def test_a_fixed_point_does_not_depend_on_damping_or_schedule() -> None:
    graph = loopy(0)
    algorithms = (
        mo.BeliefPropagation(),
        mo.BeliefPropagation(0.6),
        mo.BeliefPropagation(schedule=mo.algorithms.ResidualSchedule(0.3)),
        mo.BeliefPropagation(schedule=mo.algorithms.TreeSchedule(graph)),
    )
    found = [mo.unroll(a, 300, keep="last")(graph).final for a in algorithms]
    for other in found[1:]:
        torch.testing.assert_close(other.log_z, found[0].log_z)
        torch.testing.assert_close(other.log_marginals, found[0].log_marginals)


def test_a_low_temperature_is_max_product() -> None:
    graph = loopy(1)
    cold = mo.unroll(mo.BeliefPropagation(temperature=0.01), 50)(graph).final
    best = mo.unroll(mo.BeliefPropagation(marginalize=mo.problems.log_max), 50)(graph).final
    torch.testing.assert_close(cold.log_z, best.log_z, rtol=1e-2, atol=1e-2)
    assert torch.equal(graph.decode(cold.log_marginals), graph.decode(best.log_marginals))


@pytest.mark.parametrize("marginalize", [mo.problems.log_sum, mo.problems.log_max])
def test_renaming_variables_states_and_factors_changes_nothing_else(marginalize: Any) -> None:
    cards, scopes = [2, 3, 2, 4], [(0, 1), (1, 2, 3), (3, 0), (2,)]
    factors = random_factors(0, cards, scopes)
    order, flipped = [2, 0, 3, 1], 3
    renamed = [
        (tuple(order[v] for v in scope), table.flip(scope.index(flipped)) if flipped in scope else table)
        for scope, table in reversed(factors)
    ]
    new_cards = [cards[order.index(v)] for v in range(4)]
    algorithm = mo.BeliefPropagation(0.1, marginalize=marginalize)
    a, b = (
        mo.unroll(algorithm, 20)(mo.FactorGraph.from_factors(c, f)).final
        for c, f in ((cards, factors), (new_cards, renamed))
    )
    torch.testing.assert_close(a.log_z, b.log_z)
    old, new = a.log_marginals[0].split(cards), b.log_marginals[0].split(new_cards)
    for variable in range(4):
        expected = old[variable].flip(0) if variable == flipped else old[variable]
        torch.testing.assert_close(new[order[variable]], expected)


def test_mean_field_never_lowers_the_elbo() -> None:
    graph = loopy(2, batch=3, scale=2.0)
    outputs = mo.unroll(mo.MeanField(colors=mo.algorithms.coloring(graph)), 12)(graph).outputs
    bounds = torch.stack([output.log_z for output in outputs])
    assert bool((bounds.diff(dim=0) > -1e-9).all())


def test_a_coloring_is_proper() -> None:
    graph = loopy(0)
    colors = mo.algorithms.coloring(graph)
    for group in graph.factors:
        for scope in group.variables:
            assert len(set(colors[scope].tolist())) == len(scope)


def test_gibbs_samples_the_model() -> None:
    graph = loopy(0)
    exact = marginals(joint_of(graph))
    chains = graph.with_unary(graph.unary.expand(100, -1))
    run = mo.unroll(mo.Gibbs(mo.algorithms.coloring(graph), burn_in=20), 120, keep="last")
    got = run(chains).final.log_marginals.exp().mean(0, keepdim=True)
    torch.testing.assert_close(got, exact, rtol=0, atol=0.01)


def test_gibbs_forgets_its_burn_in_and_knows_a_temperature() -> None:
    """With one variable every conditional is the answer, so what counts can be seen exactly."""
    graph = mo.FactorGraph(torch.tensor([2]), torch.tensor([[0.0, 1.0]]))
    for temperature in (1.0, 2.0):
        state = mo.unroll(mo.Gibbs(torch.zeros(1, dtype=torch.long), burn_in=3, temperature=temperature), 8)(
            graph
        ).state
        assert float(state.counted) == 5
        torch.testing.assert_close(state.total / 5, (graph.unary / temperature).softmax(1))


def test_a_schedule_of_another_graph_is_refused() -> None:
    schedule = mo.algorithms.TreeSchedule(loopy(0))
    other = mo.FactorGraph.from_factors([2, 2], random_factors(0, [2, 2], [(0, 1)]))
    with pytest.raises(mo.MetaoptError, match="another graph"):
        mo.unroll(mo.BeliefPropagation(schedule=schedule), 1)(other)
    with pytest.raises(mo.MetaoptError, match="7 variables, but"):
        mo.unroll(mo.MeanField(colors=torch.zeros(3, dtype=torch.long)), 1)(loopy(0))
    with pytest.raises(mo.MetaoptError, match="above 0"):
        mo.algorithms.ResidualSchedule(0.0)


def test_a_schedule_leaves_the_other_messages_as_they_were() -> None:
    graph = loopy(0)
    flooding = mo.unroll(mo.BeliefPropagation(), 1)(graph).state.messages
    for schedule, most in ((mo.algorithms.ResidualSchedule(0.3), 0.45), (mo.algorithms.TreeSchedule(graph), 0.5)):
        messages = mo.unroll(mo.BeliefPropagation(schedule=schedule), 1)(graph).state.messages
        changed = messages != mo.BeliefPropagation().init(graph).messages
        assert 0 < float(changed.double().mean()) < most
        torch.testing.assert_close(messages[changed], flooding[changed])


def test_a_warm_mean_field_knows_its_fixed_point() -> None:
    graph = loopy(0)
    algorithm = mo.MeanField(temperature=2.0, colors=mo.algorithms.coloring(graph))
    state = mo.unroll(algorithm, 400, keep="last")(graph).state
    assert float(algorithm.residual(graph, state, 399).max()) < 1e-6
