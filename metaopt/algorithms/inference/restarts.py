"""Infer from many starts, and weight the fixed points by their estimates of Z."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...arguments.checks import check_instance
from ...arguments.contracts import Count, Natural, NotNegative, checked
from ...core import MetaoptError, Settled, random, solve, tree
from ...core.run import Callback
from ...problems.factor_graph import FactorGraph
from .belief_propagation import BeliefPropagation, Beliefs

NEAR, CONVERGED = 1e-2, 1e-4  # largest change in an undamped step that counts as near a fixed point, and as converged
SETTLED = Settled(residual=1e-9, every=20)  # what ends the run of all starts before its last step


class Restarted(NamedTuple):
    """Hold what many starts found.

    Args:
        beliefs: The combined beliefs, one sample.
        residuals: The residual of each start, (starts,), infinite where it is no number.
        steps: The number of steps that each start took.
        algorithm: The place of the algorithm that was taken, from 0.
        found: The beliefs of the starts that came near a fixed point.
    """

    beliefs: Beliefs
    residuals: Tensor
    steps: int
    algorithm: int
    found: Beliefs


@checked
class RandomRestarts:
    """Run belief propagation from random messages, and combine the fixed points that it finds.

    Where a model has several modes, belief propagation has a fixed point near each, and a single run finds one of them.
    The estimate of log Z at a fixed point measures the part of Z near it, so beliefs are combined as ``p = sum_r Z_r
    b_r / sum_r Z_r`` over the distinct fixed points r (residual at most 1e-2), and over all runs with equal weights
    where none comes near a fixed point. Calling this object on a factor graph of one sample gives the combined
    :class:`Beliefs`, and the residual of each start.

    Args:
        algorithms: One algorithm, classical or learned, or several that are tried in turn until a start comes near a
            fixed point.
        steps: Number of steps of each start, unless all have a residual of 1e-9 before; up to ``patience`` times as
            many where one is near a fixed point, but not within 1e-4.
        starts: Number of starts. The first is the algorithm's own.
        spread: Standard deviation of the normal messages at the other starts.
        seed: Seed of these messages.
        patience: See ``steps``.

    Raises:
        MetaoptError: There is no start or no algorithm, a number is out of range, or an algorithm is not belief
            propagation; when called, the graph has several samples or is a union of graphs.

    Source:
        Mezard and Montanari, Information, Physics, and Computation, chapter 19 (mixtures of Bethe states).
    """

    def __init__(
        self,
        algorithms: BeliefPropagation | Sequence[BeliefPropagation],
        steps: Natural = 300,
        starts: Count = 16,
        spread: NotNegative = 2.0,
        seed: int = 0,
        patience: Count = 4,
    ):
        self.algorithms = [algorithms] if isinstance(algorithms, BeliefPropagation) else list(algorithms)
        if not self.algorithms:
            raise MetaoptError("Inference from many starts needs at least one algorithm, but got an empty list.")
        if strange := [a for a in self.algorithms if not isinstance(a, BeliefPropagation)]:
            raise MetaoptError(f"Many starts are of belief propagation, but got a {type(strange[0]).__name__}.")
        self.steps, self.starts, self.spread, self.seed, self.patience = steps, starts, spread, seed, patience

    def __call__(self, problem: FactorGraph) -> tuple[Beliefs, Tensor]:
        return self.run(problem)[:2]

    @torch.no_grad()
    def run(self, problem: FactorGraph, callback: Callback = None) -> Restarted:
        """Run all starts and combine them.

        Args:
            problem: A factor graph of one sample.
            callback: As for :func:`metaopt.solve`.

        Returns:
            The combined beliefs, and how they came about.

        Raises:
            MetaoptError: The graph has several samples, or is a union of graphs.
        """
        check_instance("The problem of RandomRestarts", problem, FactorGraph)
        if problem.batch != 1:
            raise MetaoptError(f"Many starts are of a graph of one sample, but this has {problem.batch}.")
        if problem.constant.shape[1] != 1:
            raise MetaoptError("Many starts are of one graph, but this is a union; take its graphs one by one.")
        first: Restarted | None = None  # is taken where nothing comes near a fixed point
        for place, algorithm in enumerate(self.algorithms):
            found, residuals, steps = self._run(algorithm, problem, callback)
            near = residuals[residuals < torch.inf] <= NEAR
            joined = self._joined(problem, found, near)
            result = Restarted(joined, residuals, steps, place, tree.map(lambda t, near=near: t[near], found))
            first = first or result
            if bool(near.any()):
                return result
        assert first is not None
        return first

    def _run(
        self, algorithm: BeliefPropagation, problem: FactorGraph, callback: Callback
    ) -> tuple[Beliefs, Tensor, int]:
        """Return beliefs after ``steps``, or ``patience`` times as many while a start is only near, and all residuals.

        A start that is no longer finite ends alone: its residual is infinite, and it has no beliefs.
        """
        alive = torch.arange(self.starts, device=problem.unary.device)
        many = _copies(problem, self.starts)
        state, stop, residuals = self._start(algorithm, many), 0, torch.full((self.starts,), torch.inf)
        while True:
            state, alive, stop = _take(algorithm, problem, state, alive, (stop, stop + self.steps), callback)
            many, k = _copies(problem, len(alive)), max(0, stop - 1)
            residuals = many.unary.new_full((self.starts,), torch.inf)
            if not len(alive):
                break
            found = algorithm.residual(many, state, k)
            alive, state = alive[~found.isnan()], tree.map(lambda t, found=found: t[~found.isnan()], state)
            residuals[alive] = found[~found.isnan()]
            best = float(residuals.min())
            if not CONVERGED < best <= NEAR or stop >= self.patience * self.steps:
                break
        return algorithm.readout(_copies(problem, len(alive)), state, max(0, stop - 1)), residuals, stop

    def _start(self, algorithm: BeliefPropagation, many: FactorGraph) -> Any:
        state = algorithm.init(many)
        generator = random.generator(self.seed, device=many.unary.device)
        noise = torch.randn(state.messages.shape, generator=generator, dtype=many.unary.dtype, device=many.unary.device)
        noise[0] = 0
        return state._replace(messages=self.spread * noise)

    def _joined(self, problem: FactorGraph, found: Beliefs, near: Tensor) -> Beliefs:
        beliefs, log_z = found.log_marginals.exp(), found.log_z.sum(1)
        if not len(log_z):
            nothing = problem.normalized(problem.exclude(torch.zeros_like(problem.unary[:1])))
            return Beliefs(nothing, problem.constant.new_full((1, 1), torch.nan))
        if not bool(near.any()):
            weights = torch.full_like(log_z, 1 / len(log_z))
            return self._mixed(problem, beliefs, weights, found.log_z.mean(0, keepdim=True))
        distinct: list[int] = []
        for r in near.nonzero()[:, 0].tolist():
            if all(bool(((beliefs[r] - beliefs[d]).abs() > 10 * NEAR).any()) for d in distinct):
                distinct.append(r)
        chosen = torch.tensor(distinct, device=log_z.device)
        weights = log_z[chosen].softmax(0)
        total = found.log_z[chosen].logsumexp(0, keepdim=True)
        return self._mixed(problem, beliefs[chosen], weights, total)

    def _mixed(self, problem: FactorGraph, beliefs: Tensor, weights: Tensor, log_z: Tensor) -> Beliefs:
        mean = (weights[:, None] * beliefs).sum(0, keepdim=True)
        log = mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
        return Beliefs(problem.exclude(problem.normalized(log)), log_z)


def _copies(problem: FactorGraph, count: int) -> FactorGraph:
    """Return the graph with as many equal samples, without a new look at its zeros, which stay the same."""
    return tree.replace(problem, {"unary": problem.unary[:1].expand(count, -1)})


def _take(
    algorithm: BeliefPropagation,
    problem: FactorGraph,
    state: Any,
    alive: Tensor,
    ks: tuple[int, int],
    callback: Callback,
) -> tuple[Any, Tensor, int]:
    """Take the steps with the starts that stay finite; one that does not leaves, and the others go on."""
    k, end = ks
    while k < end and len(alive):
        run = solve(algorithm, _copies(problem, len(alive)), end - k, SETTLED, state=state, start=k, callback=callback)
        state, k = run.state, run.stop
        good = torch.ones(len(alive), dtype=torch.bool, device=alive.device)
        for leaf in tree.leaves(state):
            good &= leaf.flatten(1).isfinite().all(1)
        if run.report.not_finite_at is None or bool(good.all()):
            break
        alive, state = alive[good], tree.map(lambda t, good=good: t[good], state)
    return state, alive, k
