"""Likelihoods describe how a measurement y scatters around the noiseless prediction p = A x."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ..arguments.contracts import NotNegative, Positive, checked
from ..core import MetaoptError, autodiff
from ..operators.operator import at_least_single


@runtime_checkable
class Likelihood(Protocol):
    """A likelihood gives ``-log p(y | prediction)``, up to a constant, and its gradient, both elementwise.

    The gradient is with respect to the prediction. ``noise`` broadcasts to y, or is ``None`` where it is unknown.
    """

    def energy(self, prediction: Tensor, y: Tensor, noise: Tensor | None) -> Tensor: ...

    def gradient(self, prediction: Tensor, y: Tensor, noise: Tensor | None) -> Tensor: ...

    def check(self, y: Tensor, noise: Tensor | None) -> None:
        """Raise if such a measurement is impossible."""


@dataclass(frozen=True)
class Gaussian:
    """The measurement is ``y = p + noise * n`` with standard normal n: the energy is ``|p - y|^2 / (2 noise^2)``.

    The gradient is ``(p - y) / noise^2``. For complex y, ``noise`` is the standard deviation of the real and of the
    imaginary part each. Without a noise level this is least squares (noise = 1).
    """

    def energy(self, prediction: Tensor, y: Tensor, noise: Tensor | None) -> Tensor:
        return _over_variance((prediction - y).abs().square() / 2, noise)

    def gradient(self, prediction: Tensor, y: Tensor, noise: Tensor | None) -> Tensor:
        return _over_variance(prediction - y, noise)

    def check(self, y: Tensor, noise: Tensor | None) -> None:
        pass


def _over_variance(values: Tensor, noise: Tensor | None) -> Tensor:
    """Return ``values / noise^2``, computed in at least single precision.

    Torch has no complex division in 16 bits on a processor, and there 0.002^2 is off by one percent.
    """
    if noise is None:
        return values
    wide = at_least_single(values)
    quotient = wide / at_least_single(noise).square()
    return quotient if wide is values else quotient.to(values.dtype)


@checked
@dataclass(frozen=True)
class Poisson:
    """The measurement is a count ``y ~ Poisson(p + background)``: the energy is ``r - y log r`` with the rate r.

    The rate is ``r = p + background``. Below ``floor`` the logarithm is replaced by its tangent there, so that a step
    outside of the domain has a finite energy and gradient.

    Args:
        background: The expected count for p = 0.
        floor: The smallest rate whose logarithm is taken.
    """

    background: NotNegative = 0.0
    floor: Positive = 1e-6

    def _rate(self, prediction: Tensor) -> Tensor:
        return (prediction + self.background).clamp_min(self.floor)

    def energy(self, prediction: Tensor, y: Tensor, noise: Tensor | None) -> Tensor:
        rate = self._rate(prediction)
        total = prediction + self.background
        return total - torch.xlogy(y, rate) - y * (total - rate) / rate  # below the floor, its tangent there

    def gradient(self, prediction: Tensor, y: Tensor, noise: Tensor | None) -> Tensor:
        return 1 - y / self._rate(prediction)

    def check(self, y: Tensor, noise: Tensor | None) -> None:
        if noise is not None:
            raise MetaoptError("A Poisson likelihood has no noise level, the counts give it; leave out noise=...")
        if y.is_complex() or (autodiff.values_known() and bool((y < 0).any())):
            raise MetaoptError("A Poisson measurement is a count: real and at least 0.")
