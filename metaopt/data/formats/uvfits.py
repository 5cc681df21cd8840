"""Read uvfits, the random groups in which AIPS and the Event Horizon Telescope keep visibilities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...core.errors import MetaoptError
from ...foundation.extras import require
from .measurement_set import Choice
from .sky_picture import quiet
from .stokes import choose_hands, stokes_i
from .visibility_set import CHUNK, Antennas, VisibilityChunk, VisibilitySet, chunk_of

LIGHT = 299_792_458.0
STOKES = {
    1: "I",
    2: "Q",
    3: "U",
    4: "V",
    -1: "RR",
    -2: "LL",
    -3: "RL",
    -4: "LR",
    -5: "XX",
    -6: "YY",
    -7: "XY",
    -8: "YX",
}
KINDS = {-32: ">f4", -64: ">f8", 16: ">i2", 32: ">i4"}


def open_uvfits(path: Path, choice: Choice) -> VisibilitySet:
    """Open a uvfits file; its intermediate frequencies are read as channels that follow each other.

    Args:
        path: The file.
        choice: The field and the intermediate frequency that are read; there is no column.

    Returns:
        What was found.

    Raises:
        MetaoptError: It has no random groups, lacks an axis, or holds several sources and none is chosen.
    """
    fits = require("astropy.io.fits", "radio")
    with quiet(), path.open("rb") as opened, fits.open(opened, lazy_load_hdus=False) as file:
        header = file[0].header
        if not header.get("GROUPS") or header.get("NAXIS1") != 0 or not header.get("GCOUNT"):
            raise MetaoptError(
                "holds no visibilities: its first part has no random groups; a picture of FITS is read by "
                "read_sky_picture."
            )
        start = file.fileinfo(0)["datLoc"]
        tables = {hdu.name.strip(): hdu for hdu in file[1:] if hdu.name}
        axes = _axes(header)
        frequency, notes = _frequencies(header, axes, tables)
        antennas = _antennas(tables)
        source, said = _source(choice.field, tables, header)
    names = [STOKES.get(round(value), "?") for value in axes["STOKES"].values]
    hands, note = choose_hands(names)
    pieces = axes["IF"].size if "IF" in axes else 1
    channels = _channels(choice.window, pieces, len(frequency))
    loader = _Loader(path, start, dict(header), axes, hands, tuple(channels), source)
    rows = loader.find()
    if not len(rows):
        raise MetaoptError("has autocorrelations only, or no data of that field.")
    return VisibilitySet(
        path,
        "uvfits",
        torch.from_numpy(frequency[channels]),
        _direction(header, axes, tables, source),
        len(rows),
        antennas,
        (*filter(None, [note]), *notes, *said),
        lambda first, last, chosen=None: loader.load(rows[first:last], chosen),
    )


@dataclass(frozen=True)
class _Axis:
    """An axis of the groups' array: where it is, counted as NumPy does, and its values."""

    place: int
    values: Sequence[float]

    @property
    def size(self) -> int:
        return len(self.values)


def _axes(header: Any) -> dict[str, _Axis]:
    count, axes = header["NAXIS"], {}
    for number in range(2, count + 1):
        name = str(header.get(f"CTYPE{number}", "")).strip().upper()
        steps = np.arange(header[f"NAXIS{number}"]) + 1 - header.get(f"CRPIX{number}", 1.0)
        values = header.get(f"CRVAL{number}", 0.0) + steps * header.get(f"CDELT{number}", 1.0)
        axes[name or f"axis {number}"] = _Axis(count - number, values.tolist())
    for name in ("COMPLEX", "STOKES", "FREQ"):
        if name not in axes:
            raise MetaoptError(
                f"has no axis {name} among {', '.join(axes)}, so it is no uvfits, or its header is damaged."
            )
    return axes


