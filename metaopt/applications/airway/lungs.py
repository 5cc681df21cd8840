"""Find the lungs and the trachea in a CT of the chest."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...arguments.contracts import checked
from ...core.errors import MetaoptError
from ...foundation.extras import require
from .hounsfield import DEEPEST, check_ct
from .trachea import find_trachea

COARSE = 2.5  # mm, about the grid on which lungs are looked for
LUNG, SOFT, PURE = -400.0, -300.0, -950.0  # HU: less is lung, more is body, less is air outside
BED = 6.0  # mm, the thickness of what is taken from the body: bed, wires, skin folds
WALL = 15.0  # mm around what is left of it to which thin walls of the chest are put back
SKIN = 5.0  # mm that the air outside is widened by, over the edge of the body
NARROW = 4.0  # mm, half the width of passages between lungs and airways that are cut
CLOSED = 12.0  # mm, half the width of opacities and vessels at the border of a lung that are closed
BORDER = 5.0  # mm around lungs and what lies between them, where airways are looked for
EMPTY, POCKET = -965.0, 5.0  # HU and mm: what is empty over more than that is no lung, nor is gas around it
GAS = -900.0  # HU
LITRES = 0.25  # of both lungs of a child; less is no chest
PARENCHYMA = (-960.0, -500.0)  # HU


class Lungs(NamedTuple):
    """Hold where lungs and trachea are.

    ``mask`` (D, H, W) bool are the lungs with their opacities, vessels and bronchi, without the trachea; ``trachea``
    (D, H, W) bool is the lumen of the trachea down to where it divides; ``seed`` (3,) int64 is a voxel (z, y, x) in it.
    """

    mask: Tensor
    trachea: Tensor
    seed: Tensor


@checked
def find_lungs(volume: Any, spacing: Any) -> Lungs:
    """Find the lungs and the trachea in a chest CT.

    On a grid of some 2.5 mm, air inside of the body is divided into the trachea and lungs; holes and dents of the
    lungs up to 24 mm wide, such as vessels, nodules and opacities at the border, are closed.

    Args:
        volume: The CT, (D, H, W), z towards the head, in Hounsfield units, of a real dtype.
        spacing: The distance of voxels along (z, y, x), in mm.

    Returns:
        The lungs and the trachea on the grid of the CT.

    Raises:
        MetaoptError: It is no CT of a chest in Hounsfield units with lungs and a trachea; the message says what it
            looks like.
    """
    values, sizes = check_ct(volume, spacing)
    steps = [min(n, max(1, round(COARSE / size))) for n, size in zip(values.shape, sizes, strict=True)]
    coarse = tuple(n * size for n, size in zip(steps, sizes, strict=True))
    small = _averaged(values, steps)
    air, inside = _air_within(small, coarse)
    _check_air(small, air, coarse)
    middle = _between(air)
    trachea = find_trachea(small, inside, coarse, middle)
    lungs = _lungs(small, air, trachea, coarse)
    return Lungs(_refined(lungs, values.shape), *_lumen(values, small, trachea, steps))


def _averaged(values: Tensor, steps: list[int]) -> np.ndarray:
    """Return the means of blocks of voxels; what is marked as outside of the picture counts as air."""
    pooled = torch.nn.functional.avg_pool3d(
        values.clamp(min=DEEPEST)[None, None], steps, ceil_mode=True, count_include_pad=False
    )
    return pooled[0, 0].numpy()


def _air_within(small: np.ndarray, spacing: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the air inside of the body, lungs and airways, and the body with its cavities."""
    ndimage: Any = require("scipy.ndimage", "airway")
    tissue = small > SOFT
    core = widened(~widened(~tissue, spacing, BED / 2), spacing, BED / 2) & tissue
    body = widened(largest(core if core.any() else tissue), spacing, WALL) & tissue
    outside = _from_sides(small < PURE, ndimage)
    edge = widened(outside, spacing, SKIN) if outside.any() else outside
    hull = np.stack([ndimage.binary_fill_holes(layer) for layer in body])
    low = (small < LUNG) & ~edge
    labels, count = ndimage.label(low)
    sizes, within = (np.bincount(labels[where], minlength=count + 1) for where in (low, low & hull))
    kept = within > 0.2 * sizes  # a lung that is cut by the side of the picture is open in some slices
    air = kept[labels] & low
    if air.sum() * math.prod(spacing) < 1e6 * LITRES:  # or in all
        air = low
    hull |= air
    return air, hull & ~outside


