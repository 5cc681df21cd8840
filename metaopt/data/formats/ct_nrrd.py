"""Read volumes from NRRD files, with their place in the patient."""

from __future__ import annotations

import math
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.errors import MetaoptError
from ...foundation.extras import require
from .nifti_header import LARGEST, PACKED

NRRD = (".nrrd", ".nhdr")
LEAST = 1e-30
# What the first two axes of a space lead to, with what its millimetres are multiplied to be those of RAS.
SPACES = {
    "right-anterior-superior": (1.0, 1.0),
    "left-anterior-superior": (-1.0, 1.0),
    "left-posterior-superior": (-1.0, -1.0),
}
SHORT = {"ras": "right-anterior-superior", "las": "left-anterior-superior", "lps": "left-posterior-superior"}
MILLIMETRES = {"mm": 1.0, "um": 1e-3, "µm": 1e-3, "cm": 10.0, "m": 1000.0}
WORDS = {"millimeter": "mm", "millimetre": "mm", "micrometer": "um", "centimeter": "cm", "meter": "m"}


def read_nrrd(path: Path) -> tuple[Tensor, np.ndarray, bool]:
    """Read an NRRD volume, in words of errors that :func:`~metaopt.files.named_errors` completes.

    Args:
        path: The file, .nrrd, or .nhdr with the voxels in a file of their own.

    Returns:
        The array (i, j, k) float32 with i the fastest axis, its matrix to millimetres (RAS), (4, 4), and whether the
        file says how the patient lies. Where it does not, its space is taken for left-posterior-superior.

    Raises:
        MetaoptError: It is no volume of three axes and finite real values, or does not say the size of its voxels.
        Exception: pynrrd cannot read the file.
    """
    nrrd = require("nrrd", "airway")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is refused below, or is nothing to a user
        with path.open("rb") as file:
            header = dict(nrrd.read_header(file))
            begin = file.tell()
        _check_extent(header, path.stat().st_size - begin, path)
        matrix, known = _matrix(header)
        try:
            values = nrrd.read(str(path))[0]
        except FileNotFoundError as error:
            raise MetaoptError(f"keeps its voxels in {error.filename}, which does not exist; copy that, too.") from None
    if values.dtype.kind not in "fiub":
        raise MetaoptError(f"holds {values.dtype} voxels; save them as real numbers.")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise MetaoptError("has voxels that are NaN or infinite; set them to -1024 HU first.")
    largest = max(abs(float(values.min())), abs(float(values.max())))
    if largest > 3e38 or 0 < largest < LEAST:
        raise MetaoptError(f"reaches {largest:g}, but volumes are read in float32, 1e-38 to 3e38; scale it.")
    return torch.from_numpy(values.astype(np.float32).T.copy()).permute(2, 1, 0), matrix, known


def _check_extent(header: dict[str, Any], held: int, path: Path) -> None:
    sizes = [int(size) for size in header.get("sizes", ())]
    if not sizes:
        raise MetaoptError("does not say how many voxels it holds; it was cut short, or is another file.")
    if len(sizes) != 3:
        raise MetaoptError(f"holds an array {tuple(sizes)}; a volume has three axes, so save one of its volumes alone.")
    if min(sizes) < 1 or math.prod(sizes) > LARGEST:
        raise MetaoptError(f"declares {sizes} voxels; a volume has at least 1 along each axis and at most {LARGEST:,}.")
    encoding = str(header.get("encoding", "")).lower()
    if "data file" in header or "datafile" in header or path.suffix.lower() == ".nhdr":
        return
    least = math.prod(sizes)  # a byte a voxel
    if encoding in ("raw", "gzip", "gz") and least > held * (1 if encoding == "raw" else PACKED):
        raise MetaoptError(f"has {held:,} bytes of voxels, but declares {sizes} of them; it was cut short.")


def _matrix(header: dict[str, Any]) -> tuple[np.ndarray, bool]:
    """Return the matrix from (i, j, k) to millimetres (RAS), and whether its directions are those of the patient."""
    space = str(header.get("space", "")).strip().lower()
    space = re.sub("-time$", "", SHORT.get(space, space))
    given = header.get("space directions")
    directions = None if given is None else np.asarray(given, np.float64)
    if directions is None or directions.shape != (3, 3) or not np.isfinite(directions).all():
        sizes = np.asarray(header.get("spacings", (math.nan,)), np.float64)
        if sizes.shape != (3,) or not (np.isfinite(sizes) & (sizes > 0)).all():
            raise MetaoptError("does not say the size of its voxels; add 'space directions' or 'spacings' in mm to it.")
        directions, known = np.diag(sizes), False
    else:
        known = space in SPACES
    if not abs(np.linalg.det(directions)) > 1e-12:
        raise MetaoptError(f"has space directions that place no volume, {directions.tolist()}; correct its header.")
    origin = np.asarray(header.get("space origin", np.zeros(3)), np.float64)
    if origin.shape != (3,) or not np.isfinite(origin).all():
        origin, known = np.zeros(3), False
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = directions.T, origin
    right, front = SPACES.get(space, SPACES["left-posterior-superior"])
    return np.diag([right, front, 1.0, 1.0]) @ np.diag([*[_unit(header)] * 3, 1.0]) @ matrix, known


def _unit(header: dict[str, Any]) -> float:
    units = {str(unit).strip().strip('"').lower() for unit in header.get("space units", header.get("units", ()))}
    units = {WORDS.get(unit.removesuffix("s"), unit) for unit in units} or {"mm"}
    if len(units) > 1 or not units <= {"", *MILLIMETRES}:
        raise MetaoptError(f"states its lengths in {', '.join(sorted(units))}; state them in mm.")
    return MILLIMETRES.get(units.pop(), 1.0)
