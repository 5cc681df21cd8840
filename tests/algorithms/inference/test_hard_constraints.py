"""What is excluded is impossible by enumeration, and contradictions are found."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import metaopt as mo
from metaopt.algorithms.inference import possible_states, rests_on_impossible

from ...factor_graphs import joint, marginals, random_factors

NOT = torch.tensor([[-math.inf, 0.0], [0.0, -math.inf]], dtype=torch.float64)


def not_equal(*pairs: tuple[int, int], count: int = 3, **unary: list[float]) -> mo.FactorGraph:
    own = [((int(name[1:]),), torch.tensor(values, dtype=torch.float64)) for name, values in unary.items()]
    return mo.FactorGraph.from_factors([2] * count, [*((pair, NOT) for pair in pairs), *own])


@given(st.integers(0, 10**6), st.floats(0.2, 0.8))
@settings(deadline=None, max_examples=60)
def test_states_that_go_have_probability_zero(seed: int, zeros: float) -> None:
    cards, scopes = [2, 3, 2, 3], [(0, 1), (1, 2), (2, 3), (0, 2, 3), (1,)]
    factors = random_factors(seed, cards, scopes, zeros)
    probabilities = marginals(joint(cards, factors))
    left = possible_states(mo.FactorGraph.from_factors(cards, factors))
    assert left.shape == (1, 10)
    assert bool((probabilities[~left] == 0).all())


def test_on_a_tree_states_that_stay_are_possible() -> None:
    cards, scopes = [2, 3, 2, 3, 2], [(0, 1), (1, 2), (1, 3), (3, 4), (0,), (4,)]
    gone = 0
    for seed in range(40):
        factors = random_factors(seed, cards, scopes, 0.5)
        probabilities = marginals(joint(cards, factors))
        left = possible_states(mo.FactorGraph.from_factors(cards, factors))
        assert torch.equal(left, probabilities > 0)
        gone += int((~left).sum())
    assert gone > 40, "there was something to exclude"


def test_a_contradiction_names_the_variable_and_needs_as_many_rounds_as_it_is_long() -> None:
    chain = not_equal((0, 1), (1, 2), v0=[0.0, -math.inf], v2=[-math.inf, 0.0])
    with pytest.raises(
        mo.MetaoptError, match="probability zero: factors and evidence exclude every state of variable 1"
    ):
        possible_states(chain)
    far = not_equal(*((i, i + 1) for i in range(9)), count=10, v0=[0.0, -math.inf])
    assert possible_states(far).sum() == 10
    assert possible_states(far, rounds=3).sum() == 16
    assert possible_states(not_equal((0, 1), (1, 2), (0, 2))).all(), "factor by factor, three may seem to differ"


def test_samples_are_looked_at_one_by_one() -> None:
    graph = not_equal((0, 1), count=2)
    two = graph.with_unary(torch.tensor([[0.0, -math.inf, 0, 0], [0, 0, 0, -math.inf]], dtype=torch.float64))
    assert possible_states(two).tolist() == [[True, False, False, True], [False, True, True, False]]


def test_beliefs_rest_on_what_is_impossible_from_the_share_on_that_is_named() -> None:
    graph = not_equal((0, 1), count=2)
    even, opposed = torch.full((1, 4), 0.5), torch.tensor([[0.9, 0.1, 0.1, 0.9]])
    assert rests_on_impossible(graph, even.double(), 0.4)
    assert not rests_on_impossible(graph, even.double(), 0.6)
    assert rests_on_impossible(graph, opposed.double(), 0.17)
    assert not rests_on_impossible(graph, opposed.double(), 0.19)
    excluded = not_equal(count=1, v0=[0.0, -math.inf])
    assert rests_on_impossible(excluded, torch.tensor([[0.2, 0.8]]).double(), 0.5)
    assert not rests_on_impossible(excluded, torch.tensor([[0.8, 0.2]]).double(), 0.5)
