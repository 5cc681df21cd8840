"""Solve linear least squares by conjugate gradients."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..arguments.contracts import NumberSlot, checked, within
from ..core import Algorithm, MetaoptError, slot
from ..problems import Gaussian, InverseProblem, protocol
from ..problems.noise import per_sample


class ConjugateGradientState(NamedTuple):
    """Hold the estimate ``x``, the ``residual`` there, the next search ``direction``, ``rho`` and ``first``.

    The residual is minus the gradient of the energy, times the variance of the sample. ``rho`` is ``|residual|^2``,
    (B,), and ``first`` is what it was at the start.
    """

    x: Tensor
    residual: Tensor
    direction: Tensor
    rho: Tensor
    first: Tensor


@checked
class ConjugateGradient(Algorithm[InverseProblem, ConjugateGradientState, Tensor]):
    """Minimise ``|A x - y|^2 / (2 noise^2) + weight |x|^2 / 2`` by conjugate gradients for its normal equations.

    These are ``(A^H A / noise^2 + weight I) x = A^H y / noise^2``, from x = 0; where the problem has a guess, the run
    begins at it and ``weight`` pulls towards it. Every sample has its own step sizes, so that a batch equals its
    items. A solution is exact after as many steps as the matrix has different eigenvalues, in exact arithmetic.
    Stopped early, the number of steps regularises as the weight does. With ``Fourier(mask) @ Sense(maps)`` this is
    CG-SENSE (Pruessmann et al., doi:10.1002/mrm.1241).

    The equations are multiplied by noise^2, of the smallest noise in a sample, so that single precision suffices at
    every noise level. A sample whose residual has fallen to 10 rounding errors of its first stays as it is: what is
    left may lie where A is blind, and steps along it would grow without bound. The residual by which a run to
    convergence is judged is relative to its size at the start.

    Args:
        weight: The weight, a number or an opening of a slot.

    Slots:
        weight: The weight, in units of 1 / x^2.

    Raises:
        MetaoptError: The problem is no :class:`InverseProblem` with a Gaussian likelihood.

    Source:
        Hestenes and Stiefel, 1952, doi:10.6028/jres.049.044.
    """

    def __init__(self, weight: NumberSlot = 0.0):
        super().__init__()
        self.weight = slot(weight, within("weight", 0))

    def init(self, problem: InverseProblem) -> ConjugateGradientState:
        protocol.check_problem(problem, "ConjugateGradient")
        if not isinstance(problem, InverseProblem) or not isinstance(problem.likelihood, Gaussian):
            what = getattr(problem, "likelihood", problem)
            raise MetaoptError(
                "ConjugateGradient solves linear least squares, an InverseProblem with a Gaussian likelihood, not "
                f"{type(what).__name__}; Descent and ProximalGradient take other energies."
            )
        start = torch.zeros_like(problem.start()) if problem.guess is None else problem.guess
        return begin_at(start, -_variance(problem, start) * problem.gradient(start))

    def step(self, problem: InverseProblem, state: ConjugateGradientState, k: int) -> ConjugateGradientState:
        variance = _variance(problem, state.x)
        image = _normal(problem, state.direction, variance) + self.weight(k) * variance * state.direction
        return advance(state, image)

    def readout(self, problem: InverseProblem, state: ConjugateGradientState, k: int) -> Tensor:
        return state.x

    def residual(self, problem: InverseProblem, state: ConjugateGradientState, k: int) -> Tensor:
        """Return the norm of the residual relative to that at the start, (B,)."""
        return ratio(state.rho, state.first, state.first > 0).sqrt()


def begin_at(x: Tensor, residual: Tensor) -> ConjugateGradientState:
    """Return the state before the first step, at x with that residual."""
    rho = inner(residual, residual)
    return ConjugateGradientState(x, residual, residual, rho, rho)


def advance(state: ConjugateGradientState, image: Tensor) -> ConjugateGradientState:
    """Take one step, where ``image`` is the positive semi-definite matrix times the direction."""
    x, residual, direction, rho, first = state
    floor = (10 * torch.finfo(rho.dtype).eps) ** 2 * first
    alpha = per_sample(ratio(rho, inner(direction, image), rho > floor), x)
    x, residual = x + alpha * direction, residual - alpha * image
    following = inner(residual, residual)
    beta = per_sample(ratio(following, rho, rho > floor), x)
    return ConjugateGradientState(x, residual, residual + beta * direction, following, first)


def _variance(problem: InverseProblem, x: Tensor) -> Tensor:
    """The smallest noise^2 of each sample in a shape that multiplies x; 1 where it is unknown."""
    noise = problem.noise
    if noise is None:
        return torch.ones((), dtype=x.dtype.to_real(), device=x.device)
    smallest = noise.flatten(1).amin(1) if noise.ndim > 1 else noise
    return per_sample(smallest, x).square()


def _normal(problem: InverseProblem, x: Tensor, variance: Tensor) -> Tensor:
    """``variance A^H A x / noise^2``."""
    if problem.noise is None or problem.noise.ndim < 2:
        return problem.operator.normal(x)
    image = problem.operator(x)
    smallest = variance.reshape(len(variance), *[1] * (image.ndim - 1))
    return problem.operator.adjoint(image * (smallest / problem.noise.square()))


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Return Re<a, b> of each sample, (B,)."""
    product = (a.conj() * b).real if a.is_complex() else a * b
    return product.unsqueeze(-1).flatten(1).sum(1)


def ratio(a: Tensor, b: Tensor, where: Tensor) -> Tensor:
    """a / b, and 0 elsewhere or where b is 0, without a derivative that is infinite."""
    where = where & (b > 0)
    return torch.where(where, a / torch.where(where, b, 1), 0)
