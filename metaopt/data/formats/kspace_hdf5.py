"""List the arrays of an HDF5 file, and open them lazily."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import MetaoptError
from ...foundation.extras import require
from .kspace_axes import is_complex

MOST = 10_000  # entries of a file that are looked at


@dataclass(frozen=True)
class Contents:
    """Hold the names of what an HDF5 file holds.

    Args:
        arrays: The shape and type of each array.
        acquisitions: The groups that hold an ISMRMRD scan.
    """

    arrays: dict[str, tuple[tuple[int, ...], Any]]
    acquisitions: tuple[str, ...]

    def complex_arrays(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays of complex numbers with at least two axes."""
        return {name: shape for name, (shape, dtype) in self.arrays.items() if len(shape) > 1 and is_complex(dtype)}


@contextmanager
def opened(path: Path, name: str) -> Iterator[Any]:
    """Open an array of an HDF5 file.

    Args:
        path: The file.
        name: The array.

    Returns:
        A context manager that gives the array, which is read as it is sliced.
    """
    h5py = require("h5py", "mri")
    with h5py.File(path, "r") as file:
        yield file[name]


def contents(path: Path) -> Contents:
    """Return what an HDF5 file holds.

    Args:
        path: The file.

    Returns:
        The names, shapes and types.
    """
    h5py = require("h5py", "mri")
    arrays: dict[str, tuple[tuple[int, ...], Any]] = {}
    scans: list[str] = []

    def visit(name: str, entry: Any) -> None:
        if len(arrays) > MOST:
            raise MetaoptError(f"holds more than {MOST:,} arrays, as no k-space does.")
        if isinstance(entry, h5py.Dataset) and entry.shape is not None:
            arrays[name] = (tuple(entry.shape), entry.dtype)
            if name.rpartition("/")[2] == "data" and "head" in (entry.dtype.names or ()):
                scans.append(name.rpartition("/")[0])

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return Contents(arrays, tuple(scans))
