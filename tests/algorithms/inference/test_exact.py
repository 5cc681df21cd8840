"""Exact inference against enumeration, dense linear algebra, and the published answers of real models."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import metaopt as mo
from metaopt.algorithms import exact_map, exact_marginals, junction_tree
from metaopt.algorithms.inference.elimination import _eliminate, _missing
from metaopt.data import factor_graph, read_evidence, read_log10_z, read_marginals, read_uai

from ...real_data import real_data

# Not the relational ones: their published marginals are not those of their evidence.
QUICK = "Alchemy_11 Pedigree_11 Promedus_13 Promedus_27 Promedus_33 Segmentation_11".split()
SLOW = "CSP_11 DBN_11 Grids_17 ObjectDetection_11".split()

Model = tuple[list[int], list[tuple[int, ...]], list[np.ndarray]]


@st.composite
def models(draw: st.DrawFn, zeros: float = 0.2) -> Model:
    """Up to 7 variables of 1 to 3 states; factors of up to 4, of none too; variables without factors; zeros.

    No factor is zero everywhere, but several may contradict each other.
    """
    cardinalities = draw(st.lists(st.integers(1, 3), max_size=7))
    orders = st.permutations(range(len(cardinalities)))
    scopes = draw(st.lists(st.builds(lambda order, arity: tuple(order[:arity]), orders, st.integers(0, 4)), max_size=8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    spread = draw(st.sampled_from([0.5, 5.0, 200.0]))
    tables = []
    for scope in scopes:
        table = spread * rng.standard_normal([cardinalities[v] for v in scope])
        zero = np.array(rng.random(table.shape) < zeros)
        zero.flat[rng.integers(table.size)] = False
        tables.append(np.where(zero, -np.inf, table))
    return cardinalities, scopes, tables


def graph_of(model: Model) -> mo.FactorGraph:
    cardinalities, scopes, tables = model
    factors = [(s, torch.as_tensor(t, dtype=torch.float64)) for s, t in zip(scopes, tables, strict=True)]
    return mo.FactorGraph.from_factors(cardinalities, factors)


def equal_tables(cardinalities: list[int], scopes: list[tuple[int, ...]], table: np.ndarray) -> mo.FactorGraph:
    return graph_of((cardinalities, scopes, [table] * len(scopes)))


def split(graph: mo.FactorGraph, found: mo.algorithms.Beliefs) -> list[np.ndarray]:
    return [m.numpy() for m in found.log_marginals[0].exp().split(graph.cardinalities.tolist())]


def enumerated(model: Model) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """All assignments, and the log of the product of the factors at each."""
    cardinalities, scopes, tables = model
    assignments = list(itertools.product(*map(range, cardinalities)))
    return assignments, np.array(
        [sum(float(t[tuple(x[v] for v in s)]) for s, t in zip(scopes, tables, strict=True)) for x in assignments]
    )


@given(models())
@settings(deadline=None, max_examples=300)
def test_marginals_z_and_map_are_those_of_enumeration(model: Model) -> None:
    assignments, values = enumerated(model)
    if values.max() == -np.inf:
        for solve in (exact_marginals, exact_map):
            with pytest.raises(mo.MetaoptError, match=r"evidence has probability zero|has potential zero"):
                solve(graph_of(model))
        return
    graph, weights = graph_of(model), np.exp(values - values.max())
    found = exact_marginals(graph)
    assert float(found.log_z) == pytest.approx(values.max() + np.log(weights.sum()), rel=1e-11, abs=1e-11)
    for v, marginal in enumerate(split(graph, found)):
        expected = np.zeros(model[0][v])
        np.add.at(expected, [x[v] for x in assignments], weights / weights.sum())
        np.testing.assert_allclose(marginal, expected, rtol=1e-9, atol=1e-12)
    states, value = exact_map(graph)
    assert float(value) == pytest.approx(values.max(), rel=1e-11, abs=1e-11)
    best = values[assignments.index(tuple(states[0].tolist()))]
    assert best == pytest.approx(values.max(), rel=1e-11, abs=1e-11)


@given(models(zeros=0.0), st.data())
@settings(deadline=None, max_examples=100)
def test_evidence_leaves_the_assignments_that_agree_with_it(model: Model, data: st.DataObject) -> None:
    evidence = {v: data.draw(st.integers(0, c - 1)) for v, c in enumerate(model[0]) if data.draw(st.booleans())}
    assignments, values = enumerated(model)
    agree = np.array([all(x[v] == state for v, state in evidence.items()) for x in assignments])
    graph = graph_of(model).observe(evidence)
    found = exact_marginals(graph)
    kept = np.where(agree, values, -np.inf)
    total = kept.max() + np.log(np.exp(kept - kept.max()).sum())
    assert float(found.log_z) == pytest.approx(total, rel=1e-11, abs=1e-11)
    marginals = split(graph, found)
    assert all(marginals[v].tolist() == np.eye(model[0][v])[state].tolist() for v, state in evidence.items())
    states, value = exact_map(graph)
    assert float(value) == pytest.approx(kept.max(), rel=1e-11, abs=1e-11)
    assert all(int(states[0, v]) == state for v, state in evidence.items())


def test_what_is_observed_costs_nothing() -> None:
    """A factor that joins all of 20 variables; and a clique of 60, of which 55 are known."""
    generator = torch.Generator().manual_seed(0)
    table = torch.randn([2] * 20, generator=generator, dtype=torch.float64)
    graph = mo.FactorGraph.from_factors([2] * 20, [(tuple(range(20)), table)]).observe({v: v % 2 for v in range(19)})
    found = exact_marginals(graph, limit=4)
    expected = table[tuple(v % 2 for v in range(19))]
    torch.testing.assert_close(found.log_marginals[0, -2:], expected.log_softmax(0), rtol=0, atol=1e-12)
    assert float(found.log_z) == pytest.approx(float(expected.logsumexp(0)))
    pairs = list(itertools.combinations(range(60), 2))
    joined = equal_tables([2] * 60, pairs, np.array([[0.0, 1.0], [1.0, 0.0]])).observe(dict.fromkeys(range(5, 60), 0))
    assert exact_marginals(joined, limit=32).log_marginals.shape == (1, 120)


def test_graphs_side_by_side_have_their_own_z_and_states() -> None:
    one = graph_of(([2, 2], [(0, 1), (0,)], [np.array([[1.0, 0.0], [0.5, 2.0]]), np.array([0.0, -np.inf])]))
    other = graph_of(([3, 2], [(0, 1), ()], [np.arange(6.0).reshape(3, 2), np.array(0.7)]))
    union = mo.FactorGraph.union([one, other])
    parts = [exact_marginals(one), exact_marginals(other)]
    found = exact_marginals(union)
    torch.testing.assert_close(found.log_z, torch.cat([p.log_z for p in parts], 1), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.log_marginals, torch.cat([p.log_marginals for p in parts], 1), rtol=0, atol=1e-12)
    states, value = exact_map(union)
    assert states.tolist() == [[0, 0, 2, 1]]
    torch.testing.assert_close(value, union.log_potential(states), rtol=0, atol=1e-12)


def test_a_graph_of_several_samples_is_refused() -> None:
    graph = graph_of(([2], [(0,)], [np.zeros(2)]))
    with pytest.raises(mo.MetaoptError, match="Only a graph of one sample"):
        exact_marginals(graph.with_unary(graph.unary.expand(3, -1)))


@given(models())
@settings(deadline=None, max_examples=200)
def test_the_tree_is_a_junction_tree(model: Model) -> None:
    """Every scope is in the home of its first variable, and a variable's cliques are connected."""
    cardinalities, scopes, _ = model
    tree = junction_tree(cardinalities, scopes)
    assert tree.width == max(map(len, tree.cliques), default=1) - 1
    for scope in scopes:
        varying = sorted((v for v in scope if cardinalities[v] > 1), key=tree.position.__getitem__)
        assert not varying or set(varying) <= set(tree.cliques[tree.home[varying[0]]])
    for v, states in enumerate(cardinalities):
        holding = [k for k, clique in enumerate(tree.cliques) if v in clique]
        tops = [k for k in holding if tree.parents[k] not in holding]
        assert tops == ([tree.home[v]] if states > 1 else [])
    assert all(parent < k for k, parent in enumerate(tree.parents))
    assert all(list(c) == sorted(c, key=tree.position.__getitem__) for c in tree.cliques)


