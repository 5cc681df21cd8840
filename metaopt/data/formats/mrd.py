"""Read k-space from ISMRMRD files, whose acquisitions are sorted into slices by an index of their headers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import MetaoptError
from ...foundation.extras import require
from . import kspace_hdf5
from .kspace_axes import Layout, check_layout
from .kspace_geometry import Geometry
from .kspace_header import Encoding, read_header
from .kspace_stored import Request, Stored
from .mrd_index import CHOICES, NOISE, REVERSE, Lines, flagged, imaging_lines, placed, read_heads
from .mrd_placement import place

RUN = 256  # acquisitions that are read at once
MOST_NOISE = 2**22  # samples of noise a coil
SPARSEST = 1000  # points of k-space a sample, from which the header is not believed
APART = ("separate", "external", "other")  # ways of calibration whose lines do not belong to the picture
CARTESIAN = ("cartesian", "epi")


@dataclass(frozen=True, eq=False)
class Scan:
    """Hold where the lines of each slice of an ISMRMRD file are, and read them.

    Args:
        path: The file.
        name: Its dataset of acquisitions.
        coils: Number of coils.
        shape: (row, column) or (depth, row, column).
        lines: The acquisitions.
        slices: The counter of each slice, in their order in space.
    """

    path: Path
    name: str
    coils: int
    shape: tuple[int, ...]
    lines: Lines
    slices: tuple[int, ...]

    def load(self, index: int, coils: slice) -> np.ndarray:
        """Return some coils of one slice; lines that were measured several times are averaged."""
        lines = self.lines.of_slice(self.slices[index])
        count = self._count(lines)
        result = np.zeros((len(range(*coils.indices(self.coils))), *count.shape), np.complex64)
        for at, line in read_lines(self.path, self.name, lines, self.coils):
            place = slice(lines.offset[at], lines.offset[at] + lines.used[at])
            result[:, lines.plane[at], lines.row[at], place] += line[coils]
        return (result / np.maximum(count, 1)).astype(np.complex64).reshape(len(result), *self.shape)

    def counted(self, index: int) -> np.ndarray:
        """Return where one slice was sampled, by the counters of its acquisitions."""
        return self._count(self.lines.of_slice(self.slices[index])).reshape(self.shape) > 0

    def _count(self, lines: Lines) -> np.ndarray:
        """Return how often each point was measured, (depth or 1, row, column)."""
        count = np.zeros((1, *self.shape)[-3:], np.int32)
        for plane, row, offset, used in zip(lines.plane, lines.row, lines.offset, lines.used, strict=True):
            count[plane, row, offset : offset + used] += 1
        return count


def open_mrd(request: Request) -> Stored:
    """Open an ISMRMRD file: one encoding, contrast, repetition, set and phase of it.

    Args:
        request: What is asked for.

    Returns:
        How it is read.

    Raises:
        MetaoptError: It is not Cartesian, or its header, coils or counters contradict each other.
    """
    name = _group(request)
    with _opened(request.path) as file:
        heads = read_heads(file[f"{name}/data".lstrip("/")])
        if "xml" not in file[name or "/"]:
            raise MetaoptError("has no XML header beside its acquisitions, so nobody knows the size of its pictures.")
        encodings = read_header(file[name or "/"]["xml"][()].reshape(-1)[0])
    notes: list[str] = []
    number, encoding = _encoding(encodings, request, notes)
    separate = encoding.calibration in APART
    keep = imaging_lines(heads, number, separate, request.select, notes)
    coils = _coils(heads, keep, encoding, notes)
    planes = len(np.unique(heads["idx"]["kspace_encode_step_2"][keep]))
    dims = 3 if encoding.matrix[2] > 1 and planes > 1 else 2
    lines = placed(heads, keep, encoding, dims, notes)
    slices, spacing, placement = place(lines, encoding.field_of_view[2], dims, notes)
    shape = tuple(encoding.matrix[:dims][::-1])
    said = f"acquisitions {len(heads)}, coil {coils}, " + " x ".join(map(str, shape))
    check_layout(layout := Layout("ISMRMRD", said, len(slices), coils, shape, {"trajectory": encoding.trajectory}))
    scan = Scan(request.path, f"{name}/data", coils, shape, lines, slices)
    if math.prod(shape) > SPARSEST * int(lines.used.sum()):
        raise MetaoptError(
            f"was measured at {int(lines.used.sum()):,} points, but its header says {' x '.join(map(str, shape))} a "
            "slice; its header belongs to another scan."
        )
    _note_repeats(lines, notes)
    geometry = Geometry(
        tuple(encoding.field_of_view[:dims][::-1]),
        tuple(encoding.picture_field_of_view[:dims][::-1]),
        tuple(encoding.picture_matrix[:dims][::-1]),
        readout=dims - 1,
        spacing=spacing,
        placement=placement,
    )
    apart = heads["encoding_space_ref"] == number
    apart &= flagged(heads, 20) | flagged(heads, 21)
    calibration = None
    if separate and (apart & ~keep).any():
        only = Scan(request.path, scan.name, coils, shape, placed(heads, apart, encoding, dims, []), slices)
        calibration = lambda index: only.load(index, slice(0, coils))  # noqa: E731
    noise = _noise(scan, heads, notes)
    return Stored(layout, scan.load, geometry, scan.counted, noise, None, calibration, tuple(notes))


def read_lines(path: Path, name: str, lines: Lines, coils: int) -> Iterator[tuple[int, np.ndarray]]:
    """Read acquisitions, those that lie side by side together.

    Args:
        path: The file.
        name: Its dataset of acquisitions.
        lines: Which.
        coils: Number of coils.

    Returns:
        The index into ``lines`` and (coils, used) complex64 of each, in the direction of k-space.

    Raises:
        MetaoptError: An acquisition does not hold what its header says.
    """
    with kspace_hdf5.opened(path, name) as dataset:
        view, at = dataset.fields("data"), 0
        while at < len(lines):
            end = at + 1
            while end < len(lines) and end - at < RUN and lines.number[end] == lines.number[end - 1] + 1:
                end += 1
            run = view[int(lines.number[at]) : int(lines.number[end - 1]) + 1]
            yield from (
                (index, _line(values, lines, index, coils)) for index, values in zip(range(at, end), run, strict=True)
            )
            at = end


def _line(values: np.ndarray, lines: Lines, at: int, coils: int) -> np.ndarray:
    head = lines.head[at]
    samples = int(head["number_of_samples"])
    if values.size != 2 * coils * samples:
        raise MetaoptError(
            f"holds {values.size} numbers in acquisition {lines.number[at]}, but {samples} complex samples of {coils} "
            "coils are said; it is damaged, or was not written whole."
        )
    line = np.ascontiguousarray(values, np.float32).view(np.complex64).reshape(coils, samples)
    line = line[:, int(head["discard_pre"]) : samples - int(head["discard_post"])]
    return line[:, ::-1] if flagged(head, REVERSE) else line


def _opened(path: Path) -> Any:
    h5py = require("h5py", "mri")
    return h5py.File(path, "r")


def _group(request: Request) -> str:
    scans = kspace_hdf5.contents(request.path).acquisitions
    if request.axes is not None:
        raise MetaoptError("is an ISMRMRD file, whose acquisitions say themselves where they belong; leave out axes=.")
    if request.variable is None and len(scans) > 1:
        raise MetaoptError(f"holds several scans ({', '.join(scans)}); say which by variable=.")
    if request.variable is not None and request.variable not in scans:
        raise MetaoptError(f"holds no scan {request.variable!r}; there are: {', '.join(scans)}.")
    return next(iter(scans)) if request.variable is None else request.variable


def _encoding(encodings: list[Encoding], request: Request, notes: list[str]) -> tuple[int, Encoding]:
    if unknown := set(request.select) - {*CHOICES, "encoding"}:
        raise MetaoptError(
            f"has no {', '.join(sorted(unknown))} to select; there are {', '.join(CHOICES)} and encoding."
        )
    number = request.select.get("encoding", 0)
    if not 0 <= number < len(encodings):
        raise MetaoptError(f"has no encoding {number}; there are {len(encodings)}, counted from 0.")
    if len(encodings) > 1 and "encoding" not in request.select:
        notes.append(f"there are {len(encodings)} encodings, of which 0 is read (select= says otherwise)")
    encoding = encodings[number]
    if encoding.trajectory not in CARTESIAN:
        raise MetaoptError(
            f"was measured along a {encoding.trajectory} trajectory, but only Cartesian k-space is read; "
            "metaopt.operators.Nufft takes samples and their points."
        )
    if encoding.trajectory == "epi":
        notes.append("it is EPI; reversed lines are turned round, but the phase of odd and even lines is not corrected")
    return number, encoding


def _coils(heads: np.ndarray, keep: np.ndarray, encoding: Encoding, notes: list[str]) -> int:
    counts = sorted(set(heads["active_channels"][keep].tolist()))
    if len(counts) > 1 or min(counts) < 1:
        raise MetaoptError(
            f"has acquisitions of {' and '.join(map(str, counts))} coils in one scan; it is damaged, or joined of two."
        )
    if encoding.channels not in (None, min(counts)):
        notes.append(f"the header says {encoding.channels} coils, but each line has {min(counts)}")
    return min(counts)


def _note_repeats(lines: Lines, notes: list[str]) -> None:
    keys = np.stack([lines.head["idx"]["slice"], lines.plane, lines.row], 1)
    counts = np.unique(keys, axis=0, return_counts=True)[1]
    if counts.max() > 1:
        notes.append(f"{int((counts > 1).sum())} lines were measured up to {counts.max()} times and are averaged")
    if len(np.unique(counts)) > 1:
        notes.append("not all lines were measured equally often, so their noise differs")


def _noise(scan: Scan, heads: np.ndarray, notes: list[str]) -> np.ndarray | None:
    """Return the samples of noise, scaled as if they had been taken as fast as those of the picture.

    The variance of noise is proportional to the bandwidth, the inverse of the time a sample takes.
    """
    these = flagged(heads, NOISE)
    if not these.any():
        return None
    if (heads["active_channels"][these] != scan.coils).any():
        notes.append("the noise scan has other coils than the picture, so it is left out")
        return None
    some, zeros = heads[these].copy(), np.zeros(int(these.sum()), int)
    some["discard_pre"] = some["discard_post"] = 0
    lines = Lines(np.flatnonzero(these), some, zeros, zeros, zeros, some["number_of_samples"].astype(int))
    pieces, count = [], 0
    for at, line in read_lines(scan.path, scan.name, lines, scan.coils):
        ratio = some["sample_time_us"][at] / max(float(scan.lines.head["sample_time_us"][0]), 1e-9)
        pieces.append(line * np.float32(np.sqrt(ratio) if 1e-3 < ratio < 1e3 else 1.0))
        if (count := count + line.shape[1]) >= MOST_NOISE:
            break
    return np.concatenate(pieces, 1) if count else None
