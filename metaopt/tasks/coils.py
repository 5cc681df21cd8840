"""Draw the sensitivities of receive coils around an object."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..arguments.contracts import Count, checked
from ..core import MetaoptError

_SEGMENTS = 12  # of the polygon that stands for a loop; the field far away is then right to 5 %


@checked
def coil_maps(shape: Sequence[Count], coils: Count, generator: torch.Generator) -> Tensor:
    """Draw the sensitivities of a coil array around an object, with sum of squares 1 at every pixel.

    The coils are circular loops on a cylinder around the static field B0, which lies along a random axis. Angles,
    heights, distances, radii, tilts and gains are random. The sensitivity is the field of the loop across B0 by the law
    of Biot and Savart, ``s = B_u - i B_v`` with u and v perpendicular to B0, times a random phase. One coil alone is
    uniform, as the coil in the bore of a scanner nearly is.

    Args:
        shape: (H, W) of a slice through the cylinder, or (D, H, W) of a volume.
        coils: Number of coils, C.
        generator: Draws the coils.

    Returns:
        The maps, (C, ...) complex64.

    Raises:
        MetaoptError: The shape is not that of a slice or volume.

    Source:
        D. I. Hoult, The principle of reciprocity in signal strength calculations (2000),
        https://doi.org/10.1002/1099-0534(2000)12:4%3C173::AID-CMR1%3E3.0.CO;2-Q
    """
    if len(shape) not in (2, 3):
        raise MetaoptError(
            f"coil_maps draws maps of slices (H, W) and volumes (D, H, W), but the shape is {tuple(shape)}."
        )
    phases = torch.polar(torch.ones(coils), _uniform(-math.pi, math.pi, coils, generator))
    if coils == 1:
        return phases.reshape(-1, *[1] * len(shape)).expand(1, *shape).clone()
    pixels, order = _pixels(shape, generator)
    gains = _uniform(0.6, 1.4, coils, generator)
    loops = _loops(coils, generator)[..., order]
    u, v = (order.index(axis) for axis in (0, 1))
    fields = _field(pixels, loops)
    maps = torch.complex(fields[..., u], -fields[..., v]) * (gains * phases).reshape(-1, *[1] * len(shape))
    return maps / torch.linalg.vector_norm(maps, dim=0)


def _uniform(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)


def _pixels(shape: Sequence[int], generator: torch.Generator) -> tuple[Tensor, list[int]]:
    """Return the places of pixels (*shape, 3), the longest axis in [-0.7, 0.7], and which direction each axis has."""
    order = torch.randperm(3, generator=generator).tolist()  # axes u, v and that of B0
    axes = [torch.linspace(-0.7, 0.7, n) * n / max(shape) if n > 1 else torch.zeros(1) for n in shape]
    if len(shape) == 2:  # the slice lies anywhere near the middle
        axes.insert(0, _uniform(-0.3, 0.3, 1, generator))
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    return places.reshape(*shape, 3), order


def _loops(coils: int, generator: torch.Generator) -> Tensor:
    """Draw loops around the third axis as closed polygons, (C, segments + 1, 3)."""
    spread = 2 * math.pi / coils
    angles = spread * (torch.arange(coils) + _uniform(-0.3, 0.3, coils, generator))
    angles = angles + _uniform(0, 2 * math.pi, 1, generator)
    reach = _uniform(1.15, 2.0, 1, generator) * _uniform(0.9, 1.1, coils, generator)  # beyond the corners
    radius = reach * _uniform(0.35, 0.75, 1, generator) * _uniform(0.8, 1.2, coils, generator)
    heights = _uniform(-0.5, 0.5, coils, generator)
    zero, one = torch.zeros(coils), torch.ones(coils)
    outward = torch.stack([angles.cos(), angles.sin(), zero], -1)
    centers = reach[:, None] * outward + torch.stack([zero, zero, heights], -1)
    turned = angles + _uniform(-0.3, 0.3, coils, generator)  # the loop does not quite face the axis
    across, along = torch.stack([-turned.sin(), turned.cos(), zero], -1), torch.stack([zero, zero, one], -1)
    circle = torch.linspace(0, 2 * math.pi, _SEGMENTS + 1)[:, None]
    rim = circle.cos() * across[:, None] + circle.sin() * along[:, None]
    return centers[:, None] + radius[:, None, None] * rim


def _field(places: Tensor, loops: Tensor) -> Tensor:
    """Return the magnetic fields (C, ..., 3) at ``places`` (..., 3) of a unit current along each closed polygon."""
    corners = loops.movedim(1, 0).reshape(loops.shape[1], -1, *[1] * (places.ndim - 1), 3)
    total = places.new_zeros(len(loops), *places.shape)
    for start, end in itertools.pairwise(corners):
        offset = places - (start + end) / 2
        distance = torch.linalg.vector_norm(offset, dim=-1, keepdim=True).clamp_min(0.1)  # no pole inside the wire
        total += torch.linalg.cross((end - start).expand_as(offset), offset) / distance**3
    return total
