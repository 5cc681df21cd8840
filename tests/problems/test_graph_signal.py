"""Graph signals: normalisation beside torch_geometric's, Data and Batch, derivatives, and what is said of bad input."""

from __future__ import annotations

import copy
import warnings
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import metaopt as mo
from metaopt.foundation.drawing import drawing_from
from metaopt.operators import SparseMatrix
from metaopt.problems import averaging_adjacency, known_labels, symmetric_adjacency

from ..cases.problems import graph_problem
from ..helpers import normal, tensors_close

geometric = pytest.importorskip("torch_geometric")
NONE = torch.zeros(2, 0, dtype=torch.int64)
LINE = torch.tensor([[0, 1], [1, 2]])


def random_edges(nodes: int, count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, nodes, (2, count), generator=generator), torch.rand(count, generator=generator)


@settings(deadline=None, max_examples=40)
@given(
    nodes=st.integers(1, 8),
    count=st.integers(0, 20),
    seed=st.integers(0, 10**6),
    loops=st.sampled_from([0.0, 1.0, 2.0]),
    weighted=st.booleans(),
)
def test_the_symmetric_adjacency_is_pygs(nodes: int, count: int, seed: int, loops: float, weighted: bool) -> None:
    edges, weight = random_edges(nodes, count, seed)
    ours = symmetric_adjacency(edges, nodes, weight if weighted else None, loops).to_dense().float()
    # Without weights torch_geometric forgets what self-loops were to weigh, so it is asked for weights of 1.
    weight = weight if weighted else torch.ones(count)
    index, values = geometric.nn.conv.gcn_conv.gcn_norm(
        edges, weight, nodes, improved=loops == 2.0, add_self_loops=loops > 0
    )
    theirs = torch.zeros(nodes, nodes).index_put((index[1], index[0]), values, accumulate=True)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(nodes=st.integers(1, 8), count=st.integers(0, 20), seed=st.integers(0, 10**6))
def test_rows_of_the_averaging_adjacency_sum_to_one_or_are_empty(nodes: int, count: int, seed: int) -> None:
    edges, _ = random_edges(nodes, count, seed)
    rows = averaging_adjacency(edges, nodes, self_loops=0).to_dense().sum(1)
    reached = torch.bincount(edges[1], minlength=nodes) > 0
    torch.testing.assert_close(rows, reached.double())


@settings(deadline=None, max_examples=20)
@given(rows=st.integers(1, 6), columns=st.integers(1, 6), count=st.integers(0, 12), seed=st.integers(0, 10**6))
def test_a_sparse_product_is_the_dense_one_to_second_derivatives(
    rows: int, columns: int, count: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    row = torch.randint(0, rows, (count,), generator=generator)
    column = torch.randint(0, columns, (count,), generator=generator)
    matrix = SparseMatrix(row, column, normal(seed, count), (rows, columns))
    h = normal(seed + 1, columns, 3).requires_grad_()
    torch.testing.assert_close(matrix @ h, matrix.to_dense() @ h)
    values = matrix.values.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v, x: matrix.with_values(v) @ x, (values, h))
    assert torch.autograd.gradgradcheck(lambda v, x: matrix.with_values(v) @ x, (values, h))
    tensors_close(SparseMatrix.from_dense(matrix.to_dense()).to_dense(), matrix.to_dense(), 0)


def test_data_goes_in_and_comes_out() -> None:
    data = geometric.data.Data(x=normal(0, 3, 2).float(), edge_index=LINE)
    signal = mo.GraphSignal.from_data(data)
    out = signal.to_data()
    assert torch.equal(out.x, data.x)
    again = mo.GraphSignal.from_data(out, normalize=lambda edges, n, w: SparseMatrix(*edges.flip(0), w, (n, n)))
    assert torch.equal(again.adjacency.to_dense(), signal.adjacency.to_dense())
    weighted = geometric.data.Data(x=data.x, edge_index=LINE, edge_weight=torch.tensor([3.0, 0.0]))
    assert float(mo.GraphSignal.from_data(weighted).adjacency.to_dense()[2, 1]) == 0.0
    flat = geometric.data.Data(x=torch.ones(3), edge_index=LINE)
    assert mo.GraphSignal.from_data(flat).x.shape == (3, 1)


