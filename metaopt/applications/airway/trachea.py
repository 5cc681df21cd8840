"""Find the trachea in a chest CT: a dark, round tube along the body, between the lungs."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ...core.errors import MetaoptError
from ...foundation.extras import require

DARK = -880.0  # HU; the lumen is below, and parenchyma above but for emphysema
SECTIONS = (20.0, 900.0)  # mm^2, of a child and of an adult with a wide trachea
CHANGE = 1.8  # times which the section may grow or shrink over a slice
LONG = 20.0  # mm that a trachea is seen at least
ROUND = 0.45  # of the circle around it that a section fills at least
ASIDE = 45.0  # mm that it may lie beside the middle of the lungs


class Section(NamedTuple):
    """Hold a dark spot of a slice: its number there, its section in mm^2 and its middle (y, x) in voxels."""

    label: int
    area: float
    middle: tuple[float, float]


def find_trachea(volume: np.ndarray, inside: np.ndarray, spacing: tuple[float, ...], middle: float) -> np.ndarray:
    """Return the mask of the trachea on a coarse grid.

    Dark, round spots of slices are followed from slice to slice, from the head on, for as long as their section changes
    little. The longest such path near the middle is the trachea.

    Args:
        volume: The CT, (D, H, W) in Hounsfield units, z towards the head.
        inside: The mask of the body, its cavities included.
        spacing: The distance of voxels along (z, y, x), in mm.
        middle: The x between the lungs, in voxels.

    Returns:
        The mask, (D, H, W) bool.

    Raises:
        MetaoptError: There is none.
    """
    ndimage: Any = require("scipy.ndimage", "airway")
    dark = (volume < DARK) & inside
    labels, sections = [], []
    for layer in dark:
        marked, count = ndimage.label(layer)
        labels.append(marked)
        sections.append(_sections(ndimage, marked, count, spacing, middle))
    paths = _paths(labels, sections)
    best = max(paths, key=lambda path: _merit(path, spacing[0]), default=[])
    if len(best) * spacing[0] < LONG or len(best) < 2:
        raise MetaoptError(
            "No trachea is seen: between the lungs no round, dark tube leads upwards for 20 mm. The tree of airways "
            "grows from the trachea, so the CT has to reach above the point where it divides, with slices in the order "
            "of the volume's z axis, towards the head; or is it a phantom, or a volume on its side?"
        )
    mask = np.zeros(volume.shape, bool)
    for z, section in best:
        mask[z] = labels[z] == section.label
    return mask


def _sections(
    ndimage: Any, marked: np.ndarray, count: int, spacing: tuple[float, ...], middle: float
) -> dict[int, Section]:
    """Return the spots of a slice that may be a trachea, by their number."""
    pixel, found = spacing[1] * spacing[2], {}
    sizes = np.bincount(marked.reshape(-1), minlength=count + 1) * pixel
    boxes = ndimage.find_objects(marked)
    for number in range(1, count + 1):
        area = float(sizes[number])
        if not SECTIONS[0] <= area <= SECTIONS[1]:
            continue
        tall, wide = ((s.stop - s.start) * d for s, d in zip(boxes[number - 1], spacing[1:], strict=True))
        y, x = ndimage.center_of_mass(marked[boxes[number - 1]] == number)
        y, x = y + boxes[number - 1][0].start, x + boxes[number - 1][1].start
        if area >= ROUND * math.pi / 4 * max(tall, wide) ** 2 and abs(x - middle) * spacing[2] <= ASIDE:
            found[number] = Section(number, area, (float(y), float(x)))
    return found


def _paths(labels: list[np.ndarray], sections: list[dict[int, Section]]) -> list[list[tuple[int, Section]]]:
    """Return the paths of spots that lie above each other, each from the head on."""
    done, open_paths = [], {}
    for z in range(len(labels) - 1, -1, -1):
        following = {}
        for number, section in sections[z].items():
            above = labels[z + 1][labels[z] == number] if z + 1 < len(labels) else np.zeros(0, int)
            over = np.bincount(above[above > 0]) if (above > 0).any() else np.zeros(1, int)
            path = open_paths.pop(int(over.argmax()), None) if over.any() else None
            if path and max(section.area, path[-1][1].area) <= CHANGE * min(section.area, path[-1][1].area):
                following[number] = [*path, (z, section)]
            else:
                done += [path] if path else []
                following[number] = [(z, section)]
        done += list(open_paths.values())
        open_paths = following
    return done + list(open_paths.values())


def _merit(path: list[tuple[int, Section]], step: float) -> float:
    """Return what a path is worth: its length in mm, and more for a section as large as that of a trachea."""
    area = float(np.median([section.area for _, section in path]))
    return len(path) * step * min(1.0, area / 120)
