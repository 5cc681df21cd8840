"""NIfTI volumes: what the header says is what is read, and a header that contradicts itself or the file is refused."""

from __future__ import annotations

import gzip
import struct
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

import metaopt as mo
from metaopt.data.datasets.folders import read_slices
from metaopt.data.formats.nifti_volume import read_nifti

nibabel = pytest.importorskip("nibabel")

AFFINE = np.array([[-2.0, 0, 0, 10], [0, 3, 0, -20], [0, 0, 4, 5], [0, 0, 0, 1]])
VOXELS = np.random.default_rng(0).integers(1, 100, (6, 5, 4))
# Where the entries of a header of 348 bytes are, and their types: https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h
DIM, DATATYPE, BITPIX, PIXDIM, OFFSET, SLOPE, INTER, UNITS = 40, 70, 72, 76, 108, 112, 116, 123
QFORM, SFORM, QUATERN, SROW = 252, 254, 256, 280

Edits = Iterable[tuple[int, str, float]]


def saved(folder: Path, values: np.ndarray, edits: Edits = (), order: str = "<", packed: bool = False) -> Path:
    """A file of nibabel, of whose header some entries are then overwritten."""
    header = nibabel.Nifti1Header(endianness=order)
    image = nibabel.Nifti1Image(
        values.astype(np.dtype(f"{order}{values.dtype.str[1:]}")), AFFINE, header, dtype=values.dtype
    )
    data = bytearray(image.to_bytes())
    for place, kind, value in edits:
        struct.pack_into(order + kind, data, place, value)
    path = folder / ("v.nii.gz" if packed else "v.nii")
    path.write_bytes(gzip.compress(bytes(data)) if packed else data)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_voxels_of_each_type_and_order_of_bytes_are_scaled_as_the_header_says(
    tmp_path: Path, kind: str, order: str
) -> None:
    path = saved(tmp_path, VOXELS.astype(kind), [(SLOPE, "f", -2.0), (INTER, "f", 0.5)], order)
    volume = read_nifti(path)
    assert np.allclose(volume.pictures.numpy(), (0.5 - 2.0 * VOXELS).transpose(2, 1, 0))
    assert volume.voxel == (2.0, 3.0, 4.0)
    assert volume.affine is not None and np.allclose(volume.affine.numpy(), AFFINE)


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_a_scaling_by_nothing_is_none_whatever_the_shift_says(tmp_path: Path, slope: float) -> None:
    path = saved(tmp_path, VOXELS.astype("i2"), [(SLOPE, "f", slope), (INTER, "f", 7.0)])
    assert np.array_equal(read_nifti(path).pictures.numpy(), VOXELS.transpose(2, 1, 0))


@pytest.mark.parametrize(("code", "unit"), [(0, 1.0), (1, 1000.0), (2, 1.0), (3, 0.001), (10, 1.0)])
def test_sizes_and_place_are_in_millimetres_whatever_the_unit(tmp_path: Path, code: int, unit: float) -> None:
    volume = read_nifti(saved(tmp_path, VOXELS.astype("f4"), [(UNITS, "B", code)]))
    assert np.allclose(volume.voxel, unit * np.array([2.0, 3.0, 4.0]))
    assert volume.affine is not None
    assert np.allclose(volume.affine.numpy(), np.diag([unit, unit, unit, 1.0]) @ AFFINE)


