"""Fill the voxels of an airway tree in airwayness, with a guard against leakage."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from ...arguments.contracts import Axes, Positive, Share, checked
from ...core.errors import MetaoptError
from ...foundation.extras import require
from ...tasks.airways import AirwayTree
from ...tasks.airways.grid import check_spacing
from .candidates import check_airwayness

Volume = Annotated[Tensor, Axes("real", "(D, H, W)")]
CLASSES = 1.5  # ratio of radii that are looked up together
FAINT = 0.5  # of the airwayness on a centre line that a voxel beside it needs
STEP = 0.4  # voxels between places on a centre line


@checked
def fill_airways(
    tree: AirwayTree, airwayness: Volume, spacing: Any, level: Share = 0.4, reach: Positive = 1.5
) -> Tensor:
    """Return the lumen of a tree as a mask of one connected part.

    It grows from the centre lines, which belong to it, through voxels of an airwayness of at least ``level`` (where
    that on the centre line itself is low, half of that). No voxel is further from a centre line than ``reach`` times
    the radius there and half a voxel, so that what leaks through a gap in a wall stays short.

    Args:
        tree: The tree, in mm from the centre of the first voxel.
        airwayness: (D, H, W), from 0 to 1.
        spacing: The distance of voxels along (z, y, x), in mm.
        level: The least airwayness of a voxel.
        reach: The largest distance from a centre line in radii.

    Returns:
        (D, H, W) bool, connected by faces.

    Raises:
        MetaoptError: No centre line lies in the volume.
    """
    ndimage: Any = require("scipy.ndimage", "airway")
    sizes, volume = np.array(check_spacing(spacing)), check_airwayness(airwayness).numpy()
    places, radius = _places(tree, float(sizes.min()))
    inside = ((places / sizes).round() >= 0).all(1) & ((places / sizes).round() < volume.shape).all(1)
    if not inside.any():
        raise MetaoptError(
            f"No centre line of the tree lies in the volume {volume.shape} of {sizes.tolist()} mm; positions are in mm "
            "from the centre of the first voxel, in the order (z, y, x)."
        )
    places, radius = places[inside], radius[inside]
    margin = reach * radius[:, None] + sizes
    low = np.floor((places - margin) / sizes).min(0).astype(int).clip(0)
    high = (np.ceil((places + margin) / sizes).max(0).astype(int) + 1).clip(max=volume.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    part, places = volume[box], places - low * sizes
    line = _drawn(places, part.shape, sizes)
    clear = ndimage.map_coordinates(part, (places / sizes).T, order=1, mode="nearest")
    least = float(np.minimum(level, FAINT * clear).min())
    voxels = np.argwhere(part >= max(least, 1e-3))
    near = _near(voxels * sizes, part[tuple(voxels.T)], places, radius, clear, (level, reach, float(sizes.mean()) / 2))
    grown = line.copy()
    grown[tuple(voxels[near].T)] = True
    labels, _ = ndimage.label(grown)
    mask = torch.zeros(volume.shape, dtype=torch.bool)
    mask[box] = torch.from_numpy(labels == labels[tuple((places[0] / sizes).round().astype(int))])
    return mask


def _places(tree: AirwayTree, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Return places on all centre lines that are less than a voxel apart, one branch after the other, and radii."""
    found = []
    for points, radius in tree.tubes:
        p, r = points.double().numpy(), radius.double().numpy()
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(p, axis=0), axis=1))])
        fine = np.union1d(np.linspace(0, along[-1], int(along[-1] / (STEP * size)) + 2), along)
        found.append(np.stack([np.interp(fine, along, v) for v in (*p.T, r)], 1))
    every = np.concatenate(found)
    return every[:, :3], every[:, 3]


def _drawn(places: np.ndarray, shape: tuple[int, ...], sizes: np.ndarray) -> np.ndarray:
    """Return the voxels of lines, of which following ones share a face; a jump to another branch draws nothing."""
    line = np.zeros(shape, bool)
    index = (places / sizes).round().astype(int)
    line[tuple(index.T)] = True
    before, after = index[:-1], index[1:]
    close = (np.abs(after - before) <= 1).all(1)
    before, after = before[close], after[close]
    between = before.copy()
    for axis in range(2):
        between[:, axis] = after[:, axis]
        line[tuple(between.T)] = True
    return line


def _near(
    voxels: np.ndarray,
    value: np.ndarray,
    places: np.ndarray,
    radius: np.ndarray,
    clear: np.ndarray,
    limits: tuple[float, float, float],
) -> np.ndarray:
    """Return which voxels (in mm) are near a centre line and airway enough for it.

    Wide and narrow branches are looked up apart, since the nearest centre line may be that of a narrow branch that
    begins inside a wide one.
    """
    spatial: Any = require("scipy.spatial", "airway")
    level, reach, half = limits
    near = np.zeros(len(voxels), bool)
    classes = np.floor(np.log(np.maximum(radius, 0.1)) / np.log(CLASSES)).astype(int)
    for number in np.unique(classes):
        own = classes == number
        rest = np.flatnonzero(~near)
        bound = reach * float(radius[own].max()) + half
        distance, index = spatial.cKDTree(places[own]).query(voxels[rest], distance_upper_bound=bound)
        hit = np.isfinite(distance)
        rest, distance, index = rest[hit], distance[hit], index[hit]
        least = np.minimum(level, FAINT * clear[own][index])
        near[rest] = (distance <= reach * radius[own][index] + half) & (value[rest] >= least)
    return near
