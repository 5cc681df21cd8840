"""Random fields: their structures, their potentials, and their marginals against enumeration."""

from __future__ import annotations

import pytest
import torch

import metaopt as mo
from metaopt.tasks import RandomFactors, RandomFields, RandomNetworks, structure
from metaopt.tasks.batch_marginals import batch_marginals
from metaopt.tasks.random_fields import STRUCTURES

from ..factor_graphs import joint_of, log_z, loopy, marginals


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("variables", [6, 9])
def test_a_structure_is_a_simple_graph_of_about_that_size(name: str, variables: int) -> None:
    edges = structure(name, variables, torch.Generator().manual_seed(0))
    assert bool((edges[:, 0] != edges[:, 1]).all())
    assert len({frozenset(pair) for pair in edges.tolist()}) == len(edges)
    assert abs(int(edges.max()) + 1 - variables) <= 3


def test_there_are_grids_and_fifteen_other_structures() -> None:
    assert len(set(STRUCTURES) - {"grid"}) >= 15


TASKS = {
    "spins": RandomFields(variables=(5, 6), batch=3, dtype=torch.float64),
    "tables": RandomFields(variables=(5, 6), states=4, batch=3, dtype=torch.float64),
    "factors": RandomFactors(variables=(4, 6), batch=3, dtype=torch.float64),
    "networks": RandomNetworks(variables=(5, 7), batch=3, dtype=torch.float64),
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("seed", range(4))
def test_the_marginals_are_exact(task: str, seed: int) -> None:
    graph, got = TASKS[task].sample(seed)
    for i in range(3):
        expected = marginals(joint_of(graph, i))
        torch.testing.assert_close(got[i : i + 1], expected, rtol=0, atol=1e-10)


def test_a_sample_is_its_seed() -> None:
    task = RandomFields(variables=(5, 6), batch=2)
    (a, x), (b, y) = task.sample(3), task.sample(3)
    assert torch.equal(x, y)
    assert torch.equal(a.unary, b.unary)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("limit", [1, 8, 10_000])
def test_a_join_graph_is_its_graph_and_exact_with_whole_buckets(seed: int, limit: int) -> None:
    graph = loopy(seed, batch=2)
    order = [6, 5, 0, 2, 3, 1, 4]
    joined = mo.algorithms.join_graph(graph, order, limit)
    final = mo.unroll(mo.BeliefPropagation(0.3), 100, keep="last")(joined).final
    close = {"rtol": 0, "atol": 1e-10 if limit == 10_000 else 0.1}
    exact = mo.algorithms.log_partition(graph, order)
    for i in range(2):
        table = joint_of(graph, i)
        torch.testing.assert_close(final.log_z[i, 0], log_z(table), **close)
        torch.testing.assert_close(final.log_marginals[i, : graph.unary.shape[1]].exp(), marginals(table)[0], **close)
        torch.testing.assert_close(exact[i, 0], log_z(table))


def test_what_no_join_graph_can_be_made_of_is_refused() -> None:
    with pytest.raises(mo.MetaoptError, match="each of the 7 variables once"):
        mo.algorithms.join_graph(loopy(0), [0, 1, 2])
    with pytest.raises(mo.MetaoptError, match="no structure 'moon'"):
        structure("moon", 5, torch.Generator())


def test_networks_have_evidence_and_random_factors_have_zeros() -> None:
    network, _ = RandomNetworks(variables=(12, 12), batch=8).sample(0)
    factors, _ = RandomFactors(variables=(8, 8), batch=8).sample(0)
    assert bool((network.unary < -1000).any())
    assert any(bool((group.log_table < -1000).any()) for group in factors.factors)


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("variables", range(1, 7))
def test_structures_of_few_variables_are_graphs(name: str, variables: int) -> None:
    edges = structure(name, variables, torch.Generator().manual_seed(0))
    assert edges.shape[1] == 2
    assert bool((edges >= 0).all())
    assert bool((edges[:, 0] != edges[:, 1]).all())


def test_a_graph_of_no_variables_has_no_marginals_and_z_of_one() -> None:
    marginals, log_z = batch_marginals(mo.FactorGraph.from_factors([], []))
    assert marginals.shape == (1, 0)
    assert log_z.tolist() == [[0.0]]
