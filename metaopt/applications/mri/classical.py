"""Reconstruct pictures from k-space in the classical ways, which learn nothing.

Every problem is an :class:`~metaopt.InverseProblem` on ``Fourier(mask, centred=True) @ Sense(maps)``, for a single coil
without maps on ``Fourier(mask, centred=True)``; a picture is (B, S, ...) with one of its S parts for each set of
maps. Weights are in units of 1 / x (``l1_wavelet``, ``total_variation``) or 1 / x^2 (``cg_sense``) beside an energy
``|A x - y|^2 / (2 noise^2)``: a weight that is right for noise 1 is 1 / noise^2 times as large for another level.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...algorithms import ConjugateGradient, Fista, PrimalDual, step_size_for
from ...arguments.checks import check_tensor
from ...arguments.contracts import Count, NotNegative, checked
from ...core import Settled, solve
from ...core.run import Callback
from ...priors import HAAR, CycleSpinning, TotalVariation, Wavelet
from ...problems import InverseProblem

POWER_ITERATIONS = 20  # of the norm of A, each as long as a step; maps that are normalised reach it at once


@checked
def zero_filled(problem: InverseProblem) -> Tensor:
    """Return ``A^H y``, the picture of k-space whose unmeasured points are taken as zero.

    Args:
        problem: The problem.

    Returns:
        The picture, (B, S, ...), complex.

    Raises:
        MetaoptError: It is no :class:`InverseProblem`.
    """
    return problem.operator.adjoint(problem.y)


@checked
def root_sum_of_squares(pictures: Tensor) -> Tensor:
    """Return the root of the sum of ``|x|^2`` over the coils, or over the sets of maps.

    Args:
        pictures: (B, C, ...) of coils or (B, S, ...) of sets, real or complex.

    Returns:
        The magnitude, (B, 1, ...), real.

    Raises:
        MetaoptError: The pictures are no tensor with a batch, a channel and a space.
    """
    check_tensor("The pictures of coils or sets", pictures, "real or complex", "(B, C, ...)")
    return torch.linalg.vector_norm(pictures, dim=1, keepdim=True)


@checked
def cg_sense(
    problem: InverseProblem,
    weight: NotNegative = 0.0,
    max_steps: Count = 100,
    until: Settled = Settled(relative=1e-3, absolute=0.0),  # noqa: B008
    callback: Callback = None,
) -> Tensor:
    """Return the least-squares picture, ``|A x - y|^2 / (2 noise^2) + weight |x|^2 / 2``, by conjugate gradients.

    Args:
        problem: The problem, with a Gaussian likelihood.
        weight: The weight, in units of 1 / x^2.
        max_steps: The largest number of steps. Without a weight, few steps amplify noise less than many.
        until: The rule that ends the run, by the residual relative to the first.
        callback: A function that is called after each step with (k, state, residual); ``state.x`` is the picture.

    Returns:
        The picture, (B, S, ...), complex.

    Raises:
        MetaoptError: The weight is negative, the problem is no linear least squares, or ``max_steps`` is below 1.

    Source:
        Pruessmann et al., 2001, doi:10.1002/mrm.1241.
    """
    return solve(ConjugateGradient(weight), problem, max_steps, until, callback=callback).final


@checked
def l1_wavelet(
    problem: InverseProblem,
    weight: NotNegative,
    levels: Count = 4,
    max_steps: Count = 60,
    until: Settled = Settled(relative=1e-4, absolute=0.0),  # noqa: B008
    callback: Callback = None,
) -> Tensor:
    """Return the picture with few wavelet details, by FISTA with another translate of Haar's wavelets at every step.

    Details of every set of maps count separately. The step is 1 over the largest eigenvalue of ``A^H A / noise^2``.
    Since the translate changes, the picture goes on changing slightly, and the rule seldom ends the run. A looser one
    would end it where a small weight moves the first steps, from the zero-filled picture, by little.

    Args:
        problem: The problem, with a Gaussian likelihood.
        weight: The weight, in units of 1 / x.
        levels: How many times the wavelets' approximation is split.
        max_steps: The largest number of steps.
        until: The rule that ends the run, by the change of the picture.
        callback: A function that is called after each step with (k, state, residual); ``state.x`` is the picture.

    Returns:
        The picture, (B, S, ...), complex.

    Raises:
        MetaoptError: The weight is negative, a number of steps or levels is below 1, the likelihood is not Gaussian, or
            there are more than three axes of space.

    Source:
        Lustig, Donoho and Pauly, 2007, doi:10.1002/mrm.21391.
    """
    dims = _dims(problem)
    prior = CycleSpinning(Wavelet(weight, levels, dims=dims, taps=HAAR), span=2**levels, dims=dims)
    algorithm = Fista(prior, step_size_for(problem, iterations=POWER_ITERATIONS))
    return solve(algorithm, problem, max_steps, until, callback=callback).final


@checked
def total_variation(
    problem: InverseProblem,
    weight: NotNegative,
    isotropic: bool = False,
    max_steps: Count = 150,
    until: Settled = Settled(relative=1e-2, absolute=0.0),  # noqa: B008
    callback: Callback = None,
) -> Tensor:
    """Return the picture of small total variation, by the primal-dual method.

    Differences are periodic, as pictures of k-space are; of a complex difference the magnitude counts, and every set
    of maps counts separately.

    Args:
        problem: The problem, with a Gaussian likelihood.
        weight: The weight, in units of 1 / x.
        isotropic: Whether the axes share one norm at every pixel. Without, the differences of each are summed.
        max_steps: The largest number of steps.
        until: The rule that ends the run, by the change of the picture and the dual variables.
        callback: A function that is called after each step with (k, state, residual); ``state.x`` is the picture.

    Returns:
        The picture, (B, S, ...), complex.

    Raises:
        MetaoptError: The weight is negative, ``max_steps`` is below 1, or the likelihood is not Gaussian.

    Source:
        Block, Uecker and Frahm, 2007, doi:10.1002/mrm.21236.
    """
    dims = _dims(problem)
    prior = TotalVariation(weight, dims=dims, isotropic=isotropic, periodic=True)
    algorithm = PrimalDual(prior, step_size_for(problem, iterations=POWER_ITERATIONS))
    return solve(algorithm, problem, max_steps, until, callback=callback).final


def _dims(problem: InverseProblem) -> int:
    """Return the number of axes of space."""
    return max(1, problem.operator.adjoint(problem.y).ndim - 2)
