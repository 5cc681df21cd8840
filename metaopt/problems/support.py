"""Find which states a factor graph's zeros leave, and keep log 0 apart from all finite log potentials."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..core import tree
from .factors import Factors, log_max

if TYPE_CHECKING:
    from .factor_graph import FactorGraph

MARGIN = 1e4  # by which a violated zero weighs more than all finite potentials around a variable


def filled(group: Factors, value: Any) -> Factors:
    """Return the factors with ``value``, a number or (B,), in the place of log 0."""
    return _changed(group, lambda t: torch.where(t == -math.inf, _beside(value, t), t))


def zeros(group: Factors) -> Factors:
    """Return the factors with 1 in the place of log 0 and 0 elsewhere; their mean is the probability on zeros."""
    return _changed(group, lambda t: (t == -math.inf).to(t))


def has_zeros(group: Factors) -> bool:
    """Return whether some factor is zero somewhere."""
    return any(bool((t == -math.inf).any()) for t in _potentials(group).values())


def possible_states(graph: FactorGraph, rounds: int | None = None, contradiction: bool = False) -> Tensor:
    """Return the states that arc consistency leaves, by removing states for which a factor has no entry left.

    Args:
        graph: The factor graph.
        rounds: The largest number of rounds, each of which looks one factor further. None: until nothing changes.
        contradiction: Whether to stop as soon as a variable has no state left.

    Returns:
        (B, N) bool, or (1, N) where all samples have the same zeros.

    Source:
        Mackworth, Consistency in networks of relations, 1977, doi:10.1016/0004-3702(77)90007-8.
    """
    left = _one_row(graph.unary > -math.inf)
    hard = [_changed(group, lambda t: _one_row(t == -math.inf).float().neg()) for group in graph.factors]
    hard = [group for group in hard if any(bool(t.any()) for t in _potentials(group).values())]
    left = left.expand(max([len(left), *(group.batch for group in hard)]), -1)
    active = [torch.ones(len(group.variables), dtype=torch.bool, device=left.device) for group in hard]
    done = 0
    while hard and (rounds is None or done < rounds):
        dead = torch.zeros_like(left)
        for group, which in zip(hard, active, strict=True):
            if bool(which.any()):
                _exclude(graph, group, which.nonzero()[:, 0], left, dead)
        changed = (left & dead).any(0)
        left, done = left & ~dead, done + 1
        if not bool(changed.any()) or (contradiction and not bool(graph.any_state(left).all())):
            break
        variables = torch.zeros(len(graph.cardinalities), dtype=torch.bool, device=left.device)
        variables[graph.variable[changed]] = True
        active = [variables[group.variables].any(1) for group in hard]
    return left


def penalty(graph: FactorGraph) -> Tensor | None:
    """Return what a violated zero costs independent beliefs, (B,), or None where no factor has a zero.

    It outweighs all finite potentials around a variable, so that beliefs leave what is impossible wherever they can.
    """
    if not any(has_zeros(group) for group in graph.factors):
        return None
    with torch.no_grad():
        unary = graph.soft_unary
        ranges = graph.highest(unary) + graph.highest(-unary)
        for group in graph.factors:
            spread: Any = 0.0
            for t in _potentials(group).values():
                inner = tuple(range(1, t.ndim - 1))
                low = torch.where(t == -math.inf, math.inf, t).amin(inner)
                spread = spread + (t.amax(inner) - low)
            batch = max(len(ranges), len(spread))
            for column in group.variables.unbind(1):
                ranges = ranges.expand(batch, -1).index_add(1, column, spread.to(ranges).expand(batch, -1))
        return MARGIN + ranges.amax(1)


def _exclude(graph: FactorGraph, group: Any, which: Tensor, left: Tensor, dead: Tensor) -> None:
    """Mark in ``dead`` the states that the factors ``which`` of a group exclude."""
    some = _changed(group, lambda t: t[..., which])
    some = tree.replace(some, {"variables": group.variables[which]})
    states = [
        graph.offset[some.variables[:, j]] + torch.arange(size, device=left.device)[:, None]
        for j, size in enumerate(group.shape())
    ]
    blocks = [(~left[:, place]).float().neg() for place in states]
    for place, message in zip(states, some.messages(blocks, 1.0, log_max), strict=True):
        sample, state, factor = (message < -0.5).expand(len(left), -1, -1).nonzero().unbind(1)
        dead[sample, place[state, factor]] = True


def _potentials(group: Any) -> dict[str, Tensor]:
    held = vars(group).items()
    return {name: value for name, value in held if isinstance(value, Tensor) and value.is_floating_point()}


def _changed(group: Any, function: Any) -> Any:
    return tree.replace(group, {name: function(value) for name, value in _potentials(group).items()})


def _beside(value: Any, table: Tensor) -> Any:
    return value.reshape(value.numel(), *[1] * (table.ndim - 1)) if isinstance(value, Tensor) else value


def _one_row(rows: Tensor) -> Tensor:
    return rows[:1] if len(rows) > 1 and bool((rows == rows[:1]).all()) else rows
