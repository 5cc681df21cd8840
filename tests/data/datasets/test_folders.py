"""Folders of pictures and volumes become lists of tensors; what is missing or broken is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import metaopt as mo
from metaopt.data import read_pictures, read_slices


def test_pictures_are_read_by_name_in_grey_or_colour(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(colour).save(tmp_path / "b.png")
    Image.fromarray(colour[..., 0]).save(tmp_path / "a.TIF")
    (tmp_path / "notes.txt").write_text("not a picture")
    grey = read_pictures(tmp_path)
    assert [tuple(p.shape) for p in grey] == [(1, 5, 7), (1, 5, 7)]
    assert all(p.dtype == torch.uint8 for p in grey)
    assert torch.equal(grey[0][0], torch.from_numpy(colour[..., 0]))
    luma = np.asarray(Image.fromarray(colour).convert("L"), dtype=int)  # ITU-R 601, the same weights
    assert np.abs(grey[1][0].numpy().astype(int) - luma).max() <= 1
    full = read_pictures(tmp_path, grey=False)
    assert torch.equal(full[1].permute(1, 2, 0), torch.from_numpy(colour))
    assert torch.equal(full[0], grey[0].expand(3, 5, 7))


def test_a_folder_without_pictures_and_a_file_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(mo.MetaoptError, match=r"There is no picture \(.*\.png.*\) in "):
        read_pictures(tmp_path)
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(mo.MetaoptError, match=r"a\.png is not an image"):
        read_pictures(tmp_path)
    for read in (read_pictures, read_slices):
        with pytest.raises(mo.MetaoptError, match="is a file; name the folder"):
            read(tmp_path / "a.png")


def volume(seed: int = 0) -> np.ndarray:
    """A bright box of 6 x 8 x 4 in 10 x 12 x 8 voxels of air."""
    values = np.zeros((10, 12, 8), np.float32)
    values[2:8, 2:10, 2:6] = 500 + 500 * np.random.default_rng(seed).random((6, 8, 4))
    return values


def test_slices_are_those_of_the_volume_along_three_axes(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    values = volume()
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    slices = read_slices(tmp_path, every=1)
    sampled = np.quantile(values.flatten()[::7], 0.999)
    scaled = np.clip(values / sampled, 0, 1)
    expected = [
        np.round(255 * s).astype(int)
        for axis in range(3)
        for s in np.moveaxis(scaled, axis, 0)
        if (s > 0.1).mean() > 0.15
    ]
    assert len(slices) == len(expected) == 6 + 8 + 4
    for ours, theirs in zip(slices, expected, strict=True):
        assert ours.dtype == torch.uint8
        assert np.abs(ours[0].numpy().astype(int) - theirs).max() <= 1
    assert len(read_slices(tmp_path, every=2)) == 3 + 4 + 2


def test_volumes_are_chosen_by_number(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    for i in range(3):
        nibabel.save(nibabel.Nifti1Image(volume(i), np.eye(4)), tmp_path / f"{i}.nii")
    per_volume = len(read_slices(tmp_path, 0, 1))
    assert len(read_slices(tmp_path)) == 3 * per_volume
    assert torch.equal(read_slices(tmp_path, 1, 2)[0], read_slices(tmp_path)[per_volume])
    with pytest.raises(mo.MetaoptError, match="no NIfTI volume between number 3 and None in"):
        read_slices(tmp_path, 3)


def test_broken_volumes_are_sentences(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    path = tmp_path / "a.nii"
    nibabel.save(nibabel.Nifti1Image(volume(), np.eye(4)), path)
    whole = path.read_bytes()
    for broken in (b"", b"text", whole[:600]):
        path.write_bytes(broken)
        with pytest.raises(mo.MetaoptError, match=r"a\.nii is not a NIfTI volume that can be read"):
            read_slices(tmp_path)
    nibabel.save(nibabel.Nifti1Image(volume()[0], np.eye(4)), path)
    with pytest.raises(mo.MetaoptError, match=r"an array of shape \(12, 8\); a volume has three axes"):
        read_slices(tmp_path)
    path.rename(tmp_path / "a.nii.gz")
    (tmp_path / "a.nii.gz").write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\xffgarbage")
    with pytest.raises(mo.MetaoptError, match=r"a\.nii\.gz is not a NIfTI volume"):
        read_slices(tmp_path)


def saved(folder: Path, values: np.ndarray, **header: float) -> Path:
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(values, np.eye(4))
    for key, value in header.items():
        image.header[key] = value
    nibabel.save(image, folder / "a.nii")
    return folder


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite_are_air_and_drop_no_slice(tmp_path: Path, bad: float) -> None:
    expected = read_slices(saved(tmp_path, volume()), every=1)
    values = volume()
    values[values == 0] = bad
    found = read_slices(saved(tmp_path, values), every=1)
    assert len(found) == len(expected) == 18
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours == 0, theirs == 0), "the air"
        assert (ours.int() - theirs.int()).abs().max() <= 2, "the quantile is that of fewer voxels"


@pytest.mark.parametrize("unit", [1e-300, 1e-60, 1e-42, 1e37, 1e60, 1e300])
@pytest.mark.parametrize("shift", [0, -1500])
def test_volumes_in_units_beyond_float32_have_the_same_shades(tmp_path: Path, unit: float, shift: int) -> None:
    values = volume().astype(np.float64) + shift
    expected = read_slices(saved(tmp_path, values), every=1)
    found = read_slices(saved(tmp_path, values * unit), every=1)
    assert len(found) == len(expected)
    assert all((a.int() - b.int()).abs().max() <= 1 for a, b in zip(found, expected, strict=True))


def test_whole_numbers_that_float32_would_round_keep_their_shades(tmp_path: Path) -> None:
    values = volume().astype(np.int32)
    expected = read_slices(saved(tmp_path, values.astype(np.int16) - 2000), every=1)
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(values - 2000, np.eye(4))
    image.header.set_slope_inter(1e-45, 0)
    nibabel.save(image, tmp_path / "a.nii")
    found = read_slices(tmp_path, every=1)
    assert len(found) == len(expected)
    assert all((a.int() - b.int()).abs().max() <= 1 for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("shift", [-1024.0, -5000.0])
def test_negative_volumes_have_the_shades_of_the_shifted_one(tmp_path: Path, shift: float) -> None:
    """CT in Hounsfield units, where air is at -1000; and one without a positive value."""
    expected = read_slices(saved(tmp_path, volume()), every=1)
    found = read_slices(saved(tmp_path, volume() + shift), every=1)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.int() - theirs.int()).abs().max() <= 1


def test_the_window_that_a_file_states_is_that_of_its_negative_values(tmp_path: Path) -> None:
    values = volume() - 1000
    slices = read_slices(saved(tmp_path, values, cal_min=-1000, cal_max=1000), every=1)
    expected = np.round(255 * np.clip((values[2] + 1000) / 2000, 0, 1))
    assert np.abs(slices[0][0].numpy() - expected).max() <= 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((4, 4, 4), np.nan, np.float32), "No voxel of .* is finite"),
        (np.zeros((4, 4, 4), np.float32), "0 to 0, of which hardly any differ"),
        (np.full((4, 4, 4), -7, np.int16), "-7 to -7, of which hardly any differ"),
        (np.ones((4, 4, 4), np.complex64), "complex64 voxels; save their magnitudes"),
    ],
)
def test_volumes_that_show_nothing_are_a_sentence(tmp_path: Path, values: np.ndarray, words: str) -> None:
    with pytest.raises(mo.MetaoptError, match=words):
        read_slices(saved(tmp_path, values))
