"""Define what an operator is, and the algebra of operators: adjoint, product and multiple."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..arguments.checks import check_finite, check_instance, check_tensor, said
from ..core import tree
from ..core.errors import MetaoptError
from .reach import PerAxis, Window, coarse, per_axis, times, total


class Operator(abc.ABC):
    """An operator is a linear map A with its exact adjoint A^H: ``Re<A x, y> = Re<x, A^H y>`` for every x and y.

    Subclasses are ``@dataclass(frozen=True, eq=False)`` whose fields are tensors, operators or static values, so that
    an operator is a tree (:mod:`metaopt.core.tree`). They check values in the constructor only, which is skipped when
    a tree is rebuilt; ``apply`` and ``adjoint`` check shapes. The batch comes first: x is (B, ...) and y is (B, ...).
    """

    to = tree.to

    @abc.abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """Return A x."""

    @abc.abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Return A^H y."""

    def normal(self, x: Tensor) -> Tensor:
        """Return A^H A x."""
        return self.adjoint(self.apply(x))

    @property
    def H(self) -> Operator:
        """Return the adjoint A^H as an operator."""
        return Adjoint(self)

    @property
    def is_diagonal(self) -> bool:
        """Tell whether each entry of A x is a multiple of the same entry of x, so that y has the shape of x."""
        return False

    @property
    def reach(self) -> PerAxis | None:
        """Return how many pixels away A^H A x may depend on x; None where it depends on all of x and is not tiled."""
        return None

    @property
    def period(self) -> PerAxis:
        """Return how many pixels of x there are for one pixel of y, along each axis."""
        return 1

    def crop(self, window: Window) -> Operator:
        """Return the operator from a window of x to the corresponding window of y.

        Pixels of y that are nearer than ``reach`` to the edge of the window are wrong, since they depend on x outside.

        Args:
            window: One slice for each spatial axis of x, which begins at a multiple of ``period``.

        Raises:
            MetaoptError: The operator has no reach.
        """
        raise MetaoptError(
            f"{type(self).__name__} sees all of x at once, so there is no {type(self).__name__} of a window of x; "
            "compute it whole, or use an operator with a reach, such as Mask, Blur or Separable."
        )

    def __call__(self, x: Tensor) -> Tensor:
        return self.apply(x)

    def __matmul__(self, inner: Operator) -> Operator:
        return Compose(self, inner) if isinstance(inner, Operator) else NotImplemented


