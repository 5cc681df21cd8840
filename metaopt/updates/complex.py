"""Updates for complex x that are made of updates for real x."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..arguments.contracts import Positive, checked
from ..core import MetaoptError, tree
from ..core.tree import describe
from ..networks.convolutional import complex_channels, real_channels
from ..operators.complex import join_complex, split_complex
from ..operators.reach import PerAxis, period_of, reach_of
from ..problems.noise import variance
from ..records import recorded
from .update import Update


@recorded
@checked
class ComplexAsChannels(nn.Module):
    """Apply an update for real x to complex x, with its C complex channels as 2C real ones, real parts first.

    Args:
        update: An update for x of 2C real channels.

    Raises:
        MetaoptError: x is real.
    """

    def __init__(self, update: Update):
        super().__init__()
        self.update = update

    @property
    def reach(self) -> PerAxis | None:
        return reach_of(self.update)

    @property
    def period(self) -> PerAxis:
        return period_of(self.update)

    def init(self, x: Tensor, context: tuple[Tensor, ...] = ()) -> Any:
        if not x.is_complex():
            raise MetaoptError(f"ComplexAsChannels updates complex x, but x is {describe(x)}; leave it out for real x.")
        return self.update.init(real_channels(x), context)

    def forward(
        self, gradient: Tensor, x: Tensor, memory: Any, k: int, context: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, Any]:
        change, memory = self.update(real_channels(gradient), real_channels(x), memory, k, context)
        return complex_channels(change.to(x.real.dtype)), memory


@recorded
@checked
class ComplexAsBatch(nn.Module):
    """Apply an update for real pictures to the real and to the imaginary part of complex x separately.

    It makes use of what was learned on real pictures. The update is told the level ``sqrt(noise^2 + extra^2)``, since
    an estimate of complex x is disturbed not only by the noise of the measurement but also, for example, by aliasing.

    An update for one channel takes x of several channels, such as the pictures of two sets of coil maps, as several
    pictures. They are coupled by the gradient.

    Args:
        update: An update for real x.
        offset: What is added to both parts before the update sees them, so that parts around 0 look like pictures in
            [0, 1].
        extra: The standard deviation of the additional disturbance, in the units of x; its logarithm is a parameter.

    Raises:
        MetaoptError: x is real, or the problem does not know its noise.
    """

    def __init__(self, update: Update, offset: float = 0.5, extra: Positive = 0.05):
        super().__init__()
        self.update, self.offset = update, offset
        self.log_extra = nn.Parameter(torch.tensor(math.log(extra)))

    @property
    def reach(self) -> PerAxis | None:
        return reach_of(self.update)

    @property
    def period(self) -> PerAxis:
        return period_of(self.update)

    def init(self, x: Tensor, context: tuple[Tensor, ...] = ()) -> Any:
        if not x.is_complex():
            raise MetaoptError(f"ComplexAsBatch updates complex x, but x is {describe(x)}; leave it out for real x.")
        if len(context) != 1:
            raise MetaoptError(
                f"ComplexAsBatch needs the noise level of the problem, but it gives {len(context)} context tensors; "
                "give the problem noise=..."
            )
        width = self._width(x)
        memory = self.update.init(_parts(x, width) + self.offset, (self._level(context[0], 2 * (x.shape[1] // width)),))
        return self._by_sample(memory, x, width)

    def forward(
        self, gradient: Tensor, x: Tensor, memory: Any, k: int, context: tuple[Tensor, ...]
    ) -> tuple[Tensor, Any]:
        width = self._width(x)
        level = self._level(context[0], 2 * (x.shape[1] // width))
        memory = tree.map(lambda t: t.flatten(0, 1), memory)
        seen = _parts(x, width)
        scaled = _parts(gradient * variance(context[0], x), width) / variance(level, seen)
        change, memory = self.update(scaled, seen + self.offset, memory, k, (level,))
        parts = change.to(x.real.dtype).reshape(len(x), x.shape[1] // width, 2, *change.shape[1:])
        return join_complex(parts, 2).flatten(1, 2), self._by_sample(memory, x, width)

    def _width(self, x: Tensor) -> int:
        """The number of channels that are one picture."""
        return 1 if getattr(self.update, "channels", None) == 1 else x.shape[1]

    @staticmethod
    def _by_sample(memory: Any, x: Tensor, width: int) -> Any:
        """Give the memory of all parts of all pictures an axis of samples; -1 would not do, a batch may be empty."""
        return tree.map(lambda t: t.unflatten(0, (len(x), 2 * (x.shape[1] // width))), memory)

    def _level(self, log_noise: Tensor, parts: int) -> Tensor:
        level = torch.logaddexp(2 * log_noise, 2 * self.log_extra.to(log_noise)) / 2
        return level if len(level) == 1 else level.repeat_interleave(parts, dim=0)


def _parts(x: Tensor, width: int) -> Tensor:
    """(B, C, ...) complex as (2BC / width, width, ...) real: both parts of the first picture, of the second, ..."""
    return split_complex(x.unflatten(1, (x.shape[1] // width, width)), 2).flatten(0, 2)
