"""Find what zero potentials exclude: arc consistency, and beliefs that rest on impossible states."""

from __future__ import annotations

import torch
from torch import Tensor

from ...core import MetaoptError
from ...problems import FactorGraph, TableFactors, log_max
from ...problems.factors import LOG_ZERO


def possible_states(graph: FactorGraph, rounds: int = 1000) -> Tensor:
    """Return the states that arc consistency leaves, by removing states for which a factor has no entry left.

    A removed state has probability zero. A remaining state may have probability zero as well, because factors are
    examined one by one.

    Args:
        graph: A factor graph of any number of samples.
        rounds: The largest number of rounds, each of which looks one factor further.

    Returns:
        (B, N) bool.

    Raises:
        MetaoptError: A variable has no state left, so the potentials contradict each other, and Z = 0.

    Source:
        Mackworth, Consistency in networks of relations, 1977, doi:10.1016/0004-3702(77)90007-8.
    """
    hard = []
    for group in graph.factors:
        table = group.tables()
        highest = table.amax(tuple(range(1, table.ndim - 1)), keepdim=True)
        hard.append(TableFactors(group.variables, torch.where(table > highest + LOG_ZERO / 2, 0.0, LOG_ZERO).to(table)))
    highest = graph.highest(graph.unary)[:, graph.variable]
    left = torch.where(graph.unary > highest + LOG_ZERO / 2, 0.0, LOG_ZERO).to(graph.unary).expand(graph.batch, -1)
    for _ in range(rounds):
        cavities = graph.blocks(graph.at_edges(left))
        messages = [group.messages(cavity, 1.0, log_max) for group, cavity in zip(hard, cavities, strict=True)]
        heard = graph.flat(messages, graph.batch)
        excluded = graph.sums(torch.zeros_like(left), (heard < LOG_ZERO / 2).to(left)) > 0
        now = torch.where(excluded, LOG_ZERO, left)
        if bool((gone := graph.highest(now) < 0).any()):
            variable = int(gone.nonzero()[0, 1])
            raise MetaoptError(
                f"The evidence has probability zero: factors and evidence exclude every state of variable {variable}."
            )
        if torch.equal(now, left):
            break
        left = now
    return left == 0


def rests_on_impossible(graph: FactorGraph, beliefs: Tensor, share: float) -> bool:
    """Return whether independent beliefs put more than ``share`` of their probability on what one potential excludes.

    Args:
        graph: A factor graph of any number of samples.
        beliefs: Probabilities of the states, (B, N).
        share: 0.5 for an assignment, a small number for a distribution.

    Returns:
        True if they do for some sample.
    """
    least = share * LOG_ZERO
    blocks = graph.blocks(graph.at_edges(beliefs))
    below = graph.unary - graph.highest(graph.unary)[:, graph.variable]
    return bool((below * beliefs < least).any()) or any(
        bool((group.expected(b) - group.tables().flatten(1, -2).amax(1) < least).any())
        for group, b in zip(graph.factors, blocks, strict=True)
    )
