"""Discrete factor graphs: variables of any cardinality, factors of any arity, many graphs in one structure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..core import MetaoptError, tree
from . import support
from .factors import DTYPES, LOG_ZERO, Factors, TableFactors, check_limit, check_table
from .given import factor_list, log_potentials, whole_numbers
from .structure import check_batches, check_cardinalities, check_graphs, check_group, check_groups, edges


@dataclass(frozen=True, eq=False, init=False)
class FactorGraph:
    """A factor graph says that discrete x has ``p(x) = exp(sum_v unary_v(x_v) + sum_f log f(x_f)) / Z``.

    States are numbered through: state s of variable v is number offset_v + s of N, the sum of the cardinalities. So are
    edge states, S in all: they are the blocks (c_j, F) of each position j of each group of ``factors``. One structure
    holds B samples, which differ in potentials, and graphs of different structure side by side (:meth:`union`). Derived
    are ``variable`` (N,) of each state, ``edge_state``, ``edge`` and ``edge_factor`` (S,), the state, the edge and the
    factor (numbered through the groups) of each edge state, and ``factor_graph``, the graph of each factor; further
    ``possible`` (B or 1, N), the states that the zeros leave by arc consistency (None: all of them), and ``penalty``
    (B,), what a violated zero costs independent beliefs (None: no factor has a zero).

    Args:
        cardinalities: (V,), int64.
        unary: (B, N), log potentials of single variables; -inf is probability zero.
        factors: Groups of factors, such as :class:`TableFactors`.
        graph: (V,), the number of the graph that each variable belongs to; by default 0 for all.
        constant: (B, graphs), added to log Z; by default 0.

    Raises:
        MetaoptError: Variables, cardinalities and shapes do not fit, or a potential is NaN, +inf or zero everywhere.
    """

    cardinalities: Tensor
    unary: Tensor
    factors: tuple[Factors, ...]
    graph: Tensor
    constant: Tensor
    variable: Tensor
    offset: Tensor
    edge_state: Tensor
    edge: Tensor
    edge_factor: Tensor
    factor_graph: Tensor
    possible: Tensor | None
    penalty: Tensor | None

    to = tree.to

    def __init__(
        self,
        cardinalities: Tensor,
        unary: Tensor,
        factors: tuple[Factors, ...] = (),
        graph: Tensor | None = None,
        constant: Tensor | None = None,
    ) -> None:
        cards, unary = whole_numbers(cardinalities, "Cardinalities"), log_potentials(unary, "Unary log potentials")
        total = check_cardinalities(cards)
        if unary.ndim != 2 or unary.shape[1] != total:
            raise MetaoptError(
                f"Variables with {total} states in all need unary (B, {total}), but got {tree.describe(unary)}."
            )
        factors = check_groups(factors)
        graph = torch.zeros_like(cards) if graph is None else whole_numbers(graph, "Numbers of graphs")
        if constant is None:
            constant = unary.new_zeros(1, int(graph.max()) + 1 if graph.numel() else 1)
        constant = log_potentials(constant, "Constants")
        self._set({"cardinalities": cards, "unary": unary, "factors": factors, "graph": graph, "constant": constant})
        number = torch.arange(len(cards), device=cards.device)
        self._set({"variable": number.repeat_interleave(cards), "offset": cards.cumsum(0) - cards})
        check_graphs(cards, graph, constant)
        self._check_unary()
        check_batches(unary, factors, constant)
        for place, group in enumerate(factors):
            check_group(cards, unary, place, group)
        self._set(edges(factors, self.offset, graph))
        self._set(self._zeros())

    def _set(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _zeros(self) -> dict[str, Any]:
        """Return what follows from the places of the zeros."""
        possible = support.possible_states(self)
        some = None if bool(possible.all()) else possible
        self._set({"possible": some})
        return {"possible": some, "penalty": support.penalty(self)}

    def _check_unary(self) -> None:
        if self.unary.dtype not in DTYPES or bool((self.unary.isnan() | (self.unary == math.inf)).any()):
            raise MetaoptError(
                "Unary log potentials are numbers of float32, float64 or bfloat16, none of them NaN or +inf."
            )
        check_limit(self.unary, "unary log potential")
        highest = self.highest(self.unary)
        if bool((highest == -math.inf).any()):
            variable = int((highest == -math.inf).nonzero()[0, 1])
            raise MetaoptError(f"Every state of variable {variable} has potential zero; one must be positive.")

    # What algorithms ask.

    @property
    def batch(self) -> int:
        """Return B, the number of samples."""
        sizes = [len(self.unary), len(self.constant), *(group.batch for group in self.factors)]
        return max(sizes) if all(sizes) else 0  # what all samples share has 1

    @property
    def soft_unary(self) -> Tensor:
        """Return ``unary`` with 0 in the place of -inf; which states are impossible says ``possible``."""
        return self.unary if self.possible is None else self.unary.masked_fill(self.unary == -math.inf, 0.0)

    def exclude(self, states: Tensor) -> Tensor:
        """Return log values (B, N) with ``LOG_ZERO``, which is finite, at the states that are impossible."""
        return states if self.possible is None else torch.where(self.possible, states, LOG_ZERO)

    def mark(self, messages: Tensor, value: float) -> Tensor:
        """Return messages (B, S) with ``value`` at the edge states that are impossible."""
        return messages if self.possible is None else torch.where(self.at_edges(self.possible), messages, value)

    def any_state(self, states: Tensor) -> Tensor:
        """Return whether any state of each variable is marked, bool (B, N) to (B, V)."""
        start = torch.zeros(len(states), len(self.cardinalities), device=states.device)
        return start.index_add(1, self.variable, states.float()) > 0

    def contradiction(self) -> Tensor:
        """Return for each graph -inf where arc consistency leaves a variable no state, so that Z = 0, and otherwise 0.

        The result is (B or 1, graphs).
        """
        if self.possible is None:
            return torch.zeros_like(self.constant[:1])
        none = ~self.any_state(self.possible)
        lost = self.by_graph(none.to(self.unary), self.graph)
        return torch.where(lost > 0, -math.inf, 0.0)

    def at_edges(self, states: Tensor) -> Tensor:
        """Return values (B, N, ...) of the variables' states at each edge state, (B, S, ...)."""
        return states.index_select(1, self.edge_state)

    def edge_sums(self, values: Tensor) -> Tensor:
        """Sum values (B, S, ...) over the states of each edge, (B, E, ...)."""
        count = sum(group.variables.numel() for group in self.factors)
        return values.new_zeros(len(values), count, *values.shape[2:]).index_add(1, self.edge, values)

    def sums(self, states: Tensor, messages: Tensor) -> Tensor:
        """Add to values (B, N) of the states the messages (B, S) that arrive at each, (B, N)."""
        return states.expand(len(messages), -1).index_add(1, self.edge_state, messages)

    def blocks(self, flat: Tensor) -> list[list[Tensor]]:
        """View values (B, S, ...) of the edge states as blocks (B, c_j, F, ...), in a list for each group."""
        sizes = [size * len(group.variables) for group in self.factors for size in group.shape()]
        parts = iter(torch.split(flat, sizes, dim=1))
        return [
            [next(parts).unflatten(1, (size, len(group.variables))) for size in group.shape()] for group in self.factors
        ]

    def flat(self, blocks: Sequence[Sequence[Tensor]], batch: int) -> Tensor:
        """Undo :meth:`blocks`."""
        parts = [block.expand(batch, -1, -1).flatten(1) for group in blocks for block in group]
        return torch.cat(parts, dim=1) if parts else self.unary.new_zeros(batch, 0)

    def highest(self, states: Tensor) -> Tensor:
        """Return the largest value of each variable's states, (B, N) to (B, V)."""
        start = states.new_full((len(states), len(self.cardinalities)), -math.inf)
        return start.scatter_reduce(1, self.variable.expand(len(states), -1), states, "amax")

    def log_sums(self, states: Tensor) -> Tensor:
        """Return log sum exp over each variable's states, (B, N) to (B, V)."""
        highest = self.highest(states.detach())
        return highest + self._log_total(states - highest[:, self.variable])

    def _log_total(self, states: Tensor) -> Tensor:
        start = states.new_zeros(len(states), len(self.cardinalities))
        return start.index_add(1, self.variable, states.exp()).log()

    def normalized(self, states: Tensor) -> Tensor:
        """Shift log beliefs (B, N) so that the probabilities of each variable's states sum to 1."""
        shifted = states - self.highest(states.detach())[:, self.variable]  # before the sum, which may be far from zero
        return shifted - self._log_total(shifted)[:, self.variable]

    def decode(self, log_beliefs: Tensor) -> Tensor:
        """Return the most probable state of each variable, the first among equals, (B, N) to (B, V) int64."""
        at_top = log_beliefs >= self.highest(log_beliefs)[:, self.variable]
        total = len(self.variable)
        number = torch.where(at_top, torch.arange(total, device=at_top.device), total)
        start = number.new_full((len(number), len(self.cardinalities)), total)
        first = start.scatter_reduce(1, self.variable.expand(len(number), -1), number, "amin")
        return first - self.offset

    def one_hot(self, states: Tensor) -> Tensor:
        """Encode states (B, V) of the variables as zeros and ones, (B, N)."""
        chosen = self.offset + states
        zeros = self.unary.new_zeros(len(states), len(self.variable))
        return zeros.scatter(1, chosen, 1.0)

    def mean_log_potential(self, beliefs: Tensor) -> Tensor:
        """Return the mean of unary + log f under independent beliefs (B, N): (B, graphs).

        It is linear in each belief, and -inf where the beliefs put any probability on a zero of a factor.
        """
        if self.possible is None and self.penalty is None:
            return self._mean(beliefs, self.unary, self.factors)
        finite = self._mean(beliefs, self.soft_unary, [support.filled(g, 0.0) for g in self.factors])
        return finite.masked_fill(self.mass_on_zeros(beliefs) > 0, -math.inf)

    def mass_on_zeros(self, beliefs: Tensor) -> Tensor:
        """Return how much probability independent beliefs (B, N) put on zeros, added over all factors: (B, graphs)."""
        groups = [support.zeros(group) for group in self.factors]
        return self._mean(beliefs.detach(), (self.unary == -math.inf).to(beliefs), groups)

    def penalized_mean(self, beliefs: Tensor) -> Tensor:
        """Return :meth:`mean_log_potential` with ``-penalty`` in the place of log 0, which has a finite gradient."""
        if self.possible is None and self.penalty is None:
            return self._mean(beliefs, self.unary, self.factors)
        below = 0.0 if self.penalty is None else -self.penalty
        groups = [support.filled(group, below) for group in self.factors]
        return self._mean(beliefs, self.exclude(self.soft_unary), groups)

    def _mean(self, beliefs: Tensor, unary: Tensor, groups: Sequence[Factors]) -> Tensor:
        by_factor = [g.expected(b) for g, b in zip(groups, self.blocks(self.at_edges(beliefs)), strict=True)]
        batch = max(len(beliefs), self.batch)
        by_variable = unary.new_zeros(batch, len(self.cardinalities))
        by_variable = by_variable.index_add(1, self.variable, (unary * beliefs).expand(batch, -1))
        return self.by_graph(by_variable, self.graph) + self.by_graph(self.joined(by_factor, batch), self.factor_graph)

    def elbo(self, log_beliefs: Tensor) -> Tensor:
        """Return ``E_q[unary + sum of log f] + H(q)`` for independent log q (B, N), a bound of log Z: (B, graphs)."""
        beliefs = log_beliefs.exp()
        start = beliefs.new_zeros(len(beliefs), len(self.cardinalities))
        entropy = start.index_add(1, self.variable, -beliefs * log_beliefs)
        return self.mean_log_potential(beliefs) + self.by_graph(entropy, self.graph) + self.constant

    def log_potential(self, states: Tensor) -> Tensor:
        """Return unary + sum of log f for states (B, V), (B, graphs), which is -inf for log 0.

        Raises:
            MetaoptError: ``states`` has another shape, or a variable has no such state.
        """
        if states.ndim != 2 or states.shape[1] != len(self.cardinalities):
            raise MetaoptError(f"States are (B, {len(self.cardinalities)}), but got {tree.describe(states)}.")
        if bool((wrong := (states < 0) | (states >= self.cardinalities)).any()):
            variable = int(wrong.nonzero()[0, 1])
            raise MetaoptError(f"Variable {variable} has {int(self.cardinalities[variable])} states, numbered from 0.")
        return self.mean_log_potential(self.one_hot(states)) + self.constant

    def joined(self, by_factor: Sequence[Tensor], batch: int) -> Tensor:
        """Join values (B, F) of the groups to (B, all factors)."""
        parts = [values.expand(batch, -1) for values in by_factor]
        return torch.cat(parts, dim=1) if parts else self.unary.new_zeros(batch, 0)

    def by_graph(self, values: Tensor, graph: Tensor) -> Tensor:
        """Sum values (B, n) that belong to the graphs ``graph`` (n,) to (B, graphs)."""
        return values.new_zeros(len(values), self.constant.shape[1]).index_add(1, graph, values)

    def observe(self, evidence: Mapping[int, int]) -> FactorGraph:
        """Return the same graph with known variables, ``{variable: state}``; log Z becomes that of x and the evidence.

        Raises:
            MetaoptError: There is no such variable or state, or its unary potentials exclude the state.
        """
        excluded = torch.zeros_like(self.unary[:1], dtype=torch.bool)
        for variable, state in evidence.items():
            if not 0 <= variable < len(self.cardinalities):
                raise MetaoptError(f"Evidence names variable {variable}, but the graph has {len(self.cardinalities)}.")
            size, at = int(self.cardinalities[variable]), int(self.offset[variable])
            if not 0 <= state < size:
                raise MetaoptError(f"Evidence puts variable {variable} in state {state}, but it has {size} states.")
            own = self.unary[:, at : at + size]
            if bool((own[:, state] == -math.inf).any()):
                raise MetaoptError(f"Evidence of probability zero: variable {variable} cannot be in state {state}.")
            excluded[:, at : at + size] = True
            excluded[:, at + state] = False
        return self.with_unary(self.unary.masked_fill(excluded, -math.inf))

    def with_unary(self, unary: Tensor) -> FactorGraph:
        """Return the same structure and factors with other unary potentials (B, N), one row per sample."""
        if unary.ndim != 2 or unary.shape[1] != self.unary.shape[1]:
            raise MetaoptError(f"unary is (B, {self.unary.shape[1]}), but got {tree.describe(unary)}.")
        new = tree.replace(self, {"unary": unary})  # the structure is checked already
        new._check_unary()
        new._set(new._zeros())
        return new

    @staticmethod
    def from_factors(
        cardinalities: Sequence[int], factors: Sequence[tuple[Sequence[int], Any]], constant: float = 0.0
    ) -> FactorGraph:
        """Make a graph of a list of (variables, log table (c_1, ..., c_a)); tables of one variable add up in ``unary``.

        Raises:
            MetaoptError: A table does not fit its variables, is zero everywhere or NaN, or has more than 2^27 entries.
        """
        cards = whole_numbers(cardinalities, "Cardinalities")
        check_cardinalities(cards)
        listed, sizes = factor_list(factors), cards.tolist()
        dtype = listed[0][1].dtype if listed else torch.float64
        offset = (cards.cumsum(0) - cards).tolist()
        unary, total = torch.zeros(1, sum(sizes), dtype=dtype), torch.full((1, 1), constant, dtype=dtype)
        groups: dict[Any, list[tuple[tuple[int, ...], Tensor]]] = {}
        for number, (scope, table) in enumerate(listed):
            check_table(number, scope, table, sizes)
            if table.ndim == 0:
                total = total + table
            elif table.ndim == 1:
                unary[0, offset[scope[0]] : offset[scope[0]] + len(table)] += table
            else:
                groups.setdefault(tuple(table.shape), []).append((scope, table))
        tables = tuple(
            TableFactors(torch.tensor([s for s, _ in g]), torch.stack([t for _, t in g], dim=-1)[None])
            for g in groups.values()
        )
        return FactorGraph(cards, unary, tables, constant=total)

    @staticmethod
    def union(graphs: Sequence[FactorGraph]) -> FactorGraph:
        """Put graphs of any structure side by side in one; nothing joins them, so results are those of each graph."""
        if not graphs:
            raise MetaoptError("A union needs at least one graph.")
        if len({g.batch for g in graphs}) > 1:
            raise MetaoptError("Graphs of a union need equally many samples.")
        shifts = torch.tensor([0, *(len(g.cardinalities) for g in graphs[:-1])]).cumsum(0).tolist()
        numbers = torch.tensor([0, *(g.constant.shape[1] for g in graphs[:-1])]).cumsum(0).tolist()
        batch = graphs[0].batch
        parts: dict[Any, list[Factors]] = {}
        for graph, shift in zip(graphs, shifts, strict=True):
            for group in graph.factors:
                moved = tree.replace(group, {"variables": group.variables + shift})
                parts.setdefault(moved.key(), []).append(moved)
        return FactorGraph(
            torch.cat([g.cardinalities for g in graphs]),
            torch.cat([g.unary.expand(batch, -1) for g in graphs], dim=1),
            tuple(type(group[0]).joined(group) for group in parts.values()),
            torch.cat([g.graph + n for g, n in zip(graphs, numbers, strict=True)]),
            torch.cat([g.constant.expand(batch, -1) for g in graphs], dim=1),
        )
