"""Measure how much of a reference an airway segmentation finds, and how much it finds that is not there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...arguments.checks import check_instance, check_tensor
from ...arguments.contracts import NotNegative, checked
from ...core.errors import MetaoptError
from ...foundation.extras import require
from ...tasks.airways import AirwayTree, measure_airways
from ...tasks.airways.grid import bounding_box, check_mask, check_spacing

FINE = 0.5  # mm between the points of a centre line at which it is looked at
LEAST = 1.0  # mm of centre line that make a branch detected (EXACT'09)
MOST = 0.8  # share of a centre line that makes a branch detected (ATM'22)
NEAR = 2.0  # mm from a piece of centre line to its counterpart, for the Dice of edges
PARALLEL = math.cos(math.radians(45))  # of their directions
Box = tuple[slice, slice, slice]


class AirwayScores(NamedTuple):
    """Hold the measures of a segmentation; lengths, branches, rates, Dice and precision in %, distances in mm.

    ``length``, ``branches``, ``leakage_count``, ``leakage_volume`` in mm^3 and ``false_positive_rate`` are those of
    EXACT'09; ``atm_length``, ``atm_branches``, ``dice`` and ``precision`` those of ATM'22. ``d_fp`` is how far the
    centre lines that were found lie from those of the reference on average, ``d_fn`` how far those of the reference
    lie from what was found; both are NaN where nothing was found. ``edge_dice`` compares pieces of the centre lines.
    """

    length: float
    branches: float
    leakage_count: int
    leakage_volume: float
    false_positive_rate: float
    atm_length: float
    atm_branches: float
    dice: float
    precision: float
    d_fp: float
    d_fn: float
    edge_dice: float


class _Lines(NamedTuple):
    """Hold centre lines as short pieces: their middles (n, 3) and directions (n, 3), lengths (n,), branches (n,)."""

    middle: np.ndarray
    direction: np.ndarray
    length: np.ndarray
    branch: np.ndarray


@checked
def evaluate_airways(
    mask: Tensor,
    truth: Tensor,
    spacing: Any,
    tree: AirwayTree | None = None,
    truth_tree: AirwayTree | None = None,
    wall: NotNegative = 1.0,
) -> AirwayScores:
    """Compare a segmentation of the airways with a reference.

    *EXACT'09.* A branch is detected when more than 1 mm of its centre line is; the trachea does not count. Leakage is
    what was found outside the airways: observers judged pieces there, here it is what lies more than ``wall`` mm from
    the reference. ``leakage_count`` is the number of separate places where right voxels touch leakage, and
    ``false_positive_rate`` the share of leakage in the volume found, in which what is right of trachea and main bronchi
    does not count.

    *ATM'22.* The largest connected part of the segmentation alone counts, against the whole reference: the share of its
    centre lines that lie in it, the share of branches of which 80 % do, and Dice and precision of voxels.

    *Centre lines.* ``d_fp`` and ``d_fn`` are mean distances, as Selvan et al. define them. ``edge_dice`` is
    ``2 p r / (p + r)`` where p is the share of the centre lines found which have a counterpart, within 2 mm and 45
    degrees, in the reference, and r the share of those of the reference which have one in what was found.

    Args:
        mask: What was found, (D, H, W) bool; it may be empty.
        truth: The lumen of the reference, (D, H, W) bool.
        spacing: The distance of voxels along (z, y, x), in mm.
        tree: The tree that was found. None: it is measured from the mask.
        truth_tree: The tree of the reference. None: it is measured from its mask.
        wall: How far from the reference, in mm, a voxel is no leakage: the thickness of a wall.

    Returns:
        The measures.

    Raises:
        MetaoptError: The reference is empty or has no centre line, a mask is no (D, H, W) bool, their shapes differ, or
            the spacing is missing or not positive.

    Source:
        P. Lo et al., Extraction of airways from CT (EXACT'09) (2012), https://doi.org/10.1109/TMI.2012.2209674;
        M. Zhang et al., Multi-site, multi-domain airway tree modeling (ATM'22) (2023),
        https://doi.org/10.1016/j.media.2023.102957; R. Selvan et al., Graph refinement based airway extraction using
        mean-field networks and graph neural networks (2020), https://doi.org/10.1016/j.media.2020.101751
    """
    truth, sizes = check_mask("The reference", truth), check_spacing(spacing)
    found = check_tensor("The mask", mask, "boolean", "(D, H, W)").detach().cpu()
    if found.shape != truth.shape:
        raise MetaoptError(
            f"The mask is {tuple(found.shape)}, but the reference {tuple(truth.shape)}; they must share one grid."
        )
    box = bounding_box(found | truth)
    a, b, corner = found[box].numpy(), truth[box].numpy(), np.array([s.start for s in box])
    reference = truth_tree if truth_tree is not None else measure_airways(truth, sizes)
    lines, voxels = _lines(reference), np.argwhere(b)
    inside = voxels[_nearest(voxels * sizes, lines.middle - corner * sizes)[1]]  # lines may leave a narrow lumen
    hit, largest = a[tuple(inside.T)], _largest(a)
    exact = _detected(lines, hit, lines.branch > 0, LEAST, share=False)
    atm = _detected(lines, largest[tuple(inside.T)], lines.branch >= 0, MOST, share=True)
    early = _early_volume(a & b, reference, corner, sizes)
    count, wrong = _leaks(a, b, sizes, wall)
    voxel, right = math.prod(sizes), int((largest & b).sum())
    counted = int(a.sum()) - early
    return AirwayScores(
        *exact,
        count,
        wrong * voxel,
        100 * wrong / counted if counted > 0 else 0.0,
        *atm,
        200 * right / (int(largest.sum()) + int(b.sum())),
        100 * right / int(largest.sum()) if right else 0.0,
        *_compared(_found_lines(tree, found, sizes), lines),
    )


@checked
def dice_of_edges(edges: Tensor, truth: Tensor) -> float:
    """Return the Dice coefficient of two sets of undirected edges over the same nodes, in %.

    ``200 |A and B| / (|A| + |B|)``; an edge counts once, in whichever direction it is given. Two empty sets are equal.

    Args:
        edges: The edges that were found, (2, E) whole numbers.
        truth: Those of the reference, (2, F) whole numbers.
    """
    sets = []
    for name, given in (("The edges", edges), ("The edges of the reference", truth)):
        pairs = check_tensor(name, given, "whole", "(2, E)").T.sort(dim=1).values
        sets.append({(a, b) for a, b in pairs.tolist()})
    total = len(sets[0]) + len(sets[1])
    return 200 * len(sets[0] & sets[1]) / total if total else 100.0


def _lines(tree: AirwayTree) -> _Lines:
    """Return the pieces of the centre lines, of equal length in each branch and at most half a millimetre long."""
    middles, directions, lengths, branches = [], [], [], []
    for number, points in enumerate(tree.points):
        line = points.detach().double().cpu().numpy()
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        count = max(1, math.ceil(along[-1] / FINE))
        places = np.linspace(0, along[-1], count + 1)
        ends = np.stack([np.interp(places, along, line[:, axis]) for axis in range(3)], 1)
        steps = np.diff(ends, axis=0)
        middles.append((ends[:-1] + ends[1:]) / 2)
        directions.append(steps / np.linalg.norm(steps, axis=1, keepdims=True).clip(1e-12))
        lengths.append(np.full(count, along[-1] / count))
        branches.append(np.full(count, number))
    parts: Sequence[Sequence[np.ndarray]] = (middles, directions, lengths, branches)
    return _Lines(*(np.concatenate(part) for part in parts))


def _detected(lines: _Lines, hit: np.ndarray, counted: np.ndarray, least: float, share: bool) -> tuple[float, float]:
    """Return the shares of length and of branches that are detected, in %.

    A branch is when at least the share ``least`` of it is hit, or else more than ``least`` mm, or all of a shorter one.
    """
    whole = np.bincount(lines.branch, lines.length * counted)
    seen = np.bincount(lines.branch, lines.length * (hit & counted), len(whole))
    whole, seen = whole[whole > 0], seen[whole > 0]
    if not len(whole):  # a trachea alone
        return 100.0, 100.0
    branches = seen >= least * whole - 1e-9 if share else seen > np.minimum(least, whole - 1e-9)
    return float(100 * seen.sum() / whole.sum()), float(100 * branches.mean())


def _largest(mask: np.ndarray) -> np.ndarray:
    ndimage: Any = require("scipy.ndimage", "airway")
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]) if count > 1 else mask


def _early_volume(right: np.ndarray, tree: AirwayTree, corner: np.ndarray, sizes: Sequence[float]) -> int:
    """Return how many voxels belong to the trachea or a main bronchus."""
    generation = tree.generation.cpu().numpy()
    numbers = np.concatenate([np.full(len(points), n) for n, points in enumerate(tree.points)])
    places = (np.argwhere(right) + corner) * sizes
    return int(
        (generation[numbers[_nearest(torch.cat(list(tree.points)).detach().cpu().numpy(), places)[1]]] < 2).sum()
    )


def _leaks(found: np.ndarray, truth: np.ndarray, sizes: Sequence[float], wall: float) -> tuple[int, int]:
    """Return the number of places where right voxels touch leakage, and how many voxels leakage has."""
    ndimage: Any = require("scipy.ndimage", "airway")
    wrong = found & ~_widened(truth, sizes, wall)
    if not wrong.any():
        return 0, 0
    box = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in ndimage.find_objects(wrong.astype(np.int8))[0])
    touching = (found & ~wrong)[box] & ndimage.binary_dilation(wrong[box], np.ones((3, 3, 3)))
    return int(ndimage.label(touching, np.ones((3, 3, 3)))[1]), int(wrong.sum())


def _widened(mask: np.ndarray, sizes: Sequence[float], margin: float) -> np.ndarray:
    """Return the voxels whose centre lies no further than ``margin`` mm from that of a voxel of the mask."""
    ndimage: Any = require("scipy.ndimage", "airway")
    rim = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    reach = [range(-int(margin / s), int(margin / s) + 1) for s in sizes]
    offsets = np.stack([axis.ravel() for axis in np.meshgrid(*reach, indexing="ij")], 1)
    offsets = offsets[np.linalg.norm(offsets * sizes, axis=1) <= margin + 1e-9]
    wide = mask.copy()
    for offset in offsets:
        places = rim + offset
        places = places[((places >= 0) & (places < mask.shape)).all(1)]
        wide[tuple(places.T)] = True
    return wide


def _found_lines(tree: AirwayTree | None, mask: Tensor, sizes: tuple[float, float, float]) -> _Lines | None:
    if tree is not None:
        return _lines(check_instance("The tree", tree, AirwayTree))
    try:
        return _lines(measure_airways(mask, sizes))
    except MetaoptError:  # nothing, or too small for a centre line
        return None


def _compared(found: _Lines | None, truth: _Lines) -> tuple[float, float, float]:
    """Return d_FP and d_FN in mm and the Dice of edges in %."""
    if found is None:
        return math.nan, math.nan, 0.0
    means, shares = [], []
    for a, b in ((found, truth), (truth, found)):
        distance, nearest = _nearest(b.middle, a.middle)
        close = distance <= NEAR
        parallel = np.abs((a.direction * b.direction[nearest]).sum(1)) >= PARALLEL
        means.append(float(np.average(distance, weights=a.length)))
        shares.append(float(np.average(close & parallel, weights=a.length)))
    return means[0], means[1], 200 * shares[0] * shares[1] / sum(shares) if sum(shares) else 0.0


def _nearest(points: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far the nearest point is from each place, and which it is."""
    spatial: Any = require("scipy.spatial", "airway")
    return spatial.cKDTree(points).query(places)
