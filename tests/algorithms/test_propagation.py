"""Propagation and filters on random graphs, beside torch_geometric's layers and dense functions of matrices."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from torch import Tensor, nn

import metaopt as mo
from metaopt import tree
from metaopt.algorithms import personalized_pagerank

from ..cases.problems import graph_problem
from ..helpers import normal, seeded

geometric = pytest.importorskip("torch_geometric")


@st.composite
def graphs(draw: Any, undirected: bool = False) -> tuple[Tensor, Tensor]:
    """Features (nodes, 3) and edges: repeated ones, self-loops, nodes without any, no edge at all."""
    nodes, count, seed = draw(st.integers(1, 9)), draw(st.integers(0, 25)), draw(st.integers(0, 10**6))
    edges = torch.randint(0, nodes, (2, count), generator=torch.Generator().manual_seed(seed))
    if undirected:
        edges = torch.cat([edges, edges.flip(0)], 1)
    return normal(seed, nodes, 3), edges


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(graph=graphs(), steps=st.integers(1, 12), teleport=st.floats(0.01, 1.0))
def test_personalised_pagerank_is_pygs_appnp(graph: Any, steps: int, teleport: float) -> None:
    x, edges = graph
    ours = mo.unroll(personalized_pagerank(teleport), steps)(mo.GraphSignal.from_edges(x, edges)).final
    close(ours, geometric.nn.APPNP(steps, teleport)(x, edges))


@settings(deadline=None, max_examples=30)
@given(graph=graphs(), steps=st.integers(1, 8), spread=st.floats(0.0, 1.0), seed=st.integers(0, 99))
def test_label_propagation_is_pygs(graph: Any, steps: int, spread: float, seed: int) -> None:
    x, edges = graph
    labels = torch.randint(0, 4, (len(x),), generator=torch.Generator().manual_seed(seed))
    known = torch.rand(len(x), generator=torch.Generator().manual_seed(seed)) < 0.6
    plain = partial(mo.problems.symmetric_adjacency, self_loops=0)
    signal = mo.GraphSignal.from_edges(mo.problems.known_labels(labels, known, 4), edges, normalize=plain)
    theirs = geometric.nn.LabelPropagation(steps, spread)(torch.eye(4)[labels], edges, mask=known)
    close(mo.unroll(mo.algorithms.label_propagation(spread), steps)(signal).final, theirs)


@settings(deadline=None, max_examples=30)
@given(graph=graphs(undirected=True), time=st.floats(0.0, 6.0))
def test_the_heat_kernel_is_the_matrix_exponential(graph: Any, time: float) -> None:
    signal = mo.GraphSignal.from_edges(*graph)
    adjacency = signal.adjacency.to_dense().numpy()
    exact = expm(-time * (np.eye(len(adjacency)) - adjacency)) @ signal.x.numpy()
    close(mo.unroll(mo.algorithms.heat_kernel(time, 25), 25)(signal).final, torch.from_numpy(exact))


@settings(deadline=None, max_examples=30)
@given(graph=graphs(undirected=True), coefficients=st.lists(st.floats(-3, 3), min_size=2, max_size=9))
def test_a_chebyshev_filter_is_the_function_of_the_eigenvalues(graph: Any, coefficients: list[float]) -> None:
    signal, steps = mo.GraphSignal.from_edges(*graph), len(coefficients) - 1
    values, vectors = torch.linalg.eigh(signal.adjacency.to_dense())
    response = np.polynomial.chebyshev.chebval(values.clamp(-1, 1).numpy(), coefficients)
    exact = vectors @ (torch.from_numpy(response)[:, None] * (vectors.T @ signal.x))
    close(mo.unroll(mo.ChebyshevFilter(coefficients), steps)(signal).final, exact)


@settings(deadline=None, max_examples=20)
@given(graph=graphs(), teleport=st.floats(0.2, 1.0))
def test_pagerank_converges_to_the_solution_of_its_linear_system(graph: Any, teleport: float) -> None:
    signal = mo.GraphSignal.from_edges(*graph)
    adjacency = signal.adjacency.to_dense()
    exact = teleport * torch.linalg.solve(torch.eye(len(adjacency)) - (1 - teleport) * adjacency, signal.x)
    found = mo.solve(personalized_pagerank(teleport), signal, 500, mo.core.Settled(1e-10))
    assert found.report.converged
    close(found.final, exact)


def test_a_teleport_refuses_to_lose_the_gradient_of_its_encoder() -> None:
    encoded = mo.Propagation(nn.Linear(3, 2).double(), nn.Identity(), teleport=0.2)
    net = mo.unroll(encoded, 200, gradient=mo.Implicit())
    with pytest.raises(mo.MetaoptError, match=r"silently get no gradient; give x by inject"):
        net(graph_problem(0))
    with torch.no_grad():
        assert net(graph_problem(0)).report.converged
    with pytest.raises(mo.MetaoptError, match="silently get no gradient"):
        mo.unroll(encoded, 5, gradient=mo.Truncated(last=2))(graph_problem(0))


def test_dropout_is_a_function_of_seed_step_and_mode() -> None:
    net = seeded(lambda: mo.models.appnp(3, 2, hidden=8))
    problem = graph_problem(0)
    plain = net(problem).final
    first, again, other = (net(problem.with_seed(seed)).final for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert not torch.allclose(first, plain)
    assert torch.equal(net.eval()(problem.with_seed(1)).final, plain)


def test_dropped_edges_differ_from_step_to_step_and_keep_the_mean() -> None:
    problem = mo.GraphSignal.from_edges(torch.ones(1, 1), torch.zeros(2, 0, dtype=torch.int64)).with_seed(3)
    masks = torch.stack([problem.drop(torch.ones(2000), 0.3, place, k) for place in (0, 1) for k in range(5)])
    assert set(masks.unique().tolist()) == {0.0, float(torch.tensor(1.0) / 0.7)}
    assert len({tuple(m.tolist()) for m in masks}) == 10
    torch.testing.assert_close(masks.mean(1), torch.ones(10), rtol=0, atol=0.06)
    agree = ((masks[:, None] > 0) == (masks[None] > 0)).float().mean(-1)
    assert float((agree - torch.eye(10)).max()) < 0.66, "masks of two steps agree no more than chance (0.58)"


def test_sparse_features_give_what_dense_ones_do() -> None:
    net = seeded(lambda: mo.models.gcn(3, 2, hidden=4, dropout=0.0))
    problem = graph_problem(1)
    close(net(problem.sparse()).final, net(problem).final)
    close(
        mo.unroll(personalized_pagerank(), 3)(problem.sparse()).final,
        mo.unroll(personalized_pagerank(), 3)(problem).final,
    )


def test_time_and_memory_are_linear_in_the_edges() -> None:
    """A dense adjacency of 200,000 nodes would take 160 GB."""
    nodes = 200_000
    ring = torch.arange(nodes)
    problem = mo.GraphSignal.from_edges(torch.rand(nodes, 2), torch.stack([ring, ring.roll(1)]))
    final = mo.unroll(personalized_pagerank(), 3)(problem).final
    torch.testing.assert_close(final.sum(), problem.x.sum(), rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (
            lambda: mo.Propagation(nn.Identity(), nn.Identity(), dropout=1.0),
            "of at least 0 and below 1, but got 1.0",
        ),
        (lambda: mo.Propagation(nn.Identity(), nn.Identity(), edge_dropout=-0.1), "edge_dropout to be a finite number"),
        (lambda: mo.ChebyshevFilter([1.0]), "at least two coefficients, but got 1"),
        (lambda: mo.algorithms.heat_kernel(-1.0, 3), "time to be a finite number of at least 0"),
        (lambda: mo.Propagation(nn.Flatten(0), nn.Identity()).init(graph_problem(0)), "7 nodes a row each"),
    ],
)
def test_what_cannot_be_built_is_said(build: Any, sentence: str) -> None:
    with pytest.raises(mo.MetaoptError, match=sentence):
        build()


def test_without_a_teleport_there_is_no_slot_for_it() -> None:
    with pytest.raises(mo.MetaoptError, match=r"no slot 'teleport'; its slots are activation, decode, encode, mix"):
        mo.parameterize(mo.Propagation(nn.Identity(), nn.Identity()), {"teleport": mo.shared()})
    assert tree.leaves(mo.Propagation(nn.Identity(), nn.Identity()).init(graph_problem(0)).anchor) == []
