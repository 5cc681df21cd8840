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
