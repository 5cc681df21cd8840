"""Predict by a network, then propagate the predictions by personalised PageRank."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..algorithms import Propagation
from ..arguments.contracts import Count, Natural, Rate, checked
from ..core import unroll
from ..networks.graph_layers import NodeEncoder
from ..records import recorded
from .gcn import Net


@recorded
@checked
def appnp(
    features: Count, classes: Count, hidden: Count = 64, steps: Natural = 10, teleport: Any = 0.1, dropout: Rate = 0.5
) -> Net:
    """Build APPNP, which iterates ``H <- (1 - teleport) A H + teleport MLP(x)`` (Gasteiger et al., arXiv:1810.05997).

    Args:
        features: Number of input features of a node.
        classes: Number of output classes.
        hidden: Width of the hidden layer of the MLP.
        steps: Number of propagation steps.
        teleport: The teleport probability in (0, 1], a number or a slot's content such as ``shared(0.1)``.
        dropout: Dropout probability, for the layers of the MLP and, drawn anew in every step, for the entries of A.

    Returns:
        The network. It maps a :class:`~metaopt.problems.GraphSignal` to the scores of its nodes, (nodes, classes).
    """
    encode = NodeEncoder((features, hidden, classes), dropout=dropout)
    return unroll(Propagation(encode, nn.Identity(), teleport=teleport, edge_dropout=dropout), steps, keep="last")
