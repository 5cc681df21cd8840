"""Folders and files that are no CT, or a faulty one, are refused in a sentence that names cause and remedy."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import nrrd
import numpy as np
import pydicom
import pytest

import metaopt as mo
from metaopt.data import read_ct, read_mask
from metaopt.data.formats.ct_grid import grid_of

from . import scans

HU = 2 * (scans.hounsfield() // 2)
OTHER = "1.2.826.0.1.3680043.8.498.2"


def put(**entries: Any) -> scans.Edit:
    """An edit that sets entries of every slice, or takes out those that are None."""

    def edit(data: pydicom.FileDataset, number: int) -> None:
        for name, value in entries.items():
            if value is None:
                delattr(data, name)
            else:
                setattr(data, name, value)

    return edit


def only(number: int, edit: Callable[[pydicom.FileDataset, int], object]) -> scans.Edit:
    return lambda data, n: edit(data, n) if n == number else None


def at(place: Callable[[int], tuple[float, float, float]]) -> scans.Edit:
    def edit(data: pydicom.FileDataset, number: int) -> None:
        data.ImagePositionPatient = list(place(number))

    return edit


def junk(data: pydicom.FileDataset, number: int) -> None:
    data.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLosslessSV1
    data.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8 no picture\xff\xd9"])


def compressed(change: Callable[[bytes], bytes]) -> scans.Edit:
    """An edit that compresses a slice without loss and changes the compressed bytes."""

    def edit(data: pydicom.FileDataset, number: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            scans.compress(data, pydicom.uid.JPEGLosslessSV1, Path(folder))
        frame = next(pydicom.encaps.generate_frames(data.PixelData, number_of_frames=1))
        data.PixelData = pydicom.encaps.encapsulate([change(frame)])

    return edit


def tilted(degrees: float) -> Callable[[int], tuple[float, float, float]]:
    return lambda n: (0.0, 2.0 * n * np.tan(np.deg2rad(degrees)), 2.0 * n)


EDITS: dict[str, tuple[scans.Edit, str]] = {
    "MR": (put(Modality="MR"), "holds no CT but MR"),
    "PET": (put(Modality="PT"), "holds no CT but PET"),
    "no modality": (put(Modality=None), "holds no CT but images of no modality"),
    "scouts": (put(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), r"only CT localizers \(scouts\)"),
    "a gap": (
        lambda _, n: n != 3,
        "lacks 1 slice, the first between 03-2.dcm and 06-4.dcm, which are 4 mm apart",
    ),
    "a gap of two": (lambda _, n: n not in (2, 3), "lacks 2 slices"),
    "one slice": (lambda _, n: n == 3, "holds a single slice"),
    "one place for two": (only(3, at(lambda _: (-20.0, 30.0, -96.0))), "two slices at the same place"),
    "one place for all": (put(ImagePositionPatient=[0, 0, 0]), "two slices at the same place"),
    "wider and wider": (at(lambda n: (0.0, 0.0, 2.0 * n + 0.2 * n * n)), "unequal distances, from 2.2 to 3.8 mm"),
    "two spacings": (at(lambda n: (0.0, 0.0, 2.0 * n + max(0, n - 3))), "unequal distances, from 2 to 3 mm"),
    "a tilted gantry": (at(tilted(12)), "gantry tilted by 12.0 degrees"),
    "a shifted slice": (only(2, at(lambda n: (-10.0, 30.0, -96.0))), "shifted by .* mm against the others"),
    "no sizes": (put(PixelSpacing=None), "does not say PixelSpacing"),
    "empty sizes": (put(PixelSpacing=""), "does not say PixelSpacing"),
    "sizes of 0": (put(PixelSpacing=[0, 0.5]), "cannot be"),
    "sizes of a metre": (put(PixelSpacing=[500, 500]), "voxels have 500 x 500 x 2 mm"),
    "no places": (put(ImagePositionPatient=None), "does not say ImagePositionPatient"),
    "no directions": (put(ImageOrientationPatient=None), "does not say ImageOrientationPatient"),
    "directions that are none": (put(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "cannot be"),
    "no slope": (put(RescaleSlope=None), "does not say how its numbers become Hounsfield units"),
    "no shift": (put(RescaleIntercept=None), "does not say how its numbers become Hounsfield units"),
    "a slope of 0": (put(RescaleSlope=0), "does not say how its numbers become Hounsfield units"),
    "other pixels": (only(2, put(PixelSpacing=[0.7, 0.7])), "pixels have .* mm"),
    "other sizes": (
        only(2, put(Rows=4)),
        "slices of unlike sizes or directions in one series, such as 00-0.dcm and 03-2.dcm",
    ),
    "a slope beyond all": (put(RescaleSlope=1e30), "no tissue and no metal has so many Hounsfield units"),
    "no voxels": (only(2, put(PixelData=None)), "ends before its voxels"),
    "too few voxels": (only(2, put(PixelData=bytes(10))), "holds no DICOM slice .*copy or save it again"),
    "a compression that is broken": (only(2, junk), "is compressed by JPEG Lossless.* and cannot be decoded"),
    "a compression that ends early": (only(2, compressed(lambda b: b[: len(b) // 2])), "ends within its compressed"),
    "a compression that changed": (
        only(2, compressed(lambda b: b[:-60] + bytes(40) + b[-20:])),
        "is compressed by JPEG Lossless.* and cannot be decoded",
    ),
    "enhanced CT": (put(NumberOfFrames=3), "holds 3 frames in one file"),
    "colours": (put(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0), "no DICOM pictures"),
    "nothing": (put(PixelData=bytes(160)), "each of its voxels is -1024"),
}


def refused(path: Path, said: str, **options: Any) -> str:
    with pytest.raises(mo.MetaoptError, match=said) as caught:
        read_ct(path, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".") and sentence.startswith(str(path)), sentence
    return sentence


@pytest.mark.parametrize("name", EDITS)
def test_a_folder_of_faulty_slices_is_refused(tmp_path: Path, name: str) -> None:
    edit, said = EDITS[name]
    scans.series_of(tmp_path / "ct", edit=edit)
    refused(tmp_path / "ct", said)


def test_a_slice_that_was_cut_short_or_is_none_is_named(tmp_path: Path) -> None:
    paths = scans.series_of(tmp_path)
    whole = paths[2].read_bytes()
    for length in (0, 100, 200, 700, len(whole) - 50):
        paths[2].write_bytes(whole[:length])
        assert paths[2].name in refused(tmp_path, "copy|cut short")
    paths[2].write_text("no DICOM")
    assert paths[2].name in refused(tmp_path, "does not begin as one; copy it again, write it with a head by")


def test_two_series_are_listed_and_one_of_them_is_read_when_it_is_named(tmp_path: Path) -> None:
    scans.series_of(tmp_path)
    scans.series_of(tmp_path, HU[:4], put(SeriesNumber=2, SeriesDescription="LUNG"), OTHER, "b")
    said = refused(tmp_path, "holds 2 series of CT slices; choose one by its number, as series=1 or --series 1: ")
    assert "1: 'LUNG', 4 CT slices of 10 x 8, 2 mm thick; 2: 'CHEST', 6 CT slices" in said
    for series in (1, "1", " 1 ", OTHER):
        assert read_ct(tmp_path, series).volume.shape == (4, 8, 10)
    assert read_ct(tmp_path, scans.SERIES).volume.shape == (6, 8, 10)
    for series in (0, 3, -1, "none", "1.5", "٢", 10**30):
        refused(tmp_path, "has no series .* alone; choose one by its number", series=series)
    with pytest.raises(mo.MetaoptError, match="is no folder, so it has no series"):
        read_ct(next(tmp_path.glob("*.dcm")), 1)


def test_a_series_of_another_kind_beside_is_passed_over_and_said(tmp_path: Path) -> None:
    scans.series_of(tmp_path)
    scans.series_of(tmp_path, HU[:3], put(Modality="MR", SeriesDescription="HEAD"), OTHER, "b")
    scans.series_of(tmp_path, HU[:2, :4], put(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), scans.SERIES, "c")
    ct = read_ct(tmp_path)
    assert ct.volume.shape == (6, 8, 10)
    assert sum("passed over: series" in line for line in ct.report) == 2
    refused(tmp_path, "holds no CT in series .*, but MR", series=OTHER)


def test_a_series_twice_in_one_folder_names_a_pair(tmp_path: Path) -> None:
    for path in scans.series_of(tmp_path):
        shutil.copy(path, path.with_name(f"copy-{path.name}"))
    refused(tmp_path, r"two slices at the same place, .*-0.dcm and .*-0.dcm, and 5 more such pairs; take")


def test_folders_without_slices_say_what_they_hold(tmp_path: Path) -> None:
    refused(tmp_path, "is an empty folder; give that of the DICOM slices")
    (tmp_path / "inner").mkdir()
    refused(tmp_path, "what is in folders within it is not read, so give one of them, such as .*inner")
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "ct.nii.gz").write_text("")
    refused(tmp_path, "holds no DICOM pictures among its 2 files; give the volume itself, such as .*ct.nii.gz")


def nifti(folder: Path, values: np.ndarray | None = None, affine: np.ndarray | None = None) -> Path:
    values, affine = HU.transpose(2, 1, 0) if values is None else values, scans.affine() if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(values, affine), folder / "ct.nii.gz")
    return folder / "ct.nii.gz"


def test_files_of_nifti_that_are_no_ct_are_refused(tmp_path: Path) -> None:
    refused(nifti(tmp_path, np.stack([HU, HU], -1)), "a volume has three axes")
    refused(nifti(tmp_path, HU[0]), "a single slice")
    refused(nifti(tmp_path, np.full((4, 5, 6), -1000, np.int16)), "each of its voxels is -1000")
    broken = HU.astype(np.float32)
    broken[0, 0, 0] = np.nan
    refused(nifti(tmp_path, broken), "NaN or infinite")
    refused(nifti(tmp_path, affine=np.diag([0.0007, 0.0007, 0.001, 1])), "those of a chest have 0.05 to 20 mm")
    header = nibabel.Nifti1Header()
    header.set_data_shape((10, 8, 6))
    header.set_data_dtype(np.int16)
    for size in (0.0, -1.0):
        header["pixdim"][1:4] = size
        header["vox_offset"] = 352
        (tmp_path / "ct.nii").write_bytes(header.binaryblock + bytes(4) + HU.tobytes())
        refused(tmp_path / "ct.nii", "does not say the size of its voxels")
    skewed = scans.affine()
    skewed[1, 2] = 0.4
    refused(nifti(tmp_path, affine=skewed), "not perpendicular, but off by 11.3 degrees")
    whole = nifti(tmp_path).read_bytes()
    (tmp_path / "ct.nii.gz").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "ct.nii.gz", "damaged, cut short")
    (tmp_path / "ct.nii.gz").write_bytes(gzip.compress(b"nothing"))
    refused(tmp_path / "ct.nii.gz", "damaged, cut short")


def header(**changes: Any) -> dict[str, Any]:
    matrix = np.diag([-1, -1, 1, 1]) @ scans.affine()
    entries = {"space": "LPS", "space directions": matrix[:3, :3].T, "space origin": matrix[:3, 3], **changes}
    return {name: value for name, value in entries.items() if value is not None}


BARE = {"space directions": None, "space": None, "space origin": None}
NRRDS: dict[str, tuple[np.ndarray, dict[str, Any], str]] = {
    "no sizes": (HU, BARE, "does not say the size"),
    "four axes": (
        np.stack([HU, HU], -1),
        BARE,
        "three axes",
    ),
    "one slice": (HU[:, :, :1], {}, "a single slice"),
    "no volume": (HU, {"space directions": np.ones((3, 3))}, "place no volume"),
    "skewed": (HU, {"space directions": np.array([[1, 0, 0], [0, 1, 0], [0, 1.0, 1]])}, "not perpendicular"),
    "inches": (HU, {"space units": ["in", "in", "in"]}, "states its lengths in in; state them in mm"),
    "NaN": (np.where(HU[0, 0, 0] == HU, np.nan, HU.astype(np.float32)), {}, "NaN or infinite"),
    "beyond float32": (HU.astype(np.float64) * 1e300, {}, "read in float32"),
}


@pytest.mark.parametrize("name", NRRDS)
def test_files_of_nrrd_that_are_no_ct_are_refused(tmp_path: Path, name: str) -> None:
    values, changes, said = NRRDS[name]
    nrrd.write(str(tmp_path / "ct.nrrd"), values, header(**changes))
    refused(tmp_path / "ct.nrrd", said)


def test_an_nrrd_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    for encoding in ("raw", "gzip"):
        path = tmp_path / f"{encoding}.nrrd"
        nrrd.write(str(path), HU.transpose(2, 1, 0), header(encoding=encoding))
        whole = path.read_bytes()
        for length in (0, 4, 100, len(whole) - 100):
            path.write_bytes(whole[:length])
            refused(path, "cut short|does not say")
    path.with_suffix(".nhdr").write_bytes(whole.replace(b"type:", b"data file: none.raw\ntype:", 1))
    refused(path.with_suffix(".nhdr"), r"keeps its voxels in .*none.raw, which does not exist")
    huge = whole.replace(b"sizes: 10 8 6", b"sizes: 1000 1000 1000")
    path.write_bytes(huge)
    refused(path, "bytes of voxels, but declares")


def test_other_files_say_what_is_read(tmp_path: Path) -> None:
    refused(tmp_path / "none.nii", "does not exist")
    for name in ("ct.mha", "ct.zip", "ct", "ct.hdr"):
        (tmp_path / name).write_bytes(bytes(300))
        refused(tmp_path / name, r"give NIfTI \(.nii, .nii.gz\), NRRD \(.nrrd\) or a folder of DICOM slices")
    path = scans.series_of(tmp_path / "slices")[0]
    refused(path, f"is a single DICOM file; give the folder of all slices, {path.parent}")


def test_masks_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.nrrd"
    cases = {
        "is an empty mask": np.zeros((4, 5, 6), np.uint8),
        "it holds 0, 1, 2, but a mask holds": np.arange(120).reshape(4, 5, 6) % 3,
        "it holds -1000, -998, -994, -992, -988, -986, ..., but": HU,
        "it holds -1000, 1, but": np.where(np.arange(120).reshape(4, 5, 6) % 2, -1000, 1),
    }
    for said, values in cases.items():
        nrrd.write(str(path), values, header())
        with pytest.raises(mo.MetaoptError, match=said):
            read_mask(path)
    nrrd.write(str(path), 255 * (HU > 0).astype(np.uint8).transpose(2, 1, 0), header())
    assert np.array_equal(read_mask(path).mask.numpy(), HU > 0)
    with pytest.raises(mo.MetaoptError, match="is a folder; give a mask"):
        read_mask(tmp_path)


def test_a_grid_of_one_slice_is_none() -> None:
    with pytest.raises(mo.MetaoptError, match="a single slice"):
        grid_of(np.eye(4), (1, 5, 5))
