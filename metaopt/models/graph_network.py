"""Infer by a graph network that reads the factors but contains no classical scheme."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..algorithms.inference.belief_propagation import Beliefs
from ..arguments.contracts import Count, checked
from ..core import Algorithm, slot
from ..networks import EntryMessages
from ..networks.messages import check_precision
from ..problems.factor_graph import FactorGraph


class Features(NamedTuple):
    """Hold the state of a :class:`GraphNetwork`: ``memory`` (B, N, hidden), a vector for every state of a variable."""

    memory: Tensor


@checked
class GraphNetwork(Algorithm[FactorGraph, Features, Beliefs]):
    """Infer marginals by a recurrent graph network on the factor graph, without belief propagation in it.

    For every state of every variable, ``h <- tanh(U [h, m, unary])``, where m is the sum of the messages of the
    adjacent factors. Beliefs are the softmax of a linear map of h, and ``log_z`` is their ELBO. It follows Yoon et al.,
    arXiv:1803.07710, extended to tables of any shape. Relabelling variables, factors or states relabels the result in
    the same way.

    Args:
        hidden: Width of the vectors h.

    Slots:
        entries: Module that computes the messages of the factors.
        move: Linear map U of h, the summed messages and the unary potential.
        decide: Linear map from h to the logit of the state.
    """

    def __init__(self, hidden: Count = 32):
        super().__init__()
        self.hidden = hidden
        self.entries, self.move = slot(EntryMessages(hidden)), slot(nn.Linear(2 * hidden + 2, hidden))
        self.decide = slot(nn.Linear(hidden, 1))

    def init(self, problem: FactorGraph) -> Features:
        check_precision(self, problem)
        return Features(problem.unary.new_zeros(problem.batch, len(problem.variable), self.hidden))

    def step(self, problem: FactorGraph, state: Features, k: int) -> Features:
        hidden, batch = state.memory, problem.batch
        parts: list[Tensor] = []
        for group, blocks in zip(problem.factors, problem.blocks(problem.at_edges(hidden)), strict=True):
            said = self.entries(k)(group.tables(), blocks)
            parts += [block.expand(batch, -1, -1, -1).flatten(1, 2) for block in said]
        heard = torch.zeros_like(hidden)
        if parts:
            heard = heard.index_add(1, problem.edge_state, torch.cat(parts, dim=1))
        unary = problem.unary - problem.highest(problem.unary)[:, problem.variable]
        numbers = torch.stack([unary.clamp_min(-20) / 5, unary.exp()], dim=-1).expand(batch, -1, -1)
        return Features(torch.tanh(self.move(k)(torch.cat([hidden, heard, numbers], dim=-1))))

    def readout(self, problem: FactorGraph, state: Features, k: int) -> Beliefs:
        logits = self.decide(k)(state.memory)[..., 0]
        logits = problem.normalized(problem.exclude(logits))
        return Beliefs(logits, problem.elbo(logits))
