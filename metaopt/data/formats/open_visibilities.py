"""Open visibilities of every format that the library reads."""

from __future__ import annotations

from pathlib import Path

from ...arguments.contracts import checked
from ...core.errors import MetaoptError
from ...files import named_errors
from .measurement_set import Choice, open_measurement_set
from .processing_set import open_processing_set
from .uvfits import open_uvfits
from .visibility_arrays import open_visibility_archive
from .visibility_set import VisibilitySet


@checked
def read_visibilities(
    path: str | Path,
    column: str | None = None,
    window: int | None = None,
    field: int | str | None = None,
) -> VisibilitySet:
    """Open a set of visibilities, to be read as Stokes I, whole or in chunks.

    Measurement sets are read by python-casacore (version 2) or xradio (version 4, zarr), uvfits by astropy, and
    archives of NumPy as :func:`write_visibilities` makes them. Autocorrelations are left out. The weights are
    WEIGHT_SPECTRUM, WEIGHT or 1 / SIGMA^2, whichever is filled first, and 0 where a flag is set or a number is not
    finite.

    Args:
        path: The folder of a measurement set, or a file.
        column: The column of a measurement set. None: CORRECTED_DATA where there is one, and DATA otherwise.
        window: The spectral window, counted from 0. None: the only one.
        field: The field, by its number or name. None: the only one.

    Returns:
        What was found; its methods ``chunks`` and ``read`` read it.

    Raises:
        MetaoptError: It is missing, damaged or of no known format, it has several windows or fields and none is chosen,
            or the column or its file is missing.
    """
    return _opened(Path(path), Choice(column, window, field))


@checked
def read_coverage(path: str | Path, window: int | None = None, field: int | str | None = None) -> VisibilitySet:
    """Open the baselines, flags and weights of a set alone, for simulations; its visibilities are read as 0.

    Args:
        path: The folder of a measurement set, whose column DATA may be missing, or a file.
        window: The spectral window, counted from 0. None: the only one.
        field: The field, by its number or name. None: the only one.

    Returns:
        What was found.

    Raises:
        MetaoptError: As of :func:`read_visibilities`, but for the column.
    """
    return _opened(Path(path), Choice(None, window, field, values=False))


def _opened(path: Path, choice: Choice) -> VisibilitySet:
    with named_errors(path, "visibilities"):
        if path.is_dir():
            if (path / ".zgroup").exists() or (path / "zarr.json").exists() or path.suffix == ".zarr":
                return open_processing_set(path, choice)
            return open_measurement_set(path, choice)
        if path.exists() and not path.is_file():
            raise MetaoptError("is a pipe or a device, not a file of visibilities; write it to a file first.")
        with path.open("rb") as file:
            head = file.read(80)
        if head.startswith(b"SIMPLE  ="):
            return open_uvfits(path, choice)
        if head.startswith(b"PK\x03\x04"):
            return open_visibility_archive(path, choice.values)
        if not head:
            raise MetaoptError("is empty (0 bytes); it was probably not saved or copied whole.")
        raise MetaoptError(
            "is not of a known format; measurement sets (folders), uvfits, and archives of NumPy (.npz) are."
        )