@dataclass(frozen=True, eq=False)
class Adjoint(Operator):
    """Apply the adjoint A^H of an operator A; written ``A.H``, and ``A.H.H`` is A itself.

    Args:
        operator: A.
    """

    operator: Operator

    def __post_init__(self) -> None:
        check_operator("Adjoint", self.operator)

    def apply(self, x: Tensor) -> Tensor:
        return self.operator.adjoint(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.operator.apply(y)

    @property
    def H(self) -> Operator:
        return self.operator

    @property
    def is_diagonal(self) -> bool:
        return self.operator.is_diagonal

    @property
    def reach(self) -> PerAxis | None:
        """Return the reach of A if x and y have the same pixels, and None otherwise."""
        return self.operator.reach if set(per_axis(self.operator.period, 3, 1)) == {1} else None

    def crop(self, window: Window) -> Operator:
        return Adjoint(self.operator.crop(window))


@dataclass(frozen=True, eq=False)
class Compose(Operator):
    """Apply one operator after another, ``y = outer(inner(x))``; written ``outer @ inner``.

    Args:
        outer: The operator that is applied last.
        inner: The operator that is applied first.
    """

    outer: Operator
    inner: Operator

    def __post_init__(self) -> None:
        check_operator("Compose", self.outer)
        check_operator("Compose", self.inner)

    def apply(self, x: Tensor) -> Tensor:
        return self.outer.apply(self.inner.apply(x))

    def adjoint(self, y: Tensor) -> Tensor:
        return self.inner.adjoint(self.outer.adjoint(y))

    def normal(self, x: Tensor) -> Tensor:
        return self.inner.adjoint(self.outer.normal(self.inner.apply(x)))

    @property
    def is_diagonal(self) -> bool:
        return self.outer.is_diagonal and self.inner.is_diagonal

    @property
    def reach(self) -> PerAxis | None:
        return total(self.inner.reach, times(self.inner.period, self.outer.reach))

    @property
    def period(self) -> PerAxis:
        return times(self.inner.period, self.outer.period) or 1

    def crop(self, window: Window) -> Operator:
        return Compose(self.outer.crop(coarse(window, self.inner.period)), self.inner.crop(window))


@dataclass(frozen=True, eq=False)
class Scaled(Operator):
    """Multiply an operator by a real number: ``y = factor A x``.

    Args:
        operator: A.
        factor: A real number or a real tensor without axes.

    Raises:
        MetaoptError: The factor is complex, has axes, or is NaN or infinite.
    """

    operator: Operator
    factor: float | Tensor

    def __post_init__(self) -> None:
        check_operator("Scaled", self.operator)
        number = isinstance(self.factor, Tensor | float | int) and not isinstance(self.factor, bool)
        factor = torch.as_tensor(self.factor) if number or isinstance(self.factor, complex) else torch.empty(0)
        if factor.is_complex() or factor.ndim:
            raise MetaoptError(
                f"Scaled needs one real factor, but got {said(self.factor)}; for one factor per sample or entry "
                "compose with Mask(factors)."
            )
        check_finite("The factor of Scaled", factor)

    def apply(self, x: Tensor) -> Tensor:
        return self.factor * self.operator.apply(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.operator.adjoint(self.factor * y)

    def normal(self, x: Tensor) -> Tensor:
        return self.factor * self.operator.normal(self.factor * x)

    @property
    def is_diagonal(self) -> bool:
        return self.operator.is_diagonal

    @property
    def reach(self) -> PerAxis | None:
        return self.operator.reach

    @property
    def period(self) -> PerAxis:
        return self.operator.period

    def crop(self, window: Window) -> Operator:
        return Scaled(self.operator.crop(window), self.factor)


def same_kind(tensor: Tensor, x: Tensor) -> Tensor:
    """Return ``tensor`` in the precision of ``x`` and complex if ``x`` is, as torch multiplies only matrices alike."""
    if not tensor.is_complex() and x.is_complex():
        real = tensor.to(x.real.dtype)
        return torch.complex(real, torch.zeros_like(real))  # dynamo does not trace dtype.to_complex()
    return tensor.to(x.dtype) if tensor.is_complex() == x.is_complex() else tensor


def same_precision(weights: Tensor, x: Tensor) -> Tensor:
    """Return real ``weights``, which multiply real or complex ``x``, in the precision of ``x``; bools stay bools."""
    return weights.to(x.real.dtype if x.is_complex() else x.dtype) if weights.is_floating_point() else weights


def at_least_single(x: Tensor) -> Tensor:
    """Return x in single precision if it has 16 bits, of which torch takes no Fourier transform."""
    if x.is_complex():
        return x.to(torch.complex64) if x.dtype == torch.complex32 else x
    return x.float() if x.dtype.itemsize < 4 else x


def transformed(transform: Callable[..., Tensor], x: Tensor, dim: Sequence[int], norm: str | None = None) -> Tensor:
    """Return a transform of ``torch.fft`` along the axes ``dim``; of an empty x, which torch refuses, x itself."""
    return transform(x, dim=dim, norm=norm) if x.numel() else x


def check_operator(who: str, operator: object) -> None:
    """Raise unless ``operator`` is an :class:`Operator`."""
    check_instance(
        f"The operator of {who}", operator, Operator, "as_operator makes one of a matrix or a foreign object"
    )


def check_real(who: str, name: str, tensor: Tensor) -> None:
    """Raise if ``tensor``, which an operator on both real and complex images holds, is no finite real tensor."""
    check_tensor(f"The {name} of {who}", tensor, "any")
    if tensor.is_complex():
        raise MetaoptError(
            f"{who} needs a real {name}, but got {tree.describe(tensor)}; pass {name}.real or use Dense."
        )
    check_finite(f"The {name} of {who}", tensor)


def check_trailing(who: str, x: Tensor, shape: Sequence[int]) -> None:
    """Raise unless the last axes of ``x`` are ``shape``."""
    shape = tuple(shape)
    if tuple(x.shape[x.ndim - len(shape) :]) != shape:
        raise MetaoptError(
            f"{who} expects (..., {', '.join(str(n) for n in shape)}), but got {tree.describe(x)}; reshape the input, "
            f"or build {who} for its shape."
        )


def check_shared(who: str, name: str, given: Sequence[int], axes: Sequence[int]) -> None:
    """Raise unless ``given`` broadcasts to ``axes`` without enlarging them: the adjoint would then have to sum."""
    padded = (1,) * (len(axes) - len(given)) + tuple(given)
    if len(given) > len(axes) or any(n not in (1, m) for n, m in zip(padded, axes, strict=True)):
        raise MetaoptError(
            f"The {name} {tuple(given)} of {who} does not fit an input {tuple(axes)}: each axis must be 1 or the "
            "input's, counted from the last; share it by a leading 1 or give one per sample."
        )
