"""Index the acquisitions of an ISMRMRD file: what each is for, and where in k-space it belongs.

The fields, flags and directions are those of https://ismrmrd.readthedocs.io.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.errors import MetaoptError
from .kspace_header import Encoding

PIECE = 2**16  # headers that are read at once
FEW = 64  # acquisitions that are read at once with their samples
MOST = 2**24  # acquisitions of a file
SMALLEST = 64  # bytes of an acquisition, whose header alone has more unless it is compressed
CHOICES = ("contrast", "repetition", "set", "phase")

FIELDS = (
    *("flags", "number_of_samples", "active_channels", "discard_pre", "discard_post", "center_sample", "idx"),
    *("encoding_space_ref", "sample_time_us", "position", "read_dir", "phase_dir", "slice_dir"),
)

# Numbers of flags, counted from 1. https://github.com/ismrmrd/ismrmrd/blob/master/include/ismrmrd/ismrmrd.h
NOISE, CALIBRATION, CALIBRATION_AND_IMAGING, REVERSE = 19, 20, 21, 22
IGNORED = {
    23: "navigator",
    24: "phase correction",
    26: "feedback",
    27: "dummy",
    28: "feedback",
    29: "surface coil correction",
    30: "phase stabilisation",
    31: "phase stabilisation",
}


@dataclass(frozen=True, eq=False)
class Lines:
    """Hold some acquisitions of a file, one entry each.

    Args:
        number: Where in the file it is.
        head: Its header.
        row: The line of phase encoding it fills.
        plane: The line of slice encoding it fills, 0 in two dimensions.
        offset: The point of the readout at which it begins.
        used: Its points, without those to discard.
    """

    number: np.ndarray
    head: np.ndarray
    row: np.ndarray
    plane: np.ndarray
    offset: np.ndarray
    used: np.ndarray

    def __len__(self) -> int:
        return len(self.number)

    def of_slice(self, counter: int) -> Lines:
        """Return those of one slice.

        Args:
            counter: The file's counter of the slice.

        Returns:
            The lines.
        """
        keep = self.head["idx"]["slice"] == counter
        return Lines(*(getattr(self, name)[keep] for name in ("number", "head", "row", "plane", "offset", "used")))


def read_heads(dataset: Any) -> np.ndarray:
    """Return the headers of all acquisitions, and none of their samples.

    Args:
        dataset: The open HDF5 dataset.

    Returns:
        (N,) of the fields that are needed.

    Raises:
        MetaoptError: There is no acquisition, or more than the file has room for.
    """
    count, most = len(dataset), min(MOST, dataset.file.id.get_filesize() // SMALLEST)
    if not 0 < count <= most:
        raise MetaoptError(f"says it holds {count:,} acquisitions, but has room for 1 to {most:,}; it is damaged.")
    return np.concatenate([piece[list(FIELDS)] for piece in _heads(dataset, count)])


def _heads(dataset: Any, count: int) -> Iterator[np.ndarray]:
    """Read the headers of acquisitions piece by piece.

    To read the field ``head`` by its name, h5py reads the samples of all acquisitions too, and never frees them. The
    chunks of the file themselves hold headers and no samples; where they are compressed, samples are read and freed.
    """
    whole = dataset.id.get_type()
    member = whole.get_member_index(b"head")
    kind, offset = whole.get_member_type(member), whole.get_member_offset(member)
    packed = dataset.id.get_create_plist().get_nfilters() > 0
    if not dataset.chunks or packed or kind.dtype.itemsize != kind.get_size():
        yield from (dataset[at : at + FEW]["head"] for at in range(0, count, FEW))
        return
    row = np.dtype({"names": ["head"], "formats": [kind.dtype], "offsets": [offset], "itemsize": whole.get_size()})
    piece = max(1, PIECE // dataset.chunks[0]) * dataset.chunks[0]
    for at in range(0, count, piece):
        starts = range(at, min(at + piece, count), dataset.chunks[0])
        data = b"".join(dataset.id.read_direct_chunk((start,))[1] for start in starts)
        yield np.frombuffer(data, row)["head"][: min(piece, count - at)]


def flagged(heads: np.ndarray, flag: int) -> np.ndarray:
    """Return which acquisitions have a flag.

    Args:
        heads: Their headers.
        flag: Its number, counted from 1.

    Returns:
        (N,) of booleans.
    """
    return (heads["flags"] >> np.uint64(flag - 1)) & np.uint64(1) > 0


def imaging_lines(
    heads: np.ndarray, encoding: int, separate: bool, select: Mapping[str, int], notes: list[str]
) -> np.ndarray:
    """Return which acquisitions belong to the picture: of one encoding, contrast, repetition, set and phase.

    Args:
        heads: All headers.
        encoding: The number of the encoding.
        separate: Whether lines for calibration alone do not belong to the picture.
        select: The chosen contrast, repetition, set and phase.
        notes: Gets a sentence on each choice and on what is left out.

    Returns:
        (N,) of booleans.

    Raises:
        MetaoptError: There is no such entry, or nothing is left.
    """
    keep = (heads["encoding_space_ref"] == encoding) & ~flagged(heads, NOISE)
    for flag, name in IGNORED.items():
        if (these := keep & flagged(heads, flag)).any():
            notes.append(f"{int(these.sum())} acquisitions for {name} are left out")
            keep &= ~these
    if separate and (these := keep & flagged(heads, CALIBRATION) & ~flagged(heads, CALIBRATION_AND_IMAGING)).any():
        notes.append(f"{int(these.sum())} lines were measured for calibration alone, and are kept apart")
        keep &= ~these
    for name in CHOICES:
        values = np.unique(heads["idx"][name][keep])
        if name in select:
            if select[name] not in values:
                raise MetaoptError(f"has no {name} {select[name]}; there are: {', '.join(map(str, values)) or 'none'}.")
            keep &= heads["idx"][name] == select[name]
        elif len(values) > 1:
            notes.append(f"there are {len(values)} of '{name}', of which {values[0]} is read (select= says otherwise)")
            keep &= heads["idx"][name] == values[0]
    if not keep.any():
        raise MetaoptError(
            f"holds no line of a picture in encoding {encoding}; select={{'encoding': ...}} says another."
        )
    return keep


def placed(heads: np.ndarray, keep: np.ndarray, encoding: Encoding, dims: int, notes: list[str]) -> Lines:
    """Return acquisitions with the place that each has in k-space.

    Args:
        heads: All headers.
        keep: Which of them.
        encoding: Their encoding.
        dims: 2 or 3.
        notes: Gets a sentence where the header's centre was not used.

    Returns:
        The lines.

    Raises:
        MetaoptError: A counter or a number of samples contradicts the header.
    """
    number = np.flatnonzero(keep)
    some = heads[keep]
    row = _steps(some, 1, encoding, notes)
    plane = _steps(some, 2, encoding, notes) if dims == 3 else np.zeros(len(some), int)
    samples, pre, post = (some[name].astype(int) for name in ("number_of_samples", "discard_pre", "discard_post"))
    used, points = samples - pre - post, encoding.matrix[0]
    if (wrong := (used < 1) | (used > points)).any():
        at = int(wrong.argmax())
        raise MetaoptError(
            f"has {used[at]} samples in acquisition {number[at]}, but its header says {points} points of a readout; "
            "its header belongs to another scan, or says the matrix without oversampling."
        )
    centre = some["center_sample"].astype(int) - pre
    centre = np.where(flagged(some, REVERSE), used - 1 - centre, centre)
    # A full readout has one place. Its header may give the centre of before or after a reversal, or none (0).
    full = used == points
    unset = some["center_sample"] == 0
    offset = np.where(full & (unset | (abs(centre - points // 2) <= 1)), 0, points // 2 - centre)
    offset = np.where((offset == -1) | (offset == points - used + 1), np.clip(offset, 0, points - used), offset)
    if (wrong := (offset < 0) | (offset + used > points)).any():
        at = int(wrong.argmax())
        raise MetaoptError(
            f"has its centre at sample {some['center_sample'][at]} of {samples[at]} in acquisition {number[at]}, which "
            f"does not fit into a readout of {points} points; its header is inconsistent."
        )
    return Lines(number, some, row, plane, offset, used)


def _steps(heads: np.ndarray, step: int, encoding: Encoding, notes: list[str]) -> np.ndarray:
    """Return the line of k-space of each counter of phase encoding (1) or slice encoding (2)."""
    size, centre = encoding.matrix[step], encoding.centres[step - 1]
    counters = heads["idx"][f"kspace_encode_step_{step}"].astype(int)
    lines = counters - (size // 2 if centre is None else centre) + size // 2
    fits = counters.min() >= 0 and counters.max() < size
    if (lines.min() < 0 or lines.max() >= size) and fits:
        notes.append(
            f"the header's centre {centre} of encoding step {step} does not fit its lines; {size // 2} is taken"
        )
        return counters
    if lines.min() < 0 or lines.max() >= size:
        raise MetaoptError(
            f"has lines {counters.min()} to {counters.max()} of encoding step {step}, but its header says {size} lines "
            f"with the centre {centre}; its header belongs to another scan."
        )
    return lines
