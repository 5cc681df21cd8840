"""Signals on the nodes of a graph, and the normalised adjacency that carries them along its edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..arguments.checks import check_count, check_instance, check_number, check_tensor, check_whole, said
from ..core import MetaoptError, random, tree
from ..core.errors import warn
from ..foundation.extras import require
from ..operators.sparse import SparseMatrix

LARGE = 2.0**64  # weights above it are divided by the largest
Normalize = Callable[..., SparseMatrix]
PLACES = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # odd multipliers of splitmix64


def symmetric_adjacency(
    edge_index: Tensor, nodes: int, weight: Tensor | None = None, self_loops: float = 1.0
) -> SparseMatrix:
    """Return ``D^-1/2 A D^-1/2``, whose eigenvalues lie in [-1, 1]; D is the diagonal of the row sums of A.

    ``A[target, source] = weight`` for each column (source, target) of ``edge_index``. A node whose row sum is 0 sends
    and receives nothing. It is torch_geometric's ``gcn_norm``.

    Args:
        edge_index: (2, E) int64, sources and targets.
        nodes: The number of nodes.
        weight: (E,), at least 0; by default 1 for every edge, in float64, which a :class:`GraphSignal` converts to the
            precision of its features.
        self_loops: The weight of the self-loop that every node without one gets; with 0 it gets none. A self-loop among
            the edges keeps its own weight, and of several at one node the last one counts.

    Returns:
        The matrix, (nodes, nodes).

    Raises:
        MetaoptError: The edges name a node that does not exist, or the weights do not fit, are negative or are not
            finite.

    Source:
        Kipf and Welling, 2016, arXiv:1609.02907.
    """
    matrix = _adjacency(edge_index, nodes, weight, self_loops)
    degree = _row_sums(matrix)
    factor = torch.where(degree > 0, degree, 1).rsqrt() * (degree > 0)
    return matrix.with_values(factor[matrix.rows] * matrix.values * factor[matrix.columns])


def averaging_adjacency(
    edge_index: Tensor, nodes: int, weight: Tensor | None = None, self_loops: float = 1.0
) -> SparseMatrix:
    """Return ``D^-1 A``, by which every node receives the weighted mean of its neighbours.

    D is the diagonal of the row sums of A; arguments, result and errors are those of :func:`symmetric_adjacency`.
    """
    matrix = _adjacency(edge_index, nodes, weight, self_loops)
    degree = _row_sums(matrix)
    return matrix.with_values(matrix.values / torch.where(degree > 0, degree, 1)[matrix.rows])


@dataclass(frozen=True, eq=False)
class GraphSignal:
    """A graph signal holds features x of every node and the adjacency A along which they spread.

    Args:
        x: (nodes, features), floating; or the same as a :class:`SparseMatrix` where most entries are 0 (see
            :meth:`sparse`).
        adjacency: (nodes, nodes), normalised: :func:`symmetric_adjacency`, :func:`averaging_adjacency` or any other.
        seed: What dropout draws its masks from, together with the step; with ``None``, the default, nothing is dropped.

    Raises:
        MetaoptError: There is no node, features are not finite, or the adjacency does not fit.
    """

    x: Any
    adjacency: SparseMatrix
    seed: int | None = None

    to = tree.to

    def __post_init__(self) -> None:
        _check_features(self.x)
        nodes = self.x.shape[0]
        check_instance("The adjacency", self.adjacency, SparseMatrix, "symmetric_adjacency makes one")
        if self.seed is not None:
            check_whole("The seed of a graph signal", self.seed)
        if tuple(self.adjacency.shape) != (nodes, nodes):
            raise MetaoptError(
                f"The features are of {nodes} nodes, but the adjacency is of shape {tuple(self.adjacency.shape)}."
            )
        values = self.adjacency.values.to(_dtype_of(self.x))
        if not bool(torch.isfinite(values).all()):
            raise MetaoptError(
                f"The adjacency reaches {float(self.adjacency.values.abs().max()):g}, which the {values.dtype} of the "
                "features does not hold; normalise it, or give features of higher precision."
            )
        object.__setattr__(self, "adjacency", self.adjacency.with_values(values))

    @staticmethod
    def from_edges(
        x: Tensor, edge_index: Tensor, weight: Tensor | None = None, normalize: Normalize = symmetric_adjacency
    ) -> GraphSignal:
        """Make a signal of features (nodes, F) and edges (2, E) from row 0 to row 1.

        Args:
            x: The features.
            edge_index: The edges.
            weight: (E,), the weights of the edges; by default 1.
            normalize: A function of (edge_index, nodes, weight) that gives the adjacency;
                ``partial(symmetric_adjacency, self_loops=0)``, for example, leaves out self-loops.
        """
        _check_features(x)
        if isinstance(weight, Tensor) and weight.is_floating_point() and weight.dtype.itemsize > 1:
            weight = weight.to(torch.promote_types(weight.dtype, _dtype_of(x)))  # normalised as precisely as used
        return GraphSignal(x, normalize(edge_index, x.shape[0], weight))

    @staticmethod
    def from_data(data: Any, normalize: Normalize = symmetric_adjacency) -> GraphSignal:
        """Make a signal of a torch_geometric ``Data``, or of a ``Batch``, whose graphs do not see each other.

        It reads ``x`` (whole numbers become floating, sparse features a :class:`SparseMatrix`), ``edge_index`` or
        ``adj_t`` and the weights of the edges: ``edge_weight``, or else a floating ``edge_attr`` of one column, where
        transforms such as ``GDC`` write them. Any other ``edge_attr`` is left out, with a warning.

        Raises:
            MetaoptError: ``x`` is missing, or both ``edge_index`` and ``adj_t`` are.
        """
        if getattr(data, "x", None) is None:
            raise MetaoptError(
                f"This {type(data).__name__} has nodes without features; set x, for example to torch.ones(nodes, 1)."
            )
        return GraphSignal.from_edges(_features_of(data.x), *_edges_of(data), normalize)

    def to_data(self, x: Tensor | None = None) -> Any:
        """Convert to a torch_geometric ``Data`` with ``x`` (by default these features) and the weighted edges."""
        Data = require("torch_geometric.data", "graphs").Data

        features = self.x if x is None else x
        dense = features.to_dense() if isinstance(features, SparseMatrix) else features
        return Data(x=dense, edge_index=torch.stack([self.source, self.target]), edge_weight=self.weight)

    @property
    def source(self) -> Tensor:
        """Return the source of each edge, (E,)."""
        return self.adjacency.columns

    @property
    def target(self) -> Tensor:
        """Return the target of each edge, (E,), sorted."""
        return self.adjacency.rows

    @property
    def weight(self) -> Tensor:
        """Return the weight of each edge after normalisation, (E,)."""
        return self.adjacency.values

    def with_x(self, x: Any) -> GraphSignal:
        """Return a signal with other features on the same graph."""
        return GraphSignal(x, self.adjacency, self.seed)

    def with_seed(self, seed: int | None) -> GraphSignal:
        """Return the same signal with other dropout masks, for example one seed per epoch, without further checks."""
        return tree.replace(self, {"seed": seed})

    def sparse(self) -> GraphSignal:
        """Return the same signal with its features as a :class:`SparseMatrix`, which pays where few of them are not 0.

        What reads the features must compute ``x @ weight``, as :class:`~metaopt.networks.NodeEncoder` does.
        """
        return self if isinstance(self.x, SparseMatrix) else tree.replace(self, {"x": SparseMatrix.from_dense(self.x)})

    def drop(self, values: Any, rate: float, place: int, k: int) -> Any:
        """Apply dropout: 0 with probability ``rate``, else ``values / (1 - rate)``; without a seed nothing is dropped.

        The mask is a function of the seed, ``place`` and k.

        Args:
            values: A tensor or a :class:`SparseMatrix`.
            rate: The probability, in [0, 1).
            place: A number that differs for each use in a step.
            k: The number of the step.
        """
        if self.seed is None or not rate:
            return values
        if isinstance(values, SparseMatrix):
            return values.with_values(self.drop(values.values, rate, place, k))
        generator = random.generator(self.seed, place, k, device=values.device)
        # Uniform numbers, which a CPU draws several times faster than bernoulli_, in one precision for all.
        noise = torch.rand(values.shape, generator=generator, device=values.device, dtype=torch.float32)
        kept = noise.lt_(1 - rate).to(values.dtype)
        if values.requires_grad:
            return values * kept.div_(1 - rate)
        return kept.mul_(values).div_(1 - rate)  # in place: dense features are the largest tensor there is


def _dtype_of(x: Any) -> torch.dtype:
    return x.values.dtype if isinstance(x, SparseMatrix) else x.dtype


def _features_of(x: Any) -> Any:
    if not isinstance(x, Tensor) or not 1 <= x.ndim <= 2 or (x.layout != torch.strided and x.ndim < 2):
        what = tree.describe(x) if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise MetaoptError(f"The features x of a graph are a tensor (nodes, features), not {what}.")
    if x.is_complex():
        raise MetaoptError(
            f"Features of a graph signal are real numbers, but x is {tree.describe(x)}; give real and imaginary parts "
            "as features of their own, torch.cat([x.real, x.imag], 1)."
        )
    x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
    if x.layout != torch.strided:
        entries = x.to_sparse_coo().coalesce()
        rows, columns = entries.indices()
        return SparseMatrix(rows, columns, entries.values(), (x.shape[0], x.shape[1]))
    return x if x.ndim > 1 else x[:, None]


def _edges_of(data: Any) -> tuple[Tensor, Tensor | None]:
    """edge_index and weights; ``adj_t`` is torch_geometric's transposed adjacency, (target, source)."""
    if getattr(data, "edge_index", None) is not None:
        return data.edge_index, _weights_of(data)
    adjacency = getattr(data, "adj_t", None)
    if not isinstance(adjacency, Tensor):
        raise MetaoptError(f"This {type(data).__name__} has no edge_index; give one, (2, 0) for no edge at all.")
    nodes = data.x.shape[0]
    if tuple(adjacency.shape) != (nodes, nodes):
        raise MetaoptError(f"adj_t is {tuple(adjacency.shape)}, but of {nodes} nodes it is ({nodes}, {nodes}).")
    entries = adjacency.to_sparse_coo().coalesce()
    return entries.indices().flip(0), entries.values()


