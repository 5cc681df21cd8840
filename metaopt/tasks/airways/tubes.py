"""Render tubes, such as airways and vessels, as the share of each voxel that they fill."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...arguments.contracts import Count, checked
from ...core.errors import MetaoptError
from .grid import check_spacing

Tube = tuple[Tensor, Tensor]  # a centre line (P, 3) and its radii (P,), in mm
SAMPLES = 4  # along each axis of a voxel on the border
THIN = 0.25  # of a voxel: what is narrower falls between the samples


@checked
def fill_tubes(tubes: Sequence[Any], shape: Sequence[Count], spacing: Any) -> Tensor:
    """Return the share of each voxel that lies inside a tube.

    A tube is the union of cones with round ends between the points of its centre line. Voxels that a border may cross
    are sampled at 4 x 4 x 4 places, so that a tube that is one voxel wide has the right volume too (partial volume).
    The memory is that of the result, one byte a voxel and 64 bytes a voxel on a border.

    Args:
        tubes: Centre lines (P, 3) and radii (P,) in mm, in pairs. What lies outside the grid is left out.
        shape: (D, H, W) of the grid, whose first voxel has its centre at 0 mm.
        spacing: The distance of voxels along (z, y, x), in mm.

    Returns:
        The shares, (D, H, W) float32 from 0 to 1.

    Raises:
        MetaoptError: A tube is no pair of points and radii or narrower than a quarter of a voxel, or the spacing is
            missing or not positive.
    """
    sizes = np.array(check_spacing(spacing))
    if len(shape) != 3:
        raise MetaoptError(f"A grid of tubes has the shape (D, H, W), but got {tuple(shape)}.")
    for number, tube in enumerate(tubes):
        _check_tube(number, tube)
    cones = _cones(tubes)
    thinnest = float(cones[:, 6:].min()) if len(cones) else math.inf
    if thinnest < THIN * sizes.min():
        raise MetaoptError(
            f"The thinnest tube has a radius of {thinnest:.3g} mm, less than a quarter of a voxel of {sizes.tolist()} "
            "mm, and would be lost between voxels; leave such branches out (AirwayTree.wider_than), or take a finer "
            "spacing."
        )
    state = np.zeros(tuple(shape), np.uint8)  # 1 on a border, 2 inside
    half = float(np.linalg.norm(sizes)) / 2
    for cone, box, places in _boxes(cones, state.shape, sizes, half):
        depth = _outside(cone, places)
        part = state[box]
        np.maximum(part, np.where(depth < -half, 2, np.where(depth < half, 1, 0)).astype(np.uint8), out=part)
    border = np.flatnonzero(state == 1)
    inside = np.zeros((len(border), SAMPLES**3), bool)
    steps = (np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5
    offsets = np.array(list(itertools.product(steps, repeat=3))) * sizes
    for cone, box, places in _boxes(cones, state.shape, sizes, half):
        chosen = np.nonzero((state[box] == 1) & (np.abs(_outside(cone, places)) < half))
        if len(chosen[0]):
            here = np.ravel_multi_index([i + s.start for i, s in zip(chosen, box, strict=True)], state.shape)
            rows = np.searchsorted(border, here)
            centers = np.stack([p.reshape(-1)[i] for p, i in zip(places, chosen, strict=True)], 1)
            inside[rows] |= _outside(cone, (centers[:, None] + offsets).transpose(2, 0, 1)) < 0
    filled = (state == 2).astype(np.float32)
    filled.reshape(-1)[border] = inside.mean(1)
    return torch.from_numpy(filled)


def _check_tube(number: int, tube: Any) -> None:
    fits = isinstance(tube, tuple | list) and len(tube) == 2 and all(isinstance(part, Tensor) for part in tube)
    if not fits or tube[0].ndim != 2 or tube[0].shape[1] != 3 or tube[1].shape != tube[0].shape[:1] or len(tube[1]) < 2:
        got = [tuple(part.shape) for part in tube] if fits else type(tube).__name__
        raise MetaoptError(
            f"A tube is a pair of at least 2 points (P, 3) and their radii (P,) in mm, but tube {number} is {got}."
        )
    if not bool(tube[0].isfinite().all() & tube[1].isfinite().all()):
        raise MetaoptError(f"Tube {number} has points or radii that are NaN or infinite.")


def visible(tubes: Sequence[Tube], spacing: Sequence[float]) -> list[Tube]:
    """Return the tubes that are nowhere too narrow for a grid of this spacing."""
    return [(points, radius) for points, radius in tubes if float(radius.min()) >= THIN * min(spacing)]


def _cones(tubes: Sequence[Tube]) -> np.ndarray:
    """Return the pieces (n, 8) of all tubes: both ends and both radii."""
    pieces = [
        np.concatenate([p[:-1], p[1:], np.stack([r[:-1], r[1:]], 1)], 1)
        for p, r in ((_thinned(points, radii)) for points, radii in tubes)
    ]
    return np.concatenate(pieces) if pieces else np.empty((0, 8))


def _thinned(points: Tensor, radii: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Leave out points that are nearer to each other than half a radius, but for the ends."""
    p, r = points.detach().double().cpu().numpy(), radii.detach().double().cpu().numpy()
    keep, last = [0], 0
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(p, axis=0), axis=1))])
    for i in range(1, len(p) - 1):
        if along[i] - along[last] >= 0.5 * r[i] and along[-1] - along[i] >= 0.5 * r[i]:
            keep.append(i)
            last = i
    keep.append(len(p) - 1)
    return p[keep], r[keep]


def _boxes(
    cones: np.ndarray, shape: tuple[int, ...], sizes: np.ndarray, margin: float
) -> Iterator[tuple[np.ndarray, tuple[slice, ...], list[np.ndarray]]]:
    """Give each cone that the grid sees, with the box of voxels around it and the places of these in mm, by axis."""
    if not len(cones):
        return
    wide = cones[:, 6:].max(1, keepdims=True) + margin
    low = np.floor((np.minimum(cones[:, :3], cones[:, 3:6]) - wide) / sizes).astype(int).clip(0)
    high = (np.ceil((np.maximum(cones[:, :3], cones[:, 3:6]) + wide) / sizes).astype(int) + 1).clip(max=shape)
    for number in np.flatnonzero((high > low).all(1)):
        ranges = [np.arange(a, b) for a, b in zip(low[number], high[number], strict=True)]
        box = tuple(slice(a, b) for a, b in zip(low[number], high[number], strict=True))
        places = [
            (r * s).reshape([-1 if i == axis else 1 for i in range(3)])
            for axis, (r, s) in enumerate(zip(ranges, sizes, strict=True))
        ]
        yield cones[number], box, places


def _outside(cone: np.ndarray, places: Any) -> np.ndarray:
    """Return how far places, by axis, lie outside the cone, in mm; negative inside."""
    begin, axis, radii = cone[:3], cone[3:6] - cone[:3], cone[6:]
    length = max(float(axis @ axis), 1e-12)
    from_begin = [p - b for p, b in zip(places, begin, strict=True)]
    t = sum(d * a for d, a in zip(from_begin, axis, strict=True)) / length
    t = np.clip(t, 0, 1)
    squares = sum((d - t * a) ** 2 for d, a in zip(from_begin, axis, strict=True))
    return np.sqrt(squares) - (radii[0] + t * (radii[1] - radii[0]))
