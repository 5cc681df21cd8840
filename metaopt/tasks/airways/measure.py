"""Measure the mask of a lumen: its branches with centre lines, radii, lengths, angles and generations."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...arguments.contracts import checked
from ...core.errors import MetaoptError
from ...foundation.extras import require
from .grid import bounding_box, check_mask, check_spacing
from .tree import AirwayTree

SMOOTHING = 2.0  # standard deviation of the smoothing along a centre line, in points of the skeleton
TRUNK = 20.0  # mm over which the widest end is looked for
AHEAD = 15  # nodes over which the width of a tube is looked for
SHORTEST = 1.5  # mm; a shorter piece between two divisions is one division into three


class Skeleton(NamedTuple):
    """Hold the thinned lumen: ``points`` (n, 3) in mm, ``width`` (n,) to the wall in mm, ``before`` the node before."""

    points: np.ndarray
    width: np.ndarray
    before: np.ndarray
    distance: np.ndarray


@checked
def measure_airways(mask: Tensor, spacing: Any) -> AirwayTree:
    """Measure the branches of a lumen mask.

    The largest connected part of the mask is thinned to a skeleton (Lee, Kashyap and Chu 1994), which becomes a tree of
    shortest paths from the end of the widest tube, the trachea. Tips that leave the lumen of their branch by less than
    2 voxels and a fifth of its radius are no branches. The radius at a point is that of the circle whose area is the
    volume of the lumen nearest to the point per length, so that it is right also where a tube is two voxels wide:
    ``r = sqrt(V / (pi l))``.

    Args:
        mask: The lumen, (D, H, W) bool.
        spacing: The distance of voxels along (z, y, x), in mm.

    Returns:
        The tree. The root begins at the outer end of the trachea.

    Raises:
        MetaoptError: The mask is empty or too small to have a centre line, or the spacing is missing or not positive.

    Source:
        T. C. Lee, R. L. Kashyap and C. N. Chu, Building skeleton models via 3-D medial surface/axis thinning algorithms
        (1994), https://doi.org/10.1006/cgip.1994.1042
    """
    mask, sizes = check_mask("The mask of the lumen", mask), np.array(check_spacing(spacing))
    lumen, corner = _largest_part(mask.numpy())
    nodes = np.argwhere(require("skimage.morphology", "airway").skeletonize(lumen)) if lumen.sum() > 1 else np.empty(0)
    if len(nodes) < 3:
        raise MetaoptError(
            f"The largest part of the mask has {int(lumen.sum())} voxels and no centre line of 3; is it an airway mask?"
        )
    skeleton = _rooted(nodes, lumen, sizes)
    parents, paths = _merged(*_branches(skeleton, float(sizes.max()), ways=1), skeleton.points)
    volumes, voxels = _volumes(paths, skeleton.points, np.argwhere(lumen) * sizes), math.prod(sizes.tolist())
    lines = [_smooth(skeleton.points[path], ends=True) for path in paths]
    radii = [_radius(line, volumes[path] * voxels) for line, path in zip(lines, paths, strict=True)]
    shift = corner * sizes
    return AirwayTree(
        torch.tensor(parents),
        [torch.from_numpy(line + shift).float() for line in lines],
        [torch.from_numpy(r).float() for r in radii],
    )


def _largest_part(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest part without its holes, cut out with a border of 1, and the corner of the cut in ``mask``."""
    ndimage: Any = require("scipy.ndimage", "airway")
    box = bounding_box(torch.from_numpy(mask))
    corner = np.array([side.start for side in box])
    cut = np.pad(mask[box], 1)
    labels, count = ndimage.label(cut, np.ones((3, 3, 3)))
    part = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]) if count > 1 else cut
    outside, _ = ndimage.label(~part)
    return outside != outside[0, 0, 0], corner - 1  # whatever the air outside does not reach


def _rooted(nodes: np.ndarray, lumen: np.ndarray, sizes: np.ndarray) -> Skeleton:
    spatial: Any = require("scipy.spatial", "airway")
    ndimage, graphs = require("scipy.ndimage", "airway"), require("scipy.sparse.csgraph", "airway")
    points = nodes * sizes
    rim = np.argwhere(ndimage.binary_dilation(lumen, np.ones((3, 3, 3))) & ~lumen) * sizes
    width = spatial.cKDTree(rim).query(points)[0] - sizes.mean() / 2
    pairs = spatial.cKDTree(nodes).query_pairs(1.8, output_type="ndarray")
    lengths = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    links = require("scipy.sparse", "airway").coo_array((lengths, pairs.T), shape=(len(nodes), len(nodes))).tocsr()

    def paths_from(start: int) -> tuple[np.ndarray, np.ndarray]:
        return graphs.dijkstra(links, directed=False, indices=start, return_predecessors=True)

    distance, _ = paths_from(int(width.argmax()))
    far = int(np.where(np.isfinite(distance), distance, -1).argmax())  # an end, from which the others are seen whole
    distance, before = paths_from(far)
    root = _widest_end(Skeleton(points, width, before, distance), float(sizes.max()))
    distance, before = paths_from(root)
    return Skeleton(points, width, before, distance)


