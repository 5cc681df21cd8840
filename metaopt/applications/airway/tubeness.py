"""See dark tubes in a volume by the curvature of its grey values, without any learning."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...foundation.extras import require

SCALES = (0.8, 1.3, 2.1, 3.4, 5.5)  # mm, standard deviations that suit tubes of 1.1 to 8 mm radius
FINEST = 1.5  # voxels of a grid to one standard deviation, at the most
CONTRAST = 60.0  # HU, the curvature at which a tube is as probable as not
DARK = -300.0  # HU, above which the smoothed volume is no lumen
AIR, LUNG = -1000.0, -600.0  # HU; what is below the second counts as parenchyma
WIDE = 2.0  # mm, the scale from which a lumen must be darker than parenchyma
SLAB = 48  # slices at once


def tubeness(volume: Tensor, where: Tensor, spacing: tuple[float, ...]) -> Tensor:
    """Return how much each voxel looks like the inside of a dark tube, (D, H, W) float32 from 0 to 1.

    For standard deviations s of 0.8 to 5.5 mm, the volume is smoothed and has the second derivatives with eigenvalues
    a >= b >= c. A tube has large a and b and a small c: ``r = s^2 (b - |c| / 2)``, and the largest r of all s gives
    ``1 - exp(-log(2) (r / 60 HU)^2)``. Dark strips of parenchyma between vessels and the chest wall look like wide
    tubes; so for s above 2 mm, r is also multiplied by how much nearer the voxels are to air than to the median of the
    parenchyma: it counts fully from halfway on, and not at all from the median on.

    Args:
        volume: The CT, (D, H, W) float32 in Hounsfield units.
        where: The voxels that are looked at, (D, H, W) bool; the others get 0.
        spacing: The distance of voxels along (z, y, x), in mm.

    Source:
        Sato et al., 1998, https://doi.org/10.1016/S1361-8415(98)80009-1 (there for bright tubes).
    """
    best = torch.zeros(volume.shape)
    some = volume[::3, ::3, ::3][where[::3, ::3, ::3]]
    lungs = some[some < LUNG]
    median = float(lungs.median()) if len(lungs) else AIR / 2
    for scale in SCALES:
        steps = [max(1, math.floor(scale / FINEST / size)) for size in spacing]
        strength = _at_scale(volume, where, steps, spacing, scale, median)
        for z, layer in enumerate(_finer(strength, steps, volume.shape)):
            torch.maximum(best[z], layer, out=best[z])
    best = 1 - torch.exp(-math.log(2) * (best / CONTRAST) ** 2)
    return best.mul_(where)


def _at_scale(
    volume: Tensor, where: Tensor, steps: list[int], spacing: tuple[float, ...], scale: float, median: float
) -> Tensor:
    """Return r in HU on a grid that is coarser by ``steps``, slab by slab."""
    small, seen = volume, where.float()
    if max(steps) > 1:
        small, seen = (
            torch.nn.functional.avg_pool3d(v[None, None], steps, ceil_mode=True, count_include_pad=False)[0, 0]
            for v in (small, seen)
        )
    sizes = [n * size for n, size in zip(steps, spacing, strict=True)]
    halo = math.ceil(4 * scale / sizes[0]) + 1
    found = torch.zeros(small.shape)
    for start in range(0, small.shape[0], SLAB):
        stop = min(start + SLAB, small.shape[0])
        begin, end = max(0, start - halo), min(small.shape[0], stop + halo)
        if bool(seen[start:stop].any()):
            part = _strength(small[begin:end], seen[begin:end] > 0, sizes, scale)
            found[start:stop] = part[start - begin : stop - begin]
    if scale > WIDE:
        found *= ((median - small) / max(1.0, (median - AIR) / 2)).clamp(0, 1)
    return found


def _strength(part: Tensor, seen: Tensor, sizes: list[float], scale: float) -> Tensor:
    """Return r in HU for the voxels that are looked at."""
    ndimage: Any = require("scipy.ndimage", "airway")
    sigma = [scale / size for size in sizes]
    smooth = ndimage.gaussian_filter(part.clamp(max=100.0).numpy(), sigma, mode="nearest")
    padded = np.pad(smooth, 1, mode="edge")

    def shifted(z: int, y: int, x: int) -> np.ndarray:
        places = zip((z, y, x), smooth.shape, strict=True)
        return padded[tuple(slice(1 + d, 1 + d + n) for d, n in places)]

    units = np.eye(3, dtype=int)
    second = [
        (shifted(*u) + shifted(*-u) - 2 * smooth) * np.float32((scale / size) ** 2)
        for u, size in zip(units, sizes, strict=True)
    ]
    chosen = seen.numpy() & (smooth < DARK) & (second[0] + second[1] + second[2] > 0.5 * CONTRAST)
    values = [v[chosen] for v in second]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        u, w = units[a], units[b]
        cross = sum(s * t * shifted(*(s * u + t * w))[chosen] for s, t in itertools.product((-1, 1), repeat=2))
        values.append(cross * np.float32(scale**2 / (4 * sizes[a] * sizes[b])))
    _, middle, low = eigenvalues(*(torch.from_numpy(v) for v in values))
    found = torch.zeros(part.shape)
    found[torch.from_numpy(chosen)] = (middle - 0.5 * low.abs()).clamp(min=0)
    return found


def eigenvalues(
    zz: Tensor, yy: Tensor, xx: Tensor, zy: Tensor, zx: Tensor, yx: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the eigenvalues of symmetric 3 x 3 matrices, the largest first.

    Args:
        zz: The entries of the diagonal, (n,).
        yy: Likewise.
        xx: Likewise.
        zy: The entries beside it, (n,).
        zx: Likewise.
        yx: Likewise.

    Source:
        Smith, 1961, https://doi.org/10.1145/355578.366316
    """
    mean = (zz + yy + xx) / 3
    z, y, x = zz - mean, yy - mean, xx - mean
    spread = ((z * z + y * y + x * x + 2 * (zy * zy + zx * zx + yx * yx)) / 6).sqrt()
    determinant = z * (y * x - yx * yx) - zy * (zy * x - yx * zx) + zx * (zy * yx - y * zx)
    angle = (determinant / (2 * spread**3).clamp(min=1e-30)).clamp(-1, 1).acos() / 3
    high = mean + 2 * spread * angle.cos()
    low = mean + 2 * spread * (angle + 2 * math.pi / 3).cos()
    return high, 3 * mean - high - low, low


def _finer(strength: Tensor, steps: list[int], shape: torch.Size) -> Any:
    """Give the layers of a coarse volume on the fine grid, by linear interpolation."""
    if max(steps) == 1:
        yield from strength
        return
    places = (((torch.arange(shape[0]) + 0.5) / steps[0]) - 0.5).clamp(0, strength.shape[0] - 1).tolist()
    full = [n * m for n, m in zip(steps[1:], strength.shape[1:], strict=True)]
    for place in places:
        below = int(place)
        above, share = min(below + 1, strength.shape[0] - 1), place - below
        layer = torch.lerp(strength[below], strength[above], share)
        fine = torch.nn.functional.interpolate(layer[None, None], full, mode="bilinear", align_corners=False)[0, 0]
        yield fine[: shape[1], : shape[2]]
