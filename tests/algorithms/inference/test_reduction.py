"""Variables on which nothing depends are summed out first, so that a Bayesian network costs what its evidence needs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import metaopt as mo
from metaopt.algorithms.inference import exact_log_z
from metaopt.algorithms.inference.elimination import junction_tree

from ...factor_graphs import Factor, joint, log_z, marginals


def network(seed: int, count: int, parents: int, states: int = 2, digits: int = 15) -> tuple[list[int], list[Factor]]:
    """Conditional tables with random parents among all earlier variables; ``digits`` as in a file."""
    rng = np.random.default_rng(seed)
    cards = rng.integers(2, states + 1, count).tolist()
    factors: list[Factor] = []
    for child in range(count):
        of = rng.choice(child, min(child, parents), replace=False).tolist()
        table = rng.dirichlet(np.ones(cards[child]), [cards[p] for p in of]).round(digits)
        factors.append(((*of, child), torch.from_numpy(table).log()))
    return cards, factors


@given(st.integers(0, 10**6), st.sampled_from([{}, {3: 1}, {6: 0, 2: 1}]), st.integers(0, 6))
@settings(max_examples=25, deadline=None)
def test_pruned_answers_are_those_of_enumeration(seed: int, evidence: dict[int, int], first: int) -> None:
    cards, factors = network(seed, 7, 2, 3)
    factors = factors[first:] + factors[:first]  # in any order of the file
    graph = mo.FactorGraph.from_factors(cards, factors).observe(evidence)
    own = [((v,), torch.full((cards[v],), -math.inf, dtype=torch.float64)) for v in evidence]
    for scope, table in own:
        table[evidence[scope[0]]] = 0
    table = joint(cards, [*factors, *own])
    assert float(exact_log_z(graph)) == pytest.approx(float(log_z(table)), abs=1e-9)
    whole = mo.exact_marginals(graph)
    torch.testing.assert_close(whole.log_marginals.exp(), marginals(table), rtol=0, atol=1e-10)
    for limit in range(8, 40, 8):  # too small for the whole, so that parts are solved with their ancestors only
        try:
            parts = mo.exact_marginals(graph, limit=limit)
        except mo.MetaoptError:
            continue
        torch.testing.assert_close(parts.log_marginals, whole.log_marginals, rtol=0, atol=1e-10)
        torch.testing.assert_close(parts.log_z, whole.log_z, rtol=0, atol=1e-9)


def two_layers(causes: int, effects: int, digits: int = 15) -> mo.FactorGraph:
    """Each effect depends on three of the causes, which effects join so densely that the whole has no small tree."""
    rng = np.random.default_rng(0)
    factors: list[Factor] = [((c,), torch.tensor([0.3, 0.7], dtype=torch.float64).log()) for c in range(causes)]
    for effect in range(causes, causes + effects):
        of = rng.choice(causes, 3, replace=False).tolist()
        table = rng.dirichlet(np.ones(2), [2] * 3).round(digits)
        factors.append(((*of, effect), torch.from_numpy(table).log()))
    return mo.FactorGraph.from_factors([2] * (causes + effects), factors)


@pytest.mark.parametrize("digits", [15, 7])
def test_a_network_without_evidence_is_no_matter_of_its_width(digits: int) -> None:
    graph = two_layers(60, 150, digits)
    assert junction_tree([2] * 210, [s for g in graph.factors for s in g.variables.tolist()]).width > 30
    assert float(exact_log_z(graph, limit=64)) == pytest.approx(0, abs=210 * 10.0**-digits + 1e-12)
    found = mo.exact_marginals(graph, limit=64)
    torch.testing.assert_close(found.log_marginals[0, :2].exp(), torch.tensor([0.3, 0.7]).double())
    scope, table = graph.factors[0].variables[5], graph.factors[0].tables()[0, ..., 5].exp()
    prior = torch.tensor([0.3, 0.7], dtype=torch.float64)
    expected = torch.einsum("a,b,c,abcd->d", prior, prior, prior, table)
    at = int(graph.offset[scope[-1]])
    torch.testing.assert_close(found.log_marginals[0, at : at + 2].exp(), expected / expected.sum())
    seen = graph.observe({100: 1, 101: 0})
    assert math.isfinite(float(exact_log_z(seen, limit=2**10)))
    assert bool(torch.isfinite(mo.exact_marginals(seen, limit=2**10).log_z).all())


def test_a_table_that_does_not_sum_to_a_constant_stays() -> None:
    pairs = list(itertools.combinations(range(12), 2))
    rng = np.random.default_rng(0)
    factors: list[Factor] = [(pair, torch.from_numpy(rng.standard_normal((2, 2)))) for pair in pairs]
    graph = mo.FactorGraph.from_factors([2] * 12, factors)
    assert float(exact_log_z(graph)) == pytest.approx(float(log_z(joint([2] * 12, factors))))
    with pytest.raises(mo.MetaoptError, match=r"table of 2\^12"):
        exact_log_z(graph, limit=2**10)


def test_the_search_for_an_order_is_bounded_and_a_dense_model_is_refused() -> None:
    rng = np.random.default_rng(0)
    pairs = np.unique(np.sort(rng.integers(0, 1236, (12000, 2)), 1), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    table = torch.zeros(1, 2, 2, 1, dtype=torch.float64).expand(1, 2, 2, len(pairs))
    unary = torch.zeros(1, 2472, dtype=torch.float64)
    graph = mo.FactorGraph(torch.full((1236,), 2), unary, (mo.TableFactors(torch.from_numpy(pairs), table),))
    with pytest.raises(mo.MetaoptError, match=r"1236 variables in \d+ factors are too densely connected"):
        mo.exact_marginals(graph)
    assert sorted(junction_tree([2] * 1236, pairs.tolist()).position) == list(range(1236))
