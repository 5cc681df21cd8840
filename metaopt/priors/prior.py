"""Define what a prior is: an energy ``-log p(x)`` up to a constant, known before anything is measured."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..arguments.contracts import NumberSlot, Positive, checked, within
from ..core import MetaoptError, slot
from ..core.slots import Slot
from ..operators.complex import join_complex, split_complex


class Prior(Protocol):
    """A prior offers what an algorithm may ask of it; every prior is an ``nn.Module`` whose numbers are slots.

    - ``energy(x)``: ``-log p(x)`` up to a constant, (B,), one number per sample.
    - ``gradient(x)``: the analytic gradient of the energy; where the energy has kinks, that of a smoothed energy.
    - ``prox(x, step)``: ``argmin_u |u - x|^2 / 2 + step * energy(u)`` for the energy itself, where it can be computed.
      ``step`` is a number or a tensor that broadcasts with x, such as (B, 1, 1, 1) for one per sample.

    ``k`` is the number of the step that asks, for slots with one value per step. x may be real or complex; for complex
    x the energy depends on magnitudes, and the gradient points in torch's direction of steepest ascent.

    Where the gradient at a pixel depends only on x nearby, ``reach`` says how far, and ``prox_reach`` does so for the
    prox (:mod:`metaopt.operators.reach`). A prior that looks everywhere, such as periodic wavelets, has neither.
    """

    def energy(self, x: Tensor, k: int = 0) -> Tensor: ...

    def gradient(self, x: Tensor, k: int = 0) -> Tensor: ...

    def prox(self, x: Tensor, step: Any, k: int = 0) -> Tensor: ...


@checked
class Sparsity(nn.Module):
    """This prior says that few entries of x differ from zero: ``energy(x) = weight * sum |x|``.

    The gradient is that of ``weight * sum sqrt(|x|^2 + smoothing^2)``; the prox is the soft threshold.

    Args:
        weight: The weight, a number or an opening of a slot.
        smoothing: The size of an entry, in the units of x, below which the gradient is linear.

    Slots:
        weight: The weight, in units of 1 / x.
    """

    reach, prox_reach = 0, 0

    def __init__(self, weight: NumberSlot, smoothing: Positive = 1e-3):
        super().__init__()
        self.weight, self.smoothing = slot(weight, within("weight", 0)), smoothing

    def energy(self, x: Tensor, k: int = 0) -> Tensor:
        return self.weight(k) * x.abs().flatten(1).sum(1)

    def gradient(self, x: Tensor, k: int = 0) -> Tensor:
        planes = to_planes(x)
        return from_planes(self.weight(k) * smoothed_sign(planes, self.smoothing))

    def prox(self, x: Tensor, step: Any, k: int = 0) -> Tensor:
        return soft_threshold(x, step * self.weight(k))


def soft_threshold(x: Tensor, threshold: Any) -> Tensor:
    """Return ``x / |x| * max(|x| - threshold, 0)``, entry by entry, for real or complex x."""
    return torch.sgn(x) * torch.relu(x.abs() - threshold)


def to_planes(x: Tensor) -> Tensor:
    """View real or complex (B, ...) as real (planes, B, ...): one plane, or the real and the imaginary part."""
    return split_complex(x, 0) if x.is_complex() else x.unsqueeze(0)


def from_planes(planes: Tensor) -> Tensor:
    """Undo :func:`to_planes`."""
    return join_complex(planes, 0) if len(planes) == 2 else planes[0]


def smoothed_sign(planes: Tensor, smoothing: float) -> Tensor:
    """Return ``v / sqrt(|v|^2 + smoothing^2)``, the gradient of the sum of these roots.

    The norm ``|v|`` is over the leading axis.
    """
    return planes * torch.rsqrt(planes.square().sum(0) + smoothing**2)


def prior_slot(prior: Any, verb: str, who: str) -> Slot:
    """Make a slot that holds a prior, or raise if the prior lacks the method ``verb``, which ``who`` needs."""
    held = slot(prior)
    content = held.content()
    first = content[0] if isinstance(content, list) else content
    if not callable(getattr(first, verb, None)):
        hint = "; MapEstimation needs only its gradient" if hasattr(first, "gradient") else ""
        raise MetaoptError(f"{who} needs a prior with {verb}(...), but {type(first).__name__} has none{hint}.")
    return held