def _from_sides(pure: np.ndarray, ndimage: Any) -> np.ndarray:
    """Return the air that is connected with the sides of the picture; at its top the trachea may be open."""
    labels, count = ndimage.label(pure)
    touching = np.zeros(count + 1, bool)
    for face in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        touching[np.unique(face)] = True
    touching[0] = False
    return touching[labels]


def _check_air(small: np.ndarray, air: np.ndarray, spacing: tuple[float, ...]) -> None:
    litres = float(air.sum()) * math.prod(spacing) / 1e6
    if litres < LITRES:
        raise MetaoptError(
            f"There are no lungs in this volume: the air inside of the body takes {litres:.2g} litres, less than the "
            f"lungs of a child. Is it a CT of the chest, and is the spacing (z, y, x) in mm right?"
        )
    values = small[air]
    share = float(((values > PARENCHYMA[0]) & (values < PARENCHYMA[1])).mean())
    if share < 0.25:
        raise MetaoptError(
            f"The {litres:.2g} litres of air inside have {float(np.median(values)):.0f} Hounsfield units, as empty "
            "space has, and not some -850, as lungs have; is it a phantom?"
        )


def _between(air: np.ndarray) -> float:
    """Return the x between the lungs, in voxels: where, in the middle, the least air is."""
    columns = air.sum((0, 1)).astype(float)
    used = np.flatnonzero(columns > 0.05 * columns.max())
    low, high = int(used[0]), int(used[-1]) + 1
    third = (high - low) // 3
    center = columns[low + third : high - third]
    away = np.abs(np.arange(len(center)) - (len(center) - 1) / 2) / max(1, len(center))
    return float(low + third + int((center / columns.max() + 0.3 * away).argmin())) if len(center) else (low + high) / 2


