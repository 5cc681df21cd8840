"""Read whole folders of pictures or volumes as lists of tensors."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from ...contracts import Count, Natural, checked
from ...core import MetaoptError
from ...extras import require
from ..formats.images import read_image
from ..location import data_path

LARGEST = 2**29  # voxels of a volume, 4 bytes each
PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}


@checked
def read_pictures(folder: str | Path, grey: bool = True) -> list[Tensor]:
    """Read all pictures of a folder, in the order of their names.

    Args:
        folder: The folder, found by :func:`data_path`.
        grey: Whether colour pictures are converted to grey. With False grey pictures are converted to colour.

    Returns:
        A list of (1 or 3, H, W) uint8 tensors.

    Raises:
        MetaoptError: There is no picture, or one cannot be read.
    """
    files = [f for f in _files(folder) if f.suffix.lower() in PICTURES]
    if not files:
        raise MetaoptError(f"There is no picture ({', '.join(sorted(PICTURES))}) in {data_path(folder)}.")
    return [_bytes(read_image(f).pixels, grey) for f in files]


@checked
def read_slices(folder: str | Path, first: Natural = 0, last: Natural | None = None, every: Count = 2) -> list[Tensor]:
    """Read slices along all three axes of the NIfTI volumes of a folder.

    The brightest 0.1 % of each volume is white. Slices that are mostly air are left out.

    Args:
        folder: The folder, found by :func:`data_path`.
        first: The first volume to read, in the order of the names.
        last: The volume to stop before. None: all to the end.
        every: Step between slices.

    Returns:
        A list of (1, H, W) uint8 tensors.

    Raises:
        MetaoptError: There is no volume, one cannot be read, or nibabel is not installed.
    """
    files = [f for f in _files(folder) if f.name.endswith((".nii", ".nii.gz"))][first:last]
    if not files:
        raise MetaoptError(f"There is no NIfTI volume between number {first} and {last} in {data_path(folder)}.")
    slices = []
    for file in files:
        volume = _read_volume(file)
        few = volume.flatten()[:: max(7, volume.numel() // 2**23)]  # torch.quantile takes 2^24 values at most
        volume = (volume / torch.quantile(few, 0.999)).clamp(0, 1)
        for axis in range(3):
            slices += [s[None] for s in volume.movedim(axis, 0)[::every] if float((s > 0.1).float().mean()) > 0.15]
    return [(255 * s).round().to(torch.uint8) for s in slices]


def _files(folder: str | Path) -> list[Path]:
    path = data_path(folder)
    if not path.is_dir():
        raise MetaoptError(f"{path} is a file; name the folder that it is in.")
    return sorted(path.iterdir())


def _read_volume(file: Path) -> Tensor:
    nibabel = require("nibabel", "mri")
    try:
        image = nibabel.load(file)
        if math.prod(image.shape) > LARGEST:
            raise MetaoptError(f"{file} declares {math.prod(image.shape):,} voxels, more than {LARGEST:,}.")
        volume = torch.as_tensor(image.get_fdata(dtype="float32"))
    except MetaoptError:
        raise
    except Exception as error:  # a broken header can raise almost anything
        raise MetaoptError(f"{file} is not a NIfTI volume that can be read, or not all of it: {error}.") from error
    if volume.ndim != 3 or not volume.numel():
        raise MetaoptError(f"{file} holds an array of shape {tuple(volume.shape)}; a volume has three axes.")
    return volume


def _bytes(pixels: Tensor, grey: bool) -> Tensor:
    if grey and len(pixels) == 3:
        pixels = (pixels * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0, keepdim=True)
    elif not grey and len(pixels) == 1:
        pixels = pixels.expand(3, -1, -1)
    return (255 * pixels).round().to(torch.uint8)
