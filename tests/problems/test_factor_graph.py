"""Factor graphs: what they are, what they refuse, and the formats they come in."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import metaopt as mo
from metaopt.problems import cardinality, graph_formats, logical_and, logical_or, parity, pool

from ..factor_graphs import joint, loopy, random_factors, trees

EMPTY = mo.FactorGraph.from_factors([], [])
PAIR = torch.zeros(2, 2, dtype=torch.float64)
COUNTING: dict[str, tuple[Callable[[Tensor], mo.CountingFactors], Callable[[tuple[int, ...]], float]]] = {
    "parity": (parity, lambda x: 0.0 if sum(x) % 2 == 0 else -math.inf),
    "odd parity": (lambda v: parity(v, odd=True), lambda x: 0.0 if sum(x) % 2 else -math.inf),
    "or": (lambda v: logical_or(v[:, :-1], v[:, -1]), lambda x: 0.0 if x[-1] == max(x[:-1]) else -math.inf),
    "and": (
        lambda v: logical_and(v[:, :-1], v[:, -1]),
        lambda x: 0.0 if x[-1] == min(x[:-1]) else -math.inf,
    ),
    "pool": (lambda v: pool(v[:, :-1], v[:, -1]), lambda x: 0.0 if x[-1] == sum(x[:-1]) else -math.inf),
    "cardinality": (
        lambda v: cardinality(v, torch.tensor([0.3, -1.0, 0.7], dtype=torch.float64)),
        lambda x: (0.3, -1.0, 0.7)[min(sum(x), 2)],
    ),
}


@given(trees(), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_the_log_potential_is_the_sum_of_the_factors(case: Any, seed: int) -> None:
    cardinalities, factors = case
    graph, table = mo.FactorGraph.from_factors(cardinalities, factors), joint(*case)
    generator = torch.Generator().manual_seed(seed)
    states = torch.stack([torch.randint(c, (5,), generator=generator) for c in cardinalities], dim=1)
    expected = torch.stack([table[tuple(row)] for row in states.tolist()])
    got = graph.log_potential(states)[:, 0]
    finite = expected > -math.inf
    torch.testing.assert_close(got[finite], expected[finite], rtol=1e-9, atol=1e-9)
    assert bool((got[~finite] == -math.inf).all())


@pytest.mark.parametrize("name", COUNTING)
@pytest.mark.parametrize("size", [2, 3, 5])
def test_a_counting_factor_has_the_table_of_its_definition(name: str, size: int) -> None:
    build, definition = COUNTING[name]
    table = build(torch.arange(size)[None]).tables()[0, ..., 0]
    for states in torch.cartesian_prod(*[torch.arange(2)] * size).tolist():
        expected = definition(tuple(states))
        assert float(table[tuple(states)]) == expected


@pytest.mark.parametrize("name", COUNTING)
@pytest.mark.parametrize("marginalize", [mo.problems.log_sum, mo.problems.log_max])
def test_a_counting_factor_sends_the_messages_of_its_table(name: str, marginalize: Any) -> None:
    counting = COUNTING[name][0](torch.tensor([[3, 0, 1, 2], [4, 2, 0, 5]]))
    unary = torch.randn(3, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    as_table = mo.TableFactors(counting.variables, counting.tables())
    results = []
    for factors in (counting, as_table):
        graph = mo.FactorGraph(torch.full((6,), 2), unary, (factors,))
        results.append(mo.unroll(mo.BeliefPropagation(marginalize=marginalize), 4)(graph).final)
        beliefs = results[-1].log_marginals.exp()
        results[-1] = (beliefs, results[-1].log_z, graph.mean_log_potential(0.5 * beliefs + 0.2))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_the_cost_of_a_cardinality_factor_is_linear_in_its_variables() -> None:
    graph = mo.FactorGraph(
        torch.full((2000,), 2),
        torch.randn(1, 4000, dtype=torch.float64),
        (cardinality(torch.arange(2000)[None], torch.tensor([0.0, 1.0, -2.0], dtype=torch.float64)),),
    )
    log_z = mo.unroll(mo.BeliefPropagation(), 2)(graph).final.log_z
    off, on = graph.unary[0].reshape(-1, 2).unbind(1)
    odds = (on - off).exp()
    none, one = torch.zeros((), dtype=torch.float64), odds.sum().log()
    rest = (1 + odds).log().sum()
    weights = torch.stack([none, one + 1, rest + torch.log1p(-(-rest).exp() - (one - rest).exp()) - 2])
    torch.testing.assert_close(log_z[0, 0], off.sum() + weights.logsumexp(0), rtol=1e-10, atol=1e-8)


def test_a_union_is_its_graphs_side_by_side() -> None:
    graphs = [loopy(0), mo.FactorGraph.from_factors([2, 3], random_factors(1, [2, 3], [(1, 0), (0,)])), loopy(2)]
    together = mo.unroll(mo.BeliefPropagation(0.2), 30)(mo.FactorGraph.union(graphs)).final
    alone = [mo.unroll(mo.BeliefPropagation(0.2), 30)(graph).final for graph in graphs]
    torch.testing.assert_close(together.log_marginals, torch.cat([b.log_marginals for b in alone], dim=1))
    torch.testing.assert_close(together.log_z, torch.cat([b.log_z for b in alone], dim=1))


def test_a_batch_shares_what_is_given_once() -> None:
    graph = loopy(0)
    unary = torch.randn(4, graph.unary.shape[1], dtype=torch.float64)
    together = mo.unroll(mo.BeliefPropagation(), 5)(graph.with_unary(unary)).final
    alone = [mo.unroll(mo.BeliefPropagation(), 5)(graph.with_unary(row[None])).final for row in unary]
    torch.testing.assert_close(together.log_marginals, torch.cat([b.log_marginals for b in alone]))


@pytest.mark.parametrize("convert", ["data", "networkx", "list"])
def test_a_graph_survives_every_format(convert: str) -> None:
    graph = loopy(3)
    if convert == "data":
        other = graph_formats.from_data(graph_formats.to_data(graph))
    elif convert == "networkx":
        other = graph_formats.from_networkx(graph_formats.to_networkx(graph))
    else:
        listed = graph_formats.list_factors(graph)
        other = mo.FactorGraph.from_factors(
            listed.cardinalities, list(zip(listed.scopes, listed.log_tables, strict=True))
        )
    states = torch.stack([torch.randint(int(c), (20,)) for c in graph.cardinalities], dim=1)
    torch.testing.assert_close(graph.log_potential(states), other.log_potential(states))


def test_a_pyg_batch_is_a_union() -> None:
    from torch_geometric.data import Batch

    graphs = [loopy(0), loopy(1), mo.FactorGraph.from_factors([3], random_factors(0, [3], [(0,)]))]
    batch = Batch.from_data_list([graph_formats.to_data(graph) for graph in graphs])
    back, union = graph_formats.from_data(batch), mo.FactorGraph.union(graphs)
    a, b = (mo.unroll(mo.BeliefPropagation(), 10)(g).final for g in (back, union))
    torch.testing.assert_close(a.log_marginals, b.log_marginals)
    torch.testing.assert_close(a.log_z, b.log_z)


def test_evidence_makes_the_others_conditional() -> None:
    cardinalities = [2, 3, 2]
    factors = random_factors(0, cardinalities, [(0, 1), (1, 2)])
    seen = mo.FactorGraph.from_factors(cardinalities, factors).observe({1: 2})
    beliefs = mo.unroll(mo.BeliefPropagation(), 4)(seen).final
    table = joint(cardinalities, factors)[:, 2]
    torch.testing.assert_close(beliefs.log_z[0, 0], table.flatten().logsumexp(0))
    expected = (table.logsumexp(1) - table.flatten().logsumexp(0)).exp()
    torch.testing.assert_close(beliefs.log_marginals[0, :2].exp(), expected)


def test_a_million_variables_are_fine() -> None:
    count = 1_000_000
    chain = torch.stack([torch.arange(count - 1), torch.arange(1, count)], dim=1)
    table = torch.tensor([[0.5, 0.0], [0.0, 0.5]])[None, :, :, None].expand(1, 2, 2, count - 1)
    graph = mo.FactorGraph(torch.full((count,), 2), torch.zeros(1, 2 * count), (mo.TableFactors(chain, table),))
    beliefs = mo.unroll(mo.BeliefPropagation(), 2, keep="last")(graph).final
    torch.testing.assert_close(beliefs.log_marginals.exp(), torch.full((1, 2 * count), 0.5))


def _table(table: Tensor, scope: tuple[int, ...] = (0, 1)) -> mo.FactorGraph:
    return mo.FactorGraph.from_factors([2, 2], [(scope, table)])


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a table of another shape": (lambda: _table(torch.zeros(2, 3)), r"Factor 0 .* needs a table \(2, 2\)"),
    "a variable that is not there": (lambda: _table(PAIR, (0, 2)), "Factor 0 joins variables"),
    "a variable twice": (lambda: _table(PAIR, (1, 1)), "must differ"),
    "a table of zeros": (lambda: _table(PAIR - math.inf), "factor 0 .* zero everywhere"),
    "NaN": (lambda: _table(PAIR * math.nan), "NaN"),
    "unary NaN": (lambda: loopy(0).with_unary(loopy(0).unary * math.nan), "NaN"),
    "a state that is not there": (lambda: loopy(0).observe({1: 3}), "state 3, but it has 3 states"),
    "evidence of no variable": (lambda: loopy(0).observe({7: 0}), "variable 7, but the graph has 7"),
    "cardinality zero": (lambda: mo.FactorGraph(torch.tensor([0, 2]), torch.zeros(1, 2)), "at least 1"),
    "no unary for a variable": (lambda: mo.FactorGraph(torch.tensor([2, 2]), torch.zeros(1, 3)), "unary"),
    "a group that does not fit": (
        lambda: mo.FactorGraph(
            torch.tensor([2, 3]), torch.zeros(1, 5), (mo.TableFactors(torch.tensor([[0, 1]]), torch.zeros(1, 2, 2, 1)),)
        ),
        "2 states for variable 1, which has 3",
    ),
    "samples that do not fit": (
        lambda: mo.FactorGraph(
            torch.tensor([2, 2]), torch.zeros(2, 4), (mo.TableFactors(torch.tensor([[0, 1]]), torch.zeros(3, 2, 2, 1)),)
        ),
        "3 samples",
    ),
    "an empty union": (lambda: mo.FactorGraph.union([]), "at least one"),
    "a parity of three states": (
        lambda: mo.FactorGraph(torch.tensor([3, 3]), torch.zeros(1, 6), (parity(torch.tensor([[0, 1]])),)),
        "which has 3",
    ),
    "a table out of a huge parity": (lambda: parity(torch.arange(64)[None]).tables(), r"2\^64"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_factor_graph_is_refused_in_a_sentence(name: str) -> None:
    build, message = REFUSED[name]
    with pytest.raises(mo.MetaoptError, match=message):
        build()


def test_a_graph_without_factors_or_variables_is_fine() -> None:
    for graph, states in ((mo.FactorGraph(torch.tensor([2, 3]), torch.zeros(1, 5)), 6.0), (EMPTY, 1.0)):
        beliefs = mo.unroll(mo.BeliefPropagation(), 2)(graph).final
        assert float(beliefs.log_z.exp()) == pytest.approx(states)


def test_states_that_are_not_there_have_no_potential() -> None:
    graph = mo.FactorGraph(torch.tensor([2, 2]), torch.tensor([[1.0, 2, 10, 20]]))
    assert float(graph.log_potential(torch.tensor([[1, 0]]))) == 12
    for states, said in (([[2, 0]], "Variable 0"), ([[0, -1]], "Variable 1"), ([[0]], r"\(B, 2\)")):
        with pytest.raises(mo.MetaoptError, match=said):
            graph.log_potential(torch.tensor(states))


def test_an_impossible_state_cannot_be_observed() -> None:
    graph = mo.FactorGraph.from_factors([2], [((0,), torch.tensor([0.0, -math.inf]))])
    with pytest.raises(mo.MetaoptError, match="probability zero"):
        graph.observe({0: 1})
    with pytest.raises(mo.MetaoptError, match="probability zero"):
        mo.FactorGraph.from_factors([2], []).observe({0: 0}).observe({0: 1})


def test_beliefs_add_up_to_one_far_from_zero() -> None:
    graph = mo.FactorGraph(torch.tensor([3]), torch.tensor([[-9000.3, -9000.9, -9001.7]]))
    assert float(graph.normalized(graph.unary).exp().sum()) == pytest.approx(1, abs=1e-6)
    beliefs = mo.unroll(mo.BeliefPropagation(), 1)(graph).final
    assert float(beliefs.log_marginals.exp().sum()) == pytest.approx(1, abs=1e-6)


def test_factors_of_one_variable_survive_pyg() -> None:
    table = torch.tensor([[[0.0], [3.0]]])
    graph = mo.FactorGraph(torch.tensor([2]), torch.zeros(1, 2), (mo.TableFactors(torch.tensor([[0]]), table),))
    back = graph_formats.from_data(graph_formats.to_data(graph))
    for state in ([[0]], [[1]]):
        torch.testing.assert_close(
            back.log_potential(torch.tensor(state)), graph.log_potential(torch.tensor(state)), check_dtype=False
        )


def test_graph_and_constant_must_fit() -> None:
    cards, unary = torch.tensor([2, 2]), torch.zeros(1, 4)
    for graph, constant in (
        (torch.tensor([0]), None),
        (torch.tensor([0, -1]), None),
        (torch.tensor([0, 1]), torch.zeros(1, 1)),
        (None, torch.tensor([[math.nan]])),
    ):
        with pytest.raises(mo.MetaoptError, match=r"graph is|constant is"):
            mo.FactorGraph(cards, unary, (), graph, constant)
    with pytest.raises(mo.MetaoptError, match="a > 0"):
        mo.TableFactors(torch.zeros(2, 0, dtype=torch.long), torch.zeros(1, 2))


def test_a_graph_has_one_precision() -> None:
    with pytest.raises(mo.MetaoptError, match="they must agree"):
        mo.FactorGraph(torch.tensor([2, 2]), torch.zeros(1, 4), (parity(torch.tensor([[0, 1]])),))
