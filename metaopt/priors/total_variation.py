"""Total variation is the prior of images that are flat nearly everywhere and have sharp edges."""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..arguments.contracts import Count, NumberSlot, Positive, checked, within
from ..core import slot
from .prior import from_planes, to_planes

Dual = list[Tensor]


@checked
class TotalVariation(nn.Module):
    """This prior says that x is flat nearly everywhere: ``energy(x) = weight * sum over pixels of |D x|``.

    D x holds the differences to the next pixel along each axis, without one across the border. The norm is isotropic:
    ``|D x|^2`` is summed over the axes and, for complex x, over the real and the imaginary part. Every channel counts
    separately.

    The gradient is that of ``weight * sum sqrt(|D x|^2 + smoothing^2)``. The prox takes ``inner`` iterations of the
    fast dual projection method, all of them differentiable: over q with ``|q| <= step * weight`` at every pixel it
    minimises ``|x - D^T q|^2 / 2``, whose gradient is ``4 dims``-Lipschitz, and returns ``x - D^T q``.

    Args:
        weight: The weight, a number or an opening of a slot.
        smoothing: The difference between neighbours, in the units of x, below which the gradient is linear.
        inner: The number of iterations of the prox. Its error is about ``step * weight / inner``; 20 are enough for
            algorithms that call it repeatedly.
        dims: How many trailing axes are the image's: 2 for x of shape (B, ..., H, W).

    Slots:
        weight: The weight, in units of 1 / x.

    Source:
        Beck and Teboulle, 2009, doi:10.1109/TIP.2009.2028250 (the dual method).
    """

    def __init__(self, weight: NumberSlot, smoothing: Positive = 1e-3, inner: Count = 20, dims: Count = 2):
        super().__init__()
        self.weight, self.smoothing, self.inner, self.dims = slot(weight, within("weight", 0)), smoothing, inner, dims

    @property
    def reach(self) -> tuple[int, ...]:
        return (1,) * self.dims

    @property
    def prox_reach(self) -> tuple[int, ...]:
        return (self.inner,) * self.dims

    def energy(self, x: Tensor, k: int = 0) -> Tensor:
        differences = torch.cat(self._differences(to_planes(x)))
        return self.weight(k) * torch.linalg.vector_norm(differences, dim=0).flatten(1).sum(1)

    def gradient(self, x: Tensor, k: int = 0) -> Tensor:
        differences = self._differences(to_planes(x))
        scale = self.weight(k) * torch.rsqrt(_squares(differences) + self.smoothing**2)
        return from_planes(-self._divergence([scale * d for d in differences]))

    def prox(self, x: Tensor, step: Any, k: int = 0) -> Tensor:
        planes, radius = to_planes(x), step * self.weight(k)
        dual = ahead = [torch.zeros_like(planes)] * self.dims
        for i in range(self.inner):
            steps = self._differences(planes + self._divergence(ahead))
            moved = [torch.add(q, d, alpha=0.25 / self.dims) for q, d in zip(ahead, steps, strict=True)]
            previous, dual = dual, _project(moved, radius)
            ahead = [torch.lerp(p, q, 1 + i / (i + 3)) for p, q in zip(previous, dual, strict=True)]
        return from_planes(planes + self._divergence(dual))

    def _differences(self, planes: Tensor) -> Dual:
        """D x: one tensor of x's shape for each axis, with 0 at that axis' end."""
        return [F.pad(planes.diff(dim=-1 - i), (0, 0) * i + (0, 1)) for i in range(self.dims)]

    def _divergence(self, dual: Dual) -> Tensor:
        """-D^T q, for q with 0 at the end of each axis."""
        total = dual[0] + sum(dual[1:])
        for i, q in enumerate(dual):
            n = q.shape[-1 - i] - 1
            total.narrow(-1 - i, 1, n).sub_(q.narrow(-1 - i, 0, n))
        return total


def _squares(dual: Dual) -> Tensor:
    """|q|^2 at every pixel, over axes and planes."""
    return reduce(torch.add, (q.square().sum(0) for q in dual))


def _project(dual: Dual, radius: Tensor) -> Dual:
    """The nearest q with |q| <= radius at every pixel; without a root of 0, whose derivative is infinite."""
    tiny = torch.finfo(dual[0].dtype).tiny ** 0.5
    scale = radius * torch.rsqrt(torch.maximum(_squares(dual), radius.clamp_min(tiny).square()))
    return [q * scale for q in dual]
