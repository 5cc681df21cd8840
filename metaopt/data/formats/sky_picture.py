"""Read and write pictures of the sky in FITS, with their place, frequency and unit."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...arguments.checks import check_finite, check_instance, check_number, check_tensor
from ...arguments.contracts import checked
from ...core.errors import MetaoptError, MetaoptWarning
from ...files import named_errors, replacing
from ...foundation.extras import require

UNITS = ("JY/PIXEL", "JY/BEAM")
BLOCK = 2880  # bytes, of which FITS files have a whole number
SHIFTED = 0.1  # of a pixel, by which another projection may move the corners


@dataclass(frozen=True, eq=False)
class SkyPicture:
    """A picture of the sky, or one for each channel: rows grow to the north, columns to the west.

    Args:
        pixels: (F, H, W) float32 or float64.
        cell: The size of a pixel in radians; None where the file does not say.
        direction: (right ascension, declination) of pixel (H // 2, W // 2) in radians, J2000; None where not known.
        frequency: (F,) float64 in hertz; None where not known.
        unit: ``JY/PIXEL`` or ``JY/BEAM``, or what else the file says.
        beam: (major axis, minor axis, position angle) of the restoring beam in radians, at half of its height; None
            where there is none.

    Raises:
        MetaoptError: The arguments have other shapes.
    """

    pixels: Tensor
    cell: float | None = None
    direction: tuple[float, float] | None = None
    frequency: Tensor | None = None
    unit: str = "JY/PIXEL"
    beam: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        check_tensor("The pixels of a SkyPicture", self.pixels, "real", "(F, H, W)")
        if not self.pixels.numel():
            raise MetaoptError(f"A SkyPicture needs at least one pixel, but got {tuple(self.pixels.shape)}.")
        if self.cell is not None:
            check_number("The cell of a SkyPicture", self.cell, above=0)
        if self.frequency is not None:
            check_tensor("The frequency of a SkyPicture", self.frequency, "real", "(F,)")
            check_finite("The frequency of a SkyPicture", self.frequency)
            if len(self.frequency) != len(self.pixels):
                raise MetaoptError(
                    f"A SkyPicture of {len(self.pixels)} channels needs as many frequencies, not {len(self.frequency)}."
                )
        if not isinstance(self.unit, str):
            raise MetaoptError("The unit of a SkyPicture is a text, such as 'JY/PIXEL'.")
        for name, given, count in (("direction", self.direction, 2), ("beam", self.beam, 3)):
            if given is None:
                continue
            if not isinstance(given, tuple) or len(given) != count:
                raise MetaoptError(f"The {name} of a SkyPicture is {count} angles in radians.")
            for angle in given:
                check_number(f"An angle of the {name}", angle)

    def per_pixel(self) -> SkyPicture:
        """Return the picture in Jy/pixel, divided by the pixels of the beam where it is in Jy/beam.

        Raises:
            MetaoptError: The unit is another, or the beam or the size of a pixel is not known.
        """
        if self.unit == "JY/PIXEL":
            return self
        if self.unit != "JY/BEAM" or self.beam is None or self.cell is None or not min(self.beam[:2]) > 0:
            raise MetaoptError(
                f"A picture in {self.unit or 'an unknown unit'} with the beam {self.beam} cannot be turned to "
                "Jy/pixel; set BUNIT to JY/PIXEL, or to JY/BEAM with BMAJ and BMIN."
            )
        area = math.pi * self.beam[0] * self.beam[1] / (4 * math.log(2) * self.cell**2)
        return replace(self, pixels=self.pixels / area, unit="JY/PIXEL")


@checked
def read_sky_picture(path: str | Path) -> SkyPicture:
    """Read a picture of FITS; it is turned so that north is at the last row and east at the first column.

    Args:
        path: The file.

    Returns:
        The picture, Stokes I where there are several. Pixels that are blank are taken for 0, with a warning.

    Raises:
        MetaoptError: It holds no picture, its axes are others than right ascension, declination, frequency and Stokes,
            it is rotated, its pixels are no squares, or its projection is not SIN and differs from it by more than a
            tenth of a pixel.
    """
    path = Path(path)
    fits = require("astropy.io.fits", "radio")
    with named_errors(path, "picture"), quiet(), path.open("rb") as opened, fits.open(opened) as file:
        if file[0].header.get("GROUPS") and file[0].header.get("NAXIS1") == 0:
            raise MetaoptError("holds visibilities (random groups) and no picture; read_visibilities reads them.")
        found = [hdu for hdu in file if hdu.is_image and hdu.header.get("NAXIS", 0) >= 2]
        if not found:
            raise MetaoptError("holds no picture: no part of it has two axes or more.")
        return _picture(found[0].header, np.array(found[0].data, np.float64))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep astropy from warning of headers that are odd and can be read all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", require("astropy.utils.exceptions", "radio").AstropyWarning)
        yield


def _picture(header: Any, array: np.ndarray) -> SkyPicture:
    names = {_name(header, n): n for n in range(1, header["NAXIS"] + 1)}
    unit = "".join(str(header.get("BUNIT", "")).upper().split())
    if not any(str(header.get(f"CTYPE{n}", "")).strip() for n in (1, 2)):
        if any(n > 1 for n in array.shape[:-2]):
            raise MetaoptError(
                f"has axes of {array.shape[::-1]} pixels without CTYPE, so they are not known; set CTYPE1 to RA---SIN, "
                "CTYPE2 to DEC--SIN, CTYPE3 to FREQ."
            )
        return SkyPicture(_filled(array.reshape(1, *array.shape[-2:])), unit=unit or "JY/PIXEL")
    for name in ("RA", "DEC"):
        if name not in names:
            raise MetaoptError(
                f"has no axis {name} among {', '.join(names)}; pictures have right ascension and declination, with "
                "CTYPE RA---SIN and DEC--SIN."
            )
    array, frequency = _cube(header, names, array)
    cell, direction, flips = _place(header, names)
    array = array[:, :: flips[1], :: flips[0]]
    beam = None
    if float(header.get("BMAJ", 0) or 0) > 0 and float(header.get("BMIN", 0) or 0) > 0:
        major, minor, angle = (math.radians(float(header.get(key, 0))) for key in ("BMAJ", "BMIN", "BPA"))
        beam = (major, minor, angle)
    return SkyPicture(_filled(array), cell, direction, frequency, unit or "JY/PIXEL", beam)


def _name(header: Any, number: int) -> str:
    return str(header.get(f"CTYPE{number}", "")).strip().upper().partition("-")[0] or f"axis {number}"


def _cube(header: Any, names: Mapping[str, int], array: np.ndarray) -> tuple[np.ndarray, Tensor | None]:
    """Return the pixels as (F, row, column), and the frequencies."""
    count = array.ndim
    if "STOKES" in names:
        values = _values(header, names["STOKES"])
        if 1 not in np.round(values):
            raise MetaoptError(f"has no Stokes I, but the Stokes parameters {values.tolist()}.")
        place = count - names["STOKES"]
        chosen = int(np.flatnonzero(np.round(values) == 1)[0])
        array = array.take([chosen], place)
    wanted = {count - names[name] for name in ("RA", "DEC", "FREQ") if name in names}
    for place in set(range(count)) - wanted:
        if array.shape[place] > 1:
            name = _name(header, count - place)
            raise MetaoptError(f"has {array.shape[place]} pixels along its axis {name}, which is none of a picture's.")
    order = [count - names[name] for name in ("FREQ", "DEC", "RA") if name in names]
    rest = [place for place in range(count) if place not in order]
    array = array.transpose(*rest, *order).reshape(-1, *(array.shape[count - names[n]] for n in ("DEC", "RA")))
    if "FREQ" not in names:
        return array, None
    frequency = _values(header, names["FREQ"])
    if not (frequency > 0).all():
        raise MetaoptError("has frequencies of 0 or less; set CRVAL, CRPIX and CDELT of its axis FREQ, in hertz.")
    return array, torch.from_numpy(frequency)


def _values(header: Any, number: int) -> np.ndarray:
    steps = np.arange(header[f"NAXIS{number}"]) + 1 - float(header.get(f"CRPIX{number}", 1))
    step = float(header.get(f"CDELT{number}", header.get(f"CD{number}_{number}", 1)))
    return float(header.get(f"CRVAL{number}", 0)) + steps * step


def _place(header: Any, names: Mapping[str, int]) -> tuple[float, tuple[float, float], tuple[int, int]]:
    """Return the size of a pixel, the direction of the middle and in which direction to read columns and rows."""
    wcs = require("astropy.wcs", "radio")
    sky = wcs.WCS(header).celestial
    across, along = (names[name] for name in ("RA", "DEC"))
    order = [0, 1] if across < along else [1, 0]  # astropy keeps the order of the axes
    matrix = sky.pixel_scale_matrix[order][:, order]
    steps = np.diag(matrix)
    if abs(np.array([matrix[0, 1], matrix[1, 0]])).max() > 1e-6 * abs(steps).max():
        raise MetaoptError("is rotated: its rows do not follow right ascension; reproject it first.")
    if not abs(steps).min() > 0 or abs(abs(steps[0] / steps[1]) - 1) > 1e-4:
        raise MetaoptError(f"has pixels of {steps[0]:.6g} x {steps[1]:.6g} degrees, which are no squares; resample it.")
    cell = math.radians(abs(float(steps[1])))
    width, height = header[f"NAXIS{across}"], header[f"NAXIS{along}"]
    projection = str(header[f"CTYPE{across}"]).strip().upper()[-3:]
    reach = math.hypot(width / 2, height / 2)
    shift = reach * (reach * cell) ** 2 / 2  # pixels between sine and tangent; other projections are nearer
    if projection != "SIN" and shift > SHIFTED:
        raise MetaoptError(
            f"has the projection {projection}, whose corners differ from SIN by {shift:.2g} pixels; reproject it."
        )
    flips = (1 if steps[0] < 0 else -1, 1 if steps[1] > 0 else -1)
    middle = [n // 2 if flip > 0 else n - 1 - n // 2 for n, flip in zip((width, height), flips, strict=True)]
    right, declination = sky.wcs_pix2world([[middle[n] for n in order]], 0)[0][order].tolist()
    return cell, (math.radians(right), math.radians(declination)), flips


def _filled(array: np.ndarray) -> Tensor:
    blank = ~np.isfinite(array)
    if blank.any():
        warnings.warn(f"{int(blank.sum())} pixels are blank, and are taken for 0.", MetaoptWarning, stacklevel=6)
    return torch.from_numpy(np.ascontiguousarray(np.where(blank, 0, array)))


@checked
def write_sky_picture(path: str | Path, picture: SkyPicture, planes: Any = None) -> None:
    """Write a picture as FITS, with the axes RA---SIN, DEC--SIN, FREQ where it is known, and STOKES.

    Args:
        path: The file.
        picture: The picture, with its cell and direction.
        planes: An iterable of the pixels (H, W) of each channel, which are written in the place of the picture's as
            they come, so that a cube need not fit into memory.

    Raises:
        MetaoptError: The size of a pixel or the direction is not known, the channels are not evenly spaced, the planes
            are not those of the picture, or the file cannot be written.
    """
    check_instance("The picture", picture, SkyPicture)
    if planes is not None:
        check_instance("The planes of write_sky_picture", planes, Iterable, "give the pixels (H, W) of each channel")
    header = _header(picture)
    with replacing(Path(path)) as file:
        file.write(header.tostring().encode("ascii"))
        count, size = 0, tuple(picture.pixels.shape[1:])
        for plane in picture.pixels if planes is None else planes:
            if tuple(plane.shape) != size:
                raise MetaoptError(f"Plane {count} of the picture is {tuple(plane.shape)}, but its pixels are {size}.")
            file.write(plane.detach().cpu().numpy().astype(">f4").tobytes())
            count += 1
        if count != len(picture.pixels):
            raise MetaoptError(f"The picture has {len(picture.pixels)} channels, but {count} planes were given.")
        file.write(bytes(-file.tell() % BLOCK))


def _header(picture: SkyPicture) -> Any:
    if picture.cell is None or picture.direction is None:
        raise MetaoptError("A picture is written with its cell and direction; dataclasses.replace sets them.")
    count, height, width = picture.pixels.shape
    header = require("astropy.io.fits", "radio").Header()
    cell, right, declination = (math.degrees(angle) for angle in (picture.cell, *picture.direction))
    axes = [
        ("RA---SIN", width // 2 + 1.0, right % 360, -cell, "deg"),
        ("DEC--SIN", height // 2 + 1.0, declination, cell, "deg"),
    ]
    if picture.frequency is not None:
        axes.append(("FREQ", 1.0, *_spacing(picture.frequency), "Hz"))
    elif count > 1:
        raise MetaoptError(f"A picture of {count} channels is written with their frequencies; give them.")
    axes.append(("STOKES", 1.0, 1.0, 1.0, ""))
    sizes = (width, height, *[count] * (picture.frequency is not None), 1)
    for key, entry in (("SIMPLE", True), ("BITPIX", -32), ("NAXIS", len(axes))):
        header[key] = entry
    for number, size in enumerate(sizes, 1):
        header[f"NAXIS{number}"] = size
    for number, (name, middle, value, delta, unit) in enumerate(axes, 1):
        for key, entry in (("CTYPE", name), ("CRPIX", middle), ("CRVAL", value), ("CDELT", delta), ("CUNIT", unit)):
            header[f"{key}{number}"] = entry
    header["BUNIT"], header["BTYPE"], header["EQUINOX"], header["RADESYS"] = picture.unit, "Intensity", 2000.0, "FK5"
    header["SPECSYS"] = "TOPOCENT"
    if picture.beam is not None:
        for key, angle in zip(("BMAJ", "BMIN", "BPA"), picture.beam, strict=True):
            header[key] = math.degrees(angle)
    return header


def _spacing(frequency: Tensor) -> tuple[float, float]:
    values = frequency.double()
    steps = values.diff()
    if len(steps) and float((steps - steps.mean()).abs().max()) > 1e-3 * float(steps.mean().abs()):
        raise MetaoptError(
            "Channels that are not evenly spaced have no axis in FITS; write them as several files, or leave some out."
        )
    return float(values[0]), float(steps.mean()) if len(steps) else 1.0
