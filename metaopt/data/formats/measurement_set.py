"""Read measurement sets, the tables in which radio telescopes leave their visibilities."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...core.errors import MetaoptError, MetaoptWarning
from ...foundation.extras import require
from .stokes import choose_hands, correlation_names, stokes_i
from .visibility_set import Antennas, VisibilityChunk, VisibilitySet, chunk_of

COLUMNS = ("CORRECTED_DATA", "DATA", "MODEL_DATA")
CACHE = 64  # MB of tiles of one column that casacore may keep


@dataclass(frozen=True)
class Choice:
    """What of a set is read: a column, a spectral window, a field, and whether the visibilities themselves.

    ``None`` is the only one, or of columns CORRECTED_DATA before DATA.
    """

    column: str | None = None
    window: int | None = None
    field: int | str | None = None
    values: bool = True


def open_measurement_set(path: Path, choice: Choice) -> VisibilitySet:
    """Open a measurement set of version 2.

    Args:
        path: The folder.
        choice: What of it is read.

    Returns:
        What was found.

    Raises:
        MetaoptError: It is none, leaves doubt about which part is meant, or lacks the column or its file.
    """
    main = _table(path)
    missing = [name for name in ("UVW", "ANTENNA1", "DATA_DESC_ID", "FIELD_ID") if name not in main.colnames()]
    if missing:
        raise MetaoptError(f"has no column {missing[0]}, so it is no measurement set; name the .ms folder itself.")
    described, windows = _table(path / "DATA_DESCRIPTION"), _table(path / "SPECTRAL_WINDOW")
    window_of = described.getcol("SPECTRAL_WINDOW_ID")
    taql = require("casacore.tables", "radio").taql
    found = taql("select distinct FIELD_ID, DATA_DESC_ID from $1", tables=[main])
    if not found.nrows():
        raise MetaoptError("has no rows; it was probably not written whole.")
    pairs = set(zip(found.getcol("FIELD_ID").tolist(), found.getcol("DATA_DESC_ID").tolist(), strict=True))
    fields = _table(path / "FIELD")
    field = _field(choice.field, {f for f, _ in pairs}, fields.getcol("NAME"))
    present = sorted({int(window_of[d]) for f, d in pairs if f == field})
    window = _window(choice.window, present, windows)
    description = min(d for f, d in pairs if f == field and window_of[d] == window)
    codes = _table(path / "POLARIZATION").getcell("CORR_TYPE", int(described.getcol("POLARIZATION_ID")[description]))
    hands, note = choose_hands(correlation_names([int(code) for code in codes]))
    rows = main.query(f"FIELD_ID=={field} && DATA_DESC_ID=={description} && ANTENNA1!=ANTENNA2")
    column, notes = _column(choice, main.colnames()), [note] if note else []
    if rows.nrows() == 0:
        raise MetaoptError("has autocorrelations only, of which no picture can be made.")
    if column is not None:
        rows.setmaxcachesize(column, CACHE)
        _probe(rows, column, path)
    weights, said = _weight_column(rows)
    direction = np.asarray(fields.getcell("PHASE_DIR", field)).reshape(-1, 2)[0]
    frequency = np.asarray(windows.getcell("CHAN_FREQ", window), np.float64).reshape(-1)
    return VisibilitySet(
        path,
        "measurement set",
        torch.from_numpy(frequency),
        (float(direction[0]), float(direction[1])),
        rows.nrows(),
        _antennas(path),
        (*notes, *said, f"visibilities are {column}" if column else "only its coverage is read"),
        _Loader(rows, column, weights, hands, len(frequency)),
    )


@dataclass(frozen=True, eq=False)
class _Loader:
    rows: Any
    column: str | None
    weights: str | None
    hands: Sequence[int]
    channels: int

    def __call__(self, start: int, stop: int, chosen: Sequence[int] | None = None) -> VisibilityChunk:
        rows, count = self.rows, stop - start
        names = rows.colnames()
        flags = self._cells("FLAG", start, count, chosen) if "FLAG" in names else None
        if self.column is None:
            channels = self.channels if chosen is None else len(chosen)
            values = np.zeros((count, channels, len(self.hands)), np.complex64)
        else:
            values = self._cells(self.column, start, count, chosen)
        weights = self._weights(start, count, values.shape, chosen)
        if flags is not None:
            weights[flags] = 0
        if "FLAG_ROW" in names:
            weights[rows.getcol("FLAG_ROW", start, count)] = 0
        combined = stokes_i(values, weights)
        pairs = (rows.getcol("ANTENNA1", start, count), rows.getcol("ANTENNA2", start, count))
        # A measurement set means exp(+2 pi i (u l + v m + w (n - 1))), as WSClean reads it.
        return chunk_of(-rows.getcol("UVW", start, count), *combined, rows.getcol("TIME", start, count), pairs)

    def _cells(self, column: str, start: int, count: int, chosen: Sequence[int] | None) -> np.ndarray:
        """Return a column of cells (channel, correlation): of the channels ``chosen`` those between are read, too."""
        if chosen is None:
            return self.rows.getcol(column, start, count)[..., list(self.hands)]
        first, last = min(chosen), max(chosen)
        ends = [first, min(self.hands)], [last, max(self.hands)]
        cells = self.rows.getcolslice(column, *ends, [], start, count)
        return cells[:, [n - first for n in chosen]][..., [n - ends[0][1] for n in self.hands]]

    def _weights(
        self, start: int, count: int, shape: tuple[int, ...], chosen: Sequence[int] | None = None
    ) -> np.ndarray:
        if self.weights is None:
            return np.ones(shape, np.float32)
        if self.weights.endswith("SPECTRUM"):
            given = np.array(self._cells(self.weights, start, count, chosen), np.float32)
        else:
            given = np.array(self.rows.getcol(self.weights, start, count)[..., list(self.hands)], np.float32)
        if self.weights.startswith("SIGMA"):
            given = np.divide(1, np.square(given), out=np.zeros_like(given), where=given > 0)
        return np.broadcast_to(given if given.ndim == 3 else given[:, None], shape).copy()


def _table(path: Path) -> Any:
    tables = require("casacore.tables", "radio")
    if not (path / "table.dat").is_file():
        raise MetaoptError(
            f"has no {path.name}/table.dat, so it is no whole measurement set; copy the folder again with all it holds."
        )
    return tables.table(str(path), ack=False, readonly=True, lockoptions="autonoread")


def _field(asked: int | str | None, present: set[int], names: Sequence[str]) -> int:
    said = ", ".join(
        f"{number} ({names[number]})" if number < len(names) else str(number) for number in sorted(present)
    )
    if asked is None:
        if len(present) > 1:
            raise MetaoptError(f"holds several fields: {said}; choose one by field=NUMBER or its name.")
        return next(iter(present))
    matching = [n for n in sorted(present) if asked == n or (n < len(names) and str(asked) in (names[n], str(n)))]
    if len(matching) != 1:
        raise MetaoptError(f"has no data of field {asked!r:.80}; its fields are {said}.")
    return matching[0]


def _window(asked: int | None, present: Sequence[int], windows: Any) -> int:
    def said(number: int) -> str:
        f = np.asarray(windows.getcell("CHAN_FREQ", number)).reshape(-1) / 1e6
        return f"{number} ({len(f)} channels, {f.min():.6g} to {f.max():.6g} MHz)"

    if asked is None and len(present) == 1:
        return present[0]
    listed = ", ".join(map(said, present))
    if asked is None:
        raise MetaoptError(f"holds several spectral windows: {listed}; choose one by window=NUMBER.")
    if asked not in present:
        raise MetaoptError(f"has no data of spectral window {asked!r:.80}; its windows are {listed}.")
    return int(asked)


def _column(choice: Choice, names: Sequence[str]) -> str | None:
    if not choice.values:
        return None
    present = [name for name in COLUMNS if name in names]
    if choice.column is not None:
        if choice.column not in names:
            raise MetaoptError(
                f"has no column {choice.column!r:.80}; those of visibilities are {', '.join(present) or 'none'}."
            )
        return choice.column
    measured = [name for name in present if name != "MODEL_DATA"]
    if not measured:
        raise MetaoptError(
            f"has no column DATA (of visibilities: {', '.join(present) or 'none'}); choose one by column=NAME, or read "
            "its baselines, flags and weights alone by read_coverage."
        )
    if len(measured) > 1:
        warnings.warn(
            f"Of the columns {', '.join(present)} the calibrated {measured[0]} is read; column=NAME reads another.",
            MetaoptWarning,
            stacklevel=6,
        )
    return measured[0]


def _probe(rows: Any, column: str, path: Path) -> None:
    """Read one cell, so that a missing file is found when the set is opened."""
    try:
        rows.getcell(column, 0)
    except RuntimeError as error:
        file = re.search(r"table\.f\w+", str(error))
        what = f"its file {file[0]} is missing or damaged" if file else f"casacore says {' '.join(str(error).split())}"
        others = [name for name in COLUMNS if name in rows.colnames() and name != column]
        raise MetaoptError(
            f"has no visibilities in its column {column}: {what}; copy {path.name} again with all its files, "
            f"{f'choose column {others[0]!r}, ' if others else ''}or read its baselines, flags and weights alone by "
            "read_coverage."
        ) from error


def _weight_column(rows: Any) -> tuple[str | None, list[str]]:
    """Return the column of weights, the finest that is filled, and what is to be said about it."""
    names = rows.colnames()
    for name in ("WEIGHT_SPECTRUM", "WEIGHT", "SIGMA_SPECTRUM", "SIGMA"):
        if name in names and rows.iscelldefined(name, 0) and rows.getcol(name, 0, min(rows.nrows(), 100)).any():
            return name, [f"weights are {'1 / ' if name[0] == 'S' else ''}{name}{'^2' if name[0] == 'S' else ''}"]
    return None, ["no column of weights is filled, so all weights are 1, and the noise is not known"]


def _antennas(path: Path) -> Antennas:
    table = _table(path / "ANTENNA")
    return Antennas(
        tuple(table.getcol("NAME")),
        torch.from_numpy(np.array(table.getcol("POSITION"), np.float64).reshape(-1, 3)),
        torch.from_numpy(np.array(table.getcol("DISH_DIAMETER"), np.float64)),
    )
