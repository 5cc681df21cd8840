"""Read whole folders of pictures or volumes as lists of tensors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...arguments.contracts import Count, Natural, checked
from ...core import MetaoptError
from ..formats.images import read_image
from ..formats.nifti_header import open_nifti
from ..location import data_path

LARGEST = 2**29  # voxels of a volume, 4 or 8 bytes each
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

    The brightest 0.1 % of each volume is white, and 0 is black. Where a volume has negative values, as CT in Hounsfield
    units, black is what 0.1 % fall below; or black and white are those of the window that the file states (``cal_min``
    and ``cal_max``). Voxels that are NaN or infinite are black. Slices that are mostly air are left out.

    Args:
        folder: The folder, found by :func:`data_path`.
        first: The first volume to read, in the order of the names.
        last: The volume to stop before. None: all to the end.
        every: Step between slices.

    Returns:
        A list of (1, H, W) uint8 tensors.

    Raises:
        MetaoptError: There is no volume, one cannot be read or shows nothing, or nibabel is not installed.
    """
    files = [f for f in _files(folder) if f.name.endswith((".nii", ".nii.gz"))][first:last]
    if not files:
        raise MetaoptError(f"There is no NIfTI volume between number {first} and {last} in {data_path(folder)}.")
    slices = []
    for file in files:
        volume = _shades(*_read_volume(file), file)
        for axis in range(3):
            slices += [s[None] for s in volume.movedim(axis, 0)[::every] if float((s > 0.1).float().mean()) > 0.15]
    return [(255 * s).round().to(torch.uint8) for s in slices]


def _files(folder: str | Path) -> list[Path]:
    path = data_path(folder)
    if not path.is_dir():
        raise MetaoptError(f"{path} is a file; name the folder that it is in.")
    return sorted(path.iterdir())


def _read_volume(file: Path) -> tuple[Tensor, tuple[float, float]]:
    """Return the volume and the window of intensities that its header states, (0, 0) where it states none."""
    try:
        image = open_nifti(file)
        if math.prod(image.shape) > LARGEST:
            raise MetaoptError(f"{file} declares {math.prod(image.shape):,} voxels, more than {LARGEST:,}.")
        if image.get_data_dtype().kind not in "fiu":
            raise MetaoptError(f"{file} holds {image.get_data_dtype()} voxels; save their magnitudes as real numbers.")
        volume = torch.as_tensor(image.get_fdata(dtype="float32" if _is_single(image) else "float64"))
        window = float(image.header.get("cal_min", 0)), float(image.header.get("cal_max", 0))
    except MetaoptError as error:
        if str(error).startswith((str(file), "This needs ")):
            raise
        raise MetaoptError(f"{file} is not a NIfTI volume that can be read: it {error}") from error
    except Exception as error:  # a broken header can raise almost anything
        raise MetaoptError(f"{file} is not a NIfTI volume that can be read, or not all of it: {error}.") from error
    if volume.ndim != 3 or not volume.numel():
        raise MetaoptError(f"{file} holds an array of shape {tuple(volume.shape)}; a volume has three axes.")
    return volume, window


def _shades(volume: Tensor, window: tuple[float, float], file: Path) -> Tensor:
    """Return the volume in shades from black, 0, to white, 1.

    Intensities of at least 0, as those of MRI, are black at 0, and white at the value that 0.1 % exceed. Where some are
    clearly negative, as those of CT in Hounsfield units, black and white are the window that the file states, or the
    values that 0.1 % fall below and exceed. Voxels that are NaN or infinite, as outside of the field of view, are
    black.
    """
    finite = volume.isfinite()
    known = volume[finite]
    if not len(known):
        raise MetaoptError(f"No voxel of {file} is finite; it is damaged, or was computed by a division by 0.")
    sampled = (volume if len(known) == volume.numel() else known).flatten()
    few = sampled[:: max(7, sampled.numel() // 2**23)]  # torch.quantile takes 2^24 values at most
    low, white = (float(torch.quantile(few, share)) for share in (0.001, 0.999))
    black = low if low < -0.05 * abs(white) else 0.0
    if black < 0 and window[0] < window[1]:
        black, white = window
    if not white > black:
        raise MetaoptError(
            f"{file} has intensities of {float(known.min()):g} to {float(known.max()):g}, of which hardly any differ; "
            "there is nothing to see in it."
        )
    scale = max(abs(black), abs(white))
    if not 1e-30 < scale < 1e30:  # differences would overflow, or have few digits
        volume, black, white = volume.double() / scale, black / scale, white / scale
    return torch.where(finite, (volume - black) / (white - black), 0).clamp(0, 1).float()


def _is_single(image: Any) -> bool:
    """Return whether float32 holds the voxels: those of at most 16 bits, or of 32 bits in it, that nothing scales."""
    dtype, (slope, shift) = image.get_data_dtype(), (image.dataobj.slope, image.dataobj.inter)
    return (slope, shift) == (1, 0) and dtype.itemsize <= (4 if dtype.kind == "f" else 2)


def _bytes(pixels: Tensor, grey: bool) -> Tensor:
    if grey and len(pixels) == 3:
        pixels = (pixels * pixels.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0, keepdim=True)
    elif not grey and len(pixels) == 1:
        pixels = pixels.expand(3, -1, -1)
    return (255 * pixels).round().to(torch.uint8)
