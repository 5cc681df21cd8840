"""Optimise independent beliefs, one colour of variables at a time, by the gradient of the ELBO."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from ...arguments.checks import check_instance
from ...arguments.contracts import Axes, ValueSlot, checked, within
from ...core import Algorithm, MetaoptError, autodiff, slot
from ...problems.factor_graph import FactorGraph
from .belief_propagation import Beliefs

Colors = Annotated[Tensor, Axes("whole", "(V,)")]


class Logits(NamedTuple):
    """Hold ``logits``, the normalised logarithms of the independent beliefs, (B, N)."""

    logits: Tensor


@checked
class MeanField(Algorithm[FactorGraph, Logits, Beliefs]):
    """Ascend ``ELBO(q) = E_q[unary + sum_f log f] + H(q)`` over independent beliefs q_v by coordinates.

    A step updates one colour of variables after the other. E_q is linear in each q_v, so the best q_v given the others
    is the softmax of its gradient with respect to q_v (Wainwright and Jordan, doi:10.1561/2200000001, section 5.3).
    Automatic differentiation gives this for any factor. With a proper :func:`coloring`, no two variables of a factor
    change at once and, without damping, the ELBO never falls. With one colour all variables change in parallel, which
    may oscillate. ``log_z`` is the ELBO, a lower bound of log Z. A zero of a factor counts as a large penalty while
    beliefs move; where they end with any probability on one, the ELBO is -inf.

    Args:
        damping: Fills the slot of that name.
        temperature: Fills the slot of that name.
        colors: The colour of every variable, (V,). None: all have one colour.

    Slots:
        damping: Damping of the logits, in [0, 1).
        temperature: t in q_v = softmax(gradient / t).

    Raises:
        MetaoptError: There is not one colour for every variable of the graph.
    """

    colors: Tensor | None

    def __init__(self, damping: ValueSlot = 0.0, temperature: ValueSlot = 1.0, colors: Colors | None = None):
        super().__init__()
        self.damping, self.temperature = (
            slot(damping, within("damping", 0, below=1)),
            slot(temperature, within("temperature", above=0)),
        )
        self.register_buffer("colors", colors)

    def init(self, problem: FactorGraph) -> Logits:
        check_instance("The problem of MeanField", problem, FactorGraph)
        start = problem.exclude(problem.soft_unary).expand(problem.batch, -1)
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
        return Beliefs(problem.exclude(state.logits), problem.elbo(state.logits))

    def residual(self, problem: FactorGraph, state: Logits, k: int) -> Tensor:
        """Return the largest change of a belief (a probability) in a parallel step without damping.

        Args:
            problem: The factor graph.
            state: The state.
            k: The step that left the state.

        Returns:
            (B,).
        """
        q = state.logits.exp()
        fields = local_fields(problem, q) / self.temperature(k)
        change = (problem.normalized(fields).exp() - q).abs()
        return change.amax(1) if change.shape[1] else change.new_zeros(len(change))


def local_fields(problem: FactorGraph, beliefs: Tensor) -> Tensor:
    """Return for every state of every variable the mean of unary + sum of log f, given the beliefs in the others.

    Args:
        problem: The factor graph.
        beliefs: Probabilities of the states, (B, N).

    Returns:
        (B, N).
    """
    return autodiff.gradient(lambda q: problem.penalized_mean(q).sum(), beliefs)


def color_masks(problem: FactorGraph, colors: Tensor | None, count: int | None = None) -> list[Tensor | None]:
    """Return for each colour a mask (N,) of the states of its variables, or ``[None]`` if all have one colour.

    Args:
        problem: The factor graph.
        colors: The colour of every variable, (V,), or None.

    Returns:
        A list of bool masks.

    Raises:
        MetaoptError: There is not one colour for every variable of the graph.
    """
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
    """Return the number of colours as an int, which a compiled step could not read from a tensor.

    Args:
        colors: The colour of every variable, (V,).

    Returns:
        The number of colours.
    """
    return int(colors.max()) + 1 if len(colors) else 0


@checked
def coloring(problem: FactorGraph) -> Tensor:
    """Return a colour for every variable so that no two variables of a factor have the same.

    Colours are assigned greedily, from the variable with the most neighbours.

    Args:
        problem: The factor graph.

    Returns:
        (V,) int64, from 0.
    """
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