def test_whole_numbers_sparse_features_and_a_sparse_adjacency_are_read() -> None:
    from torch_geometric.transforms import ToSparseTensor

    x, weight = torch.tensor([[1, 0], [0, 2], [0, 0]]), torch.tensor([0.5, 2.0])
    plain = mo.GraphSignal.from_edges(x.float(), LINE, weight)
    whole = mo.GraphSignal.from_data(geometric.data.Data(x=x, edge_index=LINE, edge_weight=weight))
    assert torch.equal(whole.x, plain.x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's CSR is in beta
        sparse = geometric.data.Data(x=x.float().to_sparse_csr(), edge_index=LINE, edge_weight=weight)
        as_matrix = ToSparseTensor(attr="edge_weight")(sparse)
        assert "edge_index" not in as_matrix
        signal = mo.GraphSignal.from_data(as_matrix)
    assert torch.equal(signal.x.to_dense(), plain.x)
    torch.testing.assert_close(signal.adjacency.to_dense(), plain.adjacency.to_dense())


def test_edge_attributes_of_one_column_are_weights_as_transforms_write_them() -> None:
    from torch_geometric.transforms import GDC

    x, weight = normal(0, 3, 2).float(), torch.tensor([0.5, 2.0])
    plain = mo.GraphSignal.from_edges(x, LINE, weight).adjacency.to_dense()
    for attributes in (weight, weight[:, None]):
        data = geometric.data.Data(x=x, edge_index=LINE, edge_attr=attributes)
        assert torch.equal(mo.GraphSignal.from_data(data).adjacency.to_dense(), plain)
        both = geometric.data.Data(x=x, edge_index=LINE, edge_attr=attributes, edge_weight=torch.ones(2))
        assert not torch.equal(mo.GraphSignal.from_data(both).adjacency.to_dense(), plain)
    diffused = GDC()(geometric.data.Data(x=x, edge_index=LINE))
    assert len(set(diffused.edge_attr.tolist())) > 1
    expected = mo.GraphSignal.from_edges(x, diffused.edge_index, diffused.edge_attr)
    torch.testing.assert_close(mo.GraphSignal.from_data(diffused).weight, expected.weight)


@pytest.mark.parametrize("attributes", [torch.ones(2, 3), torch.ones(2).long(), torch.ones(2, 1, 2)], ids=str)
def test_edge_attributes_that_are_no_weights_are_left_out_with_a_warning(attributes: Tensor) -> None:
    data = geometric.data.Data(x=torch.ones(3, 1), edge_index=LINE, edge_attr=attributes)
    with pytest.warns(mo.MetaoptWarning, match=r"edge_attr \(2.* is left out"):
        signal = mo.GraphSignal.from_data(data)
    assert torch.equal(signal.weight, mo.GraphSignal.from_edges(torch.ones(3, 1), LINE).weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_features_of_16_bits_spread_as_in_float32_to_their_precision(dtype: torch.dtype) -> None:
    edges, _ = random_edges(60, 9000, 0)  # degrees that bfloat16 cannot count
    x, rounding = torch.rand(60, 5, generator=torch.Generator().manual_seed(1)), torch.finfo(dtype).eps
    weight = torch.ones(9000, dtype=dtype)
    with drawing_from(0):
        nets = [mo.models.gcn(5, 7, 3).eval().to(dtype), mo.models.appnp(5, 7, 3).eval().to(dtype)]
    for net in nets:
        exact = copy.deepcopy(net).float()(mo.GraphSignal.from_edges(x.to(dtype).float(), edges)).final.detach()
        for one in (None, weight):
            signal = mo.GraphSignal.from_edges(x.to(dtype).requires_grad_(), edges, one)
            got = net(signal).final
            got.float().square().sum().backward()
            assert (got.dtype, signal.x.grad.dtype) == (dtype, dtype)
            assert float((got.detach().float() - exact).abs().max()) < 4 * rounding * float(exact.abs().max())


def test_a_batch_of_graphs_is_its_graphs_one_by_one() -> None:
    """And an isolated node, and a graph without any edge, are as good as others."""
    singles = [
        geometric.data.Data(x=normal(i, 3 + i, 2).float(), edge_index=edges) for i, edges in enumerate([LINE, NONE])
    ]
    batch = geometric.data.Batch.from_data_list(singles)
    net = mo.unroll(mo.algorithms.personalized_pagerank(0.3), 6)
    batch.x = net(mo.GraphSignal.from_data(batch)).final
    for single, part in zip(singles, batch.to_data_list(), strict=True):
        torch.testing.assert_close(part.x, net(mo.GraphSignal.from_data(single)).final)


@pytest.mark.parametrize("normalize", [symmetric_adjacency, averaging_adjacency])
def test_an_isolated_node_without_a_self_loop_gets_nothing_and_no_nan(normalize: Any) -> None:
    signal = mo.GraphSignal.from_edges(torch.ones(3, 1), NONE, normalize=partial(normalize, self_loops=0))
    assert (signal.adjacency @ signal.x).tolist() == [[0.0]] * 3
    some = mo.GraphSignal.from_edges(torch.ones(3, 1), LINE[:, :1], normalize=partial(normalize, self_loops=0))
    assert torch.isfinite(some.adjacency @ some.x).all()


def test_without_a_seed_nothing_is_dropped() -> None:
    problem = graph_problem(0)
    assert torch.equal(problem.drop(problem.x, 0.5, 0, 0), problem.x)
    assert problem.with_seed(1).seed == 1
    assert problem.seed is None


X = torch.ones(3, 2)
BAD: list[tuple[Any, str]] = [
    (lambda: mo.GraphSignal.from_edges(torch.ones(0, 2), NONE), r"at least one node, but its features are \(0, 2\)"),
    (lambda: mo.GraphSignal.from_edges(X, torch.tensor([[0], [3]])), "names node 3, but the nodes are 0 to 2"),
    (lambda: mo.GraphSignal.from_edges(X, torch.tensor([[0], [-1]])), "names node -1, but the nodes are 0 to 2"),
    (lambda: mo.GraphSignal.from_edges(X, torch.ones(3, 2).long()), r"\(2, E\) int64, but got \(3, 2\) int64"),
    (lambda: mo.GraphSignal.from_edges(X, LINE.float()), r"\(2, E\) int64, but got \(2, 2\) float32"),
    (lambda: mo.GraphSignal.from_edges(X.long(), LINE), r"floating features \(nodes, features\).*int64"),
    (lambda: mo.GraphSignal.from_edges(X[0], LINE), r"floating features \(nodes, features\)"),
    (lambda: mo.GraphSignal.from_edges(X / 0, LINE), "6 values that are NaN or infinite"),
    (lambda: mo.GraphSignal.from_edges(X, LINE, torch.ones(3)), r"2 edges, so their weights must be \(2,\)"),
    (lambda: mo.GraphSignal.from_edges(X, LINE, torch.tensor([1.0, -1.0])), "finite and at least 0"),
    (lambda: mo.GraphSignal.from_edges(X, LINE, torch.tensor([1.0, float("nan")])), "finite and at least 0"),
    (
        lambda: mo.GraphSignal(torch.ones(4, 2), symmetric_adjacency(LINE, 3)),
        "of 4 nodes, but the adjacency",
    ),
    (lambda: mo.GraphSignal([1.0], symmetric_adjacency(LINE, 3)), "but got list"),
    (lambda: mo.GraphSignal.from_data(geometric.data.Data(edge_index=LINE, num_nodes=3)), "without features; set x"),
    (lambda: mo.GraphSignal.from_data(geometric.data.Data(x=X)), r"no edge_index; give one, \(2, 0\)"),
    (
        lambda: known_labels(torch.tensor([0, 5]), torch.tensor([1]), 3),
        "label is 5, but the 3 classes are 0 to 2",
    ),
    (lambda: SparseMatrix(LINE[0], LINE[1], torch.ones(3), (3, 3)), "one int64 row for each value"),
    (lambda: SparseMatrix(LINE[0], LINE[1], torch.ones(2), (3, 2)), "has no column 2"),
    (lambda: SparseMatrix(LINE[0], LINE[1], torch.ones(2).long(), (3, 3)), "must be floating"),
    (lambda: SparseMatrix(LINE[0], LINE[1], torch.ones(2) / 0, (3, 3)), "NaN or infinite"),
    (lambda: symmetric_adjacency(LINE, 3) @ torch.ones(2, 2), "does not fit"),
    (lambda: symmetric_adjacency(LINE, 3) @ [1.0], "does not fit"),  # type: ignore[operator]
    (lambda: symmetric_adjacency(LINE, 3) @ torch.ones(3, 2).long(), "multiplies floating tensors"),
    (lambda: symmetric_adjacency([[0], [1]], 3), r"edge_index must be a tensor, but got \[\[0\], \[1\]\]"),
    (lambda: symmetric_adjacency(LINE, 2.5), "nodes must be a whole number of at least 0, but got 2.5"),
    (lambda: symmetric_adjacency(LINE, -1), "nodes must be a whole number of at least 0, but got -1"),
    (lambda: symmetric_adjacency(LINE, 3, [1.0, 2.0]), "weight of the edges must be a tensor"),
    (lambda: symmetric_adjacency(LINE, 3, torch.ones(2).long()), "floating, not"),
    (lambda: symmetric_adjacency(LINE, 3, None, float("nan")), "self_loops must be a finite number, at least 0"),
    (lambda: symmetric_adjacency(LINE, 3, None, -1.0), "self_loops must be a finite number, at least 0"),
    (lambda: mo.GraphSignal(X, torch.eye(3)), "The adjacency must be a SparseMatrix"),
    (lambda: mo.GraphSignal(X, symmetric_adjacency(LINE, 3), 0.5), "seed of a graph signal must be a whole number"),
    (lambda: mo.GraphSignal(X.to_sparse(), symmetric_adjacency(LINE, 3)), "features are a sparse tensor"),
    (lambda: mo.GraphSignal.from_data(SimpleNamespace(x=X * 1j, edge_index=LINE)), "real numbers, but x is"),
    (lambda: mo.GraphSignal.from_data(SimpleNamespace(x=(X * 1j).to_sparse(), edge_index=LINE)), "are real numbers"),
    (lambda: mo.GraphSignal.from_data(None), "NoneType has nodes without features"),
    (lambda: known_labels([0, 1], torch.tensor([1])), "labels of known_labels must be a tensor of whole numbers"),
    (lambda: known_labels(torch.tensor([0, 1]), torch.tensor([1.0])), "a mask or indices of nodes"),
    (lambda: SparseMatrix([0], [1], [1.0], (3, 3)), "rows of a sparse matrix must be a tensor"),
    (
        lambda: SparseMatrix(LINE[0], LINE[1], torch.ones(2), (3, -3)),
        "A side of a sparse matrix must be a whole number",
    ),
    (lambda: SparseMatrix.from_dense(torch.eye(2).to_sparse()), "The matrix must be"),
]


@pytest.mark.parametrize(("build", "sentence"), BAD, ids=range(len(BAD)))
def test_bad_input_is_named(build: Any, sentence: str) -> None:
    with pytest.raises(mo.MetaoptError, match=sentence):
        build()


GRAPHS = {
    "undirected": [[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]],
    "directed": [[0, 1, 2, 3], [1, 2, 3, 4]],
    "self-loops": [[0, 0, 1, 2], [0, 1, 2, 1]],
    "the same edge thrice": [[0, 0, 0, 1, 1], [1, 1, 1, 0, 2]],
    "isolated nodes": [[0], [1]],
    "no edge": [[], []],
}


def dense_adjacency(edges: Tensor, weight: Tensor, nodes: int) -> Tensor:
    """``D^-1/2 A D^-1/2`` entry by entry, as arXiv:1609.02907 writes it, with a self-loop of 1 where there is none."""
    matrix = torch.zeros(nodes, nodes, dtype=torch.float64)
    for source, target, value in zip(*edges.tolist(), weight.double().tolist(), strict=True):
        matrix[target, source] += value
    matrix += torch.diag((matrix.diagonal() == 0).double())
    scale = matrix.sum(1).rsqrt()
    return scale[:, None] * matrix * scale


@pytest.mark.parametrize("name", GRAPHS)
def test_networks_on_graphs_are_their_formulas_with_dense_matrices_to_rounding(name: str) -> None:
    edges = torch.tensor(GRAPHS[name], dtype=torch.int64).reshape(2, -1)
    weight, x = normal(1, edges.shape[1]).abs().float() + 0.1, normal(2, 6, 3)  # of lower precision than x
    a, signal = dense_adjacency(edges, weight, 6), mo.problems.GraphSignal.from_edges(x, edges, weight)
    with drawing_from(0):
        gcn, appnp = mo.models.gcn(3, 4, hidden=5).double().eval(), mo.models.appnp(3, 4, hidden=5).double().eval()
    keys = ("encode.module.weights.0", "mix.module.biases.0", "decode.module.weight", "decode.module.bias")
    first, first_bias, last, last_bias = (gcn.state_dict()[f"algorithm.{key}"] for key in keys)
    expected = a @ torch.relu(a @ x @ first + first_bias) @ last.T + last_bias
    tensors_close(gcn(signal).final, expected, 1e-12)
    start = appnp.algorithm.encode(0)(x)
    spread = start
    for _ in range(10):
        spread = 0.9 * a @ spread + 0.1 * start
    tensors_close(appnp(signal).final, spread, 1e-12)


@pytest.mark.parametrize(("dtype", "large"), [(torch.float32, 3e38), (torch.bfloat16, 3e38), (torch.float64, 1e308)])
def test_weights_whose_sum_would_be_infinite_are_normalised_as_any_others(dtype: torch.dtype, large: float) -> None:
    edges = torch.tensor([[0, 1, 1, 2, 2, 0], [1, 0, 2, 1, 0, 2]])
    share = torch.tensor([1, 1, 0.5, 0.5, 0.25, 0.25])
    found = symmetric_adjacency(edges, 3, (large * share.double()).to(dtype), self_loops=0).to_dense()
    assert torch.allclose(found.double(), symmetric_adjacency(edges, 3, share.double(), 0).to_dense(), atol=5e-3)
    rows = averaging_adjacency(edges, 3, (large * share.double()).to(dtype)).to_dense().sum(1)
    assert torch.allclose(rows, torch.ones_like(rows))


def test_weights_near_the_least_of_their_precision_still_average() -> None:
    matrix = averaging_adjacency(LINE, 3, torch.tensor([1e-42, 1.0]), self_loops=0)
    assert torch.equal(matrix.to_dense().sum(1), torch.tensor([0.0, 1, 1]))


def test_an_adjacency_that_the_precision_of_the_features_does_not_hold_is_refused() -> None:
    matrix = SparseMatrix(LINE[1], LINE[0], torch.tensor([1.0, 1e6]), (3, 3))
    assert mo.problems.GraphSignal(torch.ones(3, 1), matrix).weight.max() == 1e6
    with pytest.raises(mo.MetaoptError, match=r"reaches 1e\+06, which the torch\.float16 of the features"):
        mo.problems.GraphSignal(torch.ones(3, 1).half(), matrix)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"x": [[1.0]] * 3}, "are a tensor .nodes, features., not a list"),
        ({"x": torch.ones(3, 2).numpy()}, "not a ndarray"),
        ({"x": torch.tensor(1.0)}, r"not \(\) float32"),
        ({"x": torch.ones(3, 2, 2)}, r"not \(3, 2, 2\) float32"),
        ({"x": torch.ones(3).to_sparse()}, r"not \(3,\) float32"),
        ({"x": torch.ones(3, 2, 2).to_sparse()}, r"not \(3, 2, 2\) float32"),
        ({"edge_index": None, "adj_t": torch.eye(2).to_sparse()}, r"adj_t is \(2, 2\), but of 3 nodes it is \(3, 3\)"),
        ({"edge_index": None, "adj_t": torch.ones(3, 2)}, r"adj_t is \(3, 2\), but of 3 nodes"),
        ({"edge_index": None, "adj_t": torch.ones(3)}, r"adj_t is \(3,\), but of 3 nodes"),
    ],
)
def test_data_of_no_graph_is_a_sentence(entries: dict[str, Any], words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        mo.problems.GraphSignal.from_data(SimpleNamespace(**{"x": torch.ones(3, 1), "edge_index": LINE, **entries}))


def test_an_edge_attr_that_is_one_number_is_left_out_with_a_warning() -> None:
    data = SimpleNamespace(x=torch.ones(3, 1), edge_index=LINE, edge_attr=torch.tensor(1.0))
    with pytest.warns(mo.MetaoptWarning, match="is left out"):
        found = mo.problems.GraphSignal.from_data(data)
    assert torch.equal(found.weight, mo.problems.GraphSignal.from_edges(data.x, LINE).weight)
