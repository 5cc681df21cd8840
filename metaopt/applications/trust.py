"""Ask how far an approximate answer about a discrete model can be trusted, by other approximations and by bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..algorithms import BeliefPropagation, MeanField, coloring
from ..algorithms.inference import Beliefs, RandomRestarts, has_cycles, tree_weights
from ..algorithms.inference.restarts import CONVERGED, NEAR
from ..core import Settled, solve
from ..problems import FactorGraph, log_max, log_sum

TEN = math.log(10)
STARTS = 8
REACHED = 1e-6  # how far below a bound, in log10, an assignment still reaches it
ENTRIES = 2**22  # of the tables of all starts together, which sets how many starts there are


class Support(NamedTuple):
    """Hold what other approximations say of an answer.

    Args:
        exact: Whether the answer is exact: belief propagation converged on a model without cycles, or the assignment
            reaches an upper bound of the log10 probability.
        starts: The number of further random starts that came near a fixed point.
        disagreement: How far other answers are from this one: for marginals the largest difference of a probability to
            those of the random starts and of tree-reweighted propagation; for log10 Z the width of the interval between
            the bounds and the answer; for an assignment how much larger, at most, the log10 probability of the best one
            is. None where too few of the others converged to tell.
        lower: A lower bound of log10 Z (or of the largest log10 probability), or None.
        upper: An upper bound of the same, or None.
        error: No marginal is off by more than this, or None where nothing is proven. With q from mean field,
            ``|p_v - q_v| <= sqrt((upper - lower) / 2)`` in natural logarithms (Pinsker), and the answer's distance from
            q is known.
        reason: Why it is exact, if it is.
    """

    exact: bool = False
    starts: int = 0
    disagreement: float | None = None
    lower: float | None = None
    upper: float | None = None
    error: float | None = None
    reason: str = "the model has no cycles"

    def within(self, tolerance: float) -> bool:
        """Return whether the answer is exact, proven within the tolerance, or all others agree with it within it.

        Args:
            tolerance: The largest disagreement, in the units of the answer.

        Returns:
            False also where nothing is known.
        """
        proven = self.error is not None and self.error <= tolerance
        return self.exact or proven or (self.disagreement is not None and self.disagreement <= tolerance)


def random_starts(graph: FactorGraph, most: int = STARTS) -> int:
    """Return how many starts a graph is given, fewer where its tables are large.

    Args:
        graph: The graph.
        most: The largest number.

    Returns:
        At least 2.
    """
    entries = sum(math.prod(group.shape()) * len(group.variables) for group in graph.factors if _is_table(group))
    return max(2, min(most, ENTRIES // max(1, entries)))


def settle(
    algorithm: Any, graph: FactorGraph, steps: int, show: Any = None, every: int = 20, tolerance: float = CONVERGED
) -> tuple[Any, float]:
    """Iterate until the residual is small.

    Args:
        algorithm: The algorithm.
        graph: The graph.
        steps: The largest number of steps.
        show: A callback, as for :func:`metaopt.solve`.
        every: The number of steps between two looks at the residual.
        tolerance: The residual at which the iteration stops.

    Returns:
        The run, and its residual, NaN where the run became so.
    """
    run = solve(algorithm, graph, steps, Settled(residual=tolerance, every=every), callback=show)
    if run.report.not_finite_at is not None:
        return run, math.nan
    residual = algorithm.residual(graph, run.state, 0) if run.report.residuals is None else run.report.residuals
    return run, float(residual.max())


def supported(graph: FactorGraph, task: str, answer: Beliefs, log_p: float, steps: int, tree_is_exact: bool) -> Support:
    """Compare an answer with those of other approximations.

    Args:
        graph: The graph.
        task: ``"MAR"``, ``"PR"`` or ``"MAP"``.
        answer: The beliefs of the answer.
        log_p: The log potential of its assignment, for MAP.
        steps: The largest number of steps of each approximation.
        tree_is_exact: Whether the answer would be exact on a model without cycles.

    Returns:
        What they say.
    """
    if tree_is_exact and not has_cycles(graph):
        return Support(exact=True)
    return {"MAR": _of_marginals, "PR": _of_log_z, "MAP": _of_assignment}[task](graph, answer, log_p, steps)


def _of_marginals(graph: FactorGraph, answer: Beliefs, log_p: float, steps: int) -> Support:
    lower, upper, means, reweighted = _bounds(graph, steps)
    given, starts = answer.log_marginals.exp(), _others(graph, steps, log_sum)
    others = [p for p in starts.log_marginals.exp().split(1) if len(p)]
    if reweighted is not None:
        others.append(reweighted.log_marginals.exp())
    far = [float((p - given).abs().max()) if p.numel() else 0.0 for p in others]
    count = len(others) - (reweighted is not None)
    told = max(far) if count and reweighted is not None else None
    error = None
    if lower is not None and upper is not None and means is not None and math.isfinite(lower):
        distance = float((means.log_marginals.exp() - given).abs().max()) if given.numel() else 0.0
        error = distance + math.sqrt(max(0.0, upper - lower) / 2)
    return Support(
        False, count, told, _in_tens(lower), _in_tens(upper), error if error is not None and error < 1 else None
    )


def _of_log_z(graph: FactorGraph, answer: Beliefs, log_p: float, steps: int) -> Support:
    lower, upper, _, _ = _bounds(graph, steps)
    value = float(answer.log_z)
    told = None
    if lower is not None and upper is not None:
        told = _in_tens(max(upper, value) - min(lower, value))
    return Support(False, 0, told, _in_tens(lower), _in_tens(upper))


def _of_assignment(graph: FactorGraph, answer: Beliefs, log_p: float, steps: int) -> Support:
    best = BeliefPropagation(0.5, weight=tree_weights(graph), marginalize=log_max)
    run, residual = settle(best, graph, steps)
    upper = float(run.final.log_z) if residual <= CONVERGED else None
    starts = _others(graph, steps, log_max)
    found = [float(graph.log_potential(graph.decode(m))) for m in starts.log_marginals.split(1) if len(m)]
    lower = max([log_p, *found])
    told = None if upper is None else max(0.0, max(upper, lower) - log_p) / TEN
    reached = told is not None and told <= REACHED
    reason = "no assignment can have a larger probability, by the bound of tree-reweighted max-product"
    return Support(reached, len(found), told, _in_tens(lower), _in_tens(upper), reason=reason)


def _bounds(graph: FactorGraph, steps: int) -> tuple[float | None, float | None, Beliefs | None, Beliefs | None]:
    """Return a lower and an upper bound of log Z, and the beliefs they come with, each None if it did not converge."""
    below, residual = settle(MeanField(colors=coloring(graph)), graph, steps, every=2)
    means = below.final if residual <= CONVERGED else None
    above, residual = settle(BeliefPropagation(0.5, weight=tree_weights(graph)), graph, steps)
    reweighted = above.final if residual <= CONVERGED else None
    lower, upper = (None if found is None else float(found.log_z) for found in (means, reweighted))
    return lower, upper, means, reweighted


def _others(graph: FactorGraph, steps: int, marginalize: Callable[..., Tensor]) -> Beliefs:
    """Return the fixed points of plain belief propagation from random starts."""
    algorithm = BeliefPropagation(0.5, marginalize=marginalize)
    restarts = RandomRestarts(algorithm, steps, random_starts(graph) + 1, patience=1)
    found = restarts.run(graph)
    return found.found if float(found.residuals.min()) <= NEAR else Beliefs(*(t[:0] for t in found.beliefs))


def _is_table(group: Any) -> bool:
    return isinstance(getattr(group, "log_table", None), Tensor)


def _in_tens(value: float | None) -> float | None:
    return None if value is None else value / TEN


@torch.no_grad()
def annealed(
    algorithm: Any, graph: FactorGraph, steps: int, starts: int, show: Any = None
) -> tuple[Beliefs, float, int]:
    """Look for the best assignment by belief propagation of falling temperature from several starts.

    Args:
        algorithm: Belief propagation whose temperature falls within the steps.
        graph: The graph.
        steps: The number of steps.
        starts: The number of starts.
        show: A callback, as for :func:`metaopt.solve`.

    Returns:
        The beliefs of the start whose assignment has the largest log potential, its residual, and the number of steps.
    """
    restarts = RandomRestarts(algorithm, steps, starts, patience=1)
    found = restarts.run(graph, show)
    alive = found.residuals[found.residuals < math.inf]
    if not len(found.found.log_z):
        return found.beliefs, float(found.residuals.min()), found.steps
    near = alive[alive <= NEAR]
    values = [float(graph.log_potential(graph.decode(m))) for m in found.found.log_marginals.split(1)]
    best = max(range(len(values)), key=values.__getitem__)
    beliefs = Beliefs(found.found.log_marginals[best : best + 1], found.found.log_z[best : best + 1])
    return beliefs, float(near[best]), found.steps
