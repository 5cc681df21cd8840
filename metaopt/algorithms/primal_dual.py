"""Minimise a least-squares energy and a prior that is a norm of differences, without an inner loop."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..arguments.contracts import ModuleSlot, NumberSlot, ValueSlot, checked, within
from ..core import Algorithm, MetaoptError, slot
from ..priors.prior import prior_slot
from ..problems import Gaussian, InverseProblem, protocol
from ..problems.noise import per_sample

SHARE = 0.1  # of the dual step that the measurement gets; the prior has the rest: fast on masked k-space


class PrimalDualState(NamedTuple):
    """Hold the estimate ``x``, ``ahead`` = 2x - its predecessor, and the dual variables ``measured`` and ``analyzed``.

    ``measured`` has the shape of y, and ``analyzed`` that of the prior's analysis of x.
    """

    x: Tensor
    ahead: Tensor
    measured: Tensor
    analyzed: tuple[Tensor, ...]


@checked
class PrimalDual(Algorithm[InverseProblem, PrimalDualState, Tensor]):
    """Minimise ``|A x - y|^2 / (2 noise^2) + weight |D x|`` by the primal-dual method of Chambolle and Pock.

    With B = A / noise, t = ratio * step_size, s = 0.1 / ratio, ``r = 0.9 / (t |D|^2)``, v = 2 x - its predecessor, a
    step is::

        u <- (u + s (B v - y / noise)) / (1 + s)
        q <- project(q + r D v), onto |q| <= weight
        x <- x - t (B^H u + D^H q)

    It finds the same x as :class:`Fista` with the same prior, but D is applied once a step, not in each iteration of an
    inner loop. It converges for every ratio if ``step_size <= 1 / |B|^2``, as :func:`step_size_for` gives it; a large
    ratio lets x move fast and the dual variables slowly. The energy need not fall at each step.

    Args:
        prior: The prior, such as :class:`~metaopt.priors.TotalVariation`, with methods ``analyze(x)`` for D x,
            ``synthesize(q)`` for D^H q and ``project(q, k)``, and a number ``analysis_bound`` of at least ``|D|^2``.
        step_size: A number, a tensor, or an opening of a slot.
        ratio: The length of a step of x in units of ``step_size``.

    Slots:
        prior: The prior, and its own slots, such as ``prior.weight``.
        step_size: The step size.
        ratio: The ratio.

    Raises:
        MetaoptError: The prior lacks one of these methods, or the problem is no :class:`InverseProblem` with a Gaussian
            likelihood.

    Source:
        Chambolle and Pock, 2011, doi:10.1007/s10851-010-0251-1 (algorithm 1).
    """

    def __init__(self, prior: ModuleSlot, step_size: ValueSlot, ratio: NumberSlot = 10.0):
        super().__init__()
        self.prior = prior_slot(prior, "analyze", "PrimalDual")
        self.step_size, self.ratio = (
            slot(step_size, within("step_size", above=0)),
            slot(ratio, within("ratio", above=0)),
        )

    def init(self, problem: InverseProblem) -> PrimalDualState:
        protocol.check_problem(problem, "PrimalDual")
        if not isinstance(problem, InverseProblem) or not isinstance(problem.likelihood, Gaussian):
            what = getattr(problem, "likelihood", problem)
            raise MetaoptError(
                "PrimalDual minimises least squares and a prior, and so takes an InverseProblem with a Gaussian "
                f"likelihood, not {type(what).__name__}; ProximalGradient takes other energies."
            )
        x = problem.start()
        protocol.check_steps_fit("PrimalDual", self.step_size(0), x)
        analyzed = tuple(torch.zeros_like(part) for part in self.prior(0).analyze(x))
        return PrimalDualState(x, x, torch.zeros_like(problem.y), analyzed)

    def step(self, problem: InverseProblem, state: PrimalDualState, k: int) -> PrimalDualState:
        prior, ratio = self.prior(k), self.ratio(k)
        length, dual_length = ratio * self.step_size(k), SHARE / ratio
        noise = 1.0 if problem.noise is None else per_sample(problem.noise, problem.y)
        off = (problem.operator(state.ahead) - problem.y) / noise
        measured = (state.measured + dual_length * off) / (1 + dual_length)
        rise = (1 - SHARE) / (length * prior.analysis_bound)
        pairs = zip(state.analyzed, prior.analyze(state.ahead), strict=True)
        analyzed = prior.project(tuple(q + rise * part for q, part in pairs), k)
        pull = problem.operator.adjoint(measured / noise) + prior.synthesize(analyzed)
        x = state.x - length * pull
        return PrimalDualState(x, 2 * x - state.x, measured, analyzed)

    def readout(self, problem: InverseProblem, state: PrimalDualState, k: int) -> Tensor:
        return state.x
