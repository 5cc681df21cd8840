"""Priors: what is known of x before anything is measured, as energies -log p(x) up to a constant."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..core import MetaoptError, slot
from ..core.slots import Slot
from ..operators.complex import join_complex, split_complex


class Prior(Protocol):
    """What an algorithm may ask of a prior; every prior is an ``nn.Module`` whose numbers are slots.

    - ``energy(x)``: -log p(x) up to a constant, one number a sample, shape (B,).
    - ``gradient(x)``: its gradient, analytic; where the energy has kinks, that of a smoothed one.
    - ``prox(x, step)``: ``argmin_u |u - x|^2 / 2 + step * energy(u)``, of the energy itself, where it can be computed.
      ``step`` is a number or a tensor that broadcasts with x, such as (B, 1, 1, 1) for one a sample.

    Where the gradient at a pixel depends on x nearby alone, ``reach`` says how far, and ``prox_reach`` does for the
    prox (:mod:`metaopt.operators.reach`). A prior that looks everywhere, such as periodic wavelets, has neither.

    ``k`` is the step that asks, for slots that hold one value a step. x may be real or complex; for complex x energies
    look at magnitudes, and the gradient points in torch's direction of steepest ascent.
    """

    def energy(self, x: Tensor, k: int = 0) -> Tensor: ...

    def gradient(self, x: Tensor, k: int = 0) -> Tensor: ...

    def prox(self, x: Tensor, step: Any, k: int = 0) -> Tensor: ...


class Sparsity(nn.Module):
    """``energy(x) = weight * sum |x|``: few entries of x differ from zero.

    The gradient is that of ``weight * sum sqrt(|x|^2 + smoothing^2)``; the prox is the soft threshold.

    Slots: ``weight``.
    """

    reach, prox_reach = 0, 0

    def __init__(self, weight: Any, smoothing: float = 1e-3):
        super().__init__()
        self.weight, self.smoothing = slot(weight), smoothing

    def energy(self, x: Tensor, k: int = 0) -> Tensor:
        return self.weight(k) * x.abs().flatten(1).sum(1)

    def gradient(self, x: Tensor, k: int = 0) -> Tensor:
        planes = to_planes(x)
        return from_planes(self.weight(k) * smoothed_sign(planes, self.smoothing))

    def prox(self, x: Tensor, step: Any, k: int = 0) -> Tensor:
        return soft_threshold(x, step * self.weight(k))


def soft_threshold(x: Tensor, threshold: Any) -> Tensor:
    """x / |x| * max(|x| - threshold, 0), entry by entry, real or complex."""
    return torch.sgn(x) * torch.relu(x.abs() - threshold)


def to_planes(x: Tensor) -> Tensor:
    """Real or complex (B, ...) as real (planes, B, ...): one plane, or the real and the imaginary part."""
    return split_complex(x, 0) if x.is_complex() else x.unsqueeze(0)


def from_planes(planes: Tensor) -> Tensor:
    """The inverse of :func:`to_planes`."""
    return join_complex(planes, 0) if len(planes) == 2 else planes[0]


def smoothed_sign(planes: Tensor, smoothing: float) -> Tensor:
    """v / sqrt(|v|^2 + smoothing^2) with |v| over the leading axis: the gradient of the sum of those roots."""
    return planes * torch.rsqrt(planes.square().sum(0) + smoothing**2)


def prior_slot(prior: Any, verb: str, who: str) -> Slot:
    """A slot with a prior that has the method ``verb``, which ``who`` needs."""
    held = slot(prior)
    content = held.content()
    first = content[0] if isinstance(content, list) else content
    if not callable(getattr(first, verb, None)):
        hint = "; MapEstimation needs only its gradient" if hasattr(first, "gradient") else ""
        raise MetaoptError(f"{who} needs a prior with {verb}(...), but {type(first).__name__} has none{hint}.")
    return held
