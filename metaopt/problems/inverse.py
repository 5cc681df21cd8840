"""Inverse problems: find x from a measurement y of A x."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..core import MetaoptError, tree
from ..operators import Operator, Scaled, as_operator
from ..operators.spectral import spectral_norm
from .likelihood import Gaussian, Likelihood
from .noise import per_sample


@dataclass(frozen=True, eq=False)
class InverseProblem:
    """Given y = A x + noise, find x.

    Args:
        operator: A, an :class:`~metaopt.operators.Operator` or anything :func:`~metaopt.operators.as_operator` takes.
        y: the measurement, batch first, (B, ...), real or complex.
        noise: standard deviation of a real component of y; a number, or (B,) for one a sample. ``None``: unknown, and
            the energy is that of noise = 1.
        likelihood: :class:`Gaussian` (default; real or complex) or :class:`Poisson`.
        guess: what x is thought to be before y is seen, a number or a tensor that broadcasts to x. The first estimate
            is then guess + A^H (y - A guess), which is nearer than A^H y where A leaves much of x unmeasured.

    Raises:
        MetaoptError: a measurement that is not finite, a noise level that is not positive, a batch that does not fit.
    """

    operator: Operator
    y: Tensor
    noise: Any = None
    likelihood: Likelihood = Gaussian()  # noqa: RUF009
    guess: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "operator", as_operator(self.operator))
        if not isinstance(self.y, Tensor) or not (self.y.is_floating_point() or self.y.is_complex()):
            what = str(self.y.dtype) if isinstance(self.y, Tensor) else type(self.y).__name__
            raise MetaoptError(f"The measurement y must be a floating or complex tensor, batch first, not {what}.")
        if not bool(torch.isfinite(self.y).all()):
            raise MetaoptError(
                f"The measurement holds {int((~torch.isfinite(self.y)).sum())} values that are NaN or infinite; "
                "mask them out of the operator and set them to 0."
            )
        if self.noise is not None:
            object.__setattr__(self, "noise", _check_noise(self.noise, self.y))
        if self.guess is not None:
            with self._full_precision():
                object.__setattr__(self, "guess", _check_guess(self.guess, self.operator.adjoint(self.y)))
        self.likelihood.check(self.y, self.noise)

    def start(self) -> Tensor:
        """The first estimate, A^H y, or guess + A^H (y - A guess)."""
        with self._full_precision():
            if self.guess is None:
                return self.operator.adjoint(self.y)
            return self.guess + self.operator.adjoint(self.y - self.operator(self.guess))

    def normalized(self, iterations: int = 50) -> InverseProblem:
        """The same problem in units in which ``|A| = 1``: A, y and noise over the norm of A, by power iteration.

        Energy and gradient are the same functions of x. But the start A^H y and noise^2 times the gradient, which
        trained machines see, no longer depend on how the measurement was scaled.

        Raises: MetaoptError for another likelihood than :class:`Gaussian`, or A = 0.
        """
        if not isinstance(self.likelihood, Gaussian) or self.noise is None:
            raise MetaoptError(
                "Only a problem with a Gaussian likelihood and a known noise level can be normalized; give it noise=..."
            )
        norm = spectral_norm(self.operator, self.start(), iterations=iterations)
        if not norm > 0:
            raise MetaoptError("The operator maps everything to zero, so it cannot be normalized; look at its mask.")
        operator = Scaled(self.operator, 1 / norm)
        return InverseProblem(operator, self.y / norm, self.noise / norm, self.likelihood, self.guess)

    def energy(self, x: Tensor) -> Tensor:
        """-log p(y | x) of each sample, up to a constant; shape (B,)."""
        return self.likelihood.energy(self.operator(x), self.y, self._noise()).flatten(1).sum(1)

    def gradient(self, x: Tensor) -> Tensor:
        """The gradient of the energy, analytic: A^H applied to the likelihood's gradient at A x."""
        with self._full_precision():
            return self.operator.adjoint(self.likelihood.gradient(self.operator(x), self.y, self._noise()))

    def context(self) -> tuple[Tensor, ...]:
        """What an update may look at besides the gradient: (log noise,), of shape (B,) or (1,), if it is known."""
        return () if self.noise is None else (self.noise.log().reshape(-1),)

    def _full_precision(self) -> torch.autocast:
        """Networks may compute in bfloat16 under ``torch.autocast``; the model of the measurement never does."""
        return torch.autocast(self.y.device.type, enabled=False)

    def _noise(self) -> Tensor | None:
        return None if self.noise is None else per_sample(self.noise, self.y)


def _check_guess(guess: Any, adjoint: Tensor) -> Tensor:
    tensor = torch.as_tensor(guess, dtype=adjoint.dtype, device=adjoint.device)
    try:
        guess = tensor.expand_as(adjoint)
    except RuntimeError:
        raise MetaoptError(
            f"The guess {tree.describe(tensor)} does not broadcast to x, {tree.describe(adjoint)}."
        ) from None
    if not bool(torch.isfinite(tensor).all()):
        raise MetaoptError("The guess holds values that are NaN or infinite; leave it out where nothing is known.")
    return guess


def _check_noise(noise: Any, y: Tensor) -> Tensor:
    dtype = y.real.dtype if y.is_complex() else y.dtype
    tensor = torch.as_tensor(noise, dtype=dtype, device=y.device)
    if not bool((tensor > 0).all()) or not bool(torch.isfinite(tensor).all()):
        raise MetaoptError(
            f"The noise level must be a positive standard deviation, but got {tensor.tolist()}; leave it out (None) "
            "if it is unknown."
        )
    if tensor.ndim > 1 or (tensor.ndim == 1 and len(tensor) not in (1, len(y))):
        raise MetaoptError(
            f"The noise level has shape {tuple(tensor.shape)}; give one number, or one for each of {len(y)} samples."
        )
    return tensor
