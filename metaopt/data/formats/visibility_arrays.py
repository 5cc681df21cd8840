"""Read and write visibilities as NumPy archives."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.errors import MetaoptError
from ...files import replacing
from .visibility_set import CHUNK, Antennas, VisibilityChunk, VisibilitySet, check_parts, checked_chunks, chunk_of

ROWS = {"uvw": (3,), "visibilities": None, "weights": None, "time": (), "antenna1": (), "antenna2": ()}


def open_visibility_archive(path: Path, values: bool = True) -> VisibilitySet:
    """Open visibilities in a NumPy archive, such as :func:`write_visibilities` makes.

    It holds ``uvw`` (V, 3), ``frequency`` (F,), ``visibilities`` (V, F) and ``direction`` (2,) in radians, and may hold
    ``weights`` (V, F), ``time``, ``antenna1``, ``antenna2`` (V,) and ``names``, ``positions``, ``diameters`` of the
    antennas.

    Args:
        path: The file, .npz.
        values: Whether it must hold visibilities.

    Returns:
        What was found.

    Raises:
        MetaoptError: An array is missing or has another shape.
    """
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
        names = set(archive.files)
        missing = [name for name in ("uvw", "frequency", *["visibilities"] * values) if name not in names]
        if missing:
            raise MetaoptError(
                f"has no array {missing[0]}; it needs uvw (V, 3) in metres, frequency (F,) in hertz and visibilities "
                f"(V, F) in Jy, but holds {', '.join(sorted(names)) or 'nothing'}."
            )
        frequency = np.array(archive["frequency"], np.float64)
        direction = archive["direction"] if "direction" in names else np.zeros(2)
        antennas = None
        if {"names", "positions", "diameters"} <= names:
            positions, diameters = (torch.from_numpy(np.array(archive[n], float)) for n in ("positions", "diameters"))
            antennas = Antennas(tuple(str(name) for name in archive["names"]), positions, diameters)
    arrays = _Arrays(path, tuple(sorted(names & set(ROWS))))
    shapes = {name: arrays.shape(name) for name in arrays.names}
    if frequency.ndim != 1:
        raise MetaoptError(f"has a frequency {frequency.shape}; it must be (F,), in hertz.")
    rows, given = shapes["uvw"][0] if shapes["uvw"] else 0, (len(frequency),)
    for name, shape in shapes.items():
        wanted = (rows, *(given if ROWS[name] is None else ROWS[name]))
        if shape != wanted or not rows:
            raise MetaoptError(
                f"has {name} of shape {shape} for {rows} rows and {len(frequency)} channels, not {wanted}."
            )
    notes = [] if "weights" in names else ["it has no weights, so all are 1, and the noise is not known"]
    notes += [] if "direction" in names else ["it has no direction, so the phase centre is taken for 0, 0"]
    return VisibilitySet(
        path,
        "NumPy archive",
        torch.from_numpy(frequency),
        (float(direction[0]), float(direction[1])),
        rows,
        antennas,
        tuple(notes),
        arrays.load,
    )


@dataclass(frozen=True)
class _Arrays:
    """Arrays of an archive, of which only some rows are read."""

    path: Path
    names: Sequence[str]

    def shape(self, name: str) -> tuple[int, ...]:
        with zipfile.ZipFile(self.path) as archive, archive.open(f"{name}.npy") as file:
            return _header(file)[0]

    def load(self, start: int, stop: int, chosen: Sequence[int] | None = None) -> VisibilityChunk:
        found = {name: self._rows(name, start, stop, chosen) for name in self.names}
        count = len(found["uvw"])
        with np.load(self.path, allow_pickle=False) as archive:
            channels = len(archive["frequency"]) if chosen is None else len(chosen)
        values = found.get("visibilities", np.zeros((count, channels), np.complex64))
        if values.dtype.kind != "c":
            raise MetaoptError(f"has visibilities that are {values.dtype}, not complex.")
        weights = found.get("weights", np.ones((count, channels), np.float32))
        time, first, second = (found.get(name, np.zeros(count)) for name in ("time", "antenna1", "antenna2"))
        return chunk_of(found["uvw"], values, np.array(weights, np.float64), time, (first, second))

    def _rows(self, name: str, start: int, stop: int, chosen: Sequence[int] | None) -> np.ndarray:
        with _member(self.path, f"{name}.npy") as file:
            shape, transposed, dtype = _header(file)
            if transposed and len(shape) > 1:
                raise MetaoptError(f"has {name} in Fortran order; save numpy.ascontiguousarray of it.")
            row = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
            file.seek(start * row, 1)
            if chosen is None or ROWS[name] is not None:
                return np.frombuffer(file.read((stop - start) * row), dtype).reshape(-1, *shape[1:]).copy()
            found = np.empty((stop - start, len(chosen)), dtype)
            step = max(1, CHUNK // row)  # rows of all channels, which are read to keep a few
            for first in range(0, len(found), step):
                part = found[first : first + step]
                part[:] = np.frombuffer(file.read(len(part) * row), dtype).reshape(len(part), -1)[:, list(chosen)]
            return found


@contextlib.contextmanager
def _member(path: Path, name: str) -> Iterator[Any]:
    """Open an array of an archive: where it is not compressed in the file itself, in which it is cheap to go ahead."""
    with zipfile.ZipFile(path) as archive:
        found = archive.getinfo(name)
        if found.compress_type != zipfile.ZIP_STORED:
            with archive.open(name) as file:
                yield file
            return
    with path.open("rb") as file:
        file.seek(found.header_offset + 26)  # the lengths of the name and of what follows it, before the content
        lengths = [int.from_bytes(file.read(2), "little") for _ in range(2)]
        file.seek(found.header_offset + 30 + sum(lengths))
        yield file


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, transposed, dtype = read(file)
    if dtype.hasobject:
        raise MetaoptError("holds Python objects, which are not read; save arrays of numbers.")
    return shape, transposed, dtype


def write_visibilities(
    path: str | Path,
    chunks: Iterable[VisibilityChunk],
    frequency: Tensor,
    direction: tuple[float, float] = (0.0, 0.0),
    antennas: Antennas | None = None,
) -> None:
    """Write visibilities as a NumPy archive, which :func:`read_visibilities` reads.

    Args:
        path: The file, .npz.
        chunks: The rows; all of them are in memory together.
        frequency: (F,) in hertz.
        direction: (right ascension, declination) of the phase centre in radians.
        antennas: The stations.

    Raises:
        MetaoptError: The file cannot be written, or there is nothing to write.
    """
    direction = check_parts(frequency, direction, antennas)
    parts = list(checked_chunks(chunks, len(frequency)))
    rows = VisibilityChunk(*(torch.cat(same) for same in zip(*parts, strict=True)))
    arrays = {name: value.numpy() for name, value in rows._asdict().items()}
    if antennas is not None:
        arrays |= {
            "names": np.array(antennas.names),
            "positions": antennas.positions.numpy(),
            "diameters": antennas.diameters.numpy(),
        }
    with replacing(Path(path)) as file:
        np.savez(file, frequency=frequency.double().numpy(), direction=np.array(direction), **arrays)
