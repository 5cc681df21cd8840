"""Graph networks beside torch_geometric's layers with the same weights, and the implicit one beside its equation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import metaopt as mo
from metaopt.models import appnp, gcn, implicit_gnn, sgc
from metaopt.networks import Contraction, NodeEncoder

from ..cases.problems import graph_problem
from ..helpers import normal, seeded, tensors_close

geometric = pytest.importorskip("torch_geometric")


def random_graph(nodes: int, seed: int, features: int = 5) -> tuple[Tensor, Tensor]:
    edges = torch.randint(0, nodes, (2, 3 * nodes), generator=torch.Generator().manual_seed(seed))
    return normal(seed, nodes, features), edges


def with_random_biases(net: nn.Module, seed: int) -> Any:
    for i, parameter in enumerate(net.double().parameters()):
        if parameter.ndim == 1:
            parameter.data = normal(seed + i, len(parameter))
    return net


def final(net: Any, x: Tensor, edges: Tensor) -> Tensor:
    return net(mo.GraphSignal.from_edges(x, edges)).final


@settings(deadline=None, max_examples=20)
@given(nodes=st.integers(2, 12), layers=st.integers(2, 6), seed=st.integers(0, 10**6))
def test_a_gcn_is_a_stack_of_gcn_convs(nodes: int, layers: int, seed: int) -> None:
    x, edges = random_graph(nodes, seed)
    net = with_random_biases(gcn(5, 3, hidden=4, layers=layers), seed)
    encode, mix, decode = (getattr(net.algorithm, name).content() for name in ("encode", "mix", "decode"))
    weights = [encode.weights[0], *mix.weights, decode.weight.T]
    h = x
    for layer, (weight, bias) in enumerate(zip(weights, [*mix.biases, decode.bias], strict=True)):
        conv = geometric.nn.GCNConv(*weight.shape).double()
        conv.lin.weight.data, conv.bias.data = weight.T, bias
        h = conv(h.relu() if layer else h, edges)
    torch.testing.assert_close(final(net, x, edges), h, rtol=1e-6, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(nodes=st.integers(2, 12), steps=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_sgc_is_an_sg_conv(nodes: int, steps: int, seed: int) -> None:
    x, edges = random_graph(nodes, seed)
    net = with_random_biases(sgc(5, 3, steps), seed)
    conv = geometric.nn.SGConv(5, 3, K=steps).double()
    encode, decode = net.algorithm.encode.content(), net.algorithm.decode.content()
    conv.lin.weight.data, conv.lin.bias.data = encode.weights[0].T, decode.bias
    torch.testing.assert_close(final(net, x, edges), conv(x, edges), rtol=1e-6, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(nodes=st.integers(2, 12), steps=st.integers(1, 12), seed=st.integers(0, 10**6))
def test_appnp_is_pygs_behind_a_perceptron(nodes: int, steps: int, seed: int) -> None:
    x, edges = random_graph(nodes, seed)
    net = with_random_biases(appnp(5, 3, hidden=4, steps=steps, teleport=0.2), seed)
    encode = net.algorithm.encode.content()
    h = (x @ encode.weights[0] + encode.biases[0]).relu() @ encode.weights[1] + encode.biases[1]
    torch.testing.assert_close(final(net, x, edges), geometric.nn.APPNP(steps, 0.2)(h, edges), rtol=1e-6, atol=1e-6)


def test_the_sketch_of_the_design_holds() -> None:
    """``encode`` may be any module of x."""
    encode = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    net, problem = mo.unroll(mo.Propagation(encode, nn.Identity(), teleport=0.1), steps=10), graph_problem(0)
    edges = torch.stack([problem.source, problem.target])
    theirs = geometric.nn.APPNP(10, 0.1, normalize=False)(encode(problem.x), edges, problem.weight)
    torch.testing.assert_close(net(problem).final, theirs)


def test_any_module_mixes_with_one_weight_for_all_steps_or_one_a_step() -> None:
    """Stacked GCNConv without ReLU, their weights equal before training and then not."""
    x, edges = random_graph(6, 0, features=3)
    mix = seeded(lambda: nn.Linear(3, 3))
    net = mo.unroll(mo.Propagation(nn.Identity(), nn.Identity(), mix=mix), 3)
    untied = mo.unroll(mo.parameterize(net.algorithm, {"mix": mo.per_step(3)}), 3)
    assert torch.equal(final(untied, x, edges), final(net, x, edges))
    with torch.no_grad():
        untied.algorithm.mix.weight.copy_(normal(1, 3, 3, 3))
    h, weights = x, dict(untied.algorithm.mix.named_parameters())
    for k in range(3):
        spread = mo.GraphSignal.from_edges(x, edges).adjacency.to_dense() @ h
        h = spread @ weights["weight"][k].T + weights["bias"][k]
    torch.testing.assert_close(final(untied, x, edges), h)


def test_a_gcn_takes_no_more_steps_than_it_has_layers() -> None:
    net = seeded(lambda: gcn(3, 2, layers=3))
    assert net(graph_problem(0), steps=2).final.shape == (7, 2)
    with pytest.raises(mo.MetaoptError, match="has 3 layers, but step 3 was asked for"):
        net(graph_problem(0), steps=4)


def test_an_encoder_that_cannot_read_sparse_features_says_so() -> None:
    propagation = mo.Propagation(nn.Linear(3, 2).double(), nn.Identity())
    with pytest.raises(mo.MetaoptError, match=r"use models\.NodeEncoder, or dense features"):
        propagation.init(graph_problem(0).sparse())


@pytest.mark.parametrize("depth", [2, 8, 64])
def test_implicit_gradients_at_any_depth_take_one_steps_memory(depth: int) -> None:
    net = seeded(lambda: implicit_gnn(3, 2, hidden=4, steps=depth, bound=0.5))
    trajectory = net(graph_problem(0)) if depth == 64 else None
    if trajectory is None:
        with pytest.warns(mo.MetaoptWarning, match="forward pass stopped"):
            trajectory = net(graph_problem(0))
    trajectory.final.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())
    assert trajectory.report.steps <= depth


def test_the_implicit_gnn_solves_its_equation() -> None:
    net, problem = seeded(lambda: implicit_gnn(3, 2, hidden=4, bound=0.8)), graph_problem(0)
    h = net(problem).state.h
    mixed = net.net.algorithm.mix(0)(problem.adjacency.to_dense() @ h)
    torch.testing.assert_close(h, (mixed + net.encode(problem.x)).relu(), rtol=1e-3, atol=1e-3)


def test_implicit_gradients_reach_everything_and_are_those_of_a_long_run() -> None:
    def grads(strategy: Any) -> list[Tensor]:
        net = seeded(lambda: implicit_gnn(3, 2, hidden=4, bound=0.6, steps=100, gradient=strategy))
        net(graph_problem(0).with_seed(1)).final.square().sum().backward()
        return [p.grad for p in net.parameters()]

    exact = mo.Implicit(mo.core.gradients.Gcr(tolerance=1e-12), tolerance=1e-13)
    tensors_close(grads(exact), grads(mo.Backprop()), 1e-8)


@settings(deadline=None, max_examples=30)
@given(width=st.integers(1, 8), size=st.floats(0.0, 100.0), seed=st.integers(0, 10**6))
def test_a_contraction_contracts_whatever_its_weights_are(width: int, size: float, seed: int) -> None:
    contraction = Contraction(width, 0.9).double()
    contraction.weight.data = size * normal(seed, width, width)
    matrix = contraction(torch.eye(width, dtype=torch.float64)).detach()
    assert float(torch.linalg.matrix_norm(matrix, 2)) <= 0.9 + 1e-12


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: gcn(3, 2, layers=1), r"at least two layers, but got 1; for one take sgc"),
        (lambda: implicit_gnn(3, 2, bound=1.0), "bound between 0 and 1, but got 1.0"),
        (lambda: NodeEncoder([3]), r"widths of its input and output, but got \[3\]"),
    ],
)
def test_what_cannot_be_built_is_said(build: Any, sentence: str) -> None:
    with pytest.raises(mo.MetaoptError, match=sentence):
        build()
