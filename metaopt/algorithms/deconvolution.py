"""Deconvolve pictures by an update that sees them in units of their own brightness, and by conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arguments.contracts import Count, ValueSlot, checked, within
from ..core import Algorithm, MetaoptError, autodiff, slot, tree
from ..problems import Gaussian, protocol
from ..problems.noise import per_sample
from .clean import brightness
from .conjugate_gradient import inner, ratio
from .descent import Update

WINDOW, WIDE = 7, 15  # pixels a side, over which the brightness and the corrections around a pixel are averaged
MOST = 4.0  # of the corrections around a pixel, by which a step changes it
WIDEST = 2.0  # of the logarithm of what an update multiplies the trust by


class Dirty(NamedTuple):
    """Hold what is computed once, each but the picture (B, 1, 1, 1).

    ``picture`` is the dirty picture, whose largest pixel is 1 or -1, ``noise`` its standard deviation in that unit,
    ``flux`` the unit in those of x, and ``slope`` that of the gradient.
    """

    picture: Tensor
    noise: Tensor
    flux: Tensor
    slope: Tensor


class DeconvolutionState(NamedTuple):
    """Hold the estimate ``x`` and the last ``correction`` by the measurement, both over ``dirty.flux``."""

    x: Tensor
    correction: Tensor
    memory: Any
    dirty: Dirty


@checked
class Deconvolution(Algorithm[Any, DeconvolutionState, Tensor]):
    """Change a picture by an update and fit it to the measurement in turn, in units in which flux has no scale.

    The negative gradient of the energy is ``(d - b * x) / s^2``, with the dirty picture d, the dirty beam b (the
    response to a source of 1 in the middle, whose peak is 1), and the noise s of d. A step is

        ``x' = (x + w o_1)_+``,  ``t = trust v exp(o_2)``,  ``c = argmin_c |c / t|^2 + c (b * c) / s^2 - 2 c r / s^2``,
        ``x <- x' + c``,

    where r is the dirty residual of x', v = ``sqrt(mean x^2 + s^2)`` is the brightness around a pixel, w in the same
    way the size of the last c, and o_1 (from -4 to 4) and o_2 (from -2 to 2) are what the update gives. So t is the
    error that x' is believed to have: empty sky remains empty, and what was not measured of a source follows what was.
    A few conjugate gradients from 0 find c, each with one gradient of the problem. In the beginning x' is 0, v is that
    of the dirty picture, and then w is the size of what is negative in x.

    The update sees ``x / v`` and ``log(v / s) / 4`` in the place of x, and ``c / w`` and ``log(w / v) / 4`` in the
    place of the gradient, each (B, 2, H, W). Therefore the result for a times the visibilities and noise is a times the
    result, at any dynamic range. An update that gives 0, as that of :func:`~metaopt.models.radio_rim` before training,
    makes it a classical algorithm: reweighted least squares with nothing negative.

    Derivatives take what the conjugate gradients find, c / t, for a constant, since those of its recursion are
    dominated by rounding: so an update learns by its own steps, but the measurement has no exact derivative.

    The problem has a quadratic energy, whose curvature looks the same at every pixel (visibilities, k-space, a blur),
    and real x, (B, 1, H, W). With :meth:`~metaopt.InverseProblem.by_normal` a gradient is one convolution.

    Args:
        update: The update of two channels and no context, such as ``ConvGru(2, context=0)``.
        trust: The error of x' that is believed, over the brightness around: a number or an opening of a slot.
        iterations: The number of conjugate gradients of a step.
        positive: Whether x' and the readout are at least 0, as intensities are. Stokes Q, U and V are not.

    Slots:
        update: The update, and its own slots.
        trust: The trust, above 0.

    Raises:
        MetaoptError: x is not real or has other axes, the likelihood is not Gaussian, the noise is unknown, or the
            measurement says nothing of the pixel in the middle.

    Source:
        Putzky & Welling, 2017, arXiv:1706.04008 (the update); Gorodnitsky & Rao, Sparse signal reconstruction from
        limited data using FOCUSS, 1997, doi:10.1109/78.558475 (the weights); Fung et al., JFB: Jacobian-free
        backpropagation for implicit networks, 2021, arXiv:2103.12803.
    """

    def __init__(self, update: Update, trust: ValueSlot = 0.5, iterations: Count = 20, positive: bool = True):
        super().__init__()
        self.update, self.trust = slot(update), slot(trust, within("trust", above=0))
        self.iterations, self.positive = iterations, positive

    def init(self, problem: Any) -> DeconvolutionState:
        zero = torch.zeros_like(protocol.begin(problem, "Deconvolution"))
        _check(problem, zero)
        dirty = _observed(protocol.at(problem, 0), zero)
        memory = self.update(0).init(torch.cat([zero, zero], 1), ())
        x = self._fitted(problem, dirty, zero, _around(dirty.picture.relu(), WINDOW, dirty))
        return DeconvolutionState(x, x.clamp(max=0) if self.positive else x, memory, dirty)

    def step(self, problem: Any, state: DeconvolutionState, k: int) -> DeconvolutionState:
        now, dirty = protocol.at(problem, k), state.dirty
        bright, wrong = _around(state.x, WINDOW, dirty), _around(state.correction, WIDE, dirty)
        seen = torch.cat([state.x / bright, (bright / dirty.noise).log() / 4], 1)
        missed = torch.cat([state.correction / wrong, (wrong / bright).log() / 4], 1)
        change, memory = self.update(k)(missed, seen, state.memory, k, ())
        moved = state.x + wrong * MOST * (change[:, :1] / MOST).tanh()
        moved = moved.relu() if self.positive else moved
        trust = self.trust(k).to(moved) * bright * change[:, 1:].clamp(-WIDEST, WIDEST).exp()
        x = self._fitted(now, dirty, moved, trust)
        return DeconvolutionState(x, x - moved, memory, dirty)

    def readout(self, problem: Any, state: DeconvolutionState, k: int) -> Tensor:
        return state.dirty.flux * (state.x.relu() if self.positive else state.x)

    def _fitted(self, problem: Any, dirty: Dirty, x: Tensor, trust: Tensor) -> Tensor:
        """Return x + c."""
        largest = trust.detach().amax((1, 2, 3), keepdim=True)
        with torch.no_grad():
            residual = -problem.gradient(dirty.flux * x) / dirty.slope
            share, damping = trust / largest, (dirty.noise / largest).square()
            found = _solved(
                lambda q: share * _seen(problem, dirty, share * q) + damping * q, share * residual, self.iterations
            )
        return x + trust / largest * found


def _solved(matrix: Callable[[Tensor], Tensor], right: Tensor, iterations: int) -> Tensor:
    """Solve ``matrix(q) = right`` by conjugate gradients whose residuals are kept orthogonal to all before.

    Otherwise rounding grows from step to step until it decides what is found, since the matrix has some eigenvalues
    that are much larger than the others. After as many iterations as there are unknowns nothing is left but rounding.
    """
    iterations = min(iterations, right[:1].numel())
    q, residual, rho = torch.zeros_like(right), right, inner(right, right)
    direction, floor = residual, (10 * torch.finfo(rho.dtype).eps) ** 2 * rho
    basis = right.flatten(1).unsqueeze(1).repeat(1, iterations, 1)
    for k in range(iterations):
        basis[:, k] = (residual * per_sample(ratio(rho.sqrt(), rho, rho > floor), residual)).flatten(1)
        image = matrix(direction)
        length = per_sample(ratio(rho, inner(direction, image), rho > floor), q)
        q, residual = q + length * direction, residual - length * image
        flat, used = residual.flatten(1).unsqueeze(2), basis[:, : k + 1]
        residual = (flat - used.mT @ (used @ flat)).reshape(residual.shape)
        following = inner(residual, residual)
        direction = residual + per_sample(ratio(following, rho, rho > floor), q) * direction
        rho = following
    return q


def _around(x: Tensor, window: int, dirty: Dirty) -> Tensor:
    """Return the root mean square of x around each pixel, and of the noise."""
    squares = F.avg_pool2d(x.square(), window, 1, window // 2, count_include_pad=False)
    return (squares + dirty.noise.square()).sqrt()


def _seen(problem: Any, dirty: Dirty, x: Tensor) -> Tensor:
    """Return b * x, by the gradient at an x that is as bright as the dirty picture, beside which it would be lost."""
    size = _size(x)
    return (problem.gradient(dirty.flux / size * x) / dirty.slope + dirty.picture) * size


def _observed(problem: Any, zero: Tensor) -> Dirty:
    """Return the dirty picture and its units."""
    moment = -problem.gradient(zero)
    slope = _size(moment)
    middle = torch.zeros_like(zero)
    middle[..., zero.shape[2] // 2, zero.shape[3] // 2] = 1
    flux = brightness(problem.gradient, moment, middle)
    response = ((problem.gradient(flux * middle) + moment) * middle).sum((2, 3), keepdim=True) / slope / flux
    if autodiff.values_known() and not bool(((response > 0) & response.isfinite()).all()):
        raise MetaoptError(
            "The measurement says nothing of the pixel in the middle, whose response Deconvolution takes for that of "
            "every pixel; it is for visibilities, k-space and blurs, and Descent for masks of pixels."
        )
    return Dirty(moment / slope, (response / slope).sqrt(), 1 / response, slope)


def _size(x: Tensor) -> Tensor:
    """Return the largest magnitude of each sample, and 1 for a sample of zeros."""
    largest = x.abs().amax((1, 2, 3), keepdim=True)
    return torch.where(largest > 0, largest, 1)


def _check(problem: Any, x: Tensor) -> None:
    if x.ndim != 4 or x.is_complex() or x.shape[1] != 1:
        raise MetaoptError(
            f"Deconvolution makes real pictures of one plane, (B, 1, H, W), but x is {tree.describe(x)}; give several "
            "channels or Stokes parameters one by one, each as its own sample or problem."
        )
    if not isinstance(getattr(problem, "likelihood", Gaussian()), Gaussian):
        raise MetaoptError(
            f"Deconvolution fits by least squares, a Gaussian likelihood, not {type(problem.likelihood).__name__}; "
            "Descent and ProximalGradient take other energies."
        )
    if getattr(problem, "noise", 1.0) is None:
        raise MetaoptError(
            "Deconvolution needs the noise level of y; for visibilities give InverseProblem(operator, "
            "operator.whiten(visibilities), noise=1.0), with weights of 1 / variance."
        )
