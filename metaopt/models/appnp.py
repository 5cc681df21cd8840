"""Predict, then propagate: personalised PageRank of a network's predictions."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..algorithms import Propagation
from ..core import unroll
from ..networks.graph_layers import NodeEncoder
from ..records import recorded
from .gcn import Net


@recorded
def appnp(
    features: int, classes: int, hidden: int = 64, steps: int = 10, teleport: Any = 0.1, dropout: float = 0.5
) -> Net:
    """H <- (1 - teleport) A H + teleport MLP(x) (Gasteiger et al., arXiv:1810.05997).

    ``dropout`` holds for the layers of the MLP and, in every step anew, for the entries of A.
    """
    encode = NodeEncoder((features, hidden, classes), dropout=dropout)
    return unroll(Propagation(encode, nn.Identity(), teleport=teleport, edge_dropout=dropout), steps, keep="last")
