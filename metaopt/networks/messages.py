"""Networks for belief propagation: learned damping, weights, evidence and corrections of its messages."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..arguments.contracts import Count, checked, within
from ..core import MetaoptError, slot
from ..problems.factor_graph import FactorGraph


@checked
class LearnedDamping(nn.Module):
    """Move each message by its own learned share of the change that belief propagation proposes.

    ``corrected = proposed - d * change`` with ``change = proposed - message``. For every edge ``d =
    tanh(network(...))`` of three features: the log size of the change, the log size of the previous change and the
    cosine between them. Where nothing changes nothing is corrected, so that the fixed points are those of belief
    propagation; only the way there is learned. Untrained, d = 0. The memory is the previous change, (B, S).

    It fills a ``correction`` slot.

    Args:
        hidden: The width of the two hidden layers.

    Source:
        Kuck et al., 2020, arXiv:2007.00295 (the damping operator, there without a memory).
    """

    def __init__(self, hidden: Count = 16):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(3, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.read = _zero(nn.Linear(hidden, 1))

    def init(self, problem: FactorGraph, messages: Tensor) -> Tensor:
        return torch.zeros_like(messages)

    def forward(
        self, proposed: Tensor, messages: Tensor, memory: Tensor, problem: FactorGraph, k: int
    ) -> tuple[Tensor, Tensor]:
        change = proposed - messages
        products = torch.stack([change.square(), memory.square(), change * memory], dim=-1)
        now, before, both = (problem.edge_sums(products) + 1e-12).unbind(-1)
        features = torch.stack([now.log() / 8, before.log() / 8, both / (now * before).sqrt()], dim=-1)
        damping = torch.tanh(_applied(self, features))
        step = (1 - damping[:, problem.edge]) * change
        return messages + step, step


@checked
class LearnedWeights(nn.Module):
    """Give every factor a weight rho that a network computes from the factor's table and size.

    ``rho = scale * exp(network(strength, share of zeros, log size, log mean degree of its variables))``, (B, F), with
    the first two as in :func:`metaopt.problems.factors.table_features`. A factor with a zero in its table keeps rho =
    1, since a hard constraint must not be softened. Untrained, rho = 1, which is belief propagation. Trained, it does
    for any graph what weights from spanning trees do for one graph: it gives up exactness on trees for convergence.

    It fills a ``weight`` slot.

    Args:
        hidden: The width of the two hidden layers.

    Slots:
        scale: The factor of all weights, 1 by default; a run that does not converge may do so at a larger scale.
    """

    def __init__(self, hidden: Count = 16):
        super().__init__()
        self.scale = slot(1.0, within("scale", above=0))
        self.network = nn.Sequential(nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.read = _zero(nn.Linear(hidden, 1))

    def at_step(self, k: int) -> Callable[[FactorGraph], Tensor]:
        return functools.partial(self._weights, k)

    def _weights(self, k: int, problem: FactorGraph) -> Tensor:
        degrees = torch.bincount(problem.variable[problem.edge_state], minlength=len(problem.cardinalities))
        degrees = degrees.to(problem.unary) / problem.cardinalities
        features = []
        for group in problem.factors:
            numbers = group.features().expand(problem.batch, -1, -1)
            mean = degrees[group.variables].mean(1).log() if group.shape() else numbers.new_zeros(len(group.variables))
            size = math.log(max(2, math.prod(group.shape())))
            fixed = torch.stack([torch.full_like(mean, size), mean], dim=-1) / 2
            features.append(torch.cat([numbers, fixed.expand_as(numbers)], dim=-1))
        if not features:
            return problem.unary.new_zeros(problem.batch, 0)
        seen = torch.cat(features, dim=1)
        return torch.where(seen[..., 1] > 0, 1.0, self.scale(k) * _applied(self, seen).exp())


@checked
class ConstantWeights(nn.Module):
    """Give every factor the same weight rho; one with a zero in its table keeps 1, as in :class:`LearnedWeights`.

    It fills a ``weight`` slot, and is what learned weights have to be compared with.

    Args:
        scale: Fills the slot of that name.

    Slots:
        scale: The weight rho of the factors without a zero.
    """

    def __init__(self, scale: Any = 1.0):
        super().__init__()
        self.scale = slot(scale)

    def at_step(self, k: int) -> Callable[[FactorGraph], Tensor]:
        return functools.partial(self._weights, k)

    def _weights(self, k: int, problem: FactorGraph) -> Tensor:
        hard = [group.features()[..., 1].expand(problem.batch, -1) > 0 for group in problem.factors]
        if not hard:
            return problem.unary.new_zeros(problem.batch, 0)
        return torch.where(torch.cat(hard, dim=1), 1.0, self.scale(k).to(problem.unary))


@checked
class LearnedEvidence(nn.Module):
    """Scale each variable's own log potentials by a learned factor, which says how far to trust them.

    ``unary_v * exp(network(log(1 + spread), its square))``, where the spread is the difference between the variable's
    largest and smallest unary potential: a learned clipping that does not depend on the names and the order of states.
    Untrained, the potentials stay as they are.

    It fills an ``evidence`` slot.

    Args:
        hidden: The width of the two hidden layers.
    """

    def __init__(self, hidden: Count = 16):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.read = _zero(nn.Linear(hidden, 1))

    def forward(self, problem: FactorGraph) -> Tensor:
        spread = problem.highest(problem.unary) + problem.highest(-problem.unary)
        size = spread.clamp_max(100).log1p()
        scale = _applied(self, torch.stack([size, size.square() / 4], dim=-1)).exp()
        return problem.soft_unary * scale[:, problem.variable]


@checked
class GraphCorrection(nn.Module):
    """Correct the messages in every step by a graph network (neural-enhanced belief propagation).

    Every edge state keeps ``hidden`` features, which are the memory, (B, S, hidden). In a step it sees the proposed and
    the old message, the belief of its variable, and the mean features of its edge, of its variable's state and of its
    factor; from these the network computes new features and what is added to the proposed message. All means are over
    sets, so that names and order of variables, factors and states do not matter. Untrained, nothing is added.

    It fills a ``correction`` slot.

    Args:
        hidden: The number of features of an edge state.

    Source:
        Garcia Satorras and Welling, 2020, arXiv:2003.01998.
    """

    def __init__(self, hidden: Count = 16):
        super().__init__()
        self.hidden = hidden
        self.see = nn.Linear(5 + 4 * hidden, 2 * hidden)
        self.keep, self.add = nn.Linear(2 * hidden, hidden), _zero(nn.Linear(2 * hidden, 1, bias=False))

    def init(self, problem: FactorGraph, messages: Tensor) -> Tensor:
        return messages.new_zeros(*messages.shape, self.hidden)

    def forward(
        self, proposed: Tensor, messages: Tensor, memory: Tensor, problem: FactorGraph, k: int
    ) -> tuple[Tensor, Tensor]:
        totals = problem.sums(problem.unary, proposed)
        belief = problem.at_edges(problem.normalized(totals))
        numbers = [
            proposed.clamp_min(-20) / 5,
            proposed.exp(),
            messages.clamp_min(-20) / 5,
            messages.exp(),
            belief.exp(),
        ]
        counts = (len(problem.variable), len(problem.edge), len(problem.factor_graph))
        places = (problem.edge_state, problem.edge, problem.edge_factor)
        pooled = [_mean(memory, place, count) for place, count in zip(places, counts, strict=True)]
        seen = torch.relu(self.see(torch.cat([torch.stack(numbers, dim=-1), memory, *pooled], dim=-1)))
        corrected = proposed + self.add(seen)[..., 0]
        top = corrected.new_full((len(corrected), len(problem.edge)), -torch.inf)
        top = top.scatter_reduce(1, problem.edge.expand(len(corrected), -1), corrected, "amax")
        return corrected - top[:, problem.edge], torch.tanh(self.keep(seen))


@checked
class EntryMessages(nn.Module):
    """Send messages from the entries of a factor's table to the states of its variables.

    An entry x_f sees log f(x_f) and the features of its states, ``u = relu(W [log f] + sum_j V h_j(x_j))``; state x_j
    of variable j receives the mean of u over the entries that contain it.

    Args:
        hidden: The number of features of a state.
    """

    def __init__(self, hidden: Count):
        super().__init__()
        self.of_table, self.of_state = nn.Linear(2, hidden), nn.Linear(hidden, hidden, bias=False)

    def forward(self, log_table: Tensor, blocks: list[Tensor]) -> list[Tensor]:
        """Return for each block of states the messages that it receives, in the same shape.

        Args:
            log_table: (B, c_1, ..., c_a, F).
            blocks: For each of the a variables the features of its states, (B, c_j, F, hidden).
        """
        numbers = torch.stack([log_table.clamp_min(-20) / 5, log_table.clamp_max(5).exp()], dim=-1)
        entries, count = self.of_table(numbers), len(blocks)
        for j, block in enumerate(blocks):
            ones = [1] * count
            ones[j] = block.shape[1]
            entries = entries + self.of_state(block).reshape(len(block), *ones, *block.shape[2:])
        entries = torch.relu(entries)
        axes = range(1, count + 1)
        return [entries.mean([a for a in axes if a != j]) if count > 1 else entries for j in axes]


def check_precision(module: nn.Module, problem: FactorGraph) -> None:
    """Raise if a module's networks and the graph that they are to read are of different precision.

    Args:
        module: The module.
        problem: The factor graph.

    Raises:
        MetaoptError: They are.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear) and part.weight.dtype != problem.unary.dtype:
            own, given = (str(t.dtype).removeprefix("torch.") for t in (part.weight, problem.unary))
            raise MetaoptError(
                f"The networks of {type(module).__name__} are {own}, but the factor graph is {given}; convert one: "
                f"network.to(torch.{given}), or graph.to(torch.{own})."
            )


def _mean(values: Tensor, place: Tensor, count: int) -> Tensor:
    """Average values (B, S, H) over the edge states with the same ``place``; return the mean at every edge state."""
    ones = torch.bincount(place, minlength=count).clamp_min(1).to(values)
    total = values.new_zeros(len(values), count, values.shape[-1]).index_add(1, place, values)
    return (total / ones[:, None])[:, place]


def _zero(linear: nn.Linear) -> nn.Linear:
    nn.init.zeros_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear


def _applied(net: Any, features: Tensor) -> Tensor:
    """What ``net`` reads off the last axis of features."""
    return net.read(net.network(features))[..., 0]
