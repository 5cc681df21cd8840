"""Inference from many starts: the fixed points that are found, weighted by what each says of Z."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...core import MetaoptError, random, unroll
from ...problems.factor_graph import FactorGraph
from .belief_propagation import BeliefPropagation, Beliefs

NEAR, CONVERGED = 1e-2, 1e-4  # the most that an undamped step changes, near a fixed point and where it converged


class RandomRestarts:
    """Runs of belief propagation from random messages, joined to one answer.

    Where a model has several modes, belief propagation has a fixed point near each, and a single run finds one of
    them. Each fixed point says how much of Z is near it: p = sum_r Z_r b_r / sum_r Z_r over the runs r that come near a
    fixed point (residual at most 1e-2), and over all alike where none does. Fixed points that are found twice count
    once. It is the mixture of Bethe states (Mezard and Montanari, Information, Physics, and Computation, chapter 19)
    of those that random starts find.

    ``__call__`` gives the joined :class:`Beliefs` of a graph of one sample, and the residual of each start.

    Args:
        algorithms: one, classical or learned, or several that are tried one after the other until a start comes near a
            fixed point, such as ever larger weights.
        steps: of every start; up to four times as many where one is near a fixed point, but further than 1e-4.
        starts: the first is the algorithm's own; the others start from normal messages of deviation ``spread``.
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
        """Beliefs and residuals after ``steps``, and after four times as many where a start is near and no more."""
        net = unroll(algorithm, self.steps, keep="last")
        run = net(many, state=self._start(algorithm, many))
        residual = algorithm.residual(many, run.state, run.stop - 1)
        while CONVERGED < float(residual.min()) <= NEAR and run.stop < 4 * self.steps:
            run = net(many, state=run.state, start=run.stop)
            residual = algorithm.residual(many, run.state, run.stop - 1)
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
        return Beliefs(problem.normalized(log), log_z)
