"""Open NIfTI files whose headers agree with themselves and with what the file holds."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import MetaoptError
from ...foundation.extras import require

LARGEST = 2**30  # voxels
PACKED = 1032  # bytes that one byte of deflate, the compression of gzip, can stand for
MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # of the codes of NIfTI: not said, metre, millimetre, micrometre


def open_nifti(path: Path) -> Any:
    """Return the image of nibabel after a look at the header, before any voxel is read.

    nibabel takes each of these without a word, and what it gives is then wrong: a type that contradicts the number of
    bits, voxels that begin within the header, an infinite scaling, and sizes that are NaN. It also claims memory for as
    many voxels as the header declares, however few the file holds.

    Args:
        path: The file, .nii or .nii.gz.

    Returns:
        The image.

    Raises:
        MetaoptError: The header contradicts itself or the file, in words that
            :func:`~metaopt.files.named_errors` completes.
        Exception: nibabel cannot read the file.
    """
    nibabel = require("nibabel", "mri")
    header, least = _header(path)
    if header is not None:
        _check_extent(header, path, least)
        _check_scaling(header)
        if not np.isfinite(header["pixdim"][1:4]).all():
            raise MetaoptError("says that a voxel has a size that is NaN or infinite; correct its header (pixdim).")
    image = nibabel.load(path)
    if not isinstance(image, nibabel.Nifti1Pair):
        raise MetaoptError(f"is a {type(image).__name__}, which holds no volume on a grid; save it as plain NIfTI.")
    return image


def states_sizes(path: Path) -> bool:
    """Return whether the header states the place of voxels, or that the size of each is above 0.

    nibabel gives 1 mm where a header states none.

    Args:
        path: The file, .nii or .nii.gz.

    Raises:
        Exception: The file cannot be read.
    """
    header, _ = _header(path)
    if header is None or int(header["sform_code"]) > 0:
        return True
    return bool((np.asarray(header["pixdim"][1 : 1 + min(3, max(0, int(header["dim"][0])))]) > 0).all())


def millimetres(image: Any) -> float:
    """Return how many millimetres the header's unit of length has; where it states none, they are millimetres.

    Args:
        image: The image of nibabel.

    Raises:
        MetaoptError: There is no such unit.
    """
    code = int(image.header["xyzt_units"]) & 7
    if code not in MILLIMETRES:
        raise MetaoptError(f"states a unit of length that NIfTI does not know (code {code}); correct its header.")
    return MILLIMETRES[code]


def _header(path: Path) -> tuple[Any, int]:
    """Return the unchecked header, None where the first number is of none, and where voxels can begin."""
    nibabel = require("nibabel", "mri")
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        start = file.read(540)
    for kind, least in ((nibabel.Nifti1Header, 352), (nibabel.Nifti2Header, 544)):
        size = kind.template_dtype.itemsize
        for order in ("little", "big"):
            if len(start) >= size == int.from_bytes(start[:4], order):
                return kind(start[:size], endianness={"little": "<", "big": ">"}[order], check=False), least
    return None, 0


def _check_extent(header: Any, path: Path, least: int) -> None:
    """Check that the file can hold what the header declares."""
    axes, offset = int(header["dim"][0]), float(header["vox_offset"])
    sides = [int(n) for n in header["dim"][1 : 1 + max(0, axes)]]
    if not 1 <= axes <= 7 or min(sides) < 1:
        raise MetaoptError(f"declares {axes} axes of {sides} voxels; NIfTI has 1 to 7 axes of at least 1.")
    if math.prod(sides) > LARGEST:
        raise MetaoptError(f"declares {math.prod(sides):,} voxels, more than {LARGEST:,}.")
    dtype, bits = header.get_data_dtype(), int(header["bitpix"])
    if bits not in (0, 8 * dtype.itemsize):
        raise MetaoptError(f"says that its {dtype} voxels have {bits} bits each, which contradicts itself.")
    if header["magic"].item()[:2] == b"ni":  # the voxels are in a file of their own
        return
    if not least <= offset < 2**31:
        raise MetaoptError(
            f"says that its voxels begin at byte {offset:g}, but they follow the header, at {least} or later."
        )
    packed, held = path.name.lower().endswith(".gz"), path.stat().st_size
    needed = math.prod(sides) * dtype.itemsize + int(offset)
    if needed > held * (PACKED if packed else 1) + (PACKED if packed else 0):
        raise MetaoptError(
            f"has {held:,} bytes, but its header declares {needed:,}; it was cut short, or is another file."
        )


def _check_scaling(header: Any) -> None:
    slope, shift = float(header["scl_slope"]), float(header["scl_inter"])
    if math.isinf(slope) or (math.isfinite(slope) and slope != 0 and not math.isfinite(shift)):
        raise MetaoptError(
            f"scales its voxels by {slope:g} and shifts them by {shift:g} (scl_slope, scl_inter), which gives no "
            "numbers; correct its header."
        )
