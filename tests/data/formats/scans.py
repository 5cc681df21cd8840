"""Folders of DICOM slices of a known volume, as a scanner writes them, and with the faults of other folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

SPACING = (2.0, 0.75, 0.5)  # along (z, y, x), in mm
ORIGIN = (-20.0, 30.0, -100.0)  # of the first voxel, to the left, the back and the head
SERIES = "1.2.826.0.1.3680043.8.498.1"
AXIAL = (1.0, 0, 0, 0, 1, 0)

Edit = Callable[[FileDataset, int], object]


def hounsfield(depth: int = 6, rows: int = 8, columns: int = 10) -> np.ndarray:
    """Whole numbers from -1000 on, each another, (z, y, x)."""
    return (np.arange(depth * rows * columns).reshape(depth, rows, columns) * 3 - 1000).astype(np.int16)


def dataset(values: np.ndarray, number: int, position: Sequence[float], series: str = SERIES) -> FileDataset:
    """A slice (row, column) of a CT in Hounsfield units."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = f"{series}.{number + 1}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, f"{series}.{number + 1}"
    data.Modality, data.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.SeriesInstanceUID, data.SeriesNumber, data.SeriesDescription = series, 3, "CHEST"
    data.SliceThickness, data.InstanceNumber = SPACING[0], number + 1
    data.ImagePositionPatient, data.ImageOrientationPatient = list(position), list(AXIAL)
    data.PixelSpacing = list(SPACING[1:])
    data.Rows, data.Columns = values.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.RescaleSlope, data.RescaleIntercept = 2, -1024
    stored = (values.astype(np.int32) + 1024) // 2
    assert np.array_equal(stored * 2 - 1024, values)
    data.PixelData = stored.astype(np.uint16).tobytes()
    return data


def compress(data: FileDataset, syntax: str, folder: Path) -> None:
    """Compress the voxels of a slice without loss, by pydicom or by SimpleITK, for which a file is needed."""
    stored = np.frombuffer(data.PixelData, np.uint16).reshape(data.Rows, data.Columns)
    if syntax == RLELossless:
        data.compress(syntax, stored)
        return
    writer = SimpleITK.ImageFileWriter()
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG2000" if syntax == JPEG2000Lossless else "JPEG")
    writer.SetFileName(str(folder / "compressed.dcm"))
    writer.Execute(SimpleITK.GetImageFromArray(stored))
    found = pydicom.dcmread(folder / "compressed.dcm")
    data.file_meta.TransferSyntaxUID = found.file_meta.TransferSyntaxUID
    data["PixelData"] = found["PixelData"]


def series_of(
    folder: Path,
    values: np.ndarray | None = None,
    edit: Edit | None = None,
    series: str = SERIES,
    prefix: str = "",
) -> list[Path]:
    """A folder of the axial slices of a volume (z, y, x), whose names do not follow their order.

    The edit gets each slice with its number, and leaves it out by returning False.
    """
    values = 2 * (hounsfield() // 2) if values is None else values
    folder.mkdir(exist_ok=True)
    paths = []
    for number, picture in enumerate(values):
        data = dataset(picture, number, (ORIGIN[0], ORIGIN[1], ORIGIN[2] + SPACING[0] * number), series)
        if edit is not None and edit(data, number) is False:
            continue
        path = folder / f"{prefix}{(7 * number) % 11:02d}-{number}.dcm"
        pydicom.dcmwrite(path, data, enforce_file_format=True)
        paths.append(path)
    return paths


def affine() -> np.ndarray:
    """The matrix from (x, y, z) to millimetres (RAS) of these slices."""
    z, y, x = SPACING
    return np.array([[-x, 0, 0, -ORIGIN[0]], [0, -y, 0, -ORIGIN[1]], [0, 0, z, ORIGIN[2]], [0, 0, 0, 1]])
