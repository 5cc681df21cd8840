"""Keep colours that nobody sees, under transparent parts of a picture, from changing those that are seen."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def fill_hidden(pixels: Tensor, alpha: Tensor | None) -> Tensor:
    """Return the picture with what is fully transparent filled in smoothly from the visible pixels around it.

    Args:
        pixels: (C, H, W).
        alpha: (1, H, W), 0 where a pixel is invisible, or None.

    Returns:
        (C, H, W), the visible pixels as they were. Where nothing is visible it is ``pixels``.
    """
    if alpha is None or bool((alpha > 0).all()) or not bool((alpha > 0).any()):
        return pixels
    return _spread(pixels[None], (alpha > 0).to(pixels)[None])[0]


def _spread(values: Tensor, known: Tensor) -> Tensor:
    """Fill (1, C, H, W) where ``known``, (1, 1, H, W), is 0: from a picture of half the size, filled likewise."""
    if bool((known > 0).all()):
        return values
    share = F.avg_pool2d(known, 2, ceil_mode=True, count_include_pad=False)
    total = F.avg_pool2d(values * known, 2, ceil_mode=True, count_include_pad=False)
    smaller = _spread(total / share.where(share > 0, 1), (share > 0).to(known))
    return torch.where(known > 0, values, F.interpolate(smaller, size=values.shape[-2:], mode="bilinear"))
