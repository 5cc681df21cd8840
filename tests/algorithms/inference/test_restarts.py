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
    with pytest.raises(mo.MetaoptError, match="starts to be a whole number of at least 1, but got 0"):
        mo.RandomRestarts(mo.BeliefPropagation(), starts=0)
    with pytest.raises(mo.MetaoptError, match="this has 2"):
        mo.RandomRestarts(mo.BeliefPropagation())(loopy(0, batch=2))


def test_a_union_is_refused() -> None:
    union = mo.FactorGraph.union([loopy(0), loopy(1)])
    with pytest.raises(mo.MetaoptError, match="union"):
        mo.RandomRestarts(mo.BeliefPropagation(0.5))(union)


class Breaking(mo.algorithms.inference.belief_propagation.NoCorrection):
    """Sends NaN in the first step, in the starts whose first message is above 1."""

    def forward(self, proposed, messages, memory, problem, k):
        spoiled = (messages[:, :1] > 1) & (k == 0)
        return torch.where(spoiled, torch.nan, proposed), memory


def test_a_start_that_is_no_number_ends_alone() -> None:
    graph = loopy(0)
    algorithm = mo.BeliefPropagation(0.3, correction=Breaking())
    found = mo.RandomRestarts(algorithm, steps=100, starts=12).run(graph)
    broken = found.residuals == torch.inf
    assert 0 < int(broken.sum()) < 12
    assert float(found.residuals[~broken].max()) < 1e-6
    plain = mo.unroll(mo.BeliefPropagation(0.3), 100, keep="last")(graph).final
    torch.testing.assert_close(found.beliefs.log_marginals.exp(), plain.log_marginals.exp(), rtol=0, atol=1e-6)
    assert len(found.found.log_z) == 12 - int(broken.sum())


def test_constant_weights_are_untrained_learned_ones() -> None:
    graph = loopy(0, scale=3.0)
    constant, learned = (
        mo.models.many_starts(None, 50, 3),
        mo.models.many_starts(mo.models.learned_bp().double(), 50, 3),
    )
    torch.testing.assert_close(constant(graph)[0].log_marginals, learned(graph)[0].log_marginals)


def test_factors_of_the_same_variables_share_one_weight_and_cost_no_more_trees() -> None:
    table = torch.zeros(1, 2, 2, 1, dtype=torch.float64).expand(1, 2, 2, 3000)
    pairs = torch.tensor([[0, 1]]).expand(3000, 2)
    graph = mo.FactorGraph(torch.tensor([2, 2]), torch.zeros(1, 4).double(), (mo.TableFactors(pairs, table),))
    torch.testing.assert_close(mo.algorithms.tree_weights(graph), torch.full((3000,), 1 / 3000).double())
