"""Build graph convolutional networks, which are label propagation with learned slots."""

from __future__ import annotations

from torch import Tensor, nn

from ..algorithms import Propagation
from ..algorithms.propagation import PropagationState
from ..arguments.contracts import Count, Natural, Rate, checked
from ..core import Unrolled, unroll
from ..networks.graph_layers import Layers, NodeEncoder, Shift
from ..problems import GraphSignal
from ..records import recorded

Net = Unrolled[GraphSignal, PropagationState, Tensor]


@recorded
@checked
def gcn(features: Count, classes: Count, hidden: Count = 16, layers: Count = 2, dropout: Rate = 0.5) -> Net:
    """Build a graph convolutional network, with one step per layer (Kipf and Welling, arXiv:1609.02907).

    It computes ``A relu(A ... relu(A X W_1 + b_1) ...) W_T + b_T``. W_1 is in slot ``encode``, W_T and b_T are in
    ``decode``, and the other weights and biases are in ``mix``.

    Args:
        features: Number of input features of a node.
        classes: Number of output classes.
        hidden: Width of the hidden layers.
        layers: Number T of layers, and so of steps.
        dropout: Dropout probability, before every layer.

    Returns:
        The network. It maps a :class:`~metaopt.problems.GraphSignal` to the scores of its nodes, (nodes, classes).
    """
    encode = NodeEncoder((features, hidden), bias=False, dropout=dropout)
    decode = nn.Linear(hidden, classes)
    nn.init.xavier_uniform_(decode.weight)
    nn.init.zeros_(decode.bias)
    return unroll(Propagation(encode, decode, mix=Layers(hidden, layers), dropout=dropout), steps=layers, keep="last")


@recorded
@checked
def sgc(features: Count, classes: Count, steps: Natural = 2) -> Net:
    """Build the simplified GCN ``A^T X W + b``, logistic regression on propagated features (arXiv:1902.07153).

    Here A^T is the T-th power of the adjacency matrix A, for T ``steps``. It is a GCN without its nonlinearities.

    Args:
        features: Number of input features of a node.
        classes: Number of output classes.
        steps: Number T of propagation steps.

    Returns:
        The network. It maps a :class:`~metaopt.problems.GraphSignal` to the scores of its nodes, (nodes, classes).
    """
    return unroll(Propagation(NodeEncoder((features, classes), bias=False), Shift(classes)), steps, keep="last")