@given(st.integers(2, 14), st.floats(0.1, 0.9), st.integers(0, 2**31))
@settings(deadline=None, max_examples=100)
def test_min_fill_eliminates_a_variable_that_adds_the_fewest_edges(count: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ones = np.triu(rng.random((count, count)) < share, 1)
    graph = [set(np.flatnonzero(row).tolist()) for row in ones | ones.T]
    fill = [_missing(graph, v) for v in range(count)]
    left, remaining = [set(around) for around in graph], set(range(count))
    for v, around in _eliminate(graph, [1.0] * count, fill, seed, by_fill=True).buckets:
        added = {u: sum(b not in left[a] for a, b in itertools.combinations(left[u], 2)) for u in remaining}
        assert around == left[v]
        assert added[v] == min(added.values())
        for u in around:
            left[u] = (left[u] | around) - {u, v}
        remaining.remove(v)


def grid(rows: int, columns: int) -> list[tuple[int, ...]]:
    at = np.arange(rows * columns).reshape(rows, columns)
    pairs = [np.stack([a.ravel(), b.ravel()], 1) for a, b in ((at[1:], at[:-1]), (at[:, 1:], at[:, :-1]))]
    return [tuple(pair) for pair in np.concatenate(pairs).tolist()]


@pytest.mark.parametrize(
    ("count", "scopes", "width"),
    [
        (200, [(i, i + 1) for i in range(199)], 1),
        (200, [(i, (i + 1) % 200) for i in range(200)], 2),
        (100, [(i, i // 2) for i in range(1, 100)], 1),
        (9, list(itertools.combinations(range(9), 2)), 8),
        (160, grid(8, 20), 8),
        (400, grid(20, 20), 20),
    ],
)
def test_orders_reach_the_treewidth_where_it_is_known(count: int, scopes: list, width: int) -> None:
    assert junction_tree([2] * count, scopes).width == width


def test_a_ising_strip_is_that_of_its_transfer_matrix() -> None:
    """Columns of 6 spins, 12 of them: Z is a product of 64 x 64 matrices; 2^72 assignments are not enumerated."""
    rows, columns, coupling = 6, 12, 0.4
    spins = np.array(list(itertools.product([-1, 1], repeat=rows)))
    inside = np.exp(coupling * (spins[:, 1:] * spins[:, :-1]).sum(1))
    transfer = np.exp(coupling * spins @ spins.T) * inside
    vector = inside.copy()
    for _ in range(columns - 1):
        vector = transfer.T @ vector
    scopes = grid(rows, columns)
    table = coupling * np.array([[1, -1], [-1, 1]])
    graph = equal_tables([2] * rows * columns, scopes, table)
    found = exact_marginals(graph)
    assert float(found.log_z) == pytest.approx(math.log(vector.sum()), rel=1e-12)
    assert (found.log_marginals.exp() - 0.5).abs().max() < 1e-12
    states, value = exact_map(graph)
    assert len(set(states[0].tolist())) == 1
    assert float(value) == pytest.approx(coupling * len(scopes))


def test_a_long_chain_neither_overflows_nor_recurses() -> None:
    table = np.array([[700.0, -700.0], [-700.0, 700.0]])
    n = 3000
    found = exact_marginals(equal_tables([2] * n, [(i, i + 1) for i in range(n - 1)], table))
    assert float(found.log_z) == pytest.approx(700 * (n - 1) + math.log(2), rel=1e-13)
    assert found.log_marginals[0, n : n + 2].exp().tolist() == pytest.approx([0.5, 0.5])


def test_a_model_beyond_the_limit_is_refused_before_anything_is_allocated() -> None:
    pairs = list(itertools.combinations(range(60), 2))
    with pytest.raises(
        mo.MetaoptError, match=r"table of 2\^60\.0 entries .*width 59.* limit=100000000 allows 2\^26\.6"
    ):
        exact_marginals(equal_tables([2] * 60, pairs, np.zeros((2, 2))))
    with pytest.raises(mo.MetaoptError, match=r"table of 2\^5\.0 entries .* limit=16 allows 2\^4\.0"):
        exact_map(equal_tables([2] * 5, [tuple(range(5))], np.zeros([2] * 5)), limit=16)


@pytest.mark.parametrize("scopes", [[(0, 2)], [(0, 0)]])
def test_a_junction_tree_of_a_scope_that_is_none_is_refused(scopes: list[tuple[int, ...]]) -> None:
    with pytest.raises(mo.MetaoptError, match=f"Factor 0 has the scope {re.escape(str(scopes[0]))}"):
        junction_tree([2, 2], scopes)


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_published_answers_are_met_to_their_six_digits(name: str) -> None:
    path = real_data(f"graphs/uai2014/MAR/{name}.uai")
    model = read_uai(path)
    evidence = read_evidence(f"{path}.evid", model.cardinalities)
    graph = factor_graph(model, evidence)
    found = exact_marginals(graph)
    marginals = split(graph, found)
    for v, expected in enumerate(read_marginals(f"{path}.MAR")):
        if v not in evidence:
            np.testing.assert_allclose(marginals[v], expected, rtol=0, atol=6e-7)
    published = path.parent.with_name("PR") / f"{name}.uai.PR"
    if published.exists():
        assert float(found.log_z) / math.log(10) == pytest.approx(read_log10_z(published), rel=6e-6)
