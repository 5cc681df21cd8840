"""Turn volumes the way that a page shows them, and encode each as one PNG file of all its slices."""

from __future__ import annotations

import io
import math

import numpy as np

from ..core.errors import MetaoptError
from ..foundation.extras import require

SHOWN = "SPL"  # how the axes of a shown volume grow: upwards, to the back, and to the person's left
_OPPOSITE = dict(zip("SIPALR", "ISAPRL", strict=True))


def turning(axes: str) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Return how a volume is turned so that its axes grow as those of ``SHOWN`` do.

    Args:
        axes: Where the axes (D, H, W) grow to: three of S (superior), I (inferior), A (anterior), P (posterior), L
            (left) and R (right), of each pair one.

    Returns:
        For each shown axis the axis of the volume, and for each whether it is reversed.

    Raises:
        MetaoptError: The letters are others.
    """
    found = [next((i for i, a in enumerate(axes) if a in (s, _OPPOSITE[s])), -1) for s in SHOWN]
    if len(axes) != 3 or sorted(found) != [0, 1, 2]:
        raise MetaoptError(
            f"The axes {axes!r:.40} are not three letters that say where D, H and W grow to: one of S and I, one of A "
            "and P, one of L and R, such as SPL."
        )
    z, y, x = found
    reversed_ = [axes[i] != s for i, s in zip(found, SHOWN, strict=True)]
    return (z, y, x), (reversed_[0], reversed_[1], reversed_[2])


def turned(volume: np.ndarray, axes: str) -> np.ndarray:
    """Return a view of a volume whose axes grow as those of ``SHOWN`` do.

    Args:
        volume: (D, H, W).
        axes: Where its axes grow to, as for :func:`turning`.

    Returns:
        The view.
    """
    order, reversed_ = turning(axes)
    steps = [slice(None, None, -1 if back else None) for back in reversed_]
    return volume.transpose(order)[tuple(steps)]


def columns(slices: int) -> int:
    """Return how many slices stand beside each other in the mosaic of so many.

    Args:
        slices: Number of slices.

    Returns:
        Number of columns.
    """
    return math.ceil(math.sqrt(slices))


def encode(volume: np.ndarray, white: float) -> bytes:
    """Return a volume as one grey 8-bit PNG, its slices row by row; 0 is black, and what exceeds ``white`` is white.

    Args:
        volume: (slices, rows, columns), real.
        white: The value of grey level 255.

    Returns:
        The content of the file.

    Raises:
        MetaoptError: Pillow is not installed.
    """
    return encode_levels(np.rint(np.clip(volume / np.float64(white), 0, 1) * 255).astype(np.uint8))


def encode_levels(levels: np.ndarray, quality: int | None = None) -> bytes:
    """Return grey levels as one picture, a PNG or a JPEG, with the slices row by row.

    Args:
        levels: (slices, rows, columns) of uint8.
        quality: The quality of a JPEG, 1 to 95. None: a PNG, which loses nothing.

    Returns:
        The content of the file.

    Raises:
        MetaoptError: Pillow is not installed.
    """
    Image = require("PIL.Image", "viewer")

    slices, height, width = levels.shape
    across = columns(slices)
    down = math.ceil(slices / across)
    grey = np.zeros((down * across, height, width), np.uint8)
    grey[:slices] = levels
    mosaic = grey.reshape(down, across, height, width).transpose(0, 2, 1, 3).reshape(down * height, across * width)
    picture, file = Image.fromarray(np.ascontiguousarray(mosaic)), io.BytesIO()
    if quality is None:
        picture.save(file, "PNG", optimize=False, compress_level=9)
    else:
        picture.save(file, "JPEG", quality=quality)
    return file.getvalue()
