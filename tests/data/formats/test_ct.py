"""CT volumes of every format and order of axes are turned upright, and what is written lies on what was read."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel
import nrrd
import numpy as np
import pydicom
import pytest
import torch
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, RLELossless

import metaopt as mo
from metaopt.data import Ct, read_ct, read_mask, write_mask
from metaopt.data.formats.ct_mask import check_same_grid

from . import scans

HU = 2 * (scans.hounsfield() // 2)


def world_of(ct: Ct, value: float) -> np.ndarray:
    """Where in the scanner (RAS) the one voxel of a value is."""
    z, y, x = (int(n) for n in (ct.volume == value).nonzero()[0])
    return ct.affine.numpy()[:3] @ [x, y, z, 1]


def same(ct: Ct) -> bool:
    return torch.equal(ct.volume, torch.from_numpy(HU).float()) and np.allclose(ct.affine.numpy(), scans.affine())


def test_a_folder_of_slices_is_a_volume_in_the_order_of_their_places(tmp_path: Path) -> None:
    scans.series_of(tmp_path)
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / ".hidden.dcm").write_text("nothing")
    ct = read_ct(tmp_path)
    assert same(ct) and ct.spacing == pytest.approx(scans.SPACING)
    assert ct.volume.dtype == torch.float32 and ct.volume.is_contiguous()
    report = " | ".join(ct.report)
    assert "6 x 8 x 10 voxels of 2 x 0.75 x 0.5 mm (z, y, x), -1000 to 436 HU" in report
    assert "'CHEST', 6 CT slices of 10 x 8, 2 mm thick" in report and "no DICOM pictures: notes.txt" in report


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEG2000Lossless, RLELossless])
def test_compressed_slices_are_those_that_were_compressed(tmp_path: Path, syntax: str) -> None:
    scans.series_of(tmp_path / "ct", edit=lambda data, number: scans.compress(data, syntax, tmp_path))
    assert {pydicom.dcmread(path).file_meta.TransferSyntaxUID for path in (tmp_path / "ct").iterdir()} == {syntax}
    assert same(read_ct(tmp_path / "ct"))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_nifti_of_each_orientation_is_turned_upright_and_a_mask_is_turned_back(
    tmp_path: Path, order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    stored = nibabel.Nifti1Image(HU.transpose(2, 1, 0), scans.affine())
    turned = stored.as_reoriented(np.array([[axis, sign] for axis, sign in zip(order, signs, strict=True)]))
    nibabel.save(turned, tmp_path / "ct.nii")
    ct = read_ct(tmp_path / "ct.nii")
    assert same(ct)
    write_mask(tmp_path / "mask.nii.gz", ct.volume > 100, ct.grid)
    mask = nibabel.load(tmp_path / "mask.nii.gz")
    assert mask.get_data_dtype() == np.uint8 and np.allclose(mask.affine, turned.affine)
    assert np.array_equal(np.asarray(mask.dataobj), np.asarray(turned.dataobj) > 100)
    again = read_mask(tmp_path / "mask.nii.gz")
    assert torch.equal(again.mask, ct.volume > 100)
    check_same_grid(("a", ct.volume.shape, ct.grid), ("b", again.mask.shape, again.grid))


def test_turned_axes_are_brought_to_what_is_next_to_upright(tmp_path: Path) -> None:
    a = np.deg2rad(20)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    matrix = scans.affine()
    matrix[:3, :3] = turn @ matrix[:3, :3]
    flipped = nibabel.Nifti1Image(HU.transpose(2, 1, 0), matrix).as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    nibabel.save(flipped, tmp_path / "ct.nii")
    ct = read_ct(tmp_path / "ct.nii")
    assert torch.equal(ct.volume, torch.from_numpy(HU).float())
    assert np.allclose(ct.affine.numpy(), matrix) and ct.spacing == pytest.approx(scans.SPACING)


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (-1, -1)),
        ("LPS", (-1, -1)),
        ("right-anterior-superior", (1, 1)),
        ("left-anterior-superior", (-1, 1)),
    ],
)
def test_nrrd_of_each_space_is_turned_upright(tmp_path: Path, space: str, signs: tuple[int, int]) -> None:
    matrix = np.diag([*signs, 1, 1]) @ scans.affine()
    header = {"space": space, "space directions": matrix[:3, :3].T, "space origin": matrix[:3, 3]}
    nrrd.write(str(tmp_path / "ct.nrrd"), HU.transpose(2, 1, 0), header)
    assert same(read_ct(tmp_path / "ct.nrrd"))


@pytest.mark.parametrize("flip", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
def test_slices_that_lie_another_way_show_each_voxel_where_it_was(tmp_path: Path, flip: tuple[int, int]) -> None:
    """As of a patient who lies on the front, or feet first."""

    def turn(data: pydicom.FileDataset, number: int) -> None:
        data.ImageOrientationPatient = [flip[0], 0, 0, 0, flip[1], 0]

    scans.series_of(tmp_path, edit=turn)
    ct = read_ct(tmp_path)
    assert np.allclose(np.sign(np.diag(ct.affine.numpy())), [-1, -1, 1, 1])
    for value, (z, y, x) in ((HU[0, 0, 0], (0, 0, 0)), (HU[5, 3, 7], (5, 3, 7))):
        left, back = scans.ORIGIN[0] + flip[0] * x * 0.5, scans.ORIGIN[1] + flip[1] * y * 0.75
        assert world_of(ct, float(value)) == pytest.approx([-left, -back, scans.ORIGIN[2] + 2 * z])


def test_coronal_slices_are_turned_upright(tmp_path: Path) -> None:
    def turn(data: pydicom.FileDataset, number: int) -> None:
        data.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
        data.ImagePositionPatient = [0, 2.0 * number, 50]

    scans.series_of(tmp_path, edit=turn)
    ct = read_ct(tmp_path)
    assert ct.volume.shape == (8, 6, 10) and ct.spacing == pytest.approx((0.75, 2.0, 0.5))
    assert torch.equal(ct.volume, torch.from_numpy(HU.transpose(1, 0, 2)[::-1].copy()).float())
    assert world_of(ct, float(HU[2, 3, 4])) == pytest.approx([-4 * 0.5, -2 * 2.0, 50 - 3 * 0.75])


def test_what_was_not_measured_is_air_and_all_else_is_as_in_the_file(tmp_path: Path) -> None:
    values = HU.astype(np.float32)
    values[:, 0] = -3024
    nibabel.save(nibabel.Nifti1Image(values.transpose(2, 1, 0), scans.affine()), tmp_path / "ct.nii.gz")
    ct = read_ct(tmp_path / "ct.nii.gz")
    assert (ct.volume[:, 0] == -1024).all() and np.array_equal(ct.volume[:, 1:].numpy(), HU[:, 1:])
    assert any("60 voxels below -1500 HU" in line for line in ct.report)


def test_a_value_of_padding_beyond_all_tissue_is_air(tmp_path: Path) -> None:
    def pad(data: pydicom.FileDataset, number: int) -> None:
        data.PixelPaddingValue = 63536
        stored = np.frombuffer(data.PixelData, np.uint16).copy()
        stored[:10] = 63536
        data.PixelData = stored.tobytes()

    scans.series_of(tmp_path, edit=pad)
    volume = read_ct(tmp_path).volume
    assert (volume[:, 0] == -1024).all() and np.array_equal(volume[:, 1:].numpy(), HU[:, 1:])


def test_each_slice_has_its_own_rescaling(tmp_path: Path) -> None:
    def rescale(data: pydicom.FileDataset, number: int) -> None:
        stored = np.frombuffer(data.PixelData, np.uint16) * 2 // (1 + number % 2)
        data.RescaleSlope = 1 + number % 2
        data.PixelData = stored.astype(np.uint16).tobytes()

    scans.series_of(tmp_path, edit=rescale)
    assert same(read_ct(tmp_path))


def test_a_file_that_does_not_say_how_the_patient_lies_is_read_with_a_warning(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(HU.transpose(2, 1, 0), None)
    image.header.set_zooms(scans.SPACING[::-1])
    image.header["qform_code"] = image.header["sform_code"] = 0
    nibabel.save(image, tmp_path / "ct.nii")
    with pytest.warns(mo.MetaoptWarning, match="does not say how the patient lies"):
        ct = read_ct(tmp_path / "ct.nii")
    assert ct.spacing == pytest.approx(scans.SPACING) and not ct.grid.known
    write_mask(tmp_path / "mask.nii", ct.volume > 100, ct.grid)
    mask = nibabel.load(tmp_path / "mask.nii")
    assert int(mask.header["qform_code"]) == int(mask.header["sform_code"]) == 0
    assert np.array_equal(np.asarray(mask.dataobj), HU.transpose(2, 1, 0) > 100)
    nrrd.write(str(tmp_path / "ct.nrrd"), HU.transpose(2, 1, 0), {"spacings": list(scans.SPACING[::-1])})
    with pytest.warns(mo.MetaoptWarning, match="does not say how the patient lies"):
        ct = read_ct(tmp_path / "ct.nrrd")
    assert torch.equal(ct.volume, torch.from_numpy(HU).float()) and ct.spacing == pytest.approx(scans.SPACING)


def test_slices_far_apart_are_read_with_a_note(tmp_path: Path) -> None:
    scans.series_of(tmp_path, edit=lambda data, n: setattr(data, "ImagePositionPatient", [0, 0, 5.0 * n]))
    ct = read_ct(tmp_path)
    assert ct.spacing[0] == 5 and any("5 mm long, so that narrow airways" in line for line in ct.report)


def test_places_that_were_rounded_are_at_equal_distances(tmp_path: Path) -> None:
    scans.series_of(tmp_path, edit=lambda data, n: setattr(data, "ImagePositionPatient", [0, 0, round(0.625 * n, 1)]))
    assert read_ct(tmp_path).spacing[0] == pytest.approx(0.62, abs=0.01)


def test_positions_are_led_to_the_scanner_and_back(tmp_path: Path) -> None:
    scans.series_of(tmp_path)
    grid = read_ct(tmp_path).grid
    points = torch.tensor([[0.0, 0, 0], [4.0, 1.5, 3.0]])
    assert grid.placed(points).tolist() == [[20.0, -30.0, -100.0], [17.0, -31.5, -96.0]]
    assert torch.allclose(grid.found(grid.placed(points)), points.double())
