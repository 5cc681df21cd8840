"""Say where the stations of radio interferometers are, and how sensitive they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ...arguments.contracts import checked
from ...core.errors import MetaoptError
from ...data import data_path
from ...data.formats.visibility_set import Antennas

# The 6 km configuration 6A of the Australia Telescope Compact Array, ITRF in metres, from its observations.
_ATCA = (
    (-4750915.837, 2792906.182, -3200483.747),
    (-4750597.04570635, 2793446.72908046, -3200483.741),
    (-4750153.83791614, 2794198.20584545, -3200483.741),
    (-4749609.54570021, 2795121.10473124, -3200483.74),
    (-4749430.7099772, 2795424.33340968, -3200483.718),
    (-4747898.91577166, 2798021.57694519, -3200483.683),
)


@dataclass(frozen=True)
class _Array:
    """The file of its stations, and the system equivalent flux density of one, with what it is taken from.

    ``sefd`` is in jansky, of one polarization, near ``frequency`` in hertz, and rounded; ``efficiency`` is that of the
    correlator, 1 where it is not known or in ``sefd``.
    """

    file: str
    sefd: float
    frequency: float
    efficiency: float
    source: str


_VLA = _Array("", 420.0, 1.5e9, 0.93, "NRAO, VLA Observational Status Summary, sensitivity, L band and 8-bit samplers")
_LOFAR = "read off figure 22 of van Haarlem et al., 2013, doi:10.1051/0004-6361/201220873, to about 20 %"
_MEERKAT = "426 Jy of https://www.meerkatplus.tel/image-sensitivity-for-a-heterogenous-array"
_SKA = f"the mean of 133 dishes of 312 Jy and 64 of MeerKAT, {_MEERKAT}"
ARRAYS = {
    **{f"vla-{letter}": replace(_VLA, file=f"vla{letter}.itrf.txt") for letter in "abcd"},
    "meerkat": _Array("meerkat.itrf.txt", 430.0, 1.3e9, 0.96, _MEERKAT),
    "ska1-mid": _Array("skamid197.itrf.txt", 350.0, 1.4e9, 0.95, _SKA),
    "lofar": _Array("lofar_nl.itrf.txt", 2800.0, 1.5e8, 1.0, _LOFAR),
    "wsrt": _Array("wsrt.itrf.txt", 310.0, 1.4e9, 1.0, "2 k T / A of 30 K, 25 m and an aperture efficiency of 0.54"),
    "kat-7": _Array("kat-7.itrf.txt", 1000.0, 1.8e9, 1.0, "2 k T / A of 27 K, 12 m and an aperture efficiency of 0.66"),
    "atca": _Array("", 350.0, 2.1e9, 0.88, "2 k T / A of 29 K, 22 m and an aperture efficiency of 0.6"),
}


@checked
def array_names() -> tuple[str, ...]:
    """Return the names of the arrays that :func:`read_array` knows."""
    return tuple(ARRAYS)


def _known(name: str) -> _Array:
    found = ARRAYS.get(name.lower())
    if found is None:
        raise MetaoptError(f"There is no array {name!r:.80}; those known are {', '.join(ARRAYS)}.")
    return found


@checked
def read_array(name: str, folder: str | Path = "radio/antennas") -> Antennas:
    """Read the stations of an array.

    Args:
        name: One of :func:`array_names`, in any case; or the path of a table whose rows are x, y and z in metres of the
            ITRF, and then the diameter of the dish and the station's name where they are known.
        folder: The folder of the tables of the data set ``radio/antennas``, absolute or below METAOPT_DATA.

    Returns:
        The stations.

    Raises:
        MetaoptError: There is no such array or table, or it holds no stations.
    """
    path = Path(name)
    if name.lower() not in ARRAYS and path.is_file():
        return _table(path)
    file = _known(name).file
    if file:
        return _table(data_path(folder) / file)
    positions = torch.tensor(_ATCA, dtype=torch.float64)
    return Antennas(tuple(f"CA{n:02d}" for n in range(1, 7)), positions, torch.full((6,), 22.0, dtype=torch.float64))


@checked
def sefd(name: str) -> tuple[float, float]:
    """Return the system equivalent flux density of a station of an array, and the efficiency of its correlator.

    The figures are nominal, rounded to two digits, and hold in one band (:func:`band`); real ones differ by tens of per
    cent with frequency, weather and station. Of the VLA and MeerKAT they are the observatories', of SKA1-MID the mean
    of its dishes and MeerKAT's, of LOFAR that of a core station, read off a figure; of ATCA, WSRT and KAT-7 they are
    ``2 k T / A`` of typical system temperatures and aperture efficiencies. The efficiencies of the correlators of
    MeerKAT, SKA1-MID and ATCA are typical ones of their samplers, not measured.

    Args:
        name: One of :func:`array_names`.

    Returns:
        (jansky of one polarization, efficiency).

    Raises:
        MetaoptError: There is no such array.

    Source:
        NRAO, VLA Observational Status Summary 2025A, https://science.nrao.edu/facilities/vla/docs/manuals/oss;
        MeerKAT+, https://www.meerkatplus.tel/image-sensitivity-for-a-heterogenous-array; van Haarlem et al., LOFAR,
        2013, doi:10.1051/0004-6361/201220873.
    """
    found = _known(name)
    return found.sefd, found.efficiency


@checked
def band(name: str) -> float:
    """Return the frequency in hertz at which :func:`sefd` of an array holds.

    Args:
        name: One of :func:`array_names`.

    Raises:
        MetaoptError: There is no such array.
    """
    return _known(name).frequency


def _table(path: Path) -> Antennas:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MetaoptError(f"{path} is no table of stations ({error}).") from error
    rows = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if words:
            rows.append(_station(words, number, path))
    if len(rows) < 2:
        raise MetaoptError(f"{path} has {len(rows)} stations; an interferometer has at least 2.")
    numbers = torch.tensor([row[:4] for row in rows], dtype=torch.float64)
    if not bool(numbers.isfinite().all()):
        raise MetaoptError(f"{path} holds positions that are not finite.")
    return Antennas(tuple(row[4] for row in rows), numbers[:, :3].contiguous(), numbers[:, 3].contiguous())


def _station(words: list[str], number: int, path: Path) -> tuple[float, float, float, float, str]:
    """Return x, y, z, diameter and name of a line."""
    try:
        x, y, z, diameter = (float(word) for word in [*words[:3], *words[3:4], "0"][:4])
    except ValueError:
        raise MetaoptError(
            f"Line {number} of {path} is not x, y, z in metres, a diameter and a name: {' '.join(words)!r:.80}."
        ) from None
    return x, y, z, diameter, words[4] if len(words) > 4 else str(number)
