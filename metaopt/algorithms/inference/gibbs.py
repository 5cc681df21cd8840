"""Gibbs sampling: one colour of variables at a time, each from its distribution given all others."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...core import Algorithm, random, slot
from ...problems.factor_graph import FactorGraph
from .belief_propagation import Beliefs
from .mean_field import color_masks, local_fields


class Samples(NamedTuple):
    """``states``: (B, V), the present sample of each chain; ``total``: (B, N), the sum of the conditionals so far."""

    states: Tensor
    total: Tensor
    count: Tensor


class Gibbs(Algorithm[FactorGraph, Samples, Beliefs]):
    """x_v ~ p(x_v | all others) = softmax(unary_v + sum of log f), colour by colour; B chains, one for each sample.

    ``log_marginals`` are those of the mean of the conditionals after ``burn_in`` steps (Rao-Blackwellised), which has
    less variance than counts; ``log_z`` is NaN, which sampling does not give. Geman and Geman,
    doi:10.1109/TPAMI.1984.4767596. For more chains, ``problem.with_unary(problem.unary.expand(chains, -1))``.

    Slots: ``temperature``.

    Args:
        colors: (V,), a proper :func:`coloring` of the graph: variables of one factor must not change at once.
        seed: of all random numbers, together with the number of the step.
        burn_in: steps that do not count.
    """

    def __init__(self, colors: Tensor, seed: int = 0, burn_in: int = 0, temperature: float = 1.0):
        super().__init__()
        self.register_buffer("colors", colors)
        self.seed, self.burn_in, self.temperature = seed, burn_in, slot(temperature)

    def init(self, problem: FactorGraph) -> Samples:
        start = problem.unary.expand(problem.batch, -1)
        states = self._draw(problem, start, random.generator(self.seed, device=start.device))
        return Samples(states, torch.zeros_like(start), start.new_zeros(len(start)))

    def step(self, problem: FactorGraph, state: Samples, k: int) -> Samples:
        states, generator = state.states, random.generator(self.seed, k, device=problem.unary.device)
        conditionals = torch.zeros_like(state.total)
        for color, mask in enumerate(color_masks(problem, self.colors)):
            fields = local_fields(problem, problem.one_hot(states)) / self.temperature(k)
            drawn = self._draw(problem, fields, generator)
            states = torch.where(self.colors == color, drawn, states)
            given = problem.normalized(fields).exp()
            conditionals = conditionals + (given if mask is None else torch.where(mask, given, 0))
        counts = 1.0 if k >= self.burn_in else 0.0
        return Samples(states, state.total + counts * conditionals, state.count + counts)

    def readout(self, problem: FactorGraph, state: Samples, k: int) -> Beliefs:
        mean = state.total / state.count.clamp_min(1)[:, None]
        log = mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
        nothing = log.new_full((len(log), problem.constant.shape[1]), torch.nan)
        return Beliefs(problem.normalized(log), nothing)

    def _draw(self, problem: FactorGraph, logits: Tensor, generator: torch.Generator) -> Tensor:
        """By the Gumbel trick: the argmax of logits + Gumbel noise."""
        uniform = torch.rand(logits.shape, dtype=logits.dtype, generator=generator, device=logits.device)
        return problem.decode(logits - (-uniform.clamp_min(1e-30).log()).log())
