"""Infer from many starts, and weight the fixed points by their estimates of Z."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...core import MetaoptError, Trajectory, random, solve
from ...problems.factor_graph import FactorGraph
from .belief_propagation import BeliefPropagation, Beliefs

NEAR, CONVERGED = 1e-2, 1e-4  # largest change in an undamped step that counts as near a fixed point, and as converged


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
        steps: Number of steps of each start; up to four times as many where one is near a fixed point, but not within
            1e-4.
        starts: Number of starts. The first is the algorithm's own.
        spread: Standard deviation of the normal messages at the other starts.
        seed: Seed of these messages.

    Raises:
        MetaoptError: There is no start; when called, the graph has several samples or is a union of graphs.

    Source:
        Mezard and Montanari, Information, Physics, and Computation, chapter 19 (mixtures of Bethe states).
    """

    def __init__(
        self,
        algorithms: BeliefPropagation | Sequence[BeliefPropagation],
        steps: int = 300,
        starts: int = 16,
        spread: float = 2.0,
        seed: int = 0,
    ):
        if starts < 1:
            raise MetaoptError(f"Inference needs at least one start, but got {starts}.")
        self.algorithms = [algorithms] if isinstance(algorithms, BeliefPropagation) else list(algorithms)
        if not self.algorithms:
            raise MetaoptError("Inference from many starts needs at least one algorithm, but got an empty list.")
        self.steps, self.starts, self.spread, self.seed = steps, starts, spread, seed

    @torch.no_grad()
    def __call__(self, problem: FactorGraph) -> tuple[Beliefs, Tensor]:
        if problem.batch != 1:
            raise MetaoptError(f"Many starts are of a graph of one sample, but this has {problem.batch}.")
        if problem.constant.shape[1] != 1:
            raise MetaoptError("Many starts are of one graph, but this is a union; take its graphs one by one.")
        many = problem.with_unary(problem.unary.expand(self.starts, -1))
        found: list[tuple[Beliefs, Tensor]] = []
        for algorithm in self.algorithms:
            found.append(self._run(algorithm, many))
            if float(found[-1][1].min()) <= NEAR:
                found = found[-1:]
                break
        beliefs, residuals = found[0]  # of the first algorithm, where nothing comes near a fixed point
        return self._joined(problem, beliefs, residuals), residuals

    def _run(self, algorithm: BeliefPropagation, many: FactorGraph) -> tuple[Beliefs, Tensor]:
        """Return beliefs and residuals after ``steps``, or up to four times as many while a start is only near."""
        run = solve(algorithm, many, self.steps, _never, state=self._start(algorithm, many))
        residual = _residual(algorithm, many, run)
        while CONVERGED < float(residual.min()) <= NEAR and run.stop < 4 * self.steps:
            run = solve(algorithm, many, self.steps, _never, state=run.state, start=run.stop)
            residual = _residual(algorithm, many, run)
        return run.final, residual

    def _start(self, algorithm: BeliefPropagation, many: FactorGraph) -> Any:
        state = algorithm.init(many)
        generator = random.generator(self.seed, device=many.unary.device)
        noise = torch.randn(state.messages.shape, generator=generator, dtype=many.unary.dtype, device=many.unary.device)
        noise[0] = 0
        return state._replace(messages=self.spread * noise)

    def _joined(self, problem: FactorGraph, found: Beliefs, residual: Tensor) -> Beliefs:
        beliefs, log_z = found.log_marginals.exp(), found.log_z.sum(1)
        near = residual <= NEAR
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


def _never(problem: FactorGraph, before: Any, after: Any) -> bool:
    """Let all steps be taken: how near a fixed point the best start is decides what follows."""
    return False


def _residual(algorithm: BeliefPropagation, many: FactorGraph, run: Trajectory[Any, Beliefs]) -> Tensor:
    """Return the residual of every start, infinite where it is not a number."""
    return torch.nan_to_num(algorithm.residual(many, run.state, max(0, run.stop - 1)), nan=torch.inf)