def _frequencies(header: Any, axes: Mapping[str, _Axis], tables: Mapping[str, Any]) -> tuple[np.ndarray, list[str]]:
    """Return the frequency of each channel of each intermediate frequency, one after the other."""
    channels = np.array(axes["FREQ"].values)
    if not (channels > 0).any():
        raise MetaoptError("has no frequency: CRVAL of its axis FREQ is missing or 0; set it to hertz.")
    if "AIPS FQ" not in tables:
        return channels, []
    table = tables["AIPS FQ"].data
    notes = [] if len(table) == 1 else [f"it has {len(table)} frequency setups, of which the first is read"]
    offsets = np.atleast_1d(np.array(table["IF FREQ"][0], np.float64))
    pieces = axes["IF"].size if "IF" in axes else 1
    return (offsets[:pieces, None] + channels).reshape(-1), notes


def _channels(window: int | None, pieces: int, total: int) -> np.ndarray:
    numbers = np.arange(total).reshape(pieces, -1)
    if window is None:
        return numbers.reshape(-1)
    if window not in range(pieces):
        raise MetaoptError(f"has {pieces} intermediate frequencies, counted from 0; there is no window {window!r:.80}.")
    return numbers[window]


def _antennas(tables: Mapping[str, Any]) -> Antennas | None:
    table = tables.get("AIPS AN")
    if table is None:
        return None
    centre = np.array([table.header.get(f"ARRAY{axis}", 0.0) for axis in "XYZ"], np.float64)
    positions = np.array(table.data["STABXYZ"], np.float64) + centre
    names = tuple(str(name).strip() for name in table.data["ANNAME"])
    return Antennas(names, torch.from_numpy(positions), torch.zeros(len(names), dtype=torch.float64))


def _source(asked: int | str | None, tables: Mapping[str, Any], header: Any) -> tuple[int | None, list[str]]:
    """Return the number of the source whose groups are read; None where the file has no table of sources."""
    table = tables.get("AIPS SU")
    if table is None:
        name = str(header.get("OBJECT", "")).strip()
        if asked not in (None, 0, name):
            raise MetaoptError(f"has no field {asked!r:.80}, but one alone, {name or 'without a name'}.")
        return None, []
    numbers = [int(n) for n in table.data["ID. NO." if "ID. NO." in table.columns.names else "ID_NO."]]
    names = [str(name).strip() for name in table.data["SOURCE"]]
    said = ", ".join(f"{number} ({name})" for number, name in zip(numbers, names, strict=True))
    if asked is None and len(numbers) == 1:
        return numbers[0], []
    matching = [n for n, name in zip(numbers, names, strict=True) if asked in (n, name) or str(asked) == str(n)]
    if asked is None or len(matching) != 1:
        what = "holds several fields" if asked is None else f"has no field {asked!r:.80}; its fields are"
        raise MetaoptError(f"{what}{':' if asked is None else ''} {said}; choose one by field=NUMBER or its name.")
    return matching[0], []


def _direction(
    header: Any, axes: Mapping[str, _Axis], tables: Mapping[str, Any], source: int | None
) -> tuple[float, float]:
    if source is not None:
        table = tables["AIPS SU"].data
        numbers = table["ID. NO." if "ID. NO." in table.names else "ID_NO."]
        row = table[[int(n) for n in numbers].index(source)]
        return math.radians(float(row["RAEPO"])), math.radians(float(row["DECEPO"]))
    places = [axes[name].values[0] if name in axes else header.get(f"OBS{name}", 0.0) for name in ("RA", "DEC")]
    return math.radians(float(places[0])), math.radians(float(places[1]))


