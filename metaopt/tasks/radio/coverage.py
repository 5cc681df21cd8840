"""Compute the baselines of an array as the earth turns, and how much noise its receivers add."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ...arguments.checks import check_count, check_number, check_tensor
from ...core.errors import MetaoptError

DAY = 86_164.0905  # seconds of a turn of the earth against the stars


class Coverage(NamedTuple):
    """The baselines of an observation, row by row: time after time, and at each all pairs of stations that see it.

    ``uvw`` is (V, 3) float64 in metres, from the first station to the second, with the sign of
    :class:`~metaopt.operators.Visibilities`; ``time`` is (V,) float64 in seconds from the first integration;
    ``antenna1`` and ``antenna2`` are (V,) int64, the first smaller than the second.
    """

    uvw: Tensor
    time: Tensor
    antenna1: Tensor
    antenna2: Tensor


def synthesize(
    positions: Tensor,
    declination: float,
    duration: float = 0.0,
    integration: float = 60.0,
    hour_angle: float = 0.0,
    lowest: float = math.radians(15),
) -> Coverage:
    """Return the baselines of an array that follows a source, by the rotation of the earth.

    With the hour angle H at the array's mean longitude, the declination d and a baseline (X, Y, Z) to the meridian, the
    east and the pole,

        ``u = sin H X + cos H Y``,  ``v = -sin d cos H X + sin d sin H Y + cos d Z``,
        ``w = cos d cos H X - cos d sin H Y + sin d Z``.

    Args:
        positions: (A, 3) in metres of the ITRF.
        declination: d in radians.
        duration: The length of the observation in seconds; 0 is a snapshot of one integration.
        integration: The seconds of a row.
        hour_angle: H in the middle of the observation, in radians.
        lowest: The elevation in radians below which a station sees nothing.

    Returns:
        The rows at which both stations see the source.

    Raises:
        MetaoptError: The arguments are out of range, or the source is never high enough.

    Source:
        Thompson, Moran & Swenson, Interferometry and Synthesis in Radio Astronomy, 2017,
        doi:10.1007/978-3-319-44431-4, equation 4.1.
    """
    check_tensor("The positions of synthesize", positions, "real", "(A, 3)")
    check_number("The declination of synthesize", declination, -math.pi / 2, math.pi / 2)
    check_number("The duration of synthesize", duration, 0, DAY)
    check_number("The integration of synthesize", integration, above=0)
    check_number("The hour angle of synthesize", hour_angle, -math.pi, math.pi)
    check_number("The lowest elevation of synthesize", lowest, -math.pi / 2, math.pi / 2)
    check_count("The number of stations", len(positions), 2)
    count = max(1, round(duration / integration))
    time = (torch.arange(count, dtype=torch.float64) + 0.5) * integration
    angles = hour_angle + 2 * math.pi / DAY * (time - count * integration / 2)
    local, up = _local(positions.double())
    first, second = torch.triu_indices(len(local), len(local), 1)
    rotation = _rotation(angles, float(declination))  # (T, 3, 3)
    uvw = (local[second] - local[first]) @ rotation.mT  # (T, pairs, 3)
    seen = torch.asin((rotation[:, 2] @ up.mT).clamp(-1, 1)) >= lowest  # (T, A)
    both = seen[:, first] & seen[:, second]
    if not bool(both.any()):
        highest = math.degrees(float(torch.asin((rotation[:, 2] @ up.mT).clamp(-1, 1)).max()))
        raise MetaoptError(
            f"A source at declination {math.degrees(declination):.4g} degrees is at most {highest:.3g} degrees high "
            f"then, and no two stations see it above {math.degrees(lowest):.3g}; take another declination or time."
        )
    row, pair = both.nonzero(as_tuple=True)
    return Coverage(uvw[both], time[row] - time[0], first[pair], second[pair])


def _local(positions: Tensor) -> tuple[Tensor, Tensor]:
    """Return positions turned to the array's mean longitude, and the direction to each station's zenith, (A, 3)."""
    middle = positions.mean(0)
    longitude = math.atan2(float(middle[1]), float(middle[0]))
    cosine, sine = math.cos(longitude), math.sin(longitude)
    turn = positions.new_tensor([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    local = positions @ turn.mT
    # The normal of the ellipsoid of the WGS 84, whose polar axis is shorter.
    normal = local * local.new_tensor([1, 1, 1 / (1 - 0.00669438)])
    return local, normal / normal.norm(dim=1, keepdim=True)


def _rotation(hour_angles: Tensor, declination: float) -> Tensor:
    """Return the matrices from (X, Y, Z) to (u, v, w), (T, 3, 3)."""
    s, c = hour_angles.sin(), hour_angles.cos()
    sd, cd = math.sin(declination), math.cos(declination)
    rows = [
        torch.stack([s, c, torch.zeros_like(s)], -1),
        torch.stack([-sd * c, sd * s, torch.full_like(s, cd)], -1),
        torch.stack([cd * c, -cd * s, torch.full_like(s, sd)], -1),
    ]
    return torch.stack(rows, 1)
