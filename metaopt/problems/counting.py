"""Factors that depend on their variables only through a count: parity, OR, AND, pool and any function of the count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..arguments.contracts import checked
from ..core import MetaoptError, tree
from .factors import LOG_ZERO, Marginalize, checked_log, same_batch, scaled, table_features
from .given import log_potentials, whole_numbers

ZERO = -math.inf
Numbers = Tensor | Sequence[Any]  # of variables


@dataclass(frozen=True, eq=False)
class CountingFactors:
    """These are F factors ``log f(x_1, ..., x_d, y) = accept[y, s]``, where an automaton computes s from x_1, ..., x_d.

    The automaton has K states. It starts at s = 0 and goes from s to ``following[x, s]`` at each binary x. Messages
    cost O(d K), by sums over its paths from the front and from the back, where a table would have 2^(d+1) entries.

    Args:
        variables: (F, d + 1), the numbers of x_1, ..., x_d and, last, of y; all are binary.
        following: (2, K), int64, the next state for each x and s.
        accept: (B, 2, K, F), log f for each y and s; -inf is probability zero.

    Raises:
        MetaoptError: The shapes do not fit, or ``accept`` is NaN, +inf or zero everywhere.

    Source:
        Tarlow et al., HOP-MAP, AISTATS 2010 (counts); Gallager, Low-density parity-check codes, 1962 (parity).
    """

    variables: Tensor
    following: Tensor
    accept: Tensor

    def __post_init__(self) -> None:
        for name in ("variables", "following"):
            object.__setattr__(self, name, whole_numbers(getattr(self, name), f"The {name} of counting factors"))
        object.__setattr__(self, "accept", log_potentials(self.accept, "Log weights"))
        if self.variables.ndim != 2 or not self.variables.shape[1]:
            raise MetaoptError(
                f"Counting factors need variables (F, a), a > 0, but got {tree.describe(self.variables)}."
            )
        if self.following.ndim != 2 or len(self.following) != 2:
            raise MetaoptError(f"The following states are (2, K), but got {tree.describe(self.following)}.")
        states = self.following.shape[-1]
        if self.accept.ndim != 4 or self.accept.shape[1:] != (2, states, len(self.variables)):
            raise MetaoptError(
                f"{len(self.variables)} counting factors with {states} states need accept (B, 2, {states}, "
                f"{len(self.variables)}), but got {tree.describe(self.accept)}."
            )
        object.__setattr__(self, "accept", checked_log(self.accept, "weight"))

    @property
    def batch(self) -> int:
        return len(self.accept)

    def shape(self) -> tuple[int, ...]:
        return (2,) * self.variables.shape[1]

    def messages(self, cavities: Sequence[Tensor], scale: Any, marginalize: Marginalize) -> list[Tensor]:
        *read, last = (_from_highest(cavity) for cavity in cavities)
        accept, front = scaled(self.accept, scale), self._fronts(read, marginalize)
        to_last = marginalize(accept + front[-1].unsqueeze(1), (2,))
        back, messages = marginalize(accept + last.unsqueeze(2), (1,)), [to_last]
        for cavity, before in zip(reversed(read), reversed(front[:-1]), strict=True):
            after = back[:, self.following]  # (B, 2, K, F)
            messages.append(marginalize(after + before.unsqueeze(1), (2,)))
            back = marginalize(after + cavity.unsqueeze(2), (1,))
        return messages[::-1]

    def log_total(self, cavities: Sequence[Tensor], scale: Any, marginalize: Marginalize) -> Tensor:
        *read, last = (_from_highest(cavity) for cavity in cavities)
        front = self._fronts(read, marginalize)[-1]
        total = marginalize(scaled(self.accept, scale) + front.unsqueeze(1) + last.unsqueeze(2), (1, 2))
        return total + sum(cavity.amax(1) for cavity in cavities)

    def expected(self, beliefs: Sequence[Tensor]) -> Tensor:
        *read, last = beliefs
        states = self.accept.shape[2]
        probability = last.new_zeros(len(last), states, last.shape[-1])
        probability[:, 0] = 1
        for belief in read:
            moved = belief.unsqueeze(2) * probability.unsqueeze(1)  # (B, 2, K, F)
            zero = torch.zeros_like(probability)
            probability = zero.index_add(1, self.following.flatten(), moved.flatten(1, 2))
        return (self.accept * last.unsqueeze(2) * probability.unsqueeze(1)).sum((1, 2))

    def tables(self) -> Tensor:
        count = self.variables.shape[1]
        if count > 20:
            raise MetaoptError(f"A counting factor of {count} variables has 2^{count} entries; it stays as it is.")
        states = torch.zeros((), dtype=torch.long, device=self.following.device)
        for _ in range(count - 1):
            states = torch.stack([self.following[x, states] for x in (0, 1)], dim=-1)
        return torch.stack([self.accept[:, y, states] for y in (0, 1)], dim=count)

    def features(self) -> Tensor:
        return table_features(self.accept)

    def key(self) -> Any:
        return self.shape(), tuple(self.following.flatten().tolist())

    @staticmethod
    def joined(groups: Sequence[CountingFactors]) -> CountingFactors:
        accept = same_batch([group.accept for group in groups])
        variables = torch.cat([group.variables for group in groups])
        return CountingFactors(variables, groups[0].following, torch.cat(accept, dim=-1))

    def _fronts(self, read: Sequence[Tensor], marginalize: Marginalize) -> list[Tensor]:
        """Return the log weight of each state, (B, K, F), before each variable that is read and after the last one."""
        states, count = self.accept.shape[2], self.variables.shape[0]
        batch = read[0].shape[0] if read else len(self.accept)
        front = self.accept.new_full((batch, states, count), LOG_ZERO)
        front[:, 0] = 0
        sources, dead = self._sources()
        fronts = [front]
        for cavity in read:
            arriving = (front.unsqueeze(1) + cavity.unsqueeze(2)).flatten(1, 2)  # x, s
            arriving = torch.where(dead, LOG_ZERO, arriving[:, sources])
            front = marginalize(arriving, (2,)).clamp_min(LOG_ZERO)
            fronts.append(front)
        return fronts

    def _sources(self) -> tuple[Tensor, Tensor]:
        """Return for each state which (x, s) lead to it, (K, most), and which of the places are empty, (K, most, 1)."""
        flat, states = self.following.flatten(), self.following.shape[1]
        counts = torch.bincount(flat, minlength=states)
        most = int(counts.max())
        order = torch.argsort(flat, stable=True)
        place = torch.arange(len(flat), device=flat.device) - (counts.cumsum(0) - counts)[flat[order]]
        sources = torch.zeros(states, most, dtype=torch.long, device=flat.device)
        dead = torch.ones(states, most, dtype=torch.bool, device=flat.device)
        sources[flat[order], place], dead[flat[order], place] = order, False
        return sources, dead.unsqueeze(-1)


def _from_highest(cavity: Tensor) -> Tensor:
    return (cavity - cavity.amax(1, keepdim=True)).clamp_min(LOG_ZERO)


@checked
def parity(variables: Numbers, odd: bool = False, dtype: torch.dtype = torch.float64) -> CountingFactors:
    """Make factors that allow only an even (or odd) number of ones, such as the checks of a linear code.

    Args:
        variables: (F, a), the binary variables of each factor.
        odd: Whether the number of ones must be odd.
        dtype: The dtype of the log potentials.
    """
    allowed = torch.tensor([[0.0, ZERO], [ZERO, 0.0]], dtype=dtype)
    return _factors(variables, [[0, 1], [1, 0]], allowed.flip(0) if odd else allowed)


@checked
def logical_or(parents: Numbers, child: Numbers, dtype: torch.dtype = torch.float64) -> CountingFactors:
    """Make factors that require ``child = OR of the parents``.

    Args:
        parents: (F, d), binary variables.
        child: (F,), binary variables.
        dtype: The dtype of the log potentials.
    """
    return _with_child(parents, child, [[0, 1], [1, 1]], [[0, ZERO], [ZERO, 0]], dtype)


@checked
def logical_and(parents: Numbers, child: Numbers, dtype: torch.dtype = torch.float64) -> CountingFactors:
    """Make factors that require ``child = AND of the parents``.

    Args:
        parents: (F, d), binary variables.
        child: (F,), binary variables.
        dtype: The dtype of the log potentials.
    """
    return _with_child(parents, child, [[1, 1], [0, 1]], [[ZERO, 0], [0, ZERO]], dtype)


@checked
def pool(choices: Numbers, indicator: Numbers, dtype: torch.dtype = torch.float64) -> CountingFactors:
    """Make factors that require exactly one of the choices to be 1 if the indicator is 1, and none if it is 0.

    Args:
        choices: (F, d), binary variables.
        indicator: (F,), binary variables.
        dtype: The dtype of the log potentials.
    """
    return _with_child(choices, indicator, [[0, 1, 2], [1, 2, 2]], [[0, ZERO, ZERO], [ZERO, 0, ZERO]], dtype)


def cardinality(variables: Tensor, log_weights: Tensor) -> CountingFactors:
    """Make factors on binary variables that depend on the number of ones: ``log f = log_weights[min(count, K)]``.

    Args:
        variables: (F, a), the variables of each factor.
        log_weights: (K + 1,), or (B, K + 1, F) where each factor has its own.
    """
    variables, weights = _variables(variables), log_potentials(log_weights, "Log weights of counts")
    weights = weights[None, :, None] if weights.ndim == 1 else weights
    if weights.ndim != 3 or not weights.shape[1] or weights.shape[2] not in (1, len(variables)):
        raise MetaoptError(
            f"Log weights are (K + 1,) or (B, K + 1, {len(variables)}), but got {tree.describe(weights)}."
        )
    weights = weights.expand(-1, -1, len(variables))
    most = weights.shape[1] - 1
    up = torch.arange(most + 1).add(1).clamp(max=most)
    following = torch.stack([torch.arange(most + 1), up])
    return CountingFactors(variables, following.to(variables.device), torch.stack([weights, weights[:, up]], dim=1))


def _with_child(parents: Numbers, child: Numbers, following: Any, accept: Any, dtype: torch.dtype) -> CountingFactors:
    parents, child = _variables(parents), whole_numbers(child, "Variables")
    if child.shape != parents.shape[:1]:
        raise MetaoptError(
            f"Each factor has parents (F, d) and a child (F,), but got {tree.describe(parents)} and "
            f"{tree.describe(child)}."
        )
    return _factors(torch.cat([parents, child[:, None]], dim=1), following, torch.tensor(accept, dtype=dtype))


def _variables(variables: Any) -> Tensor:
    found = whole_numbers(variables, "Variables")
    if found.ndim != 2:
        raise MetaoptError(f"The variables of factors are (F, a), one row a factor, but got {tree.describe(found)}.")
    return found


def _factors(variables: Any, following: Any, accept: Tensor) -> CountingFactors:
    variables = _variables(variables)
    device = variables.device
    weights = accept[None, :, :, None].expand(-1, -1, -1, len(variables))
    return CountingFactors(variables, torch.tensor(following, device=device), weights.to(device))
