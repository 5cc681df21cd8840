"""Draw samples by Gibbs sampling, one colour of variables at a time, each given all others."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...arguments.checks import check_instance
from ...arguments.contracts import Natural, ValueSlot, checked, within
from ...core import Algorithm, random, slot
from ...problems.factor_graph import FactorGraph
from .belief_propagation import Beliefs
from .mean_field import Colors, color_count, color_masks, local_fields


class Samples(NamedTuple):
    """Hold the present sample of each chain, and the mean of the conditionals so far.

    ``states`` are (B, V). The sum of the conditionals is ``total`` (B, N), and their number ``count`` (B,).
    """

    states: Tensor
    total: Tensor
    counted: Tensor


@checked
class Gibbs(Algorithm[FactorGraph, Samples, Beliefs]):
    """Draw ``x_v ~ p(x_v | all others) = softmax(unary_v + sum of log f)``, colour by colour, in one chain per sample.

    ``log_marginals`` are the logarithms of the mean of the conditionals after ``burn_in`` steps (Rao-Blackwellised),
    which has a smaller variance than counts. ``log_z`` is NaN, because sampling does not give it. For more chains, use
    ``problem.with_unary(problem.unary.expand(chains, -1))``.

    Args:
        colors: (V,), a proper :func:`coloring` of the graph, because variables of one factor must not change at once.
        seed: Seed of all random numbers, together with the number of the step.
        burn_in: Number of first steps that do not count.
        temperature: Fills the slot of that name.

    Slots:
        temperature: The conditionals are those of p^(1 / temperature).

    Source:
        Geman and Geman, doi:10.1109/TPAMI.1984.4767596.
    """

    colors: Tensor

    def __init__(self, colors: Colors, seed: int = 0, burn_in: Natural = 0, temperature: ValueSlot = 1.0):
        super().__init__()
        self.register_buffer("colors", colors)
        self.seed, self.burn_in, self.temperature = seed, burn_in, slot(temperature, within("temperature", above=0))
        self._count = color_count(colors)

    def init(self, problem: FactorGraph) -> Samples:
        check_instance("The problem of Gibbs", problem, FactorGraph)
        start = problem.exclude(problem.soft_unary).expand(problem.batch, -1)
        states = _drawn(problem, start, _uniform((self.seed,), start, 1)[0])
        return Samples(states, torch.zeros_like(start), start.new_zeros(len(start)))

    def step(self, problem: FactorGraph, state: Samples, k: int) -> Samples:
        # Drawing cannot be compiled: told so, the compiler leaves it alone and makes one graph of all the rest.
        draw = torch.compiler.disable(_uniform) if torch.compiler.is_compiling() else _uniform
        states, uniform = state.states, draw((self.seed, k), state.total, max(self._count, 1))  # type: ignore[call-arg]
        conditionals = torch.zeros_like(state.total)
        for color, mask in enumerate(color_masks(problem, self.colors, self._count)):
            fields = local_fields(problem, problem.one_hot(states)) / self.temperature(k)
            drawn = _drawn(problem, fields, uniform[color])
            states = torch.where(self.colors == color, drawn, states)
            given = problem.normalized(fields).exp()
            conditionals = conditionals + (given if mask is None else torch.where(mask, given, 0))
        counts = min(max(k - self.burn_in + 1, 0), 1)  # without a branch, of which a compiled step would see one side
        return Samples(states, state.total + counts * conditionals, state.counted + counts)

    def readout(self, problem: FactorGraph, state: Samples, k: int) -> Beliefs:
        mean = state.total / state.counted.clamp_min(1)[:, None]
        log = mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
        nothing = log.new_full((len(log), problem.constant.shape[1]), torch.nan)
        return Beliefs(problem.normalized(log), nothing)


def _uniform(stream: tuple[int, ...], like: Tensor, count: int) -> Tensor:
    """(count, ...) uniform numbers of a stream, each of the shape of ``like``.

    All of a step's are drawn at once, because drawing is what cannot be compiled.
    """
    generator = random.generator(*stream, device=like.device)
    return torch.rand((count, *like.shape), dtype=like.dtype, generator=generator, device=like.device)


def _drawn(problem: FactorGraph, logits: Tensor, uniform: Tensor) -> Tensor:
    """States drawn by the Gumbel trick: the argmax of logits + Gumbel noise."""
    return problem.decode(logits - (-uniform.clamp_min(1e-30).log()).log())
