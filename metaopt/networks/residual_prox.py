"""A network in the place of a prior's prox."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from ..arguments.contracts import Count, checked
from ..core import MetaoptError, tree
from .convolutional import complex_channels, real_channels


@checked
class ResidualProx(nn.Module):
    """Denoise x by a convolutional network in the place of a prox: ``prox(x, step) = x - r(x, sqrt(step))``.

    The prox of a prior is a denoiser for noise of variance ``step``; here it is learned as one, and need not belong to
    any energy. r has ``layers`` 3x3 convolutions with ReLU between them, which read x and a map of ``sqrt(step)``. The
    last one is zero before training, so that the prox is the identity.

    Args:
        channels: The channels of x, (B, channels, H, W).
        hidden: The features between the convolutions.
        layers: The number of convolutions, at least 2.
        is_complex: Whether x is complex; r then reads and gives its real and imaginary parts.

    Source:
        Venkatakrishnan et al., 2013, doi:10.1109/GlobalSIP.2013.6737048; Zhang et al., 2017, arXiv:1608.03981
        (r).
    """

    def __init__(self, channels: Count = 1, hidden: Count = 64, layers: Count = 7, is_complex: bool = False):
        super().__init__()
        self.channels, self.is_complex, width = channels, is_complex, 2 * channels if is_complex else channels
        widths = [width + 1, *[hidden] * (layers - 1), width]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths))
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    @property
    def prox_reach(self) -> int:
        return len(self.layers)

    def prox(self, x: Tensor, step: Any, k: int = 0) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.channels or x.is_complex() != self.is_complex:
            kind = "complex" if self.is_complex else "real"
            raise MetaoptError(
                f"This network reads {kind} x of shape (B, {self.channels}, H, W), but x is {tree.describe(x)}; "
                "build it for that kind of x and that many channels."
            )
        seen = real_channels(x) if self.is_complex else x
        level = torch.as_tensor(step, dtype=seen.dtype, device=x.device).sqrt().expand(len(x), 1, *x.shape[2:])
        features = self.layers[0](torch.cat([seen, level], dim=1))
        for layer in list(self.layers)[1:]:
            features = layer(torch.relu(features))
        return x - (complex_channels(features) if self.is_complex else features)