def _widest_end(start: Skeleton, voxel: float) -> int:
    """Return the end of the skeleton whose last 20 mm are the widest; tips inside a wide tube are no ends."""
    parents, paths = _branches(start, voxel)
    tips = [path[-1] for number, path in enumerate(paths) if number not in parents]
    lines = [_last_nodes(tip, start) for tip in tips]
    if len(paths[0]) > 1:  # the tree begins at an end
        begin = [n for n in paths[0] if start.distance[n] - start.distance[paths[0][0]] <= TRUNK]
        lines.append(begin)
    means = [start.width[line].mean() * min(1.0, len(line) * voxel / TRUNK) for line in lines]
    return int(lines[int(np.argmax(means))][0])


def _last_nodes(end: int, start: Skeleton) -> list[int]:
    node, nodes = end, []
    while node >= 0 and start.distance[end] - start.distance[node] <= TRUNK:
        nodes.append(node)
        node = int(start.before[node])
    return nodes


def _branches(skeleton: Skeleton, voxel: float, ways: int = 2) -> tuple[list[int], list[list[int]]]:
    """Return the parents and the nodes of the branches, without tips that hardly leave the lumen.

    From the first node lead at most so many ``ways``, whatever branches off there.
    """
    order = np.argsort(skeleton.distance, kind="stable")
    order = order[np.isfinite(skeleton.distance[order])]
    reach = skeleton.distance.copy()
    children: list[list[int]] = [[] for _ in reach]
    for node in order[:0:-1].tolist():
        previous = int(skeleton.before[node])
        reach[previous] = max(reach[previous], reach[node])
        children[previous].append(node)

    def width(node: int) -> float:
        widest = 0.0
        for _ in range(AHEAD):  # where a tube is cut, its skeleton forks at the rim, where it is narrow
            widest = max(widest, float(skeleton.width[node]))
            if not children[node]:
                break
            node = max(children[node], key=lambda c: reach[c])
        return widest

    def continuing(node: int) -> list[int]:
        far = sorted(children[node], key=lambda c: -reach[c])
        if len(far) < 2:
            return far
        least = skeleton.distance[node] + 1.2 * width(node) + 2 * voxel
        far = far[:1] + [c for c in far[1:] if reach[c] > least]
        return far[:ways] if node == order[0] else far

    parents, paths, waiting = [], [], [(-1, [int(order[0])])]
    while waiting:
        parent, path = waiting.pop(0)
        while len(following := continuing(path[-1])) == 1:
            path.append(following[0])
        if len(path) > 1 or following:
            parents.append(parent)
            paths.append(path)
            waiting += [(len(paths) - 1, [path[-1], node]) for node in following]
    return parents, paths


def _merged(parents: list[int], paths: list[list[int]], points: np.ndarray) -> tuple[list[int], list[list[int]]]:
    """Leave out the very short pieces between divisions; what follows begins where they begin."""
    dividing, into, kept = set(parents), {-1: -1}, []
    lead: dict[int, list[int]] = {}
    for number, (parent, path) in enumerate(zip(parents, paths, strict=True)):
        path = lead.get(parent, []) + path
        length = np.linalg.norm(np.diff(points[path], axis=0), axis=1).sum()
        if number and number in dividing and length < SHORTEST:
            into[number], lead[number] = into[parent], path[:-1]
        else:
            into[number] = len(kept)
            kept.append((into[parent], path))
    return [parent for parent, _ in kept], [path for _, path in kept]


def _volumes(paths: list[list[int]], points: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """Return how many voxels of the lumen are nearest to each node of the tree, (n,)."""
    spatial: Any = require("scipy.spatial", "airway")
    used = np.unique(np.concatenate([np.array(path) for path in paths]))
    counts = np.zeros(len(points))
    for begin in range(0, len(voxels), 2**18):
        nearest = spatial.cKDTree(points[used]).query(voxels[begin : begin + 2**18])[1]
        counts[used] += np.bincount(nearest, minlength=len(used))
    return counts


def _radius(line: np.ndarray, volumes: np.ndarray) -> np.ndarray:
    """Return the radius of the circle whose area is the volume per length, both smoothed along the branch."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    lengths = (np.concatenate([steps, steps[-1:]]) + np.concatenate([steps[:1], steps])) / 2
    inner = slice(1, -1) if len(line) > 4 else slice(None)  # the ends hold what lies beyond the line
    volume, length = _smooth(volumes[inner], ends=False), _smooth(lengths[inner], ends=False)
    radius = np.sqrt(np.maximum(volume, 1e-3) / (math.pi * np.maximum(length, 1e-3)))
    return np.concatenate([radius[:1], radius, radius[-1:]]) if len(line) > 4 else radius


def _smooth(values: np.ndarray, ends: bool) -> np.ndarray:
    """Smooth along the first axis; with ``ends`` the first and the last value stay."""
    ndimage: Any = require("scipy.ndimage", "airway")
    values = values.astype(float)
    if not ends:
        return ndimage.gaussian_filter1d(values, SMOOTHING, axis=0, mode="nearest")
    ramp = np.linspace(values[0], values[-1], len(values))  # the difference from it vanishes at the ends
    smooth = ndimage.gaussian_filter1d(
        np.concatenate([-(values - ramp)[:0:-1], values - ramp, -(values - ramp)[-2::-1]]), SMOOTHING, axis=0
    )
    middle = smooth[len(values) - 1 : 2 * len(values) - 1] + ramp
    middle[0], middle[-1] = values[0], values[-1]
    return middle
