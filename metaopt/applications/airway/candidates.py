"""Find candidate nodes of an airway tree where airwayness has ridges, each with position, radius and direction."""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...arguments.contracts import Axes, Count, Positive, Share, checked
from ...core.errors import MetaoptError
from ...foundation.extras import require
from ...tasks.airways.grid import check_spacing
from .chains import linked, smoothed

Volume = Annotated[Tensor, Axes("real", "(D, H, W)")]
RATIO = 1.35  # between scales
WIDEST = 8.0  # mm, the largest scale, that of a tube of 11 mm radius
POOLED = 1.2  # voxels: the least scale on a grid that is made coarser for it
ROUND = 0.25  # of the curvature across a ridge, what there is at least the other way; less is a sheet
AWAY = 1.0  # voxels from the middle of a voxel to its ridge, at most
BLOB = 1.5  # the variance of a blurred tube relative to that of the blur, at its own scale
APART = 0.8  # radii between nodes of one tube
INSIDE = 1.25  # radii around a node in which none is that is much narrower: it would be inside the same tube
NARROW = 0.8  # of the radius
TABLE = np.linspace(1e-3, 12, 4000)  # (radius / scale)^2 / 2


class AirwayNodes(NamedTuple):
    """Hold candidate nodes as Gaussians.

    ``mean`` and ``variance`` (N, 7) are of position (z, y, x) in mm, radius in mm and direction; ``airwayness`` (N,) is
    that of a tube which would give the blob.
    """

    mean: Tensor
    variance: Tensor
    airwayness: Tensor


class Ridges(NamedTuple):
    """Hold points on ridges: positions (n, 3) and radii (n,) in mm, directions (n, 3), strength and airwayness (n,)."""

    position: np.ndarray
    radius: np.ndarray
    direction: np.ndarray
    strength: np.ndarray
    airwayness: np.ndarray


