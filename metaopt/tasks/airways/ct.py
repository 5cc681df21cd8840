"""Simulate a chest CT of a tree of airways or of a real lumen mask."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...arguments.contracts import checked
from ...core import random
from ...core.errors import MetaoptError
from ...foundation.extras import require
from .grid import bounding_box, check_mask, check_spacing
from .measure import measure_airways
from .scanner import Scanner, to_tensor
from .tissue import Tissue, cut_body, paint, vessel_tubes
from .tree import AirwayTree
from .tubes import Tube, fill_tubes, visible


class SimulatedCt(NamedTuple):
    """Hold a simulated CT with its truth.

    ``volume`` (D, H, W) float32 is in Hounsfield units, at ``spacing`` mm; ``lumen`` (D, H, W) bool are the voxels of
    which the lumen fills half, or through which a centre line passes; ``labels`` (D, H, W) int16 say to which branch
    of ``tree`` a voxel of the lumen belongs, counted from 1, and are 0 elsewhere.
    """

    volume: Tensor
    spacing: tuple[float, float, float]
    lumen: Tensor
    labels: Tensor
    tree: AirwayTree


@checked
def simulate_ct(
    airways: Any, lungs: Tensor, spacing: Any, seed: int, tissue: Tissue | None = None, scanner: Scanner | None = None
) -> SimulatedCt:
    """Simulate the CT of a chest, on the grid of its lung mask.

    Lumen and wall are rendered with partial volume, beside arteries and veins in textured parenchyma; the volume is
    then blurred and noise is added. It takes some 7 times the memory of the volume (3.7 GiB were
    measured for 84 million voxels, masks included).

    Args:
        airways: A tree, or the mask of a real lumen, (D, H, W) bool, whose walls get the thickness that belongs to
            the radius measured there.
        lungs: The lung mask, (D, H, W) bool.
        spacing: The distance of voxels along (z, y, x), in mm.
        seed: Draws vessels, texture, opacities and noise.
        tissue: What the chest is made of. None: :class:`Tissue`.
        scanner: How it is scanned. None: :class:`Scanner`.

    Returns:
        The CT with its lumen, its labels and its tree.

    Raises:
        MetaoptError: A mask is empty or of another shape, the spacing is missing or not positive, a branch is
            narrower than a quarter of a voxel, or none lies in the grid.
    """
    lungs, sizes = check_mask("The lung mask", lungs), check_spacing(spacing)
    tissue, scanner = tissue or Tissue(), scanner or Scanner()
    if isinstance(airways, AirwayTree):
        tree, mask = airways, None
        lumen, outer = airway_shares(tree.tubes, tuple(lungs.shape), sizes, tissue)
    else:
        mask = check_mask("The mask of the lumen", airways)
        if mask.shape != lungs.shape:
            raise MetaoptError(
                f"The mask of the lumen is {tuple(mask.shape)}, but that of the lungs {tuple(lungs.shape)}; they must "
                "share one grid."
            )
        tree = measure_airways(mask, sizes)
        lumen, outer = mask.float(), _outer_of(mask, tree, sizes, tissue)
    truth = mask if mask is not None else lumen_mask(lumen, tree.tubes, sizes)
    if not bool(truth.any()):
        raise MetaoptError(
            f"No branch of the tree lies in the grid of the lung mask, {tuple(lungs.shape)} voxels of {sizes} mm; "
            "positions of a tree are in mm from the centre of the first voxel, in the order (z, y, x)."
        )
    tubes = visible(vessel_tubes(tree, lungs, sizes, tissue, seed), sizes)
    vessels = fill_tubes(tubes, tuple(lungs.shape), sizes)
    volume = paint((lumen, outer, vessels), lungs, sizes, tissue, seed)
    del vessels, outer
    cut_body(volume, lungs, sizes)
    volume = scanner.scan(volume, sizes, random.generator(seed, 5))
    return SimulatedCt(volume, sizes, truth, _labels(truth, tree, sizes), tree)


def airway_shares(
    tubes: list[Tube], shape: tuple[int, ...], spacing: tuple[float, float, float], tissue: Tissue
) -> tuple[Tensor, Tensor]:
    """Return the shares (D, H, W) of each voxel that the lumen fills, and that lumen and wall fill."""
    lumen = fill_tubes(tubes, shape, spacing)
    return lumen, fill_tubes([(points, radius + tissue.walls(radius)) for points, radius in tubes], shape, spacing)


def lumen_mask(lumen: Tensor, tubes: list[Tube], spacing: tuple[float, float, float]) -> Tensor:
    """Return the voxels of which the lumen fills half, and those through which a centre line passes."""
    mask = lumen >= 0.5
    shape, sizes = torch.tensor(mask.shape), torch.tensor(spacing)
    for points, _ in tubes:
        fine = points[:-1, None] + torch.linspace(0, 1, 8)[:, None] * points.diff(dim=0)[:, None]
        index = (fine.reshape(-1, 3) / sizes).round().long()
        index = index[((index >= 0) & (index < shape)).all(1)]
        mask[tuple(index.T)] |= lumen[tuple(index.T)] > 0
    return mask


def _outer_of(mask: Tensor, tree: AirwayTree, spacing: tuple[float, float, float], tissue: Tissue) -> Tensor:
    """Return the share of each voxel that a lumen mask and the wall around it fill.

    The surface of the mask lies half a voxel outside the centres of its last voxels.
    """
    spatial, ndimage = require("scipy.spatial", "airway"), require("scipy.ndimage", "airway")
    sizes = torch.tensor(spacing)
    walls = torch.cat([tissue.walls(r) for r in tree.radius])
    margin = [int(float(walls.max()) / s) + 3 for s in spacing]
    box = bounding_box(mask, margin)
    depth = to_tensor(ndimage.distance_transform_edt(~mask[box].numpy(), sampling=spacing)).float()
    size = sum(spacing) / 3
    near = ((depth > 0) & (depth < float(walls.max()) + 2 * size)).nonzero()
    corner = torch.tensor([b.start for b in box])
    nearest = spatial.cKDTree(torch.cat(list(tree.points)).numpy()).query(((near + corner) * sizes).numpy())[1]
    share = (depth == 0).float()
    away = depth[tuple(near.T)] - size / 2
    share[tuple(near.T)] = ((walls[torch.from_numpy(nearest)] - away) / size + 0.5).clamp(0, 1)
    outer = mask.float()
    outer[box] = share
    return outer


def _labels(lumen: Tensor, tree: AirwayTree, spacing: tuple[float, float, float]) -> Tensor:
    """Return the number of the branch with the nearest centre line, from 1, for each voxel of the lumen."""
    spatial: Any = require("scipy.spatial", "airway")
    numbers = torch.cat([torch.full((len(p),), n + 1, dtype=torch.int16) for n, p in enumerate(tree.points)])
    voxels = lumen.nonzero()
    labels = torch.zeros(lumen.shape, dtype=torch.int16)
    if len(voxels):
        search = spatial.cKDTree(torch.cat(list(tree.points)).numpy())
        nearest = search.query((voxels * torch.tensor(spacing)).numpy())[1]
        labels[tuple(voxels.T)] = numbers[torch.from_numpy(nearest)]
    return labels
