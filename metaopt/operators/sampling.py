"""Sampling masks for k-space, uncentred as ``Fourier`` expects them: frequency zero is at index 0 of each axis.

``torch.fft.fftshift(mask)`` shows them as they are usually drawn. The draw depends on ``seed`` alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..core.errors import MetaoptError


def cartesian_mask(shape: tuple[int, int], acceleration: float, center_fraction: float, seed: int) -> Tensor:
    """Whole columns of a (H, W) k-space, as a 2-D Cartesian scan samples them: float32, zeros and ones.

    Exactly round(W / acceleration) columns: the round(W center_fraction) lowest frequencies, the others uniformly at
    random among the rest.

    Raises: MetaoptError where the centre alone has more columns than that.
    """
    height, width = shape
    frequency = torch.fft.fftfreq(width, dtype=torch.float64)
    center = torch.zeros(width, dtype=torch.bool)
    center[frequency.abs().argsort(stable=True)[: round(width * center_fraction)]] = True
    columns = _draw("cartesian_mask", torch.zeros(width), center, round(width / acceleration), seed)
    return columns.expand(height, width).clone()


def gaussian_mask(
    shape: tuple[int, int], acceleration: float, center_fraction: float, seed: int, *, width: float = 0.7
) -> Tensor:
    """Single points of a (H, W) k-space, as a 3-D Cartesian scan samples its two phase-encoding directions.

    Exactly round(H W / acceleration) points: an ellipse around frequency zero with half axes ``center_fraction`` times
    H and W, the others drawn without replacement from a Gaussian density around frequency zero, of full width at half
    maximum ``width`` times H and W. float32, zeros and ones.

    Raises: MetaoptError where the ellipse alone has more points than that.

    Reference: K. Lonning et al., Recurrent inference machines for reconstructing heterogeneous MRI data, 2019,
    doi:10.1016/j.media.2019.01.005 (width 0.7, centre 0.02).
    """
    rows, columns = (torch.fft.fftfreq(size, dtype=torch.float64) for size in shape)
    radius = rows.square()[:, None] + columns.square()  # both in units of the full extent of k-space
    center = radius <= center_fraction**2
    log_density = -4 * math.log(2) * radius / width**2
    return _draw("gaussian_mask", log_density, center, round(math.prod(shape) / acceleration), seed)


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
    uniform = torch.rand(center.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    keys = (log_density - torch.log(-torch.log(uniform))).masked_fill(center, math.inf)
    mask = torch.zeros(center.numel())
    mask[keys.flatten().topk(total).indices] = 1
    return mask.view(center.shape)
