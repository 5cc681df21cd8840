"""Propagation: what nodes know spreads along the edges of a graph, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..core import Algorithm, MetaoptError, slot
from ..core.errors import require
from ..operators import SparseMatrix
from ..problems import GraphSignal

EDGES, STATE = 0, 1  # the places of dropout; encoders count theirs from 2


class PropagationState(NamedTuple):
    """``h``: what every node knows, (nodes, width); ``anchor``: what it knew first, kept only under a teleport."""

    h: Tensor
    anchor: Any


class Propagation(Algorithm[GraphSignal, PropagationState, Tensor]):
    """H <- activation( (1 - teleport) mix(A H) + teleport H_0 + inject(x) ), from H_0 = encode(x); gives decode(H).

    A is the problem's normalised adjacency. With every place classical it is label propagation (Zhou et al., NIPS
    2003) and personalised PageRank (teleport in (0, 1]), whose limit is teleport (I - (1 - teleport) A)^-1 H_0. Filled
    with networks it is GCN (arXiv:1609.02907), SGC (arXiv:1902.07153), APPNP (arXiv:1810.05997) and, run to its fixed
    point, an implicit GNN (arXiv:2009.06211). A GCN's first weights belong into ``encode`` and its last into
    ``decode``, so that all steps have one width: A (H W) = (A H) W.

    With ``inject``, x enters every step anew and the state is H alone: this is the form for :class:`Implicit`. A
    teleport remembers H_0 in the state instead, which costs ``encode`` once.

    Args:
        encode: x -> (nodes, width); called as ``encode.from_signal(problem)`` if it has that verb.
        decode: what a caller sees of H.
        teleport: share of H_0 in every step; ``None`` (default): none, and no slot.
        mix: h -> like h, what a step does to the sum over the neighbours, by default nothing.
        inject: as ``encode``; ``None`` (default): x enters by ``encode`` alone.
        activation: by default the identity.
        dropout: of H before every step but the first, while training and where the problem has a seed.
        edge_dropout: of the entries of A, in every step anew, under the same conditions. A step that drops differs from
            the others, so that neither dropout fits :class:`Implicit`.

    Slots: ``encode``, ``decode``, ``mix``, ``activation`` (modules), and ``teleport`` and ``inject`` where given.

    Raises: MetaoptError for a rate outside of [0, 1), a start of another shape, or a strategy that would lose the
    gradient of H_0.
    """

    def __init__(
        self,
        encode: nn.Module,
        decode: nn.Module,
        teleport: Any = None,
        mix: nn.Module | None = None,
        inject: nn.Module | None = None,
        activation: nn.Module | None = None,
        dropout: float = 0.0,
        edge_dropout: float = 0.0,
    ):
        super().__init__()
        for name, rate in (("dropout", dropout), ("edge_dropout", edge_dropout)):
            if not 0 <= rate < 1:
                raise MetaoptError(f"A rate of {name} lies in [0, 1), but got {rate}.")
        self.encode, self.decode = slot(encode), slot(decode)
        self.teleport = None if teleport is None else slot(teleport)
        self.mix = slot(nn.Identity() if mix is None else mix)
        self.inject = None if inject is None else slot(inject)
        self.activation = slot(nn.Identity() if activation is None else activation)
        self.dropout, self.edge_dropout = dropout, edge_dropout

    def init(self, problem: GraphSignal) -> PropagationState:
        check_read_once(self, "encode")
        h = _read(self.encode(0), self._seen(problem))
        if h.ndim != 2 or len(h) != problem.x.shape[0]:
            raise MetaoptError(f"encode must give {problem.x.shape[0]} nodes a row each, but gave {tuple(h.shape)}.")
        return PropagationState(h, () if self.teleport is None else h)

    def step(self, problem: GraphSignal, state: PropagationState, k: int) -> PropagationState:
        seen = self._seen(problem)
        h = seen.drop(state.h, self.dropout, STATE, k) if k else state.h
        h = self.mix(k)(seen.drop(seen.adjacency, self.edge_dropout, EDGES, k) @ h)
        if self.teleport is not None:
            self._check_anchor(problem, state.anchor)
            share = self.teleport(k)
            h = (1 - share) * h + share * state.anchor
        if self.inject is not None:
            h = h + _read(self.inject(k), seen)
        return PropagationState(self.activation(k)(h), state.anchor)

    def readout(self, problem: GraphSignal, state: PropagationState, k: int) -> Tensor:
        return self.decode(k)(state.h)

    def samples(self, problem: GraphSignal, state: PropagationState) -> int:
        """1: the nodes of a graph are no samples, and it settles as one whole."""
        return 1

    def _seen(self, problem: GraphSignal) -> GraphSignal:
        """The problem as this mode sees it: outside of training nothing is dropped."""
        return problem if self.training else problem.with_seed(None)

    def _check_anchor(self, problem: GraphSignal, anchor: Tensor) -> None:
        features = problem.x.values if isinstance(problem.x, SparseMatrix) else problem.x
        learned = features.requires_grad or any(p.requires_grad for p in self.encode.parameters())
        if torch.is_grad_enabled() and learned and not anchor.requires_grad:
            raise MetaoptError(
                "A teleport keeps encode(x) in the state, and this state was cut off from the graph (by Implicit, "
                "Truncated or detach), so encode would silently get no gradient; give x by inject=... in the place of "
                "teleport=..., or use Backprop()."
            )


def _read(module: Any, problem: GraphSignal) -> Tensor:
    """What an encoder makes of the features, dense."""
    if hasattr(module, "from_signal"):
        return module.from_signal(problem)
    try:
        h = module(problem.x)
    except TypeError as error:
        if not isinstance(problem.x, SparseMatrix):
            raise
        raise MetaoptError(
            "These features are sparse, which this encoder cannot read; use models.NodeEncoder, or dense features."
        ) from error
    return h.to_dense() if isinstance(h, SparseMatrix) else h


def check_read_once(algorithm: Algorithm[Any, Any, Any], name: str) -> None:
    """Raise where a slot that is read before the first step, and never again, holds one value a step."""
    if getattr(algorithm, name).steps is not None:
        raise MetaoptError(
            f"{type(algorithm).__name__} reads its slot '{name}' once, before the first step, so all values but one of "
            "per_step(...) would never be read; use shared(...)."
        )


def personalized_pagerank(teleport: Any = 0.1) -> Propagation:
    """H <- (1 - teleport) A H + teleport x, classical: no network anywhere (Page et al., 1999)."""
    return Propagation(nn.Identity(), nn.Identity(), teleport=teleport)


def label_propagation(spread: float = 0.9) -> Propagation:
    """H <- clip(spread A H + (1 - spread) x, 0, 1), where x holds the known labels (Zhou et al., NIPS 2003).

    x comes from :func:`known_labels`; as torch_geometric's ``LabelPropagation``.
    """
    return Propagation(nn.Identity(), nn.Identity(), teleport=1 - spread, activation=nn.Hardtanh(0.0, 1.0))


class ChebyshevState(NamedTuple):
    """T_k(A) x and T_{k-1}(A) x, and the weighted sum so far, (nodes, features) each."""

    term: Tensor
    before: Tensor
    total: Tensor


class ChebyshevFilter(Algorithm[GraphSignal, ChebyshevState, Tensor]):
    """sum_k c_k T_k(A) x by T_{k+1} = 2 A T_k - T_{k-1}: any function of A, at one product with A a step.

    T_k are Chebyshev's polynomials; A must have its eigenvalues in [-1, 1], as :func:`symmetric_adjacency` of an
    undirected graph has. Hammond et al., doi:10.1016/j.acha.2010.04.005; learned coefficients give ChebNet's filters
    (Defferrard et al., arXiv:1606.09375).

    Args:
        coefficients: c_0, c_1, ..., c_T for T steps.

    Slots: ``first`` (c_0) and ``coefficient`` (c_{k+1} at step k).
    """

    def __init__(self, coefficients: Sequence[float]):
        super().__init__()
        if len(coefficients) < 2:
            raise MetaoptError(f"A Chebyshev filter needs at least two coefficients, but got {len(coefficients)}.")
        self.first = slot(float(coefficients[0]))
        self.coefficient = slot([float(c) for c in coefficients[1:]])

    def init(self, problem: GraphSignal) -> ChebyshevState:
        check_read_once(self, "first")
        x = problem.x.to_dense() if isinstance(problem.x, SparseMatrix) else problem.x
        return ChebyshevState(x, torch.zeros_like(x), self.first(0) * x)

    def step(self, problem: GraphSignal, state: ChebyshevState, k: int) -> ChebyshevState:
        spread = problem.adjacency @ state.term
        term = 2 * spread - state.before if k else spread
        return ChebyshevState(term, state.term, state.total + self.coefficient(k) * term)

    def readout(self, problem: GraphSignal, state: ChebyshevState, k: int) -> Tensor:
        return state.total

    def samples(self, problem: GraphSignal, state: ChebyshevState) -> int:
        """1: the nodes of a graph are no samples, and it settles as one whole."""
        return 1


def heat_kernel(time: float, steps: int) -> ChebyshevFilter:
    """exp(-time (I - A)) x: heat that has flowed along the edges for ``time``, by its Chebyshev series.

    c_k = (2 - [k = 0]) exp(-time) I_k(time) with I_k the modified Bessel functions; the error falls faster than
    geometrically once ``steps`` exceeds ``time``.
    """
    ive = require("scipy.special", "graphs").ive

    if not time >= 0 or steps < 1:
        raise MetaoptError(f"Heat flows for a time of at least 0, in at least one step, not for {time} in {steps}.")
    return ChebyshevFilter([(2 - (k == 0)) * float(ive(k, time)) for k in range(steps + 1)])
