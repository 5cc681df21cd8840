"""Say in words what a set of visibilities holds."""

from __future__ import annotations

import math

import torch

from ...data import VisibilitySet
from ...operators.uv import LIGHT, seconds


def describe(found: VisibilitySet) -> str:
    """Return what is known of a set, a line for each fact; it is read once, in chunks.

    Args:
        found: The set, as ``read_visibilities`` opens it.

    Returns:
        The text.

    Raises:
        MetaoptError: It cannot be read, or all of it is flagged.
    """
    longest, deepest, used, total = 0.0, 0.0, 0, 0.0
    first, last = math.inf, -math.inf
    for chunk in found.chunks():
        seen = (chunk.weights > 0).any(1)
        used += int((chunk.weights > 0).sum())
        total += float(chunk.weights.double().sum())
        first, last = min(first, float(chunk.time.min())), max(last, float(chunk.time.max()))
        if bool(seen.any()):
            longest = max(longest, float(chunk.uvw[seen, :2].abs().max()))
            deepest = max(deepest, float(chunk.uvw[seen, 2].abs().max()))
    wave = LIGHT / float(found.frequency.max())
    steps = found.frequency.diff()
    order = "" if not len(steps) else ", ascending" if bool((steps > 0).all()) else ", not ascending"
    if bool((steps < 0).all()) and len(steps):
        order = ", descending"
    doubled = found.channels - len(torch.unique(found.frequency))
    right, declination = (math.degrees(angle) for angle in found.direction)
    low, high = float(found.frequency.min()) / 1e6, float(found.frequency.max()) / 1e6
    share = 100 * used / (found.rows * found.channels)
    lines = [
        f"format: {found.format}",
        f"visibilities: {found.rows} rows x {found.channels} channels, {share:.1f} % of them used",
        f"frequency: {low:.6g} to {high:.6g} MHz{order}" + (f", {doubled} of them twice" if doubled else ""),
        f"phase centre: right ascension {right % 360:.6f}, declination {declination:.6f} degrees",
        f"antennas: {'not known' if found.antennas is None else len(found.antennas.names)}",
        f"time: {last - first:.6g} s from the first row to the last",
        f"longest baseline: {longest:.6g} m, {longest / wave:.6g} wavelengths along u or v; |w| up to {deepest:.6g} m",
    ]
    if longest > 0:
        lines.append(f"largest cell: {seconds(wave / (2 * longest)):.4g} arcseconds; a third of it is usual")
    lines.append(
        f"thermal noise: {total**-0.5:.4g} Jy/beam with natural weights, as far as the weights are 1 / variance"
    )
    return "\n".join([*lines, *(f"note: {note}" for note in found.notes)])
