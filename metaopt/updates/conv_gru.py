"""The update of the Recurrent Inference Machine is a convolutional gated recurrent unit that reads gradients.

P. Putzky and M. Welling, 2017, arXiv:1706.04008.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..arguments.contracts import Count, Natural, checked
from ..core import MetaoptError
from ..core.tree import describe
from ..networks.convolutional import (
    CoarseMemory,
    ConvGruCell,
    ceil_divided,
    check_fits,
    convolution_of,
    cropped,
    gradient_features,
    replicate_border,
    to_image,
)
from ..records import recorded

LARGEST_SCALE = 512  # pixels; x is padded to whole cells


@recorded
@checked
class ConvGru(nn.Module):
    """Compute the change of x by a convolutional recurrent network: the update of the Recurrent Inference Machine.

    (x, gradient, log noise) -> 5x5 convolution -> GRU -> [3x3 convolution -> GRU ...] -> two 3x3 convolutions, which
    give a correction and a step size for every pixel: ``change = correction - step size * gradient``. The step sizes
    are 0 before training, and in the paper's cell always; they make data consistency easy to learn.

    Where the problem gives its log noise level as the first context tensor, the gradient is multiplied by noise^2, so
    that its size does not depend on the level; for a Gaussian likelihood it becomes ``A^H (A x - y)``. The level is an
    input map of its own.

    Args:
        channels: C, the number of real channels of x, which is (B, C, ...). For complex x see
            :class:`ComplexAsChannels`.
        hidden: The number of features between the first and the last convolution.
        kernels: The kernel size of each GRU. ``(3,)`` is a single GRU; ``(1, 1)`` is the form with two that is used for
            MRI.
        dilation: The dilation of every convolution of kernel 3 between the first and the last.
        stride: The stride of the first convolution. 2 computes at half the resolution, which in 2-D is 4 times cheaper;
            any size of x is possible.
        dims: The number of spatial axes: 2 for images, 3 for volumes, 1 for signals.
        context: How many context tensors the problem gives (1: the log noise level; 0: none). Each is (B,), (1,) or a
            map that broadcasts with (B, 1, ...).
        scales: For each further GRU the side of the cells, in pixels of the features, over which its input is averaged;
            these GRUs are for what is smooth.

    Raises:
        MetaoptError: There is no GRU, a kernel is even, x is complex, or x or the context does not fit.
    """

    def __init__(
        self,
        channels: Count,
        hidden: Count = 64,
        kernels: Sequence[Count] = (3,),
        dilation: Count = 2,
        stride: Count = 1,
        dims: Count = 2,
        context: Natural = 1,
        scales: Sequence[Count] = (),
    ):
        super().__init__()
        if any(kernel % 2 == 0 for kernel in kernels) or not kernels:
            raise MetaoptError(f"ConvGru needs at least one GRU, with odd kernels, but got kernels={tuple(kernels)}.")
        if max(scales, default=1) > LARGEST_SCALE:
            raise MetaoptError(f"Cells have at most {LARGEST_SCALE} pixels a side, but got scales={tuple(scales)}.")
        convolution = convolution_of(dims)
        self.channels, self.hidden, self.stride, self.dims, self.context = channels, hidden, stride, dims, context
        self.kernels, self.dilation, self.scales = tuple(kernels), dilation, tuple(scales)
        self.embed = convolution(2 * channels + context, hidden, 5, stride=stride)
        self.between = nn.ModuleList(
            convolution(hidden, hidden, 3, padding=dilation, dilation=dilation) for _ in kernels[1:]
        )
        self.memories = nn.ModuleList(ConvGruCell(hidden, k, dilation if k > 1 else 1, dims) for k in kernels)
        self.coarse = nn.ModuleList(CoarseMemory(hidden, scale, dims) for scale in scales)
        self.head, self.step_size = (to_image(hidden, channels, stride, dims) for _ in range(2))
        for parameter in self.step_size.parameters():
            nn.init.zeros_(parameter)

    @property
    def period(self) -> int:
        """Return by how many pixels x must be shifted so that the result is shifted too."""
        return self.stride * math.lcm(*self.scales)

    @property
    def reach(self) -> int:
        """Return how many pixels away a step sees at most; nothing beyond changes a pixel or the memory at it."""
        between = self.dilation * (len(self.kernels) - 1)
        memories = sum(self.dilation * (kernel // 2) for kernel in self.kernels)
        coarse = sum((5 * scale - 2) // 2 for scale in self.scales)  # two cells, and half of the one a pixel is in
        return 2 + self.stride * (between + memories + coarse + 2) - 1  # at stride 1: 2 of the embedding, 1 of the head

    def init(self, x: Tensor, context: tuple[Tensor, ...] = ()) -> tuple[Tensor, ...]:
        """Return zero states: (B, hidden, ceil(size / stride) ...) for each GRU, then those for ``scales``."""
        if x.is_complex():
            raise MetaoptError(f"ConvGru updates real x, but x is {describe(x)}; wrap it in ComplexAsChannels.")
        check_fits(x, context, self.channels, self.context, self.embed)
        size = ceil_divided(x.shape[2:], self.stride)
        scales = (*(1 for _ in self.kernels), *self.scales)
        return tuple(self._laid_out(x.new_zeros(len(x), self.hidden, *ceil_divided(size, scale))) for scale in scales)

    def _laid_out(self, features: Tensor) -> Tensor:
        """Channels last, in 2-D: on CPUs a training update then takes 0.7 of the time."""
        return features.contiguous(memory_format=torch.channels_last) if self.dims == 2 else features

    def forward(
        self, gradient: Tensor, x: Tensor, memory: tuple[Tensor, ...], k: int, context: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        seen = replicate_border(gradient_features(gradient, x, context), 2, self.stride)
        seen = self._laid_out(seen)
        features = F.relu(self.embed(seen))
        fine, coarse = memory[: len(self.memories)], []
        for layer, state in zip(self.coarse, memory[len(self.memories) :], strict=True):
            features, state = layer(features, state)
            coarse.append(state)
        states = []
        for i, (cell, state) in enumerate(zip(self.memories, fine, strict=True)):
            features = cell(F.relu(self.between[i - 1](features)) if i else features, state)
            states.append(features)
        scaled = cropped(seen[:, self.channels : 2 * self.channels], x.shape[2:], 2)
        change = cropped(self.head(features), x.shape[2:]) - cropped(self.step_size(features), x.shape[2:]) * scaled
        return change, (*states, *coarse)
