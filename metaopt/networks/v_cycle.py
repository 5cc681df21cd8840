"""Refine the features of an image or a volume on grids of which each is half as fine as the one before."""

from __future__ import annotations

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

from ..arguments.contracts import SomeCounts, checked
from .convolutional import convolution_of, cropped


@checked
class VCycle(nn.Module):
    """Refine features by a V-cycle of multigrid whose smoothers, restrictions and prolongations are convolutions.

    On every grid but the coarsest, ``x <- x + relu(S x)``, then x gains what the coarser grid makes of ``relu(R x)``,
    carried back by ``P`` and repeated over the pixels, then ``x <- x + relu(S' x)``; on the coarsest grid both
    smoothers follow each other. S, S' and R have kernels of 3 pixels a side, R with stride 2, and P of 1.

    Args:
        features: The channels on each grid, from the finest on; the first are those of input and output.
        dims: The number of spatial axes, 1, 2 or 3.

    Source:
        Ronneberger et al., U-Net, 2015, arXiv:1505.04597 (there with more features and without sums).
    """

    def __init__(self, features: SomeCounts, dims: int = 3):
        super().__init__()
        convolution = convolution_of(dims)
        pairs = list(itertools.pairwise(features))
        self.before = nn.ModuleList(convolution(n, n, 3, padding=1) for n in features)
        self.after = nn.ModuleList(convolution(n, n, 3, padding=1) for n in features)
        self.down = nn.ModuleList(convolution(n, m, 3, stride=2, padding=1) for n, m in pairs)
        self.up = nn.ModuleList(convolution(m, n, 1) for n, m in pairs)

    @property
    def reach(self) -> int:
        """Return how many pixels away an output sees."""
        found = 2
        for _ in self.down:  # a pixel j gets coarse pixel j // 2, which sees j - 2 to j + 1
            found = 2 * found + 4
        return found

    @property
    def period(self) -> int:
        """Return by how many pixels the input may be shifted so that the output is shifted likewise."""
        return 2 ** len(self.down)

    def forward(self, x: Tensor) -> Tensor:
        return self._cycle(x, 0)

    def _cycle(self, x: Tensor, level: int) -> Tensor:
        x = x + self.before[level](x).relu_()
        if level < len(self.down):
            coarse = self._cycle(self.down[level](x).relu_(), level + 1)
            x = x + cropped(F.interpolate(self.up[level](coarse), scale_factor=2.0), x.shape[2:])
        return x + self.after[level](x).relu_()
