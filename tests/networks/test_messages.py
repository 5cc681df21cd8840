"""Learned corrections of messages: what they keep, and that they do not look at names."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import metaopt as mo

from ..factor_graphs import loopy, random_factors
from ..helpers import seeded


def trained(correction: nn.Module, scale: float = 0.5) -> nn.Module:
    """With weights as if trained: the last layer, which is zero at first, too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for parameter in correction.double().parameters():
            nn.init.normal_(parameter, std=scale / parameter.shape[-1] ** 0.5)
    return correction


def test_learned_damping_keeps_every_fixed_point_and_no_other() -> None:
    graph = loopy(0)
    plain = mo.unroll(mo.BeliefPropagation(0.3), 200, keep="last")(graph)
    learned = mo.BeliefPropagation(correction=trained(mo.networks.LearnedDamping()))
    stayed = mo.unroll(learned, 3)(graph, state=plain.state._replace(memory=torch.zeros_like(plain.state.messages)))
    torch.testing.assert_close(stayed.state.messages, plain.state.messages)
    other = mo.unroll(learned, 400, keep="last")(graph)
    assert float(learned.residual(graph, other.state, other.stop - 1).detach()) < 1e-6
    torch.testing.assert_close(other.final.log_z, plain.final.log_z)


@pytest.mark.parametrize("correction", [mo.networks.LearnedDamping, mo.networks.GraphCorrection])
def test_a_trained_correction_changes_the_messages(correction: type[nn.Module]) -> None:
    plain, other = (
        mo.unroll(mo.BeliefPropagation(correction=c), 4)(loopy(0)).final for c in (None, trained(correction()))
    )
    assert not torch.allclose(plain.log_marginals, other.log_marginals, atol=1e-4)


def networks() -> dict[str, mo.Unrolled]:
    bp = {
        c: mo.BeliefPropagation(0.1, correction=trained(getattr(mo.networks, c)()))
        for c in ("LearnedDamping", "GraphCorrection")
    }
    network = trained(seeded(lambda: mo.models.GraphNetwork(8)), 1.0)
    return {name: mo.unroll(a, 6) for name, a in {**bp, "GraphNetwork": network}.items()}


@pytest.mark.parametrize("name", ["LearnedDamping", "GraphCorrection", "GraphNetwork"])
def test_renaming_variables_states_and_factors_only_renames_the_beliefs(name: str) -> None:
    cards, scopes = [2, 3, 2, 4], [(0, 1), (1, 2, 3), (3, 0), (2,)]
    factors = random_factors(0, cards, scopes)
    order, flipped = [2, 0, 3, 1], 3
    renamed = [
        (tuple(order[v] for v in reversed(scope)), _flipped(table, scope, flipped).permute(*range(table.ndim)[::-1]))
        for scope, table in reversed(factors)
    ]
    new_cards = [cards[order.index(v)] for v in range(4)]
    a, b = (
        networks()[name](mo.FactorGraph.from_factors(c, f)).final for c, f in ((cards, factors), (new_cards, renamed))
    )
    old, new = a.log_marginals[0].split(cards), b.log_marginals[0].split(new_cards)
    for variable in range(4):
        expected = old[variable].flip(0) if variable == flipped else old[variable]
        torch.testing.assert_close(new[order[variable]], expected)
    torch.testing.assert_close(a.log_z, b.log_z)


def _flipped(table: torch.Tensor, scope: tuple[int, ...], variable: int) -> torch.Tensor:
    return table.flip(scope.index(variable)) if variable in scope else table


@pytest.mark.parametrize("name", ["LearnedDamping", "GraphCorrection", "GraphNetwork"])
def test_graphs_of_a_union_do_not_see_each_other(name: str) -> None:
    graphs, network = [loopy(0), loopy(1)], networks()[name]
    together = network(mo.FactorGraph.union(graphs)).final.log_marginals
    torch.testing.assert_close(together, torch.cat([network(g).final.log_marginals for g in graphs], dim=1))


def test_learned_weights_spare_factors_with_zeros() -> None:
    cards, scopes = [2, 2, 2], [(0, 1), (1, 2)]
    factors = random_factors(0, cards, scopes)
    factors[0][1][0, 1] = -torch.inf
    weights = trained(mo.networks.LearnedWeights()).at_step(0)(mo.FactorGraph.from_factors(cards, factors))
    assert weights[0, 0] == 1
    assert weights[0, 1] != 1


def test_learned_damping_remembers_the_change_before() -> None:
    graph = loopy(0)
    damping = mo.networks.LearnedDamping().double()
    for parameter in damping.parameters():
        nn.init.normal_(parameter, std=0.5)
    messages = mo.BeliefPropagation().init(graph).messages
    proposed = messages + torch.randn(messages.shape, generator=torch.Generator().manual_seed(0), dtype=messages.dtype)
    moved, step = damping(proposed, messages, damping.init(graph, messages), graph, 0)
    torch.testing.assert_close(step, moved - messages)
    again, _ = damping(proposed, messages, step, graph, 1)
    assert not torch.allclose(moved, again)
