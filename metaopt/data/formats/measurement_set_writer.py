"""Write measurement sets that WSClean, CASA and this library read."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ...arguments.checks import check_instance
from ...core.errors import MetaoptError
from ...foundation.extras import require
from .visibility_set import Antennas, VisibilityChunk, check_parts, checked_chunks

HANDS = 2  # XX and YY, since not every program reads Stokes I
TILE = 2**18  # bytes


def write_measurement_set(
    path: str | Path,
    chunks: Iterable[VisibilityChunk],
    frequency: Tensor,
    direction: tuple[float, float],
    antennas: Antennas,
    *,
    field: str = "field",
    telescope: str = "simulated",
) -> None:
    """Write visibilities as a measurement set of version 2.

    Stokes I is written as XX and YY, both the same, each with half its weight. WEIGHT_SPECTRUM, WEIGHT and SIGMA hold
    the weights, FLAG where they are 0. Chunks are written as they come, so that memory does not grow with the set.

    Args:
        path: The folder to make; nothing may be there yet.
        chunks: The rows, as :class:`VisibilitySet` reads them.
        frequency: (F,) in hertz, equally wide channels.
        direction: (right ascension, declination) of the phase centre in radians, J2000.
        antennas: The stations.
        field: The name of the field.
        telescope: The name of the telescope.

    Raises:
        MetaoptError: Something is at that path, nothing can be written there, chunks do not fit the channels or
            antennas, there is none, or python-casacore is not installed.
    """
    tables, path = require("casacore.tables", "radio"), Path(path)
    direction = check_parts(frequency, direction, antennas)
    check_instance("The antennas of a measurement set", antennas, Antennas)
    if path.exists():
        raise MetaoptError(f"{path} exists already; remove it, or write elsewhere.")
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        main = _made(tables, part, len(frequency))
        try:
            times = _write_rows(main, checked_chunks(chunks, len(frequency)), len(antennas.names))
            _write_subtables(tables, part, frequency.double().numpy(), direction, antennas, field, telescope, times)
        finally:
            main.close()
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        cause = " ".join(str(error).split())
        raise MetaoptError(f"{path} cannot be written ({cause}); free some room, or write elsewhere.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _made(tables: Any, path: Path, channels: int) -> Any:
    shape = [channels, HANDS]

    def described(name: str, value: Any, kind: str) -> Any:
        return tables.makearrcoldesc(
            name,
            value,
            ndim=2,
            shape=shape,
            valuetype=kind,
            datamanagertype="TiledColumnStMan",
            datamanagergroup=f"Tiled{name}",
        )

    wanted = tables.maketabdesc(
        [described("DATA", 0j, "complex"), described("WEIGHT_SPECTRUM", 0.0, "float"), described("FLAG", False, "bool")]
    )
    managers = {
        f"*{number}": {
            "NAME": f"Tiled{name}",
            "TYPE": "TiledColumnStMan",
            "COLUMNS": [name],
            "SPEC": {"DEFAULTTILESHAPE": [HANDS, channels, max(1, TILE // (size * channels * HANDS))]},
        }
        for number, (name, size) in enumerate((("DATA", 8), ("WEIGHT_SPECTRUM", 4), ("FLAG", 1)), 1)
    }
    return tables.default_ms(str(path), wanted, managers)


def _write_rows(main: Any, chunks: Iterable[VisibilityChunk], antennas: int) -> tuple[float, float]:
    """Append the chunks, and return the first and the last time."""
    times: list[float] = []
    for chunk in chunks:
        count, start = len(chunk.uvw), main.nrows()
        if count and int(max(chunk.antenna1.max(), chunk.antenna2.max())) >= antennas:
            raise MetaoptError(f"A chunk has antennas beyond the {antennas} that are given, which are counted from 0.")
        weights = np.repeat(chunk.weights.numpy()[..., None].astype(np.float32) / HANDS, HANDS, -1)
        flags = ~(weights > 0)
        mean = weights.sum(1) / np.maximum((~flags).sum(1), 1)
        main.addrows(count)
        columns = {
            "UVW": -chunk.uvw.double().numpy(),
            "DATA": np.repeat(chunk.visibilities.numpy()[..., None].astype(np.complex64), HANDS, -1),
            "WEIGHT_SPECTRUM": weights,
            "FLAG": flags,
            "FLAG_ROW": flags.all((1, 2)),
            "WEIGHT": mean,
            "SIGMA": np.divide(1, np.sqrt(mean), out=np.zeros_like(mean), where=mean > 0),
            "ANTENNA1": chunk.antenna1.numpy().astype(np.int32),
            "ANTENNA2": chunk.antenna2.numpy().astype(np.int32),
            "TIME": chunk.time.double().numpy(),
            "TIME_CENTROID": chunk.time.double().numpy(),
        }
        for name, values in columns.items():
            main.putcol(name, values, start, count)
        for name, value in (("EXPOSURE", 1.0), ("INTERVAL", 1.0)):
            main.putcol(name, np.full(count, value), start, count)
        for name in ("ARRAY_ID", "DATA_DESC_ID", "FIELD_ID", "OBSERVATION_ID", "FEED1", "FEED2", "SCAN_NUMBER"):
            main.putcol(name, np.zeros(count, np.int32), start, count)
        for name in ("PROCESSOR_ID", "STATE_ID"):
            main.putcol(name, np.full(count, -1, np.int32), start, count)
        times += [float(chunk.time.min()), float(chunk.time.max())] if count else []
    return min(times), max(times)


def _write_subtables(
    tables: Any,
    path: Path,
    frequency: np.ndarray,
    direction: tuple[float, float],
    antennas: Antennas,
    field: str,
    telescope: str,
    times: tuple[float, float],
) -> None:
    rows = {**_instrument(antennas, times[0]), **_observation(frequency, direction, field, telescope, times)}
    for name, columns in rows.items():
        table = tables.table(str(path / name), readonly=False, ack=False)
        table.addrows(len(next(iter(columns.values()))))
        for column, values in columns.items():
            table.putcol(column, values)
        if "FLAG_ROW" in table.colnames():
            table.putcol("FLAG_ROW", np.zeros(table.nrows(), bool))
        table.close()


def _instrument(antennas: Antennas, time: float) -> dict[str, dict[str, Any]]:
    """Return the rows of the tables that describe the array, column by column."""
    stations = len(antennas.names)
    linear = np.array([["X", "Y"]] * stations)
    return {
        "ANTENNA": {
            "NAME": list(antennas.names),
            "STATION": list(antennas.names),
            "TYPE": ["GROUND-BASED"] * stations,
            "MOUNT": ["ALT-AZ"] * stations,
            "POSITION": antennas.positions.double().numpy(),
            "OFFSET": np.zeros((stations, 3)),
            "DISH_DIAMETER": antennas.diameters.double().numpy(),
        },
        "FEED": {
            "ANTENNA_ID": np.arange(stations, dtype=np.int32),
            "BEAM_ID": np.full(stations, -1, np.int32),
            "NUM_RECEPTORS": np.full(stations, HANDS, np.int32),
            "SPECTRAL_WINDOW_ID": np.full(stations, -1, np.int32),
            "TIME": np.full(stations, time),
            "INTERVAL": np.zeros(stations),
            "BEAM_OFFSET": np.zeros((stations, HANDS, 2)),
            "POLARIZATION_TYPE": {"shape": [stations, HANDS], "array": linear.flatten().tolist()},
            "POL_RESPONSE": np.tile(np.eye(HANDS, dtype=np.complex64), (stations, 1, 1)),
            "POSITION": np.zeros((stations, 3)),
            "RECEPTOR_ANGLE": np.zeros((stations, HANDS)),
        },
    }


def _observation(
    frequency: np.ndarray, direction: tuple[float, float], field: str, telescope: str, times: tuple[float, float]
) -> dict[str, dict[str, Any]]:
    """Return the rows of the tables that describe where it looked, when and at which frequencies."""
    middle = np.array([[direction[0], direction[1]]])
    width = np.gradient(frequency) if len(frequency) > 1 else np.array([frequency[0] * 1e-3])
    span = np.full(len(frequency), float(np.abs(width).mean()))
    return {
        "FIELD": {
            "NAME": [field],
            "SOURCE_ID": np.array([-1], np.int32),
            "TIME": np.array([times[0]]),
            "NUM_POLY": np.array([0], np.int32),
            **dict.fromkeys(("PHASE_DIR", "DELAY_DIR", "REFERENCE_DIR"), middle[None]),
        },
        "SPECTRAL_WINDOW": {
            "NAME": ["window 0"],
            "NUM_CHAN": np.array([len(frequency)], np.int32),
            "CHAN_FREQ": frequency[None],
            **dict.fromkeys(("CHAN_WIDTH", "EFFECTIVE_BW", "RESOLUTION"), span[None]),
            "REF_FREQUENCY": frequency[:1],
            "TOTAL_BANDWIDTH": span[:1] * len(frequency),
            "MEAS_FREQ_REF": np.array([5], np.int32),  # topocentric
            "NET_SIDEBAND": np.array([1], np.int32),
        },
        "POLARIZATION": {
            "NUM_CORR": np.array([HANDS], np.int32),
            "CORR_TYPE": np.array([[9, 12]], np.int32),
            "CORR_PRODUCT": np.array([[[0, 0], [1, 1]]], np.int32),
        },
        "DATA_DESCRIPTION": {"SPECTRAL_WINDOW_ID": np.zeros(1, np.int32), "POLARIZATION_ID": np.zeros(1, np.int32)},
        "OBSERVATION": {"TELESCOPE_NAME": [telescope], "OBSERVER": ["metaopt"], "TIME_RANGE": np.array([times])},
    }
