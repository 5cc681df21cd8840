"""Draw sampling masks for k-space, uncentred as ``Fourier`` expects them.

Frequency zero is at index 0 of each axis; ``torch.fft.fftshift(mask)`` shows a mask as it is usually drawn. The draw
depends on ``seed`` alone.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..arguments.checks import check_number, check_whole
from ..core import random
from ..core.errors import MetaoptError
from .shapes import check_counts


def cartesian_mask(shape: tuple[int, int], acceleration: float, center_fraction: float, seed: int) -> Tensor:
    """Draw a mask that keeps whole columns of an (H, W) k-space, as a 2-D Cartesian scan samples them.

    It keeps exactly ``round(W / acceleration)`` columns: the ``round(W center_fraction)`` lowest frequencies, and
    others that are drawn uniformly from the rest.

    Args:
        shape: (H, W).
        acceleration: How many times fewer columns are kept than there are.
        center_fraction: The share of the columns, at the lowest frequencies, that is always kept.
        seed: The seed of the draw.

    Returns:
        The mask, (H, W) float32, zeros and ones.

    Raises:
        MetaoptError: The centre alone has more columns than are to be kept.
    """
    height, width = _checked("cartesian_mask", shape, acceleration, center_fraction, seed)
    frequency = torch.fft.fftfreq(width, dtype=torch.float64)
    center = torch.zeros(width, dtype=torch.bool)
    center[frequency.abs().argsort(stable=True)[: round(width * center_fraction)]] = True
    columns = _draw("cartesian_mask", torch.zeros_like(frequency), center, round(width / acceleration), seed)
    return columns.expand(height, width).clone()


def gaussian_mask(
    shape: tuple[int, int], acceleration: float, center_fraction: float, seed: int, *, width: float = 0.7
) -> Tensor:
    """Draw a mask that keeps single points of an (H, W) k-space, as a 3-D Cartesian scan samples two phase encodings.

    It keeps exactly ``round(H W / acceleration)`` points: an ellipse around frequency zero with half axes
    ``center_fraction`` times H and W, and others that are drawn without replacement from a Gaussian density around
    frequency zero.

    Args:
        shape: (H, W).
        acceleration: How many times fewer points are kept than there are.
        center_fraction: The half axes of the ellipse, as a share of H and W.
        seed: The seed of the draw.
        width: The full width at half maximum of the density, as a share of H and W.

    Returns:
        The mask, (H, W) float32, zeros and ones.

    Raises:
        MetaoptError: The ellipse alone has more points than are to be kept.

    Source:
        Lonning et al., Recurrent inference machines for reconstructing heterogeneous MRI data, 2019,
        doi:10.1016/j.media.2019.01.005 (width 0.7, centre 0.02).
    """
    shape = _checked("gaussian_mask", shape, acceleration, center_fraction, seed)
    check_number("The width of gaussian_mask", width, above=0)
    rows, columns = (torch.fft.fftfreq(size, dtype=torch.float64) for size in shape)
    radius = rows.square()[:, None] + columns.square()  # both in units of the full extent of k-space
    center = radius <= center_fraction**2
    log_density = -4 * math.log(2) * radius / width**2
    return _draw("gaussian_mask", log_density, center, round(math.prod(shape) / acceleration), seed)


def _checked(who: str, shape: Any, acceleration: Any, center_fraction: Any, seed: Any) -> tuple[int, int]:
    height, width = check_counts(f"The shape (H, W) of {who}", shape, 1, 2)
    check_number(f"The acceleration of {who}", acceleration, 1)
    check_number(f"The center_fraction of {who}", center_fraction, 0, 1)
    check_whole(f"The seed of {who}", seed)
    return height, width


def _draw(who: str, log_density: Tensor, center: Tensor, total: int, seed: int) -> Tensor:
    """``total`` places: those of ``center``, and others drawn without replacement in proportion to the density.

    The largest of log density + Gumbel noise are such a draw, and do not underflow far from the centre
    (W. Kool et al., Stochastic beams and where to find them, 2019, arXiv:1903.06059).
    """
    if int(center.sum()) > total:
        raise MetaoptError(
            f"{who} is asked for {total} samples in all, but its centre has {int(center.sum())} already; lower the "
            "center_fraction or the acceleration."
        )
    uniform = torch.rand(center.shape, generator=random.generator(seed), dtype=torch.float64)
    keys = (log_density - torch.log(-torch.log(uniform))).masked_fill(center, math.inf)
    mask = torch.zeros(center.numel(), dtype=torch.float32)
    mask[keys.flatten().topk(total).indices] = 1
    return mask.view(center.shape)
