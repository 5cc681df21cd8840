"""Read magnitudes from a folder of MATLAB files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...arguments.contracts import Natural, checked
from ...core import MetaoptError
from ...files import named_errors
from ...foundation.extras import require
from ..formats import kspace_hdf5
from ..location import data_path

LARGEST = 2**28  # numbers of a variable
NUMBERS = {"double", "single", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
HDF5 = b"\x89HDF\r\n\x1a\n"  # MATLAB 7.3 begins with it, after a header of 512 bytes

Shapes = Mapping[str, tuple[int, ...]]


@checked
def read_magnitudes(
    folder: str | Path, first: Natural = 0, last: Natural | None = None, variable: str | None = None
) -> list[Tensor]:
    """Read the magnitudes of the MATLAB files of a folder, such as slices of MRI, as pictures from 0 to 1.

    A file holds one picture (row, column), or several (row, column, picture); the brightest pixel of each file becomes
    1, and 0 stays 0. Files are opened one after the other, only those that are asked for, and of each only this
    variable is read. Both MATLAB 7.3 and the versions before are read.

    Args:
        folder: The folder, found by :func:`data_path`.
        first: The first file to read, in the order of the names.
        last: The file to stop before. None: all to the end.
        variable: The name of the variable. None: the only one of two or three axes of real numbers.

    Returns:
        A list of (1, H, W) float32 tensors in [0, 1], as :class:`metaopt.tasks.Patches` takes them.

    Raises:
        MetaoptError: There is no file, one cannot be read, has no or several such variables, or holds complex numbers,
            negative ones, values that are not finite, or nothing but 0; or h5py or scipy is not installed.
    """
    path = data_path(folder)
    if not path.is_dir():
        raise MetaoptError(f"{path} is a file; name the folder that it is in.")
    files = [file for file in sorted(path.iterdir()) if file.suffix.lower() == ".mat"][first:last]
    if not files:
        raise MetaoptError(f"There is no MATLAB file (.mat) between number {first} and {last} in {path}.")
    return [picture[None] for file in files for picture in _read(file, variable)]


def _read(file: Path, variable: str | None) -> Tensor:
    """Return the pictures of a file, (picture, row, column)."""
    with named_errors(file, "pictures"):
        if not file.is_file():
            raise MetaoptError("is no file; a folder of pictures holds files and nothing else that ends in .mat.")
        with file.open("rb") as opened:
            head = opened.read(520)
        if not head:
            raise MetaoptError("is empty (0 bytes); it was probably not saved or copied whole.")
        values = _hdf5(file, variable) if HDF5 in (head[:8], head[512:]) else _before(file, variable)
        values = values.reshape(*values.shape[:2], -1)
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(_scaled(values), 2, 0), np.float32))


def _hdf5(file: Path, variable: str | None) -> np.ndarray:
    """Return a variable of MATLAB 7.3, whose axes HDF5 holds in the opposite order."""
    arrays = {name: entry for name, entry in kspace_hdf5.contents(file).arrays.items() if not name.startswith("#")}
    name = _chosen({n: shape[::-1] for n, (shape, dtype) in arrays.items() if dtype.kind in "fiucV"}, arrays, variable)
    with kspace_hdf5.opened(file, name) as array:
        return np.asarray(array[()]).T


def _before(file: Path, variable: str | None) -> np.ndarray:
    """Return a variable of MATLAB up to version 7."""
    io = require("scipy.io", "mri")
    found = {name: (tuple(shape), kind) for name, shape, kind in io.whosmat(file)}
    name = _chosen({n: shape for n, (shape, kind) in found.items() if kind in NUMBERS}, found, variable)
    return np.asarray(io.loadmat(file, variable_names=[name])[name])


def _chosen(numbers: Shapes, found: Mapping[str, Any], variable: str | None) -> str:
    """Return the name of the variable that is asked for, or of the only one that can be pictures."""
    fitting = {name: shape for name, shape in numbers.items() if len(shape) in (2, 3) and min(shape[:2]) > 1}
    if variable is not None and variable not in fitting:
        what = "no pictures" if variable in found else "nothing"
        raise MetaoptError(
            f"has {what} of the name {variable!r:.80}: pictures are numbers (row, column) or (row, column, picture); "
            f"such are {_listed(fitting)}."
        )
    if not fitting:
        raise MetaoptError(f"has no numbers (row, column) or (row, column, picture); there are {_listed(found)}.")
    if variable is None and len(fitting) > 1:
        raise MetaoptError(f"has several arrays of numbers, {_listed(fitting)}; say which one by variable=.")
    name = next(iter(fitting)) if variable is None else variable
    if math.prod(fitting[name]) > LARGEST:
        raise MetaoptError(f"declares {math.prod(fitting[name]):,} numbers in {name}, more than {LARGEST:,}.")
    return name


def _listed(names: Mapping[str, Any]) -> str:
    return f"{', '.join(names) or 'no variables':.300}"


def _scaled(values: np.ndarray) -> np.ndarray:
    """Return magnitudes of which the largest is 1."""
    if values.dtype.kind not in "fiu":
        kind = "complex numbers" if values.dtype.kind in "cV" else f"values of type {values.dtype}"
        raise MetaoptError(f"holds {kind}, but pictures are magnitudes; save their absolute values.")
    if not np.isfinite(values).all():
        raise MetaoptError(f"has {np.count_nonzero(~np.isfinite(values)):,} pixels that are NaN or infinite.")
    low, high = float(values.min()), float(values.max())
    if low < 0:
        raise MetaoptError(f"has pixels below 0, such as {low:g}, but magnitudes are at least 0; save absolute values.")
    if high == 0:
        raise MetaoptError("is 0 everywhere, so that there is nothing to see.")
    return (values / high).clip(0, 1)
