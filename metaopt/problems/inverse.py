"""Inverse problems ask for x, given a measurement y of A x."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..arguments.checks import as_numbers, check_tensor, said
from ..core import MetaoptError, autodiff, tree
from ..operators import Operator, Scaled, as_operator
from ..operators.linearity import check_image, check_linear
from ..operators.spectral import spectral_norm
from .likelihood import Gaussian, Likelihood
from .noise import check_noise, effective_level, per_sample


@dataclass(frozen=True, eq=False)
class InverseProblem:
    """An inverse problem asks for x, given a measurement ``y = A x + noise``.

    Args:
        operator: A, an :class:`~metaopt.operators.Operator` or anything that :func:`~metaopt.operators.as_operator`
            takes.
        y: The measurement, batch first, (B, ...), real or complex.
        noise: The standard deviation of a real component of y, in the units of y: a number, (B,) for one per sample, or
            a tensor with as many axes as y, each of size 1 or y's (one per coil, visibility or pixel). Every entry of a
            y with a single axis is a sample. ``None`` means unknown, and the energy is that of noise = 1.
        likelihood: :class:`Gaussian` (the default; real or complex) or :class:`Poisson`.
        guess: The expected x before y is seen, a number or a tensor that broadcasts to x. The first estimate is then
            ``guess + A^H (y - A guess)``, which is nearer to x than A^H y where A leaves much of x unmeasured.

    Three fields are derived. ``level`` is the noise level that networks see where the noise differs within a sample,
    :func:`effective_level`. ``scale`` is None, or the factor, (B,), by which y, noise and guess were multiplied to be
    in the units that a network was trained in (:class:`~metaopt.problems.TrainedRange`). ``moment`` is None, or A^H y
    where :meth:`by_normal` made the problem.

    Raises:
        MetaoptError: The measurement is not finite, the noise is not positive or has a shape that does not fit y, A x
            has another shape than y, or a foreign operator is not linear.
    """

    operator: Operator
    y: Tensor
    noise: Any = None
    likelihood: Likelihood = Gaussian()  # noqa: RUF009
    guess: Any = None
    level: Tensor | None = field(default=None, init=False, repr=False)
    scale: Tensor | None = field(default=None, init=False, repr=False)
    moment: Tensor | None = field(
        default=None, init=False, repr=False, metadata={"derived_from": ("operator", "y", "noise", "likelihood")}
    )

    to = tree.to

    def __post_init__(self) -> None:
        object.__setattr__(self, "operator", as_operator(self.operator))
        check_tensor("The measurement y", self.y, "real or complex", "(B, ...)")
        if not isinstance(self.likelihood, Likelihood):
            raise MetaoptError(
                f"The likelihood of an InverseProblem is Gaussian() or Poisson(), not {said(self.likelihood)}."
            )
        if autodiff.values_known() and not bool(torch.isfinite(self.y).all()):
            raise MetaoptError(
                f"The measurement holds {int((~torch.isfinite(self.y)).sum())} values that are NaN or infinite; "
                "mask them out of the operator and set them to 0."
            )
        with self._full_precision():
            check_linear(self.operator, self.y)
            check_image(self.operator, self.y)
        if self.noise is not None:
            object.__setattr__(self, "noise", check_noise(self.noise, self.y))
            if self.noise.ndim > 1:
                with self._full_precision():
                    level = effective_level(self.operator, self.noise, self.operator.adjoint(self.y))
                object.__setattr__(self, "level", level)
        if self.guess is not None:
            with self._full_precision():
                object.__setattr__(self, "guess", _check_guess(self.guess, self.operator.adjoint(self.y)))
        self.likelihood.check(self.y, self.noise)

    def start(self) -> Tensor:
        """Return the first estimate, ``A^H y``, or ``guess + A^H (y - A guess)``."""
        with self._full_precision():
            if self.moment is not None:
                moment = self.moment.clone()  # as a caller may write into what was computed for it
                return moment if self.guess is None else self.guess + (moment - self.operator.normal(self.guess))
            if self.guess is None:
                return self.operator.adjoint(self.y)
            return self.guess + self.operator.adjoint(self.y - self.operator(self.guess))

    def normalized(self, iterations: int = 50) -> InverseProblem:
        """Return the same problem in units in which ``|A| = 1``: A, y and noise are divided by the norm of A.

        Energy and gradient are the same functions of x. But the start A^H y and the gradient times noise^2, which
        trained networks see, no longer depend on how the measurement was scaled.

        Args:
            iterations: The iterations of the power method that estimates the norm.

        Raises:
            MetaoptError: The likelihood is not :class:`Gaussian`, the noise is unknown, or A = 0.
        """
        if not isinstance(self.likelihood, Gaussian) or self.noise is None:
            raise MetaoptError(
                "Only a problem with a Gaussian likelihood and a known noise level can be normalized; give it noise=..."
            )
        norm = spectral_norm(self.operator, self.start(), iterations=iterations)
        if not math.isfinite(norm):
            raise MetaoptError(
                f"The norm of the operator {type(self.operator).__name__} is {norm}, so it cannot be normalized: it "
                "gives values that are NaN or infinite for finite x."
            )
        if not norm > 0:
            raise MetaoptError("The operator maps everything to zero, so it cannot be normalized; look at its mask.")
        operator = Scaled(self.operator, 1 / norm)
        problem = InverseProblem(operator, self.y / norm, self.noise / norm, self.likelihood, self.guess)
        return problem if self.moment is None else problem.by_normal()

    def by_normal(self) -> InverseProblem:
        """Return the same problem with the gradient ``(A^H A x - A^H y) / noise^2``, for which A^H y is computed once.

        A step then costs one ``operator.normal`` in the place of A and A^H. For
        :class:`~metaopt.operators.Visibilities` and :class:`~metaopt.operators.Nufft` that is one convolution with the
        point spread function, by padded Fourier transforms, however many visibilities or samples there are. For an
        operator without a ``normal`` of its own nothing is gained.
        The energy is still computed from y, since the difference of ``x^H A^H A x`` and ``2 Re x^H A^H y`` has too few
        digits. Start and gradient are as before within the accuracy of ``normal``.

        ``tree.replace`` of operator, y or noise leads back to the gradient by A and A^H; y must not be written into.

        Raises:
            MetaoptError: The likelihood is not :class:`Gaussian`, or the noise differs within a sample.
        """
        if not isinstance(self.likelihood, Gaussian):
            raise MetaoptError(
                f"by_normal needs a Gaussian likelihood, whose gradient is linear in A x, not {said(self.likelihood)}."
            )
        if self.noise is not None and self.noise.ndim > 1:
            raise MetaoptError(
                f"by_normal needs one noise level a sample, but it is {tuple(self.noise.shape)}; divide A and y by it, "
                "and give noise=1.0: for Visibilities as weights of 1 / noise^2, with y = operator.whiten(y), and "
                "else by Mask(1 / noise) @ operator."
            )
        with self._full_precision():
            return tree.replace(self, {"moment": self.operator.adjoint(self.y)})

    def energy(self, x: Tensor) -> Tensor:
        """Return -log p(y | x) of each sample, up to a constant, (B,)."""
        energies = self.likelihood.energy(self.operator(x), self.y, self._noise())
        return energies.unsqueeze(-1).flatten(1).sum(1)  # a sample of y with one axis is one entry

    def gradient(self, x: Tensor) -> Tensor:
        """Return the analytic gradient of the energy: A^H applied to the likelihood's gradient at A x."""
        with self._full_precision():
            if (moment := self.moment) is not None:
                noise = None if self.noise is None else per_sample(self.noise, moment)
                return self.likelihood.gradient(self.operator.normal(x), moment, noise)
            return self.operator.adjoint(self.likelihood.gradient(self.operator(x), self.y, self._noise()))

    def context(self) -> tuple[Tensor, ...]:
        """Return what an update may see besides the gradient: (log level,) if the noise is known, and else nothing.

        The level is the noise itself, (B,) or (1,). Where it differs within a sample it is :func:`effective_level`:
        (B,), or a map (B, 1, ...) over the pixels of x if the operator is diagonal. An update that multiplies the
        gradient by level^2 sees ``A^H W (A x - y)`` with weights ``W = level^2 / noise^2``, of mean 1 in each sample.
        """
        level = self.noise if self.level is None else self.level
        return () if level is None else (level.log().reshape(-1) if level.ndim < 2 else level.log(),)

    def variance(self) -> Tensor | None:
        """Return noise^2 as the unit of step sizes: one step size times it is equally stable at every noise level.

        It is (B,) or (1,), or ``None`` if the noise is unknown. Where the noise differs within a sample it is the
        smallest of the sample, since the energy is steepest there; for a diagonal operator every entry of x has its
        own, in the shape of the noise.
        """
        if self.noise is None:
            return None
        logs = self.noise.log()
        if logs.ndim < 2:
            logs = logs.reshape(-1)
        elif not self.operator.is_diagonal:
            logs = logs.flatten(1).amin(1)
        return torch.exp(2 * logs)

    def _full_precision(self) -> AbstractContextManager[Any]:
        """Turn ``torch.autocast`` off: networks may compute in bfloat16, but the model of the measurement never does.

        Where autocast is off already nothing is done, since an exported program with an empty region of it cannot be
        loaded.
        """
        device = self.y.device.type
        return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()

    def _noise(self) -> Tensor | None:
        return None if self.noise is None else per_sample(self.noise, self.y)


def _check_guess(guess: Any, adjoint: Tensor) -> Tensor:
    tensor = as_numbers("The guess", guess, adjoint.dtype, adjoint.device)
    try:
        guess = tensor.expand_as(adjoint)
    except RuntimeError:
        raise MetaoptError(
            f"The guess {tree.describe(tensor)} does not broadcast to x, {tree.describe(adjoint)}."
        ) from None
    if autodiff.values_known() and not bool(torch.isfinite(tensor).all()):
        raise MetaoptError("The guess holds values that are NaN or infinite; leave it out where nothing is known.")
    return guess