def _weights_of(data: Any) -> Any:
    weight, features = (getattr(data, name, None) for name in ("edge_weight", "edge_attr"))
    if weight is not None or features is None:
        return weight
    if isinstance(features, Tensor) and features.is_floating_point() and features.ndim and features[:1].numel() <= 1:
        return features.reshape(-1)
    what = tree.describe(features) if isinstance(features, Tensor) else type(features).__name__
    warn(
        f"The edge_attr {what} of this {type(data).__name__} is left out, since only one floating number for each edge "
        "is a weight: set edge_weight for weighted edges, or edge_attr = None."
    )
    return None


def known_labels(labels: Tensor, known: Tensor, classes: int | None = None) -> Tensor:
    """Encode known labels (nodes,) as one-hot rows (nodes, classes), with zeros for the other nodes.

    Args:
        labels: (nodes,) int64.
        known: Which labels are known, a mask or indices.
        classes: The number of classes, by default one more than the largest label.

    Raises:
        MetaoptError: A known label is no class.
    """
    check_tensor("The labels of known_labels", labels, "whole", "(nodes,)")
    check_tensor("What is known", known, "any", "(n,)")
    if known.is_floating_point() or known.is_complex():
        raise MetaoptError(f"What is known must be a mask or indices of nodes, but got {tree.describe(known)}.")
    most = int(labels.max()) + 1 if len(labels) else 0
    count = most if classes is None else check_count("The number of classes", classes)
    mask = known.dtype == torch.bool
    if len(known) != len(labels) if mask else len(known) and int(known.abs().max()) >= len(labels):
        raise MetaoptError(f"What is known of {len(labels)} nodes is a mask or indices of them, not {said(known)}.")
    of_known = labels[known]
    outside = of_known[(of_known < 0) | (of_known >= count)]
    if len(outside):
        raise MetaoptError(f"A known label is {int(outside[0])}, but the {count} classes are 0 to {count - 1}.")
    rows = torch.zeros(len(labels), count, device=labels.device)
    rows[known] = torch.eye(count, device=labels.device)[of_known]
    return rows


