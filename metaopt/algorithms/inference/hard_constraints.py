"""Find what zero potentials exclude: arc consistency, and beliefs that rest on impossible states."""

from __future__ import annotations

import math

from torch import Tensor

from ...core import MetaoptError
from ...problems import FactorGraph, support


def possible_states(graph: FactorGraph, rounds: int | None = None) -> Tensor:
    """Return the states that arc consistency leaves, by removing states for which a factor has no entry left.

    A removed state has probability zero. A remaining state may have probability zero as well, because factors are
    examined one by one.

    Args:
        graph: A factor graph of any number of samples.
        rounds: The largest number of rounds, each of which looks one factor further. None: until nothing changes.

    Returns:
        (B, N) bool.

    Raises:
        MetaoptError: A variable has no state left, so the potentials contradict each other, and Z = 0.

    Source:
        Mackworth, Consistency in networks of relations, 1977, doi:10.1016/0004-3702(77)90007-8.
    """
    left = support.possible_states(graph, rounds, contradiction=True)
    if bool((gone := ~graph.any_state(left)).any()):
        variable = int(gone.nonzero()[0, 1])
        raise MetaoptError(
            f"The evidence has probability zero: factors and evidence exclude every state of variable {variable}."
        )
    return left.expand(graph.batch, -1)


def rests_on_impossible(graph: FactorGraph, beliefs: Tensor, share: float) -> bool:
    """Return whether independent beliefs put more than ``share`` of their probability on the zeros of one factor.

    Args:
        graph: A factor graph of any number of samples.
        beliefs: Probabilities of the states, (B, N).
        share: 0.5 for an assignment, a small number for a distribution.

    Returns:
        True if they do for some sample.
    """
    blocks = graph.blocks(graph.at_edges(beliefs))
    excluded = (graph.unary == -math.inf).to(beliefs)
    return bool((excluded * beliefs > share).any()) or any(
        bool((support.zeros(group).expected(b) > share).any()) for group, b in zip(graph.factors, blocks, strict=True)
    )