@dataclass(frozen=True)
class _Loader:
    path: Path
    offset: int
    header: Mapping[str, Any]
    axes: Mapping[str, _Axis]
    hands: Sequence[int]
    channels: Sequence[int]
    source: int | None

    def groups(self) -> np.ndarray:
        """Return all groups, (G, parameters and array), mapped from the file."""
        sizes = [self.header[f"NAXIS{n}"] for n in range(2, self.header["NAXIS"] + 1)]
        width = self.header["PCOUNT"] + math.prod(sizes)
        kind = KINDS.get(self.header["BITPIX"])
        if kind is None:
            raise MetaoptError(f"has BITPIX {self.header['BITPIX']}, which random groups do not have.")
        return np.memmap(self.path, kind, "r", self.offset, (self.header["GCOUNT"], width))

    def parameter(self, groups: np.ndarray, *names: str) -> np.ndarray | None:
        """Return the sum of the parameters whose name begins as one of ``names``, which is how they are split."""
        found = None
        for number in range(1, self.header["PCOUNT"] + 1):
            name = str(self.header.get(f"PTYPE{number}", "")).strip().upper()
            if any(name == wanted or name.startswith(f"{wanted}-") for wanted in names):
                scale, zero = (float(self.header.get(f"{key}{number}", d)) for key, d in (("PSCAL", 1), ("PZERO", 0)))
                value = groups[:, number - 1].astype(np.float64) * scale + zero
                found = value if found is None else found + value
        return found

    def pairs(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the antennas of each group, counted from 0."""
        baseline = self.parameter(groups, "BASELINE")
        if baseline is None:
            first, second = (self.parameter(groups, name) for name in ("ANTENNA1", "ANTENNA2"))
            if first is None or second is None:
                raise MetaoptError("has no parameter BASELINE, so its antennas are not known.")
            return first.astype(np.int64) - 1, second.astype(np.int64) - 1
        whole = np.floor(baseline + 1e-3).astype(np.int64)
        large = whole > 65536  # as AIPS numbers more than 255 antennas
        factor, rest = np.where(large, 2048, 256), np.where(large, whole - 65536, whole)
        return rest // factor - 1, rest % factor - 1

    def find(self) -> np.ndarray:
        """Return the numbers of the groups that are read."""
        groups, found = self.groups(), []
        for start in range(0, len(groups), 2**16):
            part = np.asarray(groups[start : start + 2**16, : self.header["PCOUNT"]])
            first, second = self.pairs(part)
            used, source = first != second, self.parameter(part, "SOURCE")
            if self.source is not None and source is not None:
                used = used & (np.round(source) == self.source)
            found.append(start + np.flatnonzero(used))
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def load(self, rows: np.ndarray, chosen: Sequence[int] | None = None) -> VisibilityChunk:
        """Return some groups as a chunk of all channels, or of those with the numbers ``chosen``."""
        if chosen is None:
            return self._load(rows, list(self.channels))
        channels, step = [self.channels[number] for number in chosen], max(1, CHUNK // (60 * len(self.channels)))
        parts = [self._load(rows[i : i + step], channels) for i in range(0, len(rows), step)]
        return VisibilityChunk(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _load(self, rows: np.ndarray, channels: Sequence[int]) -> VisibilityChunk:
        groups, count = np.asarray(self.groups()[rows]), self.header["PCOUNT"]
        sizes = [self.header[f"NAXIS{n}"] for n in range(self.header["NAXIS"], 1, -1)]
        array = groups[:, count:].reshape(-1, *sizes).astype(np.float64)
        array = array * float(self.header.get("BSCALE", 1)) + float(self.header.get("BZERO", 0))
        order = [self.axes[name].place + 1 for name in ("IF", "FREQ", "STOKES", "COMPLEX") if name in self.axes]
        rest = [axis for axis in range(1, array.ndim) if axis not in order]
        array = array.transpose(0, *rest, *order)
        array = array.reshape(len(groups), -1, *array.shape[-2:])[:, channels][:, :, list(self.hands)]
        if array.shape[-1] < 3:
            raise MetaoptError("has no weights beside its real and imaginary parts.")
        uvw = [found for axis in "UVW" if (found := self.parameter(groups, axis * 2)) is not None]
        if len(uvw) < 3:
            raise MetaoptError("has no parameters UU, VV and WW.")
        values = (array[..., 0] + 1j * array[..., 1]).astype(np.complex64 if self.header["BITPIX"] == -32 else complex)
        combined = stokes_i(values, array[..., 2])  # a weight of 0 or less says that it is flagged
        day = self.parameter(groups, "DATE")
        time = np.zeros(len(groups)) if day is None else (day - 2_400_000.5) * 86400.0
        # As a measurement set, uvfits mean exp(+2 pi i (u l + v m + w (n - 1))).
        return chunk_of(-LIGHT * np.stack(uvw, 1), *combined, time, self.pairs(groups))
