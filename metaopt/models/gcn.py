"""Graph convolutional networks: label propagation with its places opened."""

from __future__ import annotations

from torch import Tensor, nn

from ..algorithms import Propagation
from ..algorithms.propagation import PropagationState
from ..core import Unrolled, unroll
from ..networks.graph_layers import Layers, NodeEncoder, Shift
from ..problems import GraphSignal
from ..records import recorded

Net = Unrolled[GraphSignal, PropagationState, Tensor]


@recorded
def gcn(features: int, classes: int, hidden: int = 16, layers: int = 2, dropout: float = 0.5) -> Net:
    """A relu(A ... relu(A X W_1 + b_1) ...) W_T + b_T (Kipf and Welling, arXiv:1609.02907), by one step a layer.

    W_1 is in ``encode``, W_T and b_T in ``decode``, the rest in ``mix``.
    """
    encode = NodeEncoder((features, hidden), bias=False, dropout=dropout)
    decode = nn.Linear(hidden, classes)
    nn.init.xavier_uniform_(decode.weight)
    nn.init.zeros_(decode.bias)
    return unroll(Propagation(encode, decode, mix=Layers(hidden, layers), dropout=dropout), steps=layers, keep="last")


@recorded
def sgc(features: int, classes: int, steps: int = 2) -> Net:
    """A^T X W + b (Wu et al., arXiv:1902.07153), a GCN without its nonlinearities: logistic regression on A^T X."""
    return unroll(Propagation(NodeEncoder((features, classes), bias=False), Shift(classes)), steps, keep="last")