@checked
def find_candidates(
    airwayness: Volume, spacing: Any, least: Share = 0.06, apart: Positive = 1.5, most: Count = 8000
) -> AirwayNodes:
    """Return candidate nodes of an airway tree as Gaussians of position, radius and direction.

    At each scale s, the smoothed airwayness has ridges where it is largest across the two directions of its strongest
    curvature; the third is the direction of the tube. For a tube of airwayness a and radius r, and ``t = r^2 / 2 s^2``,
    the smoothed value is ``a (1 - exp(-t))`` and the normalized curvature, which is the strength of the blob, is
    ``2 a t exp(-t)``, the largest at ``r = sqrt(2) s``. Both together give t, hence r, without a. Of the points of all
    scales the strongest stay, ``apart`` mm or 0.8 radii from each other. Nodes in line with each other are joined in
    chains, along which a Kalman filter and the Rauch-Tung-Striebel smoother carry what is known both ways.

    Args:
        airwayness: (D, H, W), from 0 to 1.
        spacing: The distance of voxels along (z, y, x), in mm.
        least: The least strength of a node; a tube of airwayness 1 has 0.74.
        apart: The least distance of nodes in mm.
        most: The largest number of nodes; the strongest stay.

    Returns:
        The nodes, the strongest first; there may be none.

    Raises:
        MetaoptError: Airwayness is not between 0 and 1, or the spacing is missing or not positive.

    Source:
        T. Lindeberg, Feature detection with automatic scale selection (1998), https://doi.org/10.1023/A:1008045108935;
        Selvan et al., Graph refinement based airway extraction (2020), arXiv:1811.08674.
    """
    sizes = check_spacing(spacing)
    volume = check_airwayness(airwayness).numpy()
    seen = volume > least
    if not seen.any():
        return AirwayNodes(torch.zeros(0, 7), torch.zeros(0, 7), torch.zeros(0))
    used = [np.nonzero(seen.any(tuple(b for b in range(3) if b != a)))[0] for a in range(3)]
    box = tuple(slice(max(0, int(u[0]) - 2), int(u[-1]) + 3) for u in used)
    corner = np.array([b.start for b in box]) * sizes
    scale = 0.75 * math.prod(sizes) ** (1 / 3)
    found = []
    while scale < WIDEST:
        found.append(_ridges(volume[box], np.array(sizes), scale, least))
        scale *= RATIO
    ridges = Ridges(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    ridges = ridges._replace(position=ridges.position + corner)
    chosen = _thinned(ridges, apart, most)
    ridges = Ridges(*(part[chosen] for part in ridges))
    noise = 0.3 * max(sizes) + 0.1 * ridges.radius
    chains = linked(ridges.position, ridges.radius, ridges.direction)
    mean, variance = smoothed(chains, ridges.position, ridges.radius, ridges.direction, noise, ridges.airwayness)
    return AirwayNodes(
        torch.from_numpy(mean).float(),
        torch.from_numpy(variance).float(),
        torch.from_numpy(ridges.airwayness).float().clamp(0, 1),
    )


def check_airwayness(airwayness: Tensor) -> Tensor:
    """Return airwayness in float32 on the CPU.

    Args:
        airwayness: (D, H, W), from 0 to 1.

    Raises:
        MetaoptError: A value is not between 0 and 1.
    """
    volume = airwayness.detach().float().cpu().contiguous()
    if volume.numel() and not (float(volume.min()) >= -1e-4 and float(volume.max()) <= 1 + 1e-4):
        raise MetaoptError(
            f"Airwayness is from 0 to 1, but this one is from {float(volume.min()):.3g} to {float(volume.max()):.3g}; "
            "a CT in Hounsfield units first needs applications.airway.airwayness."
        )
    return volume


def _ridges(volume: np.ndarray, sizes: np.ndarray, scale: float, least: float) -> Ridges:
    """Return the points on ridges at one scale, with positions from the first voxel."""
    ndimage: Any = require("scipy.ndimage", "airway")
    factor = np.maximum(1, np.floor(scale / (POOLED * sizes))).astype(int)
    coarse = _pooled(volume, factor)
    grid = sizes * factor
    rest = np.sqrt(np.maximum(scale**2 - sizes**2 * (factor**2 - 1) / 12, 0)) / grid
    smooth = np.pad(ndimage.gaussian_filter(coarse, rest, truncate=3.0, mode="constant"), 1)
    voxels = _maxima(smooth, least)
    effective = scale**2 + float((sizes**2).mean()) / 12  # a voxel is a mean itself
    gradient, hessian = _derivatives(smooth, voxels, grid)
    lost = (grid**2) / (BLOB * effective)  # differences on a grid see less than the curvature of a Gaussian
    lost = np.sqrt(-2 * np.expm1(-lost / 2) / lost)
    hessian /= lost[:, None] * lost
    curvature, axes = np.linalg.eigh(hessian)  # ascending
    across = curvature[:, :2]
    strength = -effective * across.sum(1)
    ridge = (strength > least) & (across[:, 1] < ROUND * across[:, 0])
    slope = np.einsum("nij,ni->nj", axes[:, :, :2], gradient)
    step = -np.einsum("nij,nj->ni", axes[:, :, :2], slope / np.where(across < 0, across, -np.inf))
    ridge &= (np.abs(step / grid) <= AWAY).all(1)
    value = smooth[tuple(voxels.T)]
    value = value + 0.5 * np.einsum("ni,ni->n", gradient, step)
    t = np.interp(-np.minimum(strength / np.maximum(value, 1e-9), 2), -2 * TABLE / np.expm1(TABLE), TABLE)
    position = (voxels - 1) * grid + (factor - 1) / 2 * sizes + step
    height = value / -np.expm1(-t)
    every = Ridges(position, np.sqrt(2 * effective * t), axes[:, :, 2], strength, height)
    return Ridges(*(part[ridge] for part in every))


def _pooled(volume: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return the means over blocks of voxels; what is missing at the end counts as 0."""
    for axis, f in enumerate(factor.tolist()):
        if f > 1:
            starts = np.arange(0, volume.shape[axis], f)
            volume = np.add.reduceat(volume, starts, axis=axis) / np.float32(f)
    return volume


def _maxima(smooth: np.ndarray, least: float) -> np.ndarray:
    """Return the voxels (n, 3), not on the border, that are largest along two axes at least."""
    inner = smooth[1:-1, 1:-1, 1:-1]
    voxels = np.argwhere(inner > least) + 1
    value = smooth[tuple(voxels.T)]
    count = np.zeros(len(voxels), int)
    for unit in np.eye(3, dtype=int):
        count += (value >= smooth[tuple((voxels + unit).T)]) & (value >= smooth[tuple((voxels - unit).T)])
    return voxels[count >= 2]


def _derivatives(smooth: np.ndarray, voxels: np.ndarray, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return gradients (n, 3) and second derivatives (n, 3, 3) per mm at voxels, by central differences."""

    def at(*shift: int) -> np.ndarray:
        return smooth[tuple((voxels + np.array(shift)).T)].astype(float)

    middle, units = at(0, 0, 0), np.eye(3, dtype=int)
    gradient, hessian = np.empty((len(voxels), 3)), np.empty((len(voxels), 3, 3))
    for a in range(3):
        above, below = at(*units[a]), at(*-units[a])
        gradient[:, a] = (above - below) / (2 * grid[a])
        hessian[:, a, a] = (above + below - 2 * middle) / grid[a] ** 2
        for b in range(a):
            plus, minus = units[a] + units[b], units[a] - units[b]
            mixed = (at(*plus) + at(*-plus) - at(*minus) - at(*-minus)) / (4 * grid[a] * grid[b])
            hessian[:, a, b] = hessian[:, b, a] = mixed
    return gradient, hessian


def _thinned(ridges: Ridges, apart: float, most: int) -> np.ndarray:
    """Return the numbers of the strongest points that keep their distance, the strongest first."""
    spatial: Any = require("scipy.spatial", "airway")
    if not len(ridges.strength):
        return np.zeros(0, int)
    search, free = spatial.cKDTree(ridges.position), np.ones(len(ridges.strength), bool)
    reach, chosen = np.maximum(apart, APART * ridges.radius), []
    for number in np.argsort(-ridges.strength, kind="stable").tolist():
        if not free[number]:
            continue
        chosen.append(number)
        if len(chosen) == most:
            break
        radius, place = ridges.radius[number], ridges.position[number]
        near = np.array(search.query_ball_point(place, max(reach[number], INSIDE * radius)))
        away = np.linalg.norm(ridges.position[near] - place, axis=1)
        free[near[(away <= reach[number]) | (ridges.radius[near] < NARROW * radius)]] = False
    return np.array(chosen)
