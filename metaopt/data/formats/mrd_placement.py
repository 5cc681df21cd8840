"""Say where the slices of an ISMRMRD scan lie in the scanner."""

from __future__ import annotations

import numpy as np

from .kspace_geometry import LPS_TO_RAS, Placement
from .mrd_index import Lines


def place(
    lines: Lines, thickness: float, dims: int, notes: list[str]
) -> tuple[tuple[int, ...], float | None, Placement | None]:
    """Order slices in space, and return their distance and their place.

    ISMRMRD counts millimetres to the left, posterior and superior, and NIfTI to the right, anterior and superior.

    Args:
        lines: The acquisitions.
        thickness: The field of view along the slice.
        dims: 2 or 3.
        notes: Gets a sentence where something is not known or not as usual.

    Returns:
        The counter of each slice in their order, the distance of slices (None in three dimensions), and the place,
        None where it is not known.
    """
    counters, first = np.unique(lines.head["idx"]["slice"], return_index=True)
    heads = lines.head[first]
    spacing = None if dims == 3 else thickness
    axes = np.stack([heads[name][0].astype(float) for name in ("read_dir", "phase_dir", "slice_dir")])
    if not np.allclose(axes @ axes.T, np.eye(3), atol=1e-2):
        notes.append("the directions of the scan are not given, so sizes of voxels are known but not their place")
        return tuple(map(int, counters)), spacing, None
    positions = heads["position"].astype(float)
    if (heads["read_dir"] != heads["read_dir"][0]).any() or (heads["phase_dir"] != heads["phase_dir"][0]).any():
        notes.append("slices lie in different directions, so they have no common place; sizes of voxels are known")
        return tuple(map(int, counters)), spacing, None
    along = positions @ axes[2]
    order = np.arange(len(counters))
    if not (np.all(np.diff(along) >= 0) or np.all(np.diff(along) <= 0)):
        order = np.argsort(along, kind="stable")
        notes.append("slices are sorted by their position, which is not the order of their counters")
    positions, counters = positions[order], counters[order]
    step = axes[2]
    if dims == 3 and len(counters) > 1:
        notes.append("there are several volumes, each with a place of its own, so only sizes of voxels are known")
        return tuple(map(int, counters)), None, None
    if len(counters) > 1:
        mean = (positions[-1] - positions[0]) / (len(counters) - 1)
        distance = float(np.linalg.norm(mean))
        if distance < 1e-6:
            notes.append("all slices are at one position, so their distance is taken from the field of view")
        elif not np.allclose(np.diff(positions, axis=0), mean, atol=1e-2 * distance):
            notes.append("slices are unevenly apart, which an affine matrix cannot say; sizes of voxels are known")
            return tuple(map(int, counters)), distance, None
        else:
            step, spacing = mean / distance, distance
    turned = [LPS_TO_RAS @ vector for vector in (positions[0], axes[0], axes[1], step)]
    return tuple(map(int, counters)), spacing, Placement(*turned)
