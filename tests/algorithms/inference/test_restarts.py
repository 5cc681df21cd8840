"""Inference from many starts: it joins modes, and leaves what has one fixed point as it is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings

import metaopt as mo
from metaopt.tasks import ising, structure
from metaopt.tasks.batch_marginals import batch_marginals

from ...factor_graphs import joint, log_z, loopy, marginals, trees


def ferromagnet(field: float) -> mo.FactorGraph:
    """A strong 4 x 4 ferromagnet: two modes, of which a weak field prefers one."""
    edges = structure("grid", 16, torch.Generator())
    fields = torch.full((1, 16), field, dtype=torch.float64)
    return ising(edges, fields, torch.ones(1, len(edges), dtype=torch.float64))


@pytest.mark.parametrize("field", [0.0, 0.01, 0.02])
def test_modes_are_joined_by_what_they_say_of_z(field: float) -> None:
    graph = ferromagnet(field)
    exact, log_z = batch_marginals(graph)
    beliefs, residual = mo.RandomRestarts(mo.BeliefPropagation(0.3))(graph)
    single = mo.unroll(mo.BeliefPropagation(0.3), 300, keep="last")(graph).final.log_marginals.exp()
    errors = [float((p - exact).abs().max()) for p in (beliefs.log_marginals.exp(), single)]
    assert errors[0] < 0.03
    assert field == 0 or errors[1] > 5 * errors[0]
    torch.testing.assert_close(beliefs.log_z, log_z, rtol=0, atol=0.05)
    assert float(residual.max()) < 1e-4


@given(trees())
@settings(max_examples=20, deadline=None)
def test_a_tree_has_one_fixed_point(case: object) -> None:
    table = joint(*case)  # type: ignore[misc]
    assume(bool(torch.isfinite(table).any()))
    beliefs, _ = mo.RandomRestarts(mo.BeliefPropagation(), steps=20, starts=5)(mo.FactorGraph.from_factors(*case))  # type: ignore[misc]
    torch.testing.assert_close(beliefs.log_marginals.exp(), marginals(table), rtol=0, atol=1e-9)
    torch.testing.assert_close(beliefs.log_z[0, 0], log_z(table), rtol=0, atol=1e-9)


def test_the_first_algorithm_that_converges_is_taken() -> None:
    graph = loopy(0, scale=3.0)
    heavy = mo.BeliefPropagation(0.5, weight=3.0)
    never = mo.BeliefPropagation(0.999)
    joined, residual = mo.RandomRestarts([never, heavy], steps=200)(graph)
    alone, _ = mo.RandomRestarts(heavy, steps=200)(graph)
    assert torch.equal(joined.log_marginals, alone.log_marginals)
    assert float(residual.min()) <= 1e-4


def test_what_many_starts_refuse() -> None:
    with pytest.raises(mo.MetaoptError, match="at least one start"):
        mo.RandomRestarts(mo.BeliefPropagation(), starts=0)
    with pytest.raises(mo.MetaoptError, match="this has 2"):
        mo.RandomRestarts(mo.BeliefPropagation())(loopy(0, batch=2))


def test_a_union_is_refused() -> None:
    union = mo.FactorGraph.union([loopy(0), loopy(1)])
    with pytest.raises(mo.MetaoptError, match="union"):
        mo.RandomRestarts(mo.BeliefPropagation(0.5))(union)
