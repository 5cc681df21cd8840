"""Say what a reader of one format gives, and what it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .kspace_axes import Layout
from .kspace_geometry import Geometry


@dataclass(frozen=True)
class Request:
    """Hold what the user of a file asks for.

    Args:
        path: The file.
        axes: Words for the axes, or None.
        variable: The name of the array, or None.
        select: The entry to read of each axis that is never mixed.
    """

    path: Path
    axes: str | None
    variable: str | None
    select: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Stored:
    """Hold how k-space is read from a file, as it is stored there.

    Args:
        layout: The axes and sizes.
        load: Reads some coils of a slice, (coils, ...).
        geometry: Where it lies in space.
        counted: Tells of a slice by the file's counters where it was sampled, (...); None: where it is not zero.
        noise: (C, N) samples of noise alone, or None.
        reference: Reads the picture of a slice; None where there are none.
        calibration: Reads the lines of a slice that were measured for calibration alone, (C, ...), or None.
        notes: What a user should know.
    """

    layout: Layout
    load: Callable[[int, slice], np.ndarray]
    geometry: Geometry = field(default_factory=Geometry)
    counted: Callable[[int], np.ndarray] | None = None
    noise: np.ndarray | None = None
    reference: Callable[[int], np.ndarray] | None = None
    calibration: Callable[[int], np.ndarray] | None = None
    notes: tuple[str, ...] = ()
