"""Say which pictures of a set are made: their channels, cells and size, and whether the source fits into them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...core import MetaoptError
from ...data import VisibilityChunk, VisibilitySet
from ...foundation.errors import warn_user
from ...operators import Visibilities
from ...operators.uv import LIGHT, seconds
from ...problems import InverseProblem

SIDE = 128  # pixels of the overview, which is twice as wide as the picture
ENOUGH = 2**18  # visibilities that it looks at
MARGIN = 2  # of its pixels, that count as inside, since sources are between pixels
STEPS = 100
OUTSIDE, NOISE = 0.2, 6.0  # share of the dirty peak, and standard deviations, left outside that are worth a word


def groups_of(
    frequency: Tensor, chosen: tuple[int | None, int | None], planes: int | None
) -> tuple[tuple[tuple[int, ...], ...], Tensor]:
    """Return the channels of each picture, ascending in frequency, and the frequencies of the pictures.

    Args:
        frequency: (F,) in hertz.
        chosen: The first channel, and the one to stop before; None for the end.
        planes: The number of pictures. None: one for each channel.

    Returns:
        The numbers of the channels, a tuple for each picture, and (planes,) float64.

    Raises:
        MetaoptError: There are no such channels, they cannot be shared out evenly, or the pictures are not evenly
            spaced in frequency, as those of a FITS file are.
    """
    total = len(frequency)
    first, stop = (default if n is None else n for n, default in zip(chosen, (0, total), strict=True))
    if not 0 <= first < stop <= total:
        raise MetaoptError(f"The set has the channels 0 to {total - 1}, so {first}:{stop} are none of it.")
    order = [first + int(n) for n in torch.argsort(frequency[first:stop], stable=True)]
    count = len(order) if planes is None else planes
    if not 0 < count <= len(order) or len(order) % count:
        raise MetaoptError(
            f"{len(order)} channels cannot be shared out evenly over {count} pictures; take a divisor of "
            f"{len(order)}, or other channels."
        )
    size = len(order) // count
    groups = tuple(tuple(order[n : n + size]) for n in range(0, len(order), size))
    middles = torch.stack([frequency[list(group)].mean() for group in groups])
    steps = middles.diff()
    if len(steps) and not float(steps.min()) > 0:
        same = int(steps.argmin())
        raise MetaoptError(
            f"Channels {', '.join(map(str, (*groups[same], *groups[same + 1])))} have the same frequency, "
            f"{float(middles[same]) / 1e6:.6g} MHz; choose one of them by --channels, or join all channels to one "
            "picture by --planes 1."
        )
    if len(steps) and float((steps - steps.mean()).abs().max()) > 1e-3 * float(steps.mean()):
        gap = int(steps.argmax())
        raise MetaoptError(
            f"The pictures of a FITS file are evenly spaced in frequency, but between {float(middles[gap]) / 1e6:.6g} "
            f"and {float(middles[gap + 1]) / 1e6:.6g} MHz is a gap of {float(steps[gap] / steps.min()):.3g} times the "
            "smallest; choose channels on one side of it by --channels, or join all to one picture by --planes 1."
        )
    return groups, middles


def look_outside(found: VisibilitySet, shape: Sequence[int], cell: float) -> None:
    """Warn where what is inside of the picture cannot explain the data, and more is outside.

    A coarse overview of twice the width is made of the shorter baselines. Non-negative least squares with nothing
    outside of the picture leaves a peak there if there is a source; sidelobes of sources inside are explained.

    Args:
        found: The set of the channels of one picture.
        shape: (H, W) of the picture.
        cell: The size of a pixel in radians.
    """
    wide = 2 * max(shape) * cell / SIDE  # so coarse that the longer baselines are left out
    if wide * SIDE >= 1:
        return
    chunk = _short(found, 0.25 / wide)  # so that the beam covers several pixels
    if chunk is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # w is small on short baselines, and an overview may be rough
        uvw = chunk.uvw * torch.tensor([1.0, 1.0, 0.0])
        operator = Visibilities(uvw, found.frequency, (SIDE, SIDE), wide, chunk.weights)
    problem = InverseProblem(operator, operator.whiten(chunk.visibilities[None]), 1.0).by_normal()
    rows, columns = (torch.arange(SIDE) - SIDE // 2 for _ in range(2))
    tall, across = (n * cell / wide / 2 + MARGIN for n in shape)
    inside = (rows.abs() < tall)[:, None] & (columns.abs() < across)
    left, strongest = _left(problem, inside), float(problem.start().abs().max())
    outside = torch.where(inside, 0, left)
    peak, level = float(outside.max()), float(operator.weights.double().sum()) ** 0.5  # type: ignore[union-attr]
    if peak < max(OUTSIDE * strongest, NOISE * level, float(torch.where(inside, left, 0).max())):
        return
    place = int(outside.argmax())
    north, east = float(rows[place // SIDE] * wide), float(-columns[place % SIDE] * wide)
    needed = 2 * math.ceil(max(abs(north), abs(east)) / cell + max(shape) / 16)
    warn_user(
        f"No picture of {shape[0]} x {shape[1]} cells explains the data: bright emission lies outside of it, about "
        f"{seconds(abs(north)):.3g} arcseconds to the {'north' if north >= 0 else 'south'} and "
        f"{seconds(abs(east)):.3g} to the {'east' if east >= 0 else 'west'} of its middle. A picture that is smaller "
        f"than the source is wrong inside, too: give a --size of at least {needed}, or another phase centre."
    )


@torch.no_grad()
def _left(problem: InverseProblem, inside: Tensor) -> Tensor:
    """Return what is left of the dirty picture, (H, W), by non-negative least squares with nothing outside."""
    operator: Any = problem.operator
    step = 1 / float(operator.spectrum.abs().max())
    x = ahead = torch.zeros_like(problem.start())
    for k in range(STEPS):
        moved = (ahead - step * problem.gradient(ahead)).relu() * inside
        x, ahead = moved, moved + k / (k + 3) * (moved - x)
    return -problem.gradient(x)[0, 0]


def _short(found: VisibilitySet, reach: float) -> VisibilityChunk | None:
    """Return visibilities of all times whose baselines are shorter than ``reach`` wavelengths; None of too few."""
    step = max(1, ENOUGH // found.channels // 16)
    kept = []
    for start in range(0, found.rows, max(step, found.rows // 16)):
        chunk = found.part(start, min(start + step, found.rows))
        length = chunk.uvw[:, :2].abs().amax(1) * float(found.frequency.max()) / LIGHT
        rows = (length < reach) & (chunk.weights > 0).any(1)
        kept.append(VisibilityChunk(*(t[rows] for t in chunk)))
    joined = VisibilityChunk(*(torch.cat(parts) for parts in zip(*kept, strict=True)))
    return joined if len(joined.uvw) >= 20 else None
