"""Say that nothing is negative, such as the brightness of the sky, beside what else is known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..arguments.contracts import Count, ModuleSlot, checked
from ..core import MetaoptError, tree
from ..operators.reach import PerAxis, period_of, reach_of, times
from .prior import prior_slot


@checked
class NonNegative(nn.Module):
    """This prior says that no entry of a real x is negative: ``energy(x)`` is infinite where one is.

    Alone it makes :class:`~metaopt.algorithms.Fista` a solver of non-negative least squares. With another prior f the
    energy is that of f where no entry is negative, and the prox is found by ``inner`` iterations of Dykstra's
    algorithm, from u = x and p = q = 0::

        v = prox of f at u + p,  p <- u + p - v,  u <- max(v + q, 0),  q <- v + q - u

    One iteration sets what is negative in the prox of f to 0. That is exact for :class:`Sparsity` and for
    :class:`TotalVariation` that is not isotropic; otherwise the error vanishes as ``inner`` grows. There is no
    gradient.

    Args:
        prior: f, with a method ``prox``. None: nothing else is known.
        inner: The number of iterations of the prox.

    Slots:
        prior: f, and its own slots, such as ``prior.weight``.

    Raises:
        MetaoptError: f has no prox, or x is complex.

    Source:
        Bauschke & Combettes, A Dykstra-like algorithm for two monotone operators, 2008, Pacific J. Optim. 4, 383.
    """

    def __init__(self, prior: ModuleSlot | None = None, inner: Count = 1):
        super().__init__()
        self.prior, self.inner = None if prior is None else prior_slot(prior, "prox", "NonNegative"), inner

    @property
    def prox_reach(self) -> PerAxis | None:
        return 0 if self.prior is None else times(self.inner, reach_of(self.prior, "prox_reach"))

    @property
    def period(self) -> PerAxis:
        return 1 if self.prior is None else period_of(self.prior)

    def energy(self, x: Tensor, k: int = 0) -> Tensor:
        negative = (_real(x) < 0).flatten(1).any(1)
        other = x.new_zeros(len(x)) if self.prior is None else self.prior(k).energy(x, k)
        return torch.where(negative, torch.inf, other)

    def prox(self, x: Tensor, step: Any, k: int = 0) -> Tensor:
        if self.prior is None:
            return _real(x).relu()
        prior, u = self.prior(k), _real(x)
        p = q = torch.zeros_like(u)
        for _ in range(self.inner):
            v = prior.prox(u + p, step, k)
            p, u, q = u + p - v, (v + q).relu(), (v + q).clamp(max=0)
        return u


def _real(x: Tensor) -> Tensor:
    if x.is_complex():
        raise MetaoptError(
            f"NonNegative is a prior of real x, but got {tree.describe(x)}; a complex picture has no sign."
        )
    return x
