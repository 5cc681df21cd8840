"""Name the masks of k-space that simulations draw, and say how much of the middle they sample in full."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from ...core import MetaoptError
from ...operators import (
    cartesian_mask,
    equispaced_mask,
    gaussian_columns_mask,
    gaussian_mask,
    partial_fourier_mask,
    poisson_disc_mask,
    radial_mask,
    spiral_mask,
)

CENTRE = 0.1  # of the mask, as a share of its sides, or less where the acceleration leaves no room
CALIBRATION = 17  # points from frequency 0 to the edge of the centre for several coils: a square of 24 fits in
LEAST = 8  # points a side of the smallest square that maps of coils are computed of, a little more than a patch
REACH = 5 / 8  # the share of the columns that partial Fourier keeps, or more where the acceleration is lower

Draw = Callable[[tuple[int, int], float, float, int], Tensor]


@dataclass(frozen=True)
class Kind:
    """Describe a kind of masks.

    Args:
        words: What it keeps.
        draw: Draws one (H, W), uncentred, by (shape, acceleration, centre, seed).
        columns: Whether whole columns are kept, so that the centre is a share of them, and not of the half axes of an
            ellipse.
    """

    words: str
    draw: Draw
    columns: bool = False


def partial_gaussian_mask(shape: tuple[int, int], acceleration: float, center_fraction: float, seed: int) -> Tensor:
    """Draw single points of a Gaussian density within 5/8 of the columns, as partial Fourier keeps them.

    Below 8/5 as large a share of the columns is kept as gives the acceleration, and all of their points. Otherwise
    exactly ``round(H W / acceleration)`` points are kept.

    Args:
        shape: (H, W).
        acceleration: The number of points over that of samples.
        center_fraction: The half axes of the ellipse around frequency 0 that is sampled in full, up to the last column.
        seed: The seed of the draw.
    """
    half = partial_fourier_mask(shape, max(REACH, 1 / acceleration))
    if 1 / acceleration >= REACH:
        return half
    points, wanted = shape[0] * shape[1], round(shape[0] * shape[1] / acceleration)
    low, high = wanted, points  # draws of one seed contain each other, so that every count occurs
    while low < high:
        middle = (low + high) // 2
        enough = int((half * gaussian_mask(shape, points / middle, center_fraction, seed)).sum()) >= wanted
        low, high = (low, middle) if enough else (middle + 1, high)
    return half * gaussian_mask(shape, points / low, center_fraction, seed)


MASKS: Mapping[str, Kind] = MappingProxyType(
    {
        "gaussian": Kind("single points of a Gaussian density", gaussian_mask),
        "poisson": Kind("single points of which no two are near (Poisson disc)", poisson_disc_mask),
        "radial": Kind("the points of the grid next to lines through the middle", radial_mask),
        "spiral": Kind("the points of the grid next to a spiral", spiral_mask),
        "partial": Kind("as gaussian, without one end of the columns (partial Fourier)", partial_gaussian_mask),
        "gaussian-columns": Kind("whole columns of a Gaussian density", gaussian_columns_mask, columns=True),
        "columns": Kind("whole columns, each as likely", cartesian_mask, columns=True),
        "equispaced": Kind("whole columns at equal distances", equispaced_mask, columns=True),
    }
)


def kind_of(name: str) -> Kind:
    """Return the kind of masks of a name.

    Args:
        name: One of ``MASKS``.

    Raises:
        MetaoptError: There is none.
    """
    if name not in MASKS:
        raise MetaoptError(f"There is no mask {name!r:.80}; choose among {', '.join(MASKS)}.")
    return MASKS[name]


def usual_centre(kind: Kind, shape: tuple[int, int], acceleration: float, coils: int) -> float:
    """Return how much of the middle is sampled in full where nothing is said.

    Args:
        kind: The kind of mask.
        shape: (H, W).
        acceleration: The number of points over that of samples.
        coils: Number of coils; maps of several are computed of what is sampled in full.
    """
    room = 0.5 / acceleration if kind.columns else 0.3 / acceleration**0.5
    if coils == 1:
        return min(CENTRE, room)
    least = min(LEAST / shape[1], 1 / acceleration) if kind.columns else min(LEAST / min(shape) / 2**0.5, 1.5 * room)
    return max(least, min(max(CENTRE, CALIBRATION / min(shape)), room))
