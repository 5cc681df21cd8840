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

    D x holds the differences to the next pixel along each axis, without one across the border unless ``periodic``. For
    complex x the size of a difference is its magnitude. The norm is isotropic: ``|D x|^2`` is summed over the axes.
    Otherwise the norm is that of each axis, and these are summed. Every channel counts separately.

    The gradient is that of ``weight * sum sqrt(|D x|^2 + smoothing^2)``. The prox takes ``inner`` iterations of the
    fast dual projection method, all of them differentiable: over q with ``|q| <= step * weight`` at every pixel it
    minimises ``|x - D^T q|^2 / 2``, whose gradient is ``4 dims``-Lipschitz, and returns ``x - D^T q``.

    Args:
        weight: The weight, a number or an opening of a slot.
        smoothing: The difference between neighbours, in the units of x, below which the gradient is linear.
        inner: The number of iterations of the prox. Its error is about ``step * weight / inner``; 20 are enough for
            algorithms that call it repeatedly.
        dims: How many trailing axes are the image's: 2 for x of shape (B, ..., H, W).
        isotropic: Whether the axes share one norm at every pixel. Without, edges along the axes cost less.
        periodic: Whether the last pixel along an axis is compared with the first, as for images in k-space, which are
            periodic. Such a prior has no reach.

    Slots:
        weight: The weight, in units of 1 / x.

    Source:
        Beck and Teboulle, 2009, doi:10.1109/TIP.2009.2028250 (the dual method).
    """

    def __init__(
        self,
        weight: NumberSlot,
        smoothing: Positive = 1e-3,
        inner: Count = 20,
        dims: Count = 2,
        isotropic: bool = True,
        periodic: bool = False,
    ):
        super().__init__()
        self.isotropic, self.periodic = isotropic, periodic
        self.weight, self.smoothing, self.inner, self.dims = slot(weight, within("weight", 0)), smoothing, inner, dims

    @property
    def reach(self) -> tuple[int, ...] | None:
        return None if self.periodic else (1,) * self.dims

    @property
    def prox_reach(self) -> tuple[int, ...] | None:
        return None if self.periodic else (self.inner,) * self.dims

    def energy(self, x: Tensor, k: int = 0) -> Tensor:
        differences = self._differences(to_planes(x))
        together = [torch.cat(differences)] if self.isotropic else differences
        norms = [torch.linalg.vector_norm(d, dim=0).flatten(1).sum(1) for d in together]
        return self.weight(k) * reduce(torch.add, norms)

    def gradient(self, x: Tensor, k: int = 0) -> Tensor:
        differences = self._differences(to_planes(x))
        squares, weight = self._squares(differences), self.weight(k)
        scales = [weight * torch.rsqrt(s + self.smoothing**2) for s in squares]
        return from_planes(-self._divergence([s * d for s, d in zip(scales, differences, strict=True)]))

    def prox(self, x: Tensor, step: Any, k: int = 0) -> Tensor:
        planes, radius = to_planes(x), step * self.weight(k)
        dual = ahead = [torch.zeros_like(planes)] * self.dims
        for i in range(self.inner):
            steps = self._differences(planes + self._divergence(ahead))
            moved = [torch.add(q, d, alpha=0.25 / self.dims) for q, d in zip(ahead, steps, strict=True)]
            previous, dual = dual, self._project(moved, radius)
            ahead = [torch.lerp(p, q, 1 + i / (i + 3)) for p, q in zip(previous, dual, strict=True)]
        return from_planes(planes + self._divergence(dual))

    @property
    def analysis_bound(self) -> float:
        """Return ``4 dims``, which bounds the squared norm of D."""
        return 4.0 * self.dims

    def analyze(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return D x: one tensor of the shape of x for each axis, last axis first."""
        return tuple(from_planes(d) for d in self._differences(to_planes(x)))

    def synthesize(self, dual: tuple[Tensor, ...]) -> Tensor:
        """Return D^H q, for a q as :meth:`analyze` gives it."""
        return from_planes(-self._divergence([to_planes(q) for q in dual]))

    def project(self, dual: tuple[Tensor, ...], k: int = 0) -> tuple[Tensor, ...]:
        """Return the nearest q with ``|q| <= weight``, in the norm of the energy."""
        projected = self._project([to_planes(q) for q in dual], self.weight(k))
        return tuple(from_planes(q) for q in projected)

    def _differences(self, planes: Tensor) -> Dual:
        """D x: one tensor of x's shape for each axis; unless periodic with 0 at that axis' end."""
        if self.periodic:
            return [planes.roll(-1, -1 - i) - planes for i in range(self.dims)]
        return [F.pad(planes.diff(dim=-1 - i), (0, 0) * i + (0, 1)) for i in range(self.dims)]

    def _divergence(self, dual: Dual) -> Tensor:
        """-D^T q; unless periodic for q with 0 at the end of each axis."""
        total = reduce(torch.add, dual) if self.dims > 1 else dual[0].clone()
        for i, q in enumerate(dual):
            n = q.shape[-1 - i] - 1
            total.narrow(-1 - i, 1, n).sub_(q.narrow(-1 - i, 0, n))
            if self.periodic:
                total.narrow(-1 - i, 0, 1).sub_(q.narrow(-1 - i, n, 1))
        return total

    def _squares(self, dual: Dual) -> Dual:
        """|q|^2 at every pixel over the planes, and over the axes if these share one norm; one tensor for each axis."""
        squares = [q.square().sum(0) for q in dual]
        return [reduce(torch.add, squares)] * self.dims if self.isotropic else squares

    def _project(self, dual: Dual, radius: Tensor) -> Dual:
        """The nearest q with |q| <= radius at every pixel; without a root of 0, whose derivative is infinite."""
        tiny = torch.finfo(dual[0].dtype).tiny ** 0.5
        bound = radius.clamp_min(tiny).square()
        squares = self._squares(dual)
        shared = [radius * torch.rsqrt(torch.maximum(s, bound)) for s in squares[: 1 if self.isotropic else None]]
        scales = shared * self.dims if self.isotropic else shared
        return [q * s for q, s in zip(dual, scales, strict=True)]
