"""Read single CT slices from DICOM files."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...core.errors import MetaoptError
from ...foundation.extras import require

TAGS = (
    "ImageOrientationPatient ImagePositionPatient PixelSpacing RescaleSlope RescaleIntercept SeriesInstanceUID "
    "SeriesNumber SeriesDescription Modality ImageType Rows Columns NumberOfFrames SamplesPerPixel "
    "PhotometricInterpretation SliceThickness PixelPaddingValue BitsAllocated"
).split()
SCALARS = ("SliceThickness", "RescaleSlope", "RescaleIntercept", "PixelPaddingValue")
IMAGES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1")  # storage of CT, and of enhanced CT
# What SimpleITK decodes: JPEG of 8 bits, lossless JPEG, JPEG-LS and JPEG 2000, each in two forms, and run lengths.
RUN_LENGTHS = ("1.2.840.10008.1.2.5",)
WELL_KNOWN = (*(f"1.2.840.10008.1.2.4.{code}" for code in (50, 57, 70, 80, 81, 90, 91)), *RUN_LENGTHS)
STDERR = 2
END, LAST = b"\xff\xd9", 16  # with what every frame of JPEG ends, within its last bytes
LEAST, MOST = -1100.0, 3100.0  # HU, between which a value of padding may be one of tissue
REMEDY = "decompress the slices, as by `gdcmconv --raw` or `dcmdjpeg`, or export them without compression"


class Header(NamedTuple):
    """Hold what a DICOM slice says of itself; what it does not say is empty, or NaN."""

    path: Path
    series: str
    number: int
    description: str
    modality: str
    kind: str
    rows: int
    columns: int
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    pixel: tuple[float, ...]
    thickness: float
    slope: float
    intercept: float
    padding: float


def read_header(path: Path) -> Header | None:
    """Return the header of a DICOM slice.

    Args:
        path: The file.

    Returns:
        The header, or None where the file holds no picture.

    Raises:
        MetaoptError: Several frames, or colours, in words that :func:`~metaopt.files.named_errors` completes.
        Exception: pydicom cannot read the file.
    """
    pydicom: Any = require("pydicom", "airway")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
        rows, columns = _whole(data, "Rows", 0), _whole(data, "Columns", 0)
        if rows < 1 or columns < 1:
            kind = str(data.file_meta.get("MediaStorageSOPClassUID", ""))
            if kind in ("", *IMAGES) and _text(data, "Modality").upper() in ("", "CT"):
                raise MetaoptError("ends within its header; it was cut short, so copy it again.")
            return None
        modality = _text(data, "Modality").upper()
        if modality == "CT" and _whole(data, "NumberOfFrames", 1) != 1:
            raise MetaoptError(
                f"holds {_whole(data, 'NumberOfFrames', 1)} frames in one file (enhanced CT); convert it to NIfTI, as "
                "dcm2niix does, or to single slices."
            )
        kinds = _text(data, "ImageType").upper().split("\\")
        colours = _whole(data, "SamplesPerPixel", 1) != 1 or ("SECONDARY" in kinds[1:2] and modality != "CT")
        if colours:
            return None
        return Header(
            path,
            _text(data, "SeriesInstanceUID"),
            _whole(data, "SeriesNumber", 0),
            _text(data, "SeriesDescription"),
            modality,
            "LOCALIZER" if "LOCALIZER" in kinds else "",
            rows,
            columns,
            _numbers(data, "ImageOrientationPatient", 6),
            _numbers(data, "ImagePositionPatient", 3),
            _numbers(data, "PixelSpacing", 2),
            *((_numbers(data, name, 1) or (math.nan,))[0] for name in SCALARS),
        )


def read_pixels(header: Header) -> np.ndarray:
    """Return the values of a slice in Hounsfield units, (row, column) float32.

    Args:
        header: That of the slice.

    Returns:
        The values; those of padding outside of the range of tissue are -1024.

    Raises:
        MetaoptError: The slice does not say how its numbers become Hounsfield units, or cannot be decoded, in words
            that :func:`~metaopt.files.named_errors` completes.
        Exception: pydicom cannot read the file.
    """
    if not math.isfinite(header.slope) or not math.isfinite(header.intercept) or header.slope == 0:
        raise MetaoptError(
            "does not say how its numbers become Hounsfield units (RescaleSlope and RescaleIntercept); export the "
            "series again, or add the two with `dcmodify` if you know them (often 1 and -1024)."
        )
    pydicom: Any = require("pydicom", "airway")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = pydicom.dcmread(header.path)
        if "PixelData" not in data:
            raise MetaoptError("ends before its voxels; it was cut short, so copy it again.")
        syntax = data.file_meta.TransferSyntaxUID
        values = _decoded(data, header) if syntax.is_encapsulated else _rescaled(data.pixel_array, header)
    if values.shape != (header.rows, header.columns):
        raise MetaoptError(f"holds voxels {values.shape} where it declares {(header.rows, header.columns)}.")
    padding = header.padding * header.slope + header.intercept
    if not LEAST <= padding <= MOST:  # NaN, too, which equals nothing
        values[values == np.float32(padding)] = -1024.0
    return values


def _rescaled(stored: np.ndarray, header: Header) -> np.ndarray:
    return stored.astype(np.float32) * np.float32(header.slope) + np.float32(header.intercept)


def _decoded(data: Any, header: Header) -> np.ndarray:
    """Return the values of a compressed slice, by SimpleITK, or by what pydicom finds for compressions beyond that."""
    syntax: Any = data.file_meta.TransferSyntaxUID
    try:
        frame = next(require("pydicom.encaps", "airway").generate_frames(data.PixelData, number_of_frames=1))
        if str(syntax) not in RUN_LENGTHS and END not in frame[-LAST:]:
            raise MetaoptError("ends within its compressed voxels; it was cut short, so copy it again.")
        if str(syntax) not in WELL_KNOWN:
            return _rescaled(data.pixel_array, header)
        itk: Any = require("SimpleITK", "airway")
        itk.ProcessObject.SetGlobalWarningDisplay(False)
        with _complaints() as complaints:
            image = itk.ReadImage(str(header.path))
        if complaints and b"JPEG" in complaints[0]:
            raise ValueError("the decoder went on after damage")
        return itk.GetArrayFromImage(image)[0].astype(np.float32)
    except MetaoptError:
        raise
    except Exception as error:  # of any type, and with many lines
        raise MetaoptError(
            f"is compressed by {syntax.name} and cannot be decoded; if it is not damaged, {REMEDY}."
        ) from error


@contextlib.contextmanager
def _complaints() -> Iterator[list[bytes]]:
    """Give what is written meanwhile on the process's standard error, where libjpeg alone says that a file is damaged.

    It says so below Python, goes on, and SimpleITK then returns wrong voxels without an error.
    """
    found: list[bytes] = []
    with tempfile.TemporaryFile() as sink:
        try:
            kept = os.dup(STDERR)
        except OSError:  # there is none
            yield found
            return
        try:
            os.dup2(sink.fileno(), STDERR)
            yield found
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)
            sink.seek(0)
            if text := sink.read():
                found.append(text)


def _text(data: Any, name: str) -> str:
    value = data.get(name)
    if value is None:
        return ""
    return "\\".join(map(str, value)) if not isinstance(value, str) and hasattr(value, "__iter__") else str(value)


def _numbers(data: Any, name: str, count: int) -> tuple[float, ...]:
    """Return so many finite numbers of an entry, or none of them."""
    try:
        value = data.get(name)
        numbers = tuple(float(number) for number in (value if count > 1 else [value]))
    except (TypeError, ValueError, OverflowError):
        return ()
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else ()


def _whole(data: Any, name: str, otherwise: int) -> int:
    try:
        return int(data.get(name))
    except (TypeError, ValueError, OverflowError):
        return otherwise
