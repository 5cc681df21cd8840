"""Propagate features along the edges of a graph, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..arguments.checks import check_instance
from ..arguments.contracts import Count, ModuleSlot, NotNegative, NumberSlot, Rate, Share, checked, within
from ..core import Algorithm, MetaoptError, slot
from ..foundation.extras import require
from ..operators import SparseMatrix
from ..problems import GraphSignal

EDGES, STATE = 0, 1  # numbers of the streams of dropout; encoders number theirs from 2


class PropagationState(NamedTuple):
    """Hold the features ``h`` (nodes, width), and their first value ``anchor``, kept only with a teleport."""

    h: Tensor
    anchor: Any


@checked
class Propagation(Algorithm[GraphSignal, PropagationState, Tensor]):
    """Iterate ``H <- activation((1 - teleport) mix(A H) + teleport H_0 + inject(x))`` from H_0 = encode(x).

    The readout is decode(H). A is the problem's normalised adjacency. With classical content in every slot this is
    label propagation (Zhou et al., NIPS 2003) or personalised PageRank (teleport in (0, 1]), whose limit is ``teleport
    (I - (1 - teleport) A)^-1 H_0``. With networks it is GCN (arXiv:1609.02907), SGC (arXiv:1902.07153), APPNP
    (arXiv:1810.05997) and, iterated to its fixed point, an implicit GNN (arXiv:2009.06211). The first weights of a GCN
    belong into ``encode`` and the last into ``decode``, so that all steps have one width: A (H W) = (A H) W.

    With ``inject``, x enters in every step and the state is H alone, which suits :class:`~metaopt.Implicit`. A teleport
    keeps H_0 in the state instead, so that ``encode`` runs once.

    Args:
        encode: Module from x to (nodes, width). If it has a method ``from_signal``, that is called with the problem.
        decode: Module from H to the readout.
        teleport: Share of H_0 in every step. None: no teleport, and no slot.
        mix: Module applied to A H. None: the identity.
        inject: Module like ``encode``. None: x enters by ``encode`` alone, and there is no slot.
        activation: Module applied at the end of a step. None: the identity.
        dropout: Dropout rate for H before every step but the first, in training mode and where the problem has a seed.
        edge_dropout: Dropout rate for the entries of A, drawn anew in every step, under the same conditions. Steps that
            drop entries differ from each other, so :class:`~metaopt.Implicit` needs both rates to be 0.

    Slots:
        encode: Gives H_0, once before the first step.
        decode: Gives the readout.
        mix: Changes A H in every step.
        activation: Ends every step.
        teleport: The share of H_0, where it is given.
        inject: Adds x in every step, where it is given.

    Raises:
        MetaoptError: A rate is not in [0, 1), ``encode`` gives another shape, or the gradient strategy would lose the
            gradient of H_0.
    """

    def __init__(
        self,
        encode: ModuleSlot,
        decode: ModuleSlot,
        teleport: NumberSlot | None = None,
        mix: ModuleSlot | None = None,
        inject: ModuleSlot | None = None,
        activation: ModuleSlot | None = None,
        dropout: Rate = 0.0,
        edge_dropout: Rate = 0.0,
    ):
        super().__init__()
        self.encode, self.decode = slot(encode), slot(decode)
        self.teleport = None if teleport is None else slot(teleport, within("teleport", 0, 1))
        self.mix = slot(nn.Identity() if mix is None else mix)
        self.inject = None if inject is None else slot(inject)
        self.activation = slot(nn.Identity() if activation is None else activation)
        self.dropout, self.edge_dropout = dropout, edge_dropout

    def init(self, problem: GraphSignal) -> PropagationState:
        check_instance("The problem of Propagation", problem, GraphSignal)
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
        """Return 1, since the nodes of a graph converge as a whole."""
        return 1

    def _seen(self, problem: GraphSignal) -> GraphSignal:
        """Return the problem without its seed outside of training, when nothing is dropped."""
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
    """Return the dense output of an encoder for the features of the problem."""
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
    """Check that a slot that is read only before the first step does not hold one value per step.

    Args:
        algorithm: The algorithm.
        name: The name of the slot.

    Raises:
        MetaoptError: The slot holds one value per step.
    """
    if getattr(algorithm, name).steps is not None:
        raise MetaoptError(
            f"{type(algorithm).__name__} reads its slot '{name}' once, before the first step, so all values but one of "
            "per_step(...) would never be read; use shared(...)."
        )


def personalized_pagerank(teleport: Any = 0.1) -> Propagation:
    """Return personalised PageRank, ``H <- (1 - teleport) A H + teleport x`` (Page et al., 1999).

    Args:
        teleport: The teleport probability, or an opening of the slot.

    Returns:
        The algorithm, without any network.
    """
    return Propagation(nn.Identity(), nn.Identity(), teleport=teleport)


@checked
def label_propagation(spread: Share = 0.9) -> Propagation:
    """Return label propagation, ``H <- clip(spread A H + (1 - spread) x, 0, 1)`` (Zhou et al., NIPS 2003).

    It computes what ``LabelPropagation`` of torch_geometric does. The known labels x are those of
    :func:`~metaopt.problems.known_labels`.

    Args:
        spread: Weight of the neighbours, in [0, 1].

    Returns:
        The algorithm, without any network.
    """
    return Propagation(nn.Identity(), nn.Identity(), teleport=1 - spread, activation=nn.Hardtanh(0.0, 1.0))


class ChebyshevState(NamedTuple):
    """Hold the terms T_k(A) x and T_{k-1}(A) x, and the weighted sum so far, (nodes, features) each."""

    term: Tensor
    before: Tensor
    total: Tensor


@checked
class ChebyshevFilter(Algorithm[GraphSignal, ChebyshevState, Tensor]):
    """Apply a polynomial of A, ``sum_k c_k T_k(A) x``, by the recursion ``T_{k+1} = 2 A T_k - T_{k-1}``.

    It can approximate any function of A, at one product with A per step. T_k are the Chebyshev polynomials. The
    eigenvalues of A must be in [-1, 1], as those of :func:`~metaopt.problems.symmetric_adjacency` of an undirected
    graph are. With learned coefficients these are the filters of ChebNet (Defferrard et al., arXiv:1606.09375).

    Args:
        coefficients: c_0, c_1, ..., c_T for T steps.

    Slots:
        first: c_0.
        coefficient: c_{k+1} at step k.

    Raises:
        MetaoptError: There are fewer than two coefficients.

    Source:
        Hammond et al., doi:10.1016/j.acha.2010.04.005.
    """

    def __init__(self, coefficients: Sequence[float]):
        super().__init__()
        if len(coefficients) < 2:
            raise MetaoptError(f"A Chebyshev filter needs at least two coefficients, but got {len(coefficients)}.")
        self.first = slot(float(coefficients[0]))
        self.coefficient = slot([float(c) for c in coefficients[1:]])

    def init(self, problem: GraphSignal) -> ChebyshevState:
        check_instance("The problem of ChebyshevFilter", problem, GraphSignal)
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
        """Return 1, since the nodes of a graph converge as a whole."""
        return 1


@checked
def heat_kernel(time: NotNegative, steps: Count) -> ChebyshevFilter:
    """Return the heat kernel ``exp(-time (I - A)) x``, diffusion along the edges, by its Chebyshev series.

    The coefficients are ``c_k = (2 - [k = 0]) exp(-time) I_k(time)``, where I_k are the modified Bessel functions. The
    error falls faster than geometrically once ``steps`` exceeds ``time``.

    Args:
        time: The time of diffusion, at least 0.
        steps: The number of steps, at least 1.

    Returns:
        The algorithm.

    Raises:
        MetaoptError: The time is negative, there is no step, or scipy is not installed.
    """
    ive = require("scipy.special", "graphs").ive

    return ChebyshevFilter([(2 - (k == 0)) * float(ive(k, time)) for k in range(steps + 1)])