def _check_features(x: Any) -> None:
    if isinstance(x, SparseMatrix):
        return
    if isinstance(x, Tensor) and x.layout != torch.strided:
        raise MetaoptError("These features are a sparse tensor; give a SparseMatrix, as GraphSignal.from_data does.")
    if not isinstance(x, Tensor) or x.ndim != 2 or not x.is_floating_point():
        what = tree.describe(x) if isinstance(x, Tensor) else type(x).__name__
        raise MetaoptError(f"A graph signal needs floating features (nodes, features), but got {what}.")
    check_tensor("The features of a graph signal", x)
    if not x.shape[0]:
        raise MetaoptError(f"A graph signal needs at least one node, but its features are {tree.describe(x)}.")
    if not bool(torch.isfinite(x).all()):
        raise MetaoptError(
            f"The features hold {int((~torch.isfinite(x)).sum())} values that are NaN or infinite; they would spread "
            "to every node that can be reached; replace them first."
        )


def _check_edges(edge_index: Any, nodes: int, weight: Any) -> None:
    check_count("The number of nodes", nodes, 0)
    check_tensor("edge_index", edge_index, "any")
    if edge_index.ndim != 2 or len(edge_index) != 2 or edge_index.dtype != torch.int64:
        raise MetaoptError(f"Edges are given as edge_index (2, E) int64, but got {tree.describe(edge_index)}.")
    outside = edge_index[(edge_index < 0) | (edge_index >= nodes)]
    if len(outside):
        raise MetaoptError(f"edge_index names node {int(outside[0])}, but the nodes are 0 to {nodes - 1}.")
    if weight is None:
        return
    check_tensor("The weight of the edges", weight, "any")
    if weight.shape != edge_index.shape[1:] or not weight.is_floating_point():
        raise MetaoptError(
            f"There are {edge_index.shape[1]} edges, so their weights must be ({edge_index.shape[1]},) floating, not "
            f"{tree.describe(weight)}."
        )
    if not bool((torch.isfinite(weight) & (weight >= 0)).all()):
        raise MetaoptError("Edge weights must be finite and at least 0, or row sums cannot normalise them.")


