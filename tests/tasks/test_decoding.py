"""Decoding: the graph of a code, and belief propagation on it."""

from __future__ import annotations

import itertools

import pytest
import torch

import metaopt as mo
from metaopt.tasks import Decoding, code_graph

HAMMING = torch.tensor([[1, 1, 0, 1, 1, 0, 0], [1, 0, 1, 1, 0, 1, 0], [0, 1, 1, 1, 0, 0, 1]])


def words() -> torch.Tensor:
    every = torch.tensor(list(itertools.product([0, 1], repeat=7)))
    return every[((every @ HAMMING.T) % 2 == 0).all(1)]


def test_the_graph_of_a_code_allows_its_words_and_no_other() -> None:
    graph = code_graph(HAMMING, torch.zeros(1, 7, dtype=torch.float64))
    every = torch.tensor(list(itertools.product([0, 1], repeat=7)))
    values = torch.stack([graph.log_potential(word[None])[0, 0] for word in every])
    allowed = every[values > -5000]
    assert torch.equal(allowed, words())
    assert len(allowed) == 16


def test_ratios_are_the_evidence_of_zeros_over_ones() -> None:
    ratios = torch.randn(3, 7, dtype=torch.float64)
    graph = code_graph(torch.zeros(1, 7, dtype=torch.long), ratios)
    p = mo.unroll(mo.BeliefPropagation(), 1)(graph).final.log_marginals.unflatten(1, (7, 2))
    torch.testing.assert_close(p[..., 0] - p[..., 1], ratios)


def test_one_wrong_bit_of_a_hamming_word_is_put_right() -> None:
    sent = words()
    for bit in range(7):
        ratios = 2.0 * (1 - 2 * sent.double())
        ratios[:, bit] *= -0.5
        graph = code_graph(HAMMING, ratios)
        decoded = graph.decode(mo.unroll(mo.BeliefPropagation(), 20)(graph).final.log_marginals)
        assert torch.equal(decoded, sent)


def test_a_sample_is_words_of_the_code_and_their_noisy_evidence() -> None:
    graph, target = Decoding(HAMMING, snr=(2.0, 4.0), batch=50).sample(0)
    sent = graph.decode(target)
    assert bool(((sent @ HAMMING.T) % 2 == 0).all())
    hard = graph.decode(graph.unary)
    assert 0 < float((hard != sent).double().mean()) < 0.2


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(mo.MetaoptError, match="equally many bits"):
        code_graph(HAMMING, torch.zeros(1, 6))
