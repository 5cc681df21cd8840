"""Mean field: independent beliefs, one colour of variables at a time, from the gradient of the ELBO."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...core import Algorithm, MetaoptError, autodiff, slot
from ...problems.factor_graph import FactorGraph
from .belief_propagation import Beliefs


class Logits(NamedTuple):
    """``logits``: log of the independent beliefs, normalised, (B, N)."""

    logits: Tensor


class MeanField(Algorithm[FactorGraph, Logits, Beliefs]):
    """Coordinate ascent on ELBO(q) = E_q[unary + sum_f log f] + H(q) over independent q_v.

    E_q is linear in each q_v, so that the best q_v for the others is softmax of its gradient with respect to q_v
    (Wainwright and Jordan, doi:10.1561/2200000001, section 5.3): automatic differentiation gives the update of any
    factor. A step sweeps the ``colors`` one after the other. With a proper :func:`coloring` no two variables of a
    factor change at once and, undamped, the ELBO never falls; with one colour all variables change in parallel, which
    may oscillate. ``log_z`` is the ELBO, a lower bound of log Z.

    Slots: ``damping`` in [0, 1), of the logits; ``temperature`` t, q_v = softmax(gradient / t).

    Args:
        colors: (V,), the colour of every variable; ``None`` is one for all.
    """

    colors: Tensor | None

    def __init__(self, damping: Any = 0.0, temperature: Any = 1.0, colors: Tensor | None = None):
        super().__init__()
        self.damping, self.temperature = slot(damping), slot(temperature)
        self.register_buffer("colors", colors)

    def init(self, problem: FactorGraph) -> Logits:
        start = problem.unary.expand(problem.batch, -1)
        return Logits(problem.normalized(start))

    def step(self, problem: FactorGraph, state: Logits, k: int) -> Logits:
        logits = state.logits
        for mask in color_masks(problem, self.colors):
            fields = local_fields(problem, logits.exp()) / self.temperature(k)
            proposed = fields + self.damping(k) * (logits - fields)
            proposed = problem.normalized(proposed)
            logits = proposed if mask is None else torch.where(mask, proposed, logits)
        return Logits(logits)

    def readout(self, problem: FactorGraph, state: Logits, k: int) -> Beliefs:
        return Beliefs(state.logits, problem.elbo(state.logits))

    def residual(self, problem: FactorGraph, state: Logits, k: int) -> Tensor:
        """(B,): the most that an undamped parallel step changes any belief (a probability)."""
        q = state.logits.exp()
        fields = local_fields(problem, q) / self.temperature(k)
        return (problem.normalized(fields).exp() - q).abs().amax(1)


def local_fields(problem: FactorGraph, beliefs: Tensor) -> Tensor:
    """(B, N): for every state of every variable the mean of unary + sum of log f, the others as in ``beliefs``."""
    return autodiff.gradient(lambda q: problem.mean_log_potential(q).sum(), beliefs)


def color_masks(problem: FactorGraph, colors: Tensor | None, count: int | None = None) -> list[Tensor | None]:
    """For each of ``count`` colours which states (N,) are of its variables; ``[None]`` if all have one colour."""
    if colors is None:
        return [None]
    if colors.shape != problem.cardinalities.shape:
        raise MetaoptError(
            f"The graph has {len(problem.cardinalities)} variables, but {tuple(colors.shape)} colours came; "
            "take coloring(graph) of this graph."
        )
    count = color_count(colors) if count is None else count
    return [(colors == color)[problem.variable] for color in range(count)] if len(colors) else [None]


def color_count(colors: Tensor) -> int:
    """How many colours a graph has: a number, which a compiled step cannot read from a tensor."""
    return int(colors.max()) + 1 if len(colors) else 0


def coloring(problem: FactorGraph) -> Tensor:
    """A colour (V,) for every variable, greedily from the most joined: no two of a factor share one."""
    neighbors: list[set[int]] = [set() for _ in range(len(problem.cardinalities))]
    for group in problem.factors:
        for joined in group.variables.tolist():
            for variable in joined:
                neighbors[variable].update(joined)
    colors = [-1] * len(neighbors)
    for variable in sorted(range(len(neighbors)), key=lambda v: -len(neighbors[v])):
        taken = {colors[n] for n in neighbors[variable]}
        colors[variable] = next(color for color in range(len(taken) + 1) if color not in taken)
    return torch.tensor(colors, dtype=torch.long, device=problem.cardinalities.device)