def _adjacency(edge_index: Tensor, nodes: int, weight: Tensor | None, self_loops: float) -> SparseMatrix:
    """A[target, source], every node with one self-loop of its own or of weight ``self_loops`` unless that is 0."""
    _check_edges(edge_index, nodes, weight)
    check_number("The weight self_loops", self_loops, 0)
    source, target = edge_index
    if weight is None:
        weight = torch.ones(len(source), dtype=torch.float64, device=source.device)
    elif weight.dtype.itemsize < 4:
        weight = weight.float()  # a degree above 256 is no whole number in bfloat16
    if len(weight) and (largest := float(weight.detach().max())) > LARGE:  # their sum could be infinite
        weight, self_loops = weight / largest, self_loops / largest  # normalised, it is the same
    if self_loops:
        loop, everyone = source == target, torch.arange(nodes, device=source.device)
        own = weight.new_full((nodes,), self_loops).index_put((source[loop],), weight[loop])
        source, target = torch.cat([source[~loop], everyone]), torch.cat([target[~loop], everyone])
        weight = torch.cat([weight[~loop], own])
    return SparseMatrix(target, source, weight, (nodes, nodes))


def _row_sums(matrix: SparseMatrix) -> Tensor:
    return matrix.values.new_zeros(matrix.shape[0]).index_add(0, matrix.rows, matrix.values)
