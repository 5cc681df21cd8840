"""Find the lumen of the widest airways, which need no network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...arguments.contracts import Positive, checked
from ...core.errors import MetaoptError
from ...foundation.extras import require
from ...tasks.airways.grid import bounding_box, check_spacing
from .growing import grow_region
from .lungs import Lungs, widened


@checked
def wide_airways(volume: Tensor, lungs: Lungs, spacing: Any, radius: Positive = 3.0) -> Tensor:
    """Return the lumen of the trachea and of the bronchi that are as wide as a ball of some radius.

    The airways are grown from the trachea without a leak (:func:`grow_region`), or where that fails are the trachea
    alone; what a ball of ``radius`` mm reaches within them is kept. A network of a small field of view sees no wall
    beside such a lumen.

    Args:
        volume: The CT, (D, H, W) in Hounsfield units.
        lungs: What :func:`find_lungs` found.
        spacing: The distance of voxels along (z, y, x), in mm.
        radius: The radius of the ball in mm.

    Returns:
        (D, H, W) bool, connected by faces with the trachea.

    Raises:
        MetaoptError: The volume is no CT.
    """
    ndimage: Any = require("scipy.ndimage", "airway")
    sizes = check_spacing(spacing)
    try:
        grown = grow_region(volume, lungs.seed, sizes) | lungs.trachea
    except MetaoptError:
        return lungs.trachea.clone()
    box = bounding_box(grown)
    inside = grown[box].numpy()
    core = ndimage.distance_transform_edt(inside, sampling=sizes) >= radius
    wide = inside & widened(core, sizes, radius)
    labels, _ = ndimage.label(wide | lungs.trachea[box].numpy())
    result = torch.zeros(volume.shape, dtype=torch.bool)
    result[box] = torch.from_numpy(
        labels == labels[tuple(int(i) - b.start for i, b in zip(lungs.seed, box, strict=True))]
    )
    return result
