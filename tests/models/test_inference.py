"""Learned inference: untrained, every machine is the classical scheme that it opens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import metaopt as mo
from metaopt import models

from ..factor_graphs import loopy

SCHEMES: dict[str, tuple[Callable[[], mo.Unrolled], Callable[[], mo.Algorithm]]] = {
    "learned bp": (lambda: models.learned_bp(6), lambda: mo.BeliefPropagation(0.5)),
    "neural-enhanced bp": (lambda: models.neural_enhanced_bp(6), lambda: mo.BeliefPropagation(0.5)),
    "weighted bp": (lambda: models.weighted_bp(6, factors=7), mo.BeliefPropagation),
    "neural-enhanced decoder": (lambda: models.neural_enhanced_decoder(6), mo.BeliefPropagation),
    "mean-field network": (lambda: models.mean_field_net(6), lambda: mo.MeanField(0.5)),
}


@pytest.mark.parametrize("name", SCHEMES)
def test_an_untrained_machine_is_its_classical_scheme(name: str) -> None:
    learned, classical = (build() for build in SCHEMES[name])
    graph = loopy(0, batch=2)
    ours, plain = learned.double()(graph).outputs, mo.unroll(classical, 6)(graph).outputs
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a.log_marginals, b.log_marginals, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(a.log_z, b.log_z, rtol=1e-12, atol=1e-12)
    assert any(p.requires_grad for p in learned.parameters())


@pytest.mark.parametrize("name", SCHEMES)
def test_single_precision_stays_single(name: str) -> None:
    graph = mo.tree.to(loopy(0, batch=2), dtype=torch.float32)
    assert SCHEMES[name][0]().float()(graph).final.log_marginals.dtype == torch.float32
    assert SCHEMES[name][0]()(graph).final.log_marginals.dtype == torch.float32


@pytest.mark.parametrize("name", SCHEMES)
def test_training_reaches_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    network = SCHEMES[name][0]().double()
    for parameter in network.parameters():  # last layers are zero at first, and hide those before them
        parameter.data += 0.1 * torch.randn_like(parameter)
    graph = loopy(0, batch=2)
    final = network(graph).final
    (final.log_z.sum() + (final.log_marginals * torch.arange(16.0)).sum()).backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not bool(p.grad.abs().max() > 0)]
    assert not idle


def test_evidence_is_learned_without_regard_to_the_order_of_states() -> None:
    evidence = mo.networks.LearnedEvidence().double()
    graph = loopy(0)
    assert torch.equal(evidence(graph), graph.unary)
    for parameter in evidence.parameters():
        nn.init.normal_(parameter, std=0.5)
    flipped = torch.cat([part.flip(1) for part in graph.unary.split(graph.cardinalities.tolist(), dim=1)], dim=1)
    expected = torch.cat([part.flip(1) for part in evidence(graph).split(graph.cardinalities.tolist(), dim=1)], dim=1)
    assert not torch.allclose(evidence(graph), graph.unary)
    torch.testing.assert_close(evidence(graph.with_unary(flipped)), expected)


def test_many_starts_take_larger_weights_where_nothing_converges() -> None:
    graph = loopy(3, scale=6.0)
    network = models.learned_bp().double().requires_grad_(False)
    starts = models.many_starts(network, steps=150, starts=4)
    assert float(starts.algorithms[1].weight(0)(graph).max()) == 1.25
    assert float(starts.algorithms[-1].weight(0)(graph).min()) == 4
    _, residual = starts(graph)
    assert float(residual.min()) <= 1e-4


def test_weights_of_another_code_are_refused_with_both_shapes() -> None:
    from metaopt.tasks.decoding import code_graph

    network = mo.models.weighted_bp(3, 4)
    with pytest.raises(mo.MetaoptError, match=r"\(4,\) are of a graph of 4 factors, but this one has 2 factors of 3"):
        network(code_graph(torch.tensor([[1, 1, 0], [0, 1, 1]]), torch.zeros(2, 3)))


@pytest.mark.parametrize("build", [mo.models.learned_bp, mo.models.graph_network, mo.models.neural_enhanced_decoder])
def test_networks_of_another_precision_are_refused_in_a_sentence(build: Any) -> None:
    graph = mo.FactorGraph.from_factors([2, 2], [((0, 1), torch.eye(2, dtype=torch.float64))])
    with pytest.raises(mo.MetaoptError, match=r"are float32, but the factor graph is float64.*network\.to"):
        build(steps=2)(graph)
    assert build(steps=2).double()(graph).final.log_z.dtype == torch.float64
