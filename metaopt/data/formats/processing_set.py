"""Read processing sets, the zarr stores of measurement sets of version 4."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...core.errors import MetaoptError
from .measurement_set import Choice
from .stokes import choose_hands, stokes_i
from .visibility_set import Antennas, VisibilityChunk, VisibilitySet, chunk_of

EPOCH = 40587 * 86400.0  # seconds of modified Julian date of the first of January 1970, from which these sets count
GROUPS = ("corrected", "base")  # of correlated data, the first that there is


def open_processing_set(path: Path, choice: Choice) -> VisibilitySet:
    """Open a processing set by xradio; the parts of one field and spectral window are read one after the other.

    Args:
        path: The zarr store.
        choice: What of it is read; the column is a variable such as VISIBILITY.

    Returns:
        What was found.

    Raises:
        MetaoptError: xradio is not installed, or it leaves doubt about which part is meant.
    """
    parts = [child for child in _opened(path).children.values() if "UVW" in child.ds]
    if not parts:
        raise MetaoptError("is a zarr store without visibilities; name that of the processing set (.ps.zarr) itself.")
    parts = _of_window(parts, choice.window)
    names = list(dict.fromkeys(str(name) for part in parts for name in part.ds.field_name.values.reshape(-1)))
    field = names[_number("field", choice.field, names, names)]
    group, column = _column(parts[0].ds, choice)
    frequency = np.array(parts[0].ds.frequency.values, np.float64)
    hands, note = choose_hands([str(name) for name in parts[0].ds.polarization.values])
    antennas = _antennas(parts[0])
    places = {} if antennas is None else {name: number for number, name in enumerate(antennas.names)}
    pieces = [_Piece.of(part.ds, field, column, hands, places) for part in parts]
    pieces = [piece for piece in pieces if piece.rows]
    if not pieces:
        raise MetaoptError("has autocorrelations only, of which no picture can be made.")
    said = f"visibilities are {column}" if column else "only its coverage is read"
    return VisibilitySet(
        path,
        "processing set (MSv4)",
        torch.from_numpy(frequency),
        _direction(parts, group, field),
        sum(piece.rows for piece in pieces),
        antennas,
        (*([note] if note else []), "weights are WEIGHT", said),
        _Loader(tuple(pieces)),
    )


def _opened(path: Path) -> Any:
    try:
        xradio = importlib.import_module("xradio.measurement_set")
    except ImportError as error:
        raise MetaoptError(
            f"is a zarr store, a measurement set of version 4, which xradio reads, but that cannot be imported "
            f"({error}): pip install xradio, convert it to a measurement set of version 2, or save an archive of NumPy "
            "by write_visibilities."
        ) from None
    return xradio.open_processing_set(str(path))


def _of_window(parts: Sequence[Any], window: int | None) -> list[Any]:
    """Return the parts of a spectral window."""
    kinds = list(dict.fromkeys(tuple(part.ds.frequency.values.tolist()) for part in parts))
    said = [f"{len(f)} channels, {min(f) / 1e6:.6g} to {max(f) / 1e6:.6g} MHz" for f in kinds]
    chosen = kinds[_number("spectral window", window, said, [])]
    return [part for part in parts if tuple(part.ds.frequency.values.tolist()) == chosen]


def _number(what: str, asked: int | str | None, said: Sequence[str], names: Sequence[str]) -> int:
    """Return which one is meant by a number or one of the names; None means the only one."""
    listed = ", ".join(f"{number} ({words})" for number, words in enumerate(said))
    if asked is None and len(said) > 1:
        raise MetaoptError(f"holds several {what}s: {listed}; choose one by {what.split()[-1]}=NUMBER.")
    matching = [n for n in range(len(said)) if asked is None or str(asked) == str(n) or asked in names[n : n + 1]]
    if len(matching) != 1:
        raise MetaoptError(f"has no data of {what} {asked!r:.80}; its {what}s are {listed}.")
    return matching[0]


def _column(part: Any, choice: Choice) -> tuple[str, str | None]:
    """Return the group of data that is read, and its variable."""
    groups = part.attrs.get("data_groups", {})
    columns = {str(entry["correlated_data"]): name for name, entry in groups.items() if "correlated_data" in entry}
    if choice.column is not None and choice.values:
        if choice.column not in columns:
            raise MetaoptError(f"has no column {choice.column!r:.80}; those of visibilities are {', '.join(columns)}.")
        return columns[choice.column], choice.column
    for name in GROUPS:
        if name in groups:
            return name, str(groups[name]["correlated_data"]) if choice.values else None
    raise MetaoptError(
        f"has no data of {' or '.join(GROUPS)}, but of {', '.join(groups) or 'no group'}; choose a column by "
        f"column=NAME among {', '.join(columns) or 'none'}."
    )


def _direction(parts: Sequence[Any], group: str, field: str) -> tuple[float, float]:
    for part in parts:
        entry = part.ds.attrs["data_groups"][group]
        places = part.children[str(entry.get("field_and_source", f"field_and_source_{group}_xds"))].ds
        name = next((n for n in places.data_vars if str(n).startswith("FIELD_PHASE_CENTER")), None)
        fields = [str(n) for n in np.atleast_1d(places.field_name.values)]
        if name is not None and field in fields:
            values = np.asarray(places[name].values, np.float64).reshape(-1, len(fields), 2)[0, fields.index(field)]
            return float(values[0]), float(values[1])
    raise MetaoptError(f"does not say where its field {field} is.")


def _antennas(part: Any) -> Antennas | None:
    if "antenna_xds" not in part.children:
        return None
    found = part.children["antenna_xds"].ds
    names = tuple(str(name) for name in found.antenna_name.values)
    sizes = found.get("ANTENNA_DISH_DIAMETER")
    diameters = np.zeros(len(names)) if sizes is None else np.array(sizes.values, np.float64)
    positions = np.array(found.ANTENNA_POSITION.values, np.float64)
    return Antennas(names, torch.from_numpy(positions), torch.from_numpy(diameters))


@dataclass(frozen=True, eq=False)
class _Piece:
    """The times of a field and the baselines of a part; rows are baselines of one time after the other."""

    part: Any
    times: np.ndarray
    baselines: np.ndarray
    pairs: tuple[np.ndarray, np.ndarray]
    column: str | None
    hands: Sequence[int]

    @staticmethod
    def of(part: Any, field: str, column: str | None, hands: Sequence[int], places: Mapping[str, int]) -> _Piece:
        times = np.flatnonzero(np.broadcast_to(part.field_name.values, part.time.shape) == field)
        names = [part[f"baseline_antenna{n}_name"].values.astype(str) for n in (1, 2)]
        baselines = np.flatnonzero(names[0] != names[1])
        first, second = (np.array([places.get(name, 0) for name in side[baselines]], np.int64) for side in names)
        return _Piece(part, times, baselines, (first, second), column, hands)

    @property
    def rows(self) -> int:
        return len(self.times) * len(self.baselines)

    def load(self, start: int, stop: int, chosen: Sequence[int] | None) -> VisibilityChunk:
        count = len(self.baselines)
        times = self.times[start // count : -(-stop // count)]
        part = self.part.isel(time=times, baseline_id=self.baselines, polarization=list(self.hands))
        part = part if chosen is None else part.isel(frequency=list(chosen))
        kept = slice(start % count, start % count + stop - start)
        order = ("time", "baseline_id", "frequency", "polarization")

        def cells(name: str) -> np.ndarray:
            values = part[name].transpose(*order).values
            return values.reshape(-1, *values.shape[2:])[kept]

        weights = np.array(cells("WEIGHT"), np.float32)
        if "FLAG" in part:
            weights[cells("FLAG")] = 0
        values = np.zeros(weights.shape, np.complex64) if self.column is None else cells(self.column)
        uvw = part.UVW.transpose("time", "baseline_id", "uvw_label").values.reshape(-1, 3)[kept]
        time = np.repeat(np.asarray(part.time.values, np.float64) + EPOCH, count)[kept]
        pairs = tuple(np.tile(side, len(times))[kept] for side in self.pairs)
        # As a measurement set of version 2, it means exp(+2 pi i (u l + v m + w (n - 1))).
        return chunk_of(-uvw, *stokes_i(values, weights), time, (pairs[0], pairs[1]))


@dataclass(frozen=True, eq=False)
class _Loader:
    pieces: Sequence[_Piece]

    def __call__(self, start: int, stop: int, chosen: Sequence[int] | None = None) -> VisibilityChunk:
        parts, before = [], 0
        for piece in self.pieces:
            first, last = max(start - before, 0), min(stop - before, piece.rows)
            if first < last:
                parts.append(piece.load(first, last, chosen))
            before += piece.rows
        return VisibilityChunk(*(torch.cat(same) for same in zip(*parts, strict=True)))
