"""Read pictures of radio galaxies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...arguments.contracts import NotNegative, checked
from ...core import MetaoptError
from ...files import named_errors
from ..location import data_path

CLASSES = ("100_", "200_")  # what the names of Fanaroff & Riley's classes I and II begin with
HELD_OUT = 12  # of each class for tests, and as many before them for validation


@checked
def read_galaxies(
    file: str | Path = "radio/mirabest/mirabest_first_center128.npz",
    part: str = "train",
    clip: NotNegative = 4.5e-4,
) -> list[Tensor]:
    """Read the radio galaxies of MiraBest, pictures of the survey FIRST, whose noise is cut off.

    Of each class (names that begin with ``100_`` and ``200_``), sorted by name, the last 12 are for tests, the 12
    before them for validation, and the others for training.

    Args:
        file: An .npz of ``images`` (N, H, W) in Jy/beam and ``names`` (N,), found by :func:`data_path`.
        part: ``"train"``, ``"validation"`` or ``"test"``.
        clip: What is fainter becomes 0, in Jy/beam; the default is three times the survey's noise.

    Returns:
        A list of (1, H, W) float32 tensors in Jy/beam; those in which nothing is brighter are left out.

    Raises:
        MetaoptError: The file cannot be read, holds no such arrays or no such pictures, or there is no such part.
    """
    parts = {"train": slice(None, -2 * HELD_OUT), "validation": slice(-2 * HELD_OUT, -HELD_OUT)}
    parts["test"] = slice(-HELD_OUT, None)
    if part not in parts:
        raise MetaoptError(f"The galaxies are in the parts {', '.join(parts)}, not {part!r:.80}.")
    path = data_path(file)
    with named_errors(path, "galaxies"), np.load(path, allow_pickle=False) as found:
        if not {"images", "names"} <= set(found):
            raise MetaoptError(f"holds {', '.join(found) or 'nothing'}, not the arrays images and names.")
        images, names = found["images"], [str(name) for name in found["names"]]
        if images.ndim != 3 or len(images) != len(names) or images.dtype.kind != "f":
            raise MetaoptError(f"has images {images.shape} {images.dtype} for {len(names)} names; they are (N, H, W).")
    pictures = dict(zip(names, images, strict=True))
    kept = [name for begin in CLASSES for name in sorted(n for n in names if n.startswith(begin))[parts[part]]]
    clipped = [torch.from_numpy(np.where(pictures[n] > clip, pictures[n], 0).astype(np.float32)) for n in kept]
    galaxies = [picture[None] for picture in clipped if bool(picture.any())]
    if not galaxies:
        raise MetaoptError(f"Of the galaxies in {path}, none of the part {part} is brighter than {clip:g} Jy/beam.")
    return galaxies
