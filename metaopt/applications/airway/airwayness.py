"""Say of each voxel of a chest CT how probably it lies in the lumen of an airway."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ...arguments.checks import check_instance
from ...arguments.contracts import checked
from ...core import Unrolled
from ...core.errors import MetaoptError
from ...foundation.precision import computes_bfloat16
from ...models.airway import AirwayNetwork
from ...operators.reach import period_of, reach_of, times, total
from ...scale.tiling import assemble
from ...tasks.airways.grid import bounding_box
from .hounsfield import check_ct
from .lungs import Lungs, find_lungs, search_region
from .tubeness import tubeness
from .wide import wide_airways

NETWORK = "airway"  # the weights that come with the package
FINEST, COARSEST = 0.45, 1.05  # mm, of the voxels on which the network was trained
AIMED = 0.65  # mm, of voxels that are made for it
SLABS = {False: 64, True: 96}  # slices at once, by whether in bfloat16
METHODS = ("network", "tubeness")


@checked
def airwayness(volume: Any, lungs: Lungs | None, spacing: Any, method: str = "network", net: Any = None) -> Tensor:
    """Return how probably each voxel lies in the lumen of an airway.

    It is computed where airways can be, in the lungs, the trachea and what lies between the lungs, and is 0 elsewhere.
    The network sees 14 mm around a voxel, so what a ball of 3 mm fits in is grown from the trachea without a leak and
    gets 1.

    Args:
        volume: The CT, (D, H, W), z towards the head, in Hounsfield units.
        lungs: What :func:`find_lungs` found. None: it is called.
        spacing: The distance of voxels along (z, y, x), in mm.
        method: ``"network"``, a trained network, or ``"tubeness"``, which looks for dark tubes by their curvature and
            has learned nothing.
        net: The network, an unrolled :class:`~metaopt.models.AirwayNetwork`. None: the shipped weights ``airway``.

    Returns:
        The probabilities, (D, H, W) float32; for ``"tubeness"``, strengths from 0 to 1. A network computes in bfloat16
        where the processor has instructions for that, so that they differ in the third digit between machines.

    Raises:
        MetaoptError: It is no CT of a chest, the lungs are of another grid, the method is unknown, or the network is
            of another kind.
    """
    values, sizes = check_ct(volume, spacing)
    if method not in METHODS:
        raise MetaoptError(f"The method of airwayness is one of {', '.join(METHODS)}, not {method!r:.80}.")
    lungs = find_lungs(values, sizes) if lungs is None else lungs
    if lungs.mask.shape != values.shape or lungs.trachea.shape != values.shape:
        raise MetaoptError(
            f"The lungs are {tuple(lungs.mask.shape)} and the CT {tuple(values.shape)}; they must share one grid."
        )
    region = search_region(lungs, sizes)
    box = bounding_box(region)
    where = region[box]
    if method == "tubeness":
        found = tubeness(values[box], where, sizes)
    else:
        found = seen_by(_network(net), values[box], where, sizes)
    result = torch.zeros(values.shape)
    result[box] = found
    return result if method == "tubeness" else result.masked_fill_(wide_airways(values, lungs, sizes), 1.0)


def seen_by(net: Unrolled[Any, Any, Any], volume: Tensor, where: Tensor, spacing: tuple[float, ...]) -> Tensor:
    """Return the probabilities that a network gives the voxels of a volume, (D, H, W) float32.

    Along axes whose spacing is beyond what the network was trained for, 0.45 to 1.05 mm, the volume is interpolated to
    some 0.65 mm. It is computed in slabs, with the same result as at once, and in bfloat16 where the processor has
    instructions for that.

    Args:
        net: The network.
        volume: The CT, (D, H, W) float32 in Hounsfield units.
        where: The voxels that are asked for, (D, H, W) bool; the others get 0.
        spacing: The distance of voxels along (z, y, x), in mm.
    """
    shape = [_length(n, size) for n, size in zip(volume.shape, spacing, strict=True)]
    given, asked = volume, where
    if shape != list(volume.shape):
        given = _resized(volume, shape)
        asked = _resized(where.float(), shape) > 0
    halo = total(1, times(net.steps, reach_of(net.algorithm.refine)))
    period = period_of(net.algorithm.refine)
    assert isinstance(halo, int)
    assert isinstance(period, int)

    def compute(window: tuple[slice, ...]) -> Tensor:
        wanted = asked[window]
        part = torch.zeros(wanted.shape)
        if bool(wanted.any()):
            box = bounding_box(wanted, (halo + period,) * 3)
            box = tuple(slice(b.start // period * period, b.stop) for b in box)
            part[box] = net(given[window][box][None, None]).final[0, 0].float().sigmoid()
        return part

    short = computes_bfloat16()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=short):
        found = assemble(compute, shape, (SLABS[short], *shape[1:]), halo, period)
    if shape != list(volume.shape):
        found = _resized(found, list(volume.shape))
    return found.mul_(where)


def _length(count: int, size: float) -> int:
    """Return of how many voxels an axis is made for the network."""
    if FINEST <= size <= COARSEST:
        return count
    if size > COARSEST:
        return count * math.ceil(size / AIMED - 0.25)
    return max(8, round(count * size / AIMED))


def _resized(volume: Tensor, shape: list[int]) -> Tensor:
    """Return a volume (D, H, W) with other numbers of voxels: means where there are fewer, and else interpolated."""
    for axis, n in enumerate(shape):
        m = volume.shape[axis]
        if n == m:
            continue
        lines = volume.movedim(axis, 2).contiguous()
        flat = lines.reshape(1, -1, m)
        mode = "linear" if n > m else "area"
        options = {"align_corners": False} if n > m else {}
        made = torch.nn.functional.interpolate(flat, n, mode=mode, **options)
        volume = made.reshape(*lines.shape[:2], n).movedim(2, axis)
    return volume.contiguous()


def _network(net: Any) -> Unrolled[Any, Any, Any]:
    if net is None:
        from ...models import load

        net = load(NETWORK)
    check_instance("The network of airwayness", net, Unrolled)
    check_instance("The algorithm of the network of airwayness", net.algorithm, AirwayNetwork)
    return net.eval()