def _lungs(small: np.ndarray, air: np.ndarray, trachea: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Return the lungs, each closed by itself so that what lies between them stays outside."""
    ndimage: Any = require("scipy.ndimage", "airway")
    gas = widened(~widened(small > EMPTY, spacing, POCKET), spacing, 4 * POCKET) & (small < GAS)  # in stomach and gut
    gas = widened(gas, spacing, SKIN)
    parts = air & ~widened(trachea, spacing, NARROW) & ~gas
    opened = widened(~widened(~parts, spacing, NARROW), spacing, 1.5 * NARROW) & parts
    labels, count = ndimage.label(opened)
    values = (small > PARENCHYMA[0]) & (small < PARENCHYMA[1])
    full = np.bincount(labels[values], minlength=count + 1)  # gas in stomach and gut is empty
    full = np.where(full > 0.4 * np.bincount(labels.reshape(-1), minlength=count + 1), full, 0)
    full[0] = 0
    kept = (full > 0.03 * full.max())[labels] if full.any() else opened
    x = float(np.median(np.nonzero(trachea)[2]))
    sides = np.arange(air.shape[2]) < x
    found = np.zeros(air.shape, bool)
    for side in (sides, ~sides):
        half = kept & side
        if half.any():
            pad = [math.ceil(CLOSED / s) + 1 for s in spacing]
            wide = np.pad(half, [(p, p) for p in pad])
            closed = ~widened(~widened(wide, spacing, CLOSED), spacing, CLOSED)
            closed = closed[tuple(slice(p, -p) for p in pad)]
            found |= ndimage.binary_fill_holes(closed | half)
    return found & ~trachea


def _lumen(values: Tensor, small: np.ndarray, trachea: np.ndarray, steps: list[int]) -> tuple[Tensor, Tensor]:
    """Return the trachea on the fine grid, and a voxel in it."""
    spots = np.argwhere(trachea)
    low = [int(max(0, (a - 1) * n)) for a, n in zip(spots.min(0), steps, strict=True)]
    high = [int((a + 2) * n) for a, n in zip(spots.max(0), steps, strict=True)]
    box = tuple(slice(a, min(b, size)) for a, b, size in zip(low, high, values.shape, strict=True))
    around = trachea
    for axis in (1, 2):
        around = around | np.roll(trachea, 1, axis) | np.roll(trachea, -1, axis)
    found = torch.zeros(values.shape, dtype=torch.bool)
    part = [torch.arange(s.start, s.stop) // n for s, n in zip(box, steps, strict=True)]
    near = torch.from_numpy(around)[part[0]][:, part[1]][:, :, part[2]]
    found[box] = near & (values[box] < -600)
    layers = np.unique(spots[:, 0])
    layer = int(layers[round(0.6 * (len(layers) - 1))])  # nearer to the head than to the division
    inside = np.where(trachea[layer], small[layer], np.inf)
    y, x = spots[spots[:, 0] == layer][:, 1:].mean(0)
    rows, columns = np.nonzero(inside < np.inf)
    nearest = int(((rows - y) ** 2 + (columns - x) ** 2).argmin())
    block = tuple(
        slice(int(i) * n, min((int(i) + 1) * n, size))
        for i, n, size in zip((layer, rows[nearest], columns[nearest]), steps, values.shape, strict=True)
    )
    dark = values[block]
    place = np.unravel_index(int(dark.argmin()), tuple(dark.shape))
    return found, torch.tensor([s.start + int(p) for s, p in zip(block, place, strict=True)])


def _refined(mask: np.ndarray, shape: torch.Size) -> Tensor:
    """Return a coarse mask on the fine grid, with smooth borders, slab by slab."""
    fine = torch.empty(shape, dtype=torch.bool)
    coarse = torch.from_numpy(mask).float()[None, None]
    places = [(torch.arange(n) + 0.5) * (m / n) - 0.5 for n, m in zip(shape, mask.shape, strict=True)]
    plane = torch.nn.functional.interpolate(coarse[0].transpose(0, 1), shape[1:], mode="bilinear", align_corners=False)[
        :, 0
    ]
    for z, place in enumerate(places[0].clamp(0, mask.shape[0] - 1).tolist()):
        below = int(place)
        above, share = min(below + 1, mask.shape[0] - 1), place - below
        fine[z] = plane[below] * (1 - share) + plane[above] * share > 0.5
    return fine


def search_region(lungs: Lungs, spacing: tuple[float, ...]) -> Tensor:
    """Return where airways can be: lungs and trachea, and what lies between them, (D, H, W) bool.

    Args:
        lungs: What :func:`find_lungs` found.
        spacing: The distance of voxels along (z, y, x), in mm.
    """
    both = lungs.mask | lungs.trachea
    steps = [max(1, round(COARSE / size)) for size in spacing]
    coarse = tuple(n * size for n, size in zip(steps, spacing, strict=True))
    thin = both[:: steps[0], :: steps[1], :: steps[2]].int()
    between = (thin.cummax(2).values & thin.flip(2).cummax(2).values.flip(2)).bool()  # in each row, from lung to lung
    wide = torch.from_numpy(widened(between.numpy(), coarse, BORDER))
    for axis, (n, size) in enumerate(zip(steps, both.shape, strict=True)):
        wide = wide.repeat_interleave(n, axis).narrow(axis, 0, size)
    return wide | both


def widened(mask: np.ndarray, spacing: tuple[float, ...], distance: float) -> np.ndarray:
    """Return a mask with all that lies within a distance of it, in mm."""
    ndimage: Any = require("scipy.ndimage", "airway")
    if not mask.any():
        return mask
    return ndimage.distance_transform_edt(~mask, sampling=spacing) <= distance


def largest(mask: np.ndarray) -> np.ndarray:
    """Return the largest connected part of a mask."""
    ndimage: Any = require("scipy.ndimage", "airway")
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.reshape(-1))
    sizes[0] = 0
    return labels == sizes.argmax()
