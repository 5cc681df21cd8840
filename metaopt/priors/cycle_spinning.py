"""Cycle spinning moves a prior from step to step, so that none of its translates leaves its blocks in the estimate."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..arguments.contracts import Count, ModuleSlot, checked
from ..core import slot


@checked
class CycleSpinning(nn.Module):
    """This prior is another prior on the periodically moved x, by another move at every step k.

    Energy, gradient and prox at step k are those of ``prior`` at x moved by ``floor(span * frac((k + 1) a_i))`` pixels
    along axis i, moved back. The numbers ``a_i = r^-i``, with r the positive root of ``r^(dims + 1) = r + 1``, make the
    moves of successive steps cover all translates evenly. A prior on a grid of blocks, such as
    :class:`Wavelet`, thus acts as the mean over its translates at the cost of one; an algorithm that takes many short
    steps ends within about a step of what that mean gives, and does not settle there exactly.

    Args:
        prior: The prior.
        span: The number of translates along each axis, for wavelets 2^levels.
        dims: How many trailing axes are moved.

    Slots:
        prior: The prior, and its own slots, such as ``prior.weight``.

    Source:
        Figueiredo and Nowak, 2003, doi:10.1109/TIP.2003.814255 (one translate at each iteration); Roberts, 2018,
        http://extremelearning.com.au/unreasonable-effectiveness-of-quasirandom-sequences (the even cover).
    """

    def __init__(self, prior: ModuleSlot, span: Count = 16, dims: Count = 2):
        super().__init__()
        self.prior, self.span, self.dims = slot(prior), span, dims

    def energy(self, x: Tensor, k: int = 0) -> Tensor:
        return self.prior(k).energy(self._moved(x, k), k)

    def gradient(self, x: Tensor, k: int = 0) -> Tensor:
        return self._moved(self.prior(k).gradient(self._moved(x, k), k), k, back=True)

    def prox(self, x: Tensor, step: Any, k: int = 0) -> Tensor:
        return self._moved(self.prior(k).prox(self._moved(x, k), step, k), k, back=True)

    def move(self, k: int) -> tuple[int, ...]:
        """Return by how many pixels x is moved at step ``k``, along each of the trailing axes."""
        root = 2.0
        for _ in range(60):
            root = (1 + root) ** (1 / (self.dims + 1))
        return tuple(int(self.span * ((k + 1) * root**-i % 1)) for i in range(1, self.dims + 1))

    def _moved(self, x: Tensor, k: int, back: bool = False) -> Tensor:
        move = self.move(k)
        return torch.roll(x, [-i for i in move] if back else move, tuple(range(-self.dims, 0)))
