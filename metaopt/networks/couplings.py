"""Networks for :class:`~metaopt.algorithms.CoupledDescent`: the parts of the invertible RIM (arXiv:1911.10914)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..arguments.contracts import Count, Natural, checked
from ..core import MetaoptError
from .convolutional import check_fits, complex_channels, convolution_of, gradient_features, replicate_border, to_image


@checked
class GradientReader(nn.Module):
    """Map (gradient, x, context) to features by a 5x5 convolution with stride, ReLU and a 3x3 convolution.

    The features are (B, hidden, ...), at 1 / stride of the resolution of x.

    Args:
        channels: The number of real channels; complex x and gradient are split into real and imaginary channels.
        hidden: The channels of the features.
        stride: The stride of the first convolution; the sizes of x must be multiples of it.
        dims: The number of spatial axes, 1, 2 or 3.
        context: How many context tensors the problem gives.

    Raises:
        MetaoptError: x or the context does not fit, or a size of x is no multiple of the stride.
    """

    def __init__(self, channels: Count, hidden: Count, stride: Count = 1, dims: int = 2, context: Natural = 1):
        super().__init__()
        self.channels, self.stride, self.context = channels, stride, context
        self.embed = convolution_of(dims)(2 * channels + context, hidden, 5, stride=stride)
        self.refine = convolution_of(dims)(hidden, hidden, 3, padding=1)

    @property
    def reach(self) -> int:
        """Return the reach in pixels of x, counted from the first one that belongs to a pixel of the memory."""
        return 2 + self.stride

    @property
    def period(self) -> int:
        return self.stride

    def forward(self, gradient: Tensor, x: Tensor, context: tuple[Tensor, ...]) -> Tensor:
        check_fits(x, context, self.channels, self.context, self.embed)
        if any(n % self.stride for n in x.shape[2:]):
            raise MetaoptError(
                f"An invertible step of stride {self.stride} needs sizes that are multiples of it, but x is "
                f"{tuple(x.shape)}; pad x, or use stride=1."
            )
        inputs = gradient_features(gradient, x, context)
        return self.refine(F.relu(self.embed(replicate_border(inputs, 2, self.stride))))


@checked
class Coupling(nn.Module):
    """Map features (B, hidden, ...) invertibly: with halves (a, b), ``a <- a + f(b)``, ``b <- b + g(a)``.

    This is done ``layers`` times, and the channels are rotated by one place in between. f and g are each a 3x3
    convolution, ReLU and a 3x3 convolution.

    Args:
        hidden: The channels of the features, an even number.
        layers: How many pairs (f, g) there are.
        dims: The number of spatial axes, 1, 2 or 3.

    Raises:
        MetaoptError: ``hidden`` is odd.

    Source:
        Dinh et al., NICE, 2014, arXiv:1410.8516.
    """

    def __init__(self, hidden: Count, layers: Count = 2, dims: int = 2):
        super().__init__()
        if hidden % 2:
            raise MetaoptError(f"Coupling splits its features in halves, so hidden must be even, not {hidden}.")
        half, convolution = hidden // 2, convolution_of(dims)
        self.shifts = nn.ModuleList(
            nn.Sequential(convolution(half, hidden, 3, padding=1), nn.ReLU(), convolution(hidden, half, 3, padding=1))
            for _ in range(2 * layers)
        )

    @property
    def reach(self) -> int:
        """Return the reach in pixels of the memory."""
        return 2 * len(self.shifts)

    def forward(self, memory: Tensor) -> Tensor:
        for i in range(0, len(self.shifts), 2):
            a, b = memory.chunk(2, dim=1)
            a = a + self.shifts[i](b)
            b = b + self.shifts[i + 1](a)
            memory = torch.cat([a, b], dim=1).roll(1, dims=1)
        return memory

    def inverse(self, memory: Tensor) -> Tensor:
        for i in reversed(range(0, len(self.shifts), 2)):
            a, b = memory.roll(-1, dims=1).chunk(2, dim=1)
            b = b - self.shifts[i + 1](a)
            a = a - self.shifts[i](b)
            memory = torch.cat([a, b], dim=1)
        return memory


@checked
class Writer(nn.Module):
    """Map features (B, hidden, ...) to a change of x by a convolution, transposed where the stride is above 1.

    With a stride, the sizes of x must be multiples of it: a step that crops could not be undone exactly.

    Args:
        channels: The number of real channels of x.
        hidden: The channels of the features.
        stride: How many pixels of x there are for one of the features, along each axis.
        dims: The number of spatial axes, 1, 2 or 3.
        is_complex: Whether the ``channels`` = 2C real channels become C complex ones.
    """

    def __init__(self, channels: Count, hidden: Count, stride: Count = 1, dims: int = 2, is_complex: bool = False):
        super().__init__()
        self.is_complex, self.stride = is_complex, stride
        self.head = to_image(hidden, channels, stride, dims)

    @property
    def reach(self) -> int:
        """Return a bound, in pixels of x, on how far the first pixel of a memory pixel is that a pixel depends on."""
        return 2 * self.stride - 1

    def forward(self, memory: Tensor) -> Tensor:
        change = self.head(memory)
        return complex_channels(change) if self.is_complex else change