def test_sizes_that_contradict_the_affine_matrix_are_said(tmp_path: Path) -> None:
    path = saved(tmp_path, VOXELS.astype("f4"), [(PIXDIM + 4, "f", 7.0)])
    with pytest.warns(mo.MetaoptWarning, match="7 x 3 x 4 mm, but its affine matrix 2 x 3 x 4 mm"):
        read_nifti(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_nifti(saved(tmp_path, VOXELS.astype("f4"), [(SFORM, "h", 0), (QFORM, "h", 0)])).affine is None


HUGE = [(DIM + 2 * axis, "h", 1000) for axis in (1, 2, 3)]
REFUSED = {
    "an infinite scaling": ([(SLOPE, "f", np.inf)], "scales its voxels by inf"),
    "a shift that is NaN": ([(SLOPE, "f", 2.0), (INTER, "f", np.nan)], "shifts them by nan"),
    "an infinite shift": ([(SLOPE, "f", 1.0), (INTER, "f", np.inf)], "shifts them by inf"),
    "a size that is NaN": ([(PIXDIM + 4, "f", np.nan)], "size that is NaN or infinite"),
    "an infinite size": ([(PIXDIM + 12, "f", np.inf)], "size that is NaN or infinite"),
    "a matrix that is NaN": ([(SROW, "f", np.nan)], "places no volume"),
    "a matrix of zeros": ([(SROW + 4 * i, "f", 0.0) for i in range(12)], "places no volume"),
    "a quaternion that is NaN": ([(SFORM, "h", 0), (QFORM, "h", 1), (QUATERN, "f", np.nan)], "places no volume"),
    "a unit that there is not": ([(UNITS, "B", 5)], "unit of length that NIfTI does not know"),
    "more bits than its type has": ([(DATATYPE, "h", 2)], "uint8 voxels have 32 bits"),
    "voxels within the header": ([(OFFSET, "f", 0.0)], "begin at byte 0, but they follow the header, at 352"),
    "an offset that is NaN": ([(OFFSET, "f", np.nan)], "begin at byte nan"),
    "an offset beyond the file": ([(OFFSET, "f", 1e9)], "832 bytes, but its header declares 1,000,000,480"),
    "more voxels than the file": (HUGE, "its header declares 4,000,000,352"),
    "a negative side": ([(DIM + 6, "h", -4)], r"declares 3 axes of \[6, 5, -4\]"),
    "a side of 0": ([(DIM + 6, "h", 0)], r"declares 3 axes of \[6, 5, 0\]"),
    "nine axes": ([(DIM, "h", 9)], "declares 9 axes"),
    "no axis": ([(DIM, "h", 0)], "declares 0 axes"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_a_header_that_cannot_be_true_is_refused_before_voxels_are_read(
    tmp_path: Path, name: str, packed: bool
) -> None:
    edits, said = REFUSED[name]
    path = saved(tmp_path, VOXELS.astype("f4"), edits, packed=packed)
    said = said.replace("832 bytes", "bytes") if packed else said
    with pytest.raises(mo.MetaoptError, match=said) as caught:
        read_nifti(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("largest", [1e300, 1e-300])
def test_voxels_beyond_float32_are_refused_and_not_made_zero_or_infinite(tmp_path: Path, largest: float) -> None:
    path = saved(tmp_path, largest * VOXELS.astype("f8"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(mo.MetaoptError, match="but volumes are read in float32"):
            read_nifti(path)


def test_readers_of_slices_refuse_the_same_headers(tmp_path: Path) -> None:
    saved(tmp_path, VOXELS.astype("f4"), HUGE)
    with pytest.raises(mo.MetaoptError, match=r"v\.nii is not a NIfTI volume that can be read: it has 832 bytes"):
        read_slices(tmp_path)


def test_several_volumes_are_no_volume_and_axes_of_one_are_none(tmp_path: Path) -> None:
    assert read_nifti(saved(tmp_path, VOXELS[..., None, None].astype("f4"))).pictures.shape == (4, 5, 6)
    assert read_nifti(saved(tmp_path, VOXELS[..., 0].astype("f4"))).pictures.shape == (1, 5, 6)
    with pytest.raises(mo.MetaoptError, match="a volume has three axes"):
        read_nifti(saved(tmp_path, np.stack([VOXELS, VOXELS], -1).astype("f4")))
    with pytest.raises(mo.MetaoptError, match="complex64 voxels; save their magnitudes"):
        read_nifti(saved(tmp_path, VOXELS.astype("c8")))
    assert torch.equal(read_nifti(saved(tmp_path, np.ones((1, 1, 1), "f4"))).pictures, torch.ones(1, 1, 1))
