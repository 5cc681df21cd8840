"""K-space of each format is the same k-space, with bounded memory; damaged or foreign files are a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from metaopt import MetaoptError
from metaopt.data import open_kspace, write_fastmri, write_nifti
from metaopt.data.formats.kspace_header import write_header

from ...real_data import real_data
from .test_kspace import kspace_of, picture

MATLAB_HEAD = b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM"
COILS = kspace_of(picture()).astype(np.complex64)  # (4, 48, 40)


def write_cfl(folder: Path, array: np.ndarray, name: str = "k") -> Path:
    """BART's pair of an array whose axes are BART's."""
    sizes = array.shape + (1,) * (16 - array.ndim)
    (folder / f"{name}.hdr").write_text(f"# Dimensions\n{' '.join(map(str, sizes))} \n# Command\nnone\n")
    (folder / f"{name}.cfl").write_bytes(array.astype("<c8").tobytes("F"))
    return folder / name


def write_matlab73(path: Path, **arrays: np.ndarray) -> Path:
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            pairs = np.empty(array.T.shape, [("real", "<f8"), ("imag", "<f8")])
            pairs["real"], pairs["imag"] = array.T.real, array.T.imag
            file[name] = pairs
    with path.open("r+b") as file:
        file.write(MATLAB_HEAD)
    return path


def write_fully(path: Path, **entries: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in entries.items():
            file[name] = value
    return path


def as_cfl(folder: Path) -> Path:
    return write_cfl(folder, COILS.transpose(2, 1, 0)[:, :, None])


def as_matlab(folder: Path) -> Path:
    scipy.io.savemat(folder / "k.mat", {"data": COILS.transpose(1, 2, 0), "size": np.ones(3)}, do_compression=True)
    return folder / "k.mat"


def as_matlab73(folder: Path) -> Path:
    return write_matlab73(folder / "k.mat", data=COILS.transpose(1, 2, 0))


def as_archive(folder: Path) -> Path:
    np.savez_compressed(folder / "k.npz", data=COILS, mask=np.ones(40))
    return folder / "k.npz"


def as_hdf5(folder: Path) -> Path:
    return write_fully(folder / "k.h5", **{"a/b": COILS, "c": np.ones(3)})


def as_fortran(folder: Path) -> Path:
    np.save(folder / "k.npy", np.asfortranarray(COILS.astype(">c16")))
    return folder / "k.npy"


def as_fastmri(folder: Path) -> Path:
    write_fastmri(folder / "k.h5", [torch.from_numpy(COILS)], (1.0, 1.0, 1.0))
    return folder / "k.h5"


WAYS = [as_cfl, as_matlab, as_matlab73, as_archive, as_hdf5, as_fortran, as_fastmri]


@pytest.mark.parametrize("way", WAYS)
def test_every_format_gives_the_same_kspace(tmp_path: Path, way: Callable[[Path], Path]) -> None:
    found = open_kspace(way(tmp_path))
    assert (found.slices, found.coils, found.shape) == (1, 4, (48, 40))
    np.testing.assert_array_equal(found.read(0).numpy(), COILS)
    assert found.read(0).dtype in (torch.complex64, torch.complex128)


@pytest.mark.parametrize("way", [way for way in WAYS if way is not as_cfl])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.7, 0.97])
def test_a_file_cut_short_is_a_sentence(tmp_path: Path, way: Callable[[Path], Path], share: float) -> None:
    path = way(tmp_path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(MetaoptError) as caught:
        open_kspace(path).read(0)
    assert str(path) in str(caught.value)


def test_half_of_a_cfl_is_a_sentence(tmp_path: Path) -> None:
    path = as_cfl(tmp_path)
    data, header = path.with_name("k.cfl"), path.with_name("k.hdr")
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(MetaoptError, match=r"k\.cfl holds 61,439 bytes, but k\.hdr tells of 61,440"):
        open_kspace(path)
    header.write_text("# Dimensions\n4 x\n")
    with pytest.raises(MetaoptError, match=r"damaged k\.hdr"):
        open_kspace(header)
    header.unlink()
    with pytest.raises(MetaoptError, match=r"lacks its other half k\.hdr"):
        open_kspace(data)


def test_axes_of_bart_that_are_never_mixed_are_chosen(tmp_path: Path) -> None:
    both = np.stack([COILS.transpose(2, 1, 0), 2 * COILS.transpose(2, 1, 0)], -1)
    path = write_cfl(tmp_path, both.reshape(40, 48, 1, 4, 1, 2))
    with pytest.raises(MetaoptError, match=r"2 entries along 'te', which are never mixed; choose one by select=\{'te'"):
        open_kspace(path)
    np.testing.assert_array_equal(open_kspace(path, select={"TE": 1}).read(0).numpy(), 2 * COILS)
    slices = write_cfl(tmp_path, both.reshape(1, 40, 48, 4, *[1] * 9, 2), "s")
    found = open_kspace(slices)
    assert (found.slices, found.shape) == (2, (48, 40))
    np.testing.assert_array_equal(found.read(1).numpy(), 2 * COILS)


def test_several_arrays_are_told_apart_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "k.npz", a=COILS, b=2 * COILS[:, :40])
    with pytest.raises(MetaoptError, match=r"several complex arrays \(a \(4, 48, 40\), b \(4, 40, 40\)\)"):
        open_kspace(tmp_path / "k.npz")
    assert open_kspace(tmp_path / "k.npz", variable="b").shape == (40, 40)
    with pytest.raises(MetaoptError, match=r"has no array 'c'; there are: a, b"):
        open_kspace(tmp_path / "k.npz", variable="c")


HEADER = (
    "<ismrmrdHeader><acquisitionSystemInformation><receiverChannels>{c}</receiverChannels>"
    "</acquisitionSystemInformation><encoding><encodedSpace><matrixSize><x>{x}</x><y>{y}</y><z>1</z></matrixSize>"
    "<fieldOfView_mm><x>96</x><y>40</y><z>5</z></fieldOfView_mm></encodedSpace><reconSpace><matrixSize><x>24</x>"
    "<y>30</y><z>1</z></matrixSize><fieldOfView_mm><x>48</x><y>30</y><z>5</z></fieldOfView_mm></reconSpace>"
    "</encoding></ismrmrdHeader>"
)
SLICES = np.stack([COILS, COILS])
DATA = {"kspace": SLICES, "ismrmrd_header": HEADER.format(c=4, x=48, y=40)}


def test_a_fastmri_file_is_cut_to_the_picture_that_it_holds(tmp_path: Path) -> None:
    """The readout of 96 mm is cut to 48 before, phase encoding of 40 mm to 30 after reconstruction."""
    axes = (-2, -1)
    x = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(SLICES, axes), norm="ortho"), axes)
    rss = np.sqrt((abs(x) ** 2).sum(1))[:, 12:36, 5:35].astype(np.float32)
    found = open_kspace(write_fully(tmp_path / "k.h5", **DATA, reconstruction_rss=rss))
    assert (found.shape, found.picture_shape, found.voxel) == ((24, 40), (24, 30), (1.0, 2.0, 5.0))
    y = found.read(1).numpy()
    ours = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(y, axes), norm="ortho"), axes)
    ours = found.crop(torch.from_numpy(np.sqrt((abs(ours) ** 2).sum(0))))
    np.testing.assert_allclose(ours.numpy(), found.reference(1).numpy(), atol=1e-5)


def test_a_single_coil_file_has_one_coil(tmp_path: Path) -> None:
    found = open_kspace(write_fully(tmp_path / "k.h5", kspace=np.stack([COILS[0]] * 9)))
    assert (found.slices, found.coils, found.shape) == (9, 1, (48, 40))
    np.testing.assert_array_equal(found.read(8).numpy(), COILS[:1])


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (DATA | {"kspace": SLICES.real}, "real numbers, so one axis of 2 is 'complex'"),
        (DATA | {"kspace": np.full_like(SLICES, np.nan)}, "values of slice 1 that are NaN or infinite"),
        (DATA | {"kspace": 0 * SLICES}, "holds only zeros in slice 0"),
        (DATA | {"kspace": SLICES[:, :0]}, "holds an empty array"),
        (DATA | {"mask": np.ones(48)}, r"a mask \(48,\) of float64, but k-space of \(48, 40\) points"),
        (
            DATA | {"reconstruction_rss": np.ones((4, 30, 24))},
            r"k-space of 2 slices .* but pictures reconstruction_rss",
        ),
        (DATA | {"ismrmrd_header": HEADER.format(c=4, x=40, y=48)}, "they are exchanged; say so by axes="),
        (
            DATA | {"ismrmrd_header": HEADER.format(c=2, x=48, y=40)},
            "4 coils and 2 slices, but its header says 2 coils",
        ),
        (DATA | {"ismrmrd_header": "<ismrmrdHeader>"}, "a damaged XML header"),
        (DATA | {"ismrmrd_header": HEADER.replace("{x}", "0").format(c=4, y=40)}, "matrixSize/x is '0'"),
        (DATA | {"kspace": np.ones((2, 300, 48, 40), np.complex64)}, "300 coils of 48 x 40 points"),
        (DATA | {"kspace": np.ones((2, 40, 4, 48), np.complex64)}, "40 coils of 4 x 48 points"),
    ],
)
def test_a_fastmri_file_that_contradicts_itself_is_refused(tmp_path: Path, entries: dict, message: str) -> None:
    with pytest.raises(MetaoptError, match=message) as caught:
        open_kspace(write_fully(tmp_path / "k.h5", **entries))
    assert str(caught.value).startswith(str(tmp_path / "k.h5"))


def test_an_empty_middle_of_kspace_is_said_and_has_no_calibration_region(tmp_path: Path) -> None:
    mask = np.zeros(40, bool)
    mask[1::3] = True
    assert not mask[20]
    found = open_kspace(write_fully(tmp_path / "k.h5", kspace=SLICES * mask))
    assert found.calibration is None
    assert any("no calibration region" in note for note in found.notes)
    with pytest.raises(MetaoptError, match="has no calibration region in slice 0"):
        found.read_calibration(0)


def test_slices_of_unlike_size_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", np.array([COILS, COILS[:, 1:], None], object), allow_pickle=True)
    with pytest.raises(MetaoptError, match="as slices of unlike size are saved; fill them with zeros"):
        open_kspace(tmp_path / "k.npy")


def test_a_picture_that_begins_at_its_edge_is_moved_and_said(tmp_path: Path) -> None:
    """``fftshift(fft2(x))`` without the shift of x: k-space is centred, but its picture wraps by half."""
    axes = (-2, -1)
    pictures = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(COILS, axes), norm="ortho"), axes)
    np.save(tmp_path / "k.npy", np.fft.fftshift(np.fft.fft2(pictures, norm="ortho"), axes))
    found = open_kspace(tmp_path / "k.npy")
    assert any("the middle of the picture is at its edge along row and column" in note for note in found.notes)
    np.testing.assert_allclose(found.read(0).numpy(), COILS, atol=1e-5)


@pytest.mark.parametrize(("first", "last", "at"), [(20, 48, 4), (10, 48, 14), (0, 36, 24)])
def test_lines_that_were_left_out_instead_of_filled_by_zeros_are_said(
    tmp_path: Path, first: int, last: int, at: int
) -> None:
    np.save(tmp_path / "k.npy", COILS[:, first:last])
    found = open_kspace(tmp_path / "k.npy", axes="coil row column")
    assert any(f"is near index {at} of {last - first} along row, neither" in note for note in found.notes)
    assert not any(found.centring.moved)
    np.testing.assert_array_equal(found.read(0).numpy(), COILS[:, first:last])


def test_a_picture_in_the_place_of_kspace_is_said(tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", (1 + 1j) * np.random.default_rng(0).normal(size=(4, 48, 40)))
    assert any("gathers nowhere" in note for note in open_kspace(tmp_path / "k.npy").notes)


def test_volumes_are_written_and_read_as_volumes(tmp_path: Path) -> None:
    volume = torch.from_numpy(kspace_of(np.stack([s * picture() for s in (0, 1, 2, 1, 1)])))
    write_fastmri(tmp_path / "k.h5", [volume, 2 * volume], (1.0, 2.0, 3.0), affine=torch.eye(4))
    found = open_kspace(tmp_path / "k.h5")
    assert (found.dims, found.slices, found.coils, found.shape) == (3, 2, 4, (5, 48, 40))
    assert found.voxel == (1.0, 2.0, 3.0)
    assert torch.equal(found.read(1), 2 * volume)


def test_the_header_that_is_written_is_one_for_ismrmrd_itself() -> None:
    xsd = pytest.importorskip("ismrmrd.xsd")
    encoding = xsd.CreateFromDocument(write_header((48, 40, 5), (96.0, 40.0, 25.0), 4).encode()).encoding[0]
    sizes, extents = encoding.encodedSpace.matrixSize, encoding.reconSpace.fieldOfView_mm
    assert (sizes.x, sizes.y, sizes.z, extents.x, extents.y, extents.z) == (48, 40, 5, 96.0, 40.0, 25.0)
    assert encoding.encodingLimits.kspace_encoding_step_1.center == 20


@pytest.mark.parametrize("index", [2, -1, 1.5, True])
def test_a_slice_that_is_not_there_is_a_sentence(tmp_path: Path, index: Any) -> None:
    found = open_kspace(write_fully(tmp_path / "k.h5", **DATA))
    with pytest.raises(MetaoptError, match="slice"):
        found.read(index)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_what_is_no_kspace_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "k.h5").write_bytes(content)
    for path in (tmp_path / "k.h5", tmp_path, tmp_path / "none.h5"):
        with pytest.raises(MetaoptError, match=r"empty|known format|folder|does not exist"):
            open_kspace(path)


def broken() -> Any:
    yield torch.from_numpy(COILS)
    yield torch.from_numpy(COILS[:, 1:])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: write_fastmri(path, broken(), (1, 1, 1)), r"Entry 1 of kspace is \(4, 47, 40\)"),
        (lambda path: write_fastmri(path, [], (1, 1, 1)), "There is no slice"),
        (lambda path: write_fastmri(path, [torch.ones(4, 5, 6)], (1, 1, 1)), "has to be complex, but is real"),
        (lambda path: write_fastmri(path, [torch.ones(5, 6) + 0j], (1, 1, 1)), "K-space of a slice is"),
        (lambda path: write_fastmri(path, [torch.full((1, 5, 6), np.nan + 0j)], (1, 1, 1)), "NaN or infinite"),
        (lambda path: write_fastmri(path, [torch.ones(1, 5, 6) + 0j], (1, 1, 1), torch.ones(7)), "has a mask"),
        (lambda path: write_fastmri(path, [torch.ones(1, 5, 6) + 0j], (0, 1, 1)), "three sizes in millimetres"),
        (lambda path: write_nifti(path, torch.ones(2, 2, 2)), "end it in .nii"),
        (lambda path: write_nifti(path.with_suffix(".nii"), torch.ones(2, 2)), "are .slice, row, column"),
        (lambda path: write_nifti(path.with_suffix(".nii"), torch.full((1, 2, 2), np.nan)), "NaN or infinite"),
        (lambda path: write_nifti(path.with_suffix(".nii"), 1e-50 * torch.ones(1, 2, 2).double()), "reach 1e-50, but"),
        (
            lambda path: write_nifti(path.with_suffix(".nii"), -1e300 * torch.ones(1, 2, 2).double()),
            "reach 1e.300, but",
        ),
        (lambda path: write_nifti(path.with_suffix(".nii"), torch.ones(1, 2, 2), affine=torch.eye(3)), "is .4, 4."),
        (
            lambda path: write_nifti(path.with_suffix(".nii"), torch.ones(1, 2, 2), (1.0, 0.0, 1.0)),
            "millimetres above 0",
        ),
    ],
)
def test_what_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, write: Callable[[Path], None], message: str
) -> None:
    with pytest.raises(MetaoptError, match=message):
        write(tmp_path / "out.h5")
    assert list(tmp_path.iterdir()) == []


MEASURED = """
import resource, sys
from metaopt.data import open_kspace
import h5py
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
before = peak()
found = open_kspace(sys.argv[1], axes="slice coil row column")
y = found.read(found.slices // 2)
print(found.slices, y.abs().sum().item() > 0, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured in Linux' units")
@pytest.mark.parametrize("ending", ["npy", "h5"])
def test_a_file_of_5_gb_is_read_a_slice_at_a_time(tmp_path: Path, ending: str) -> None:
    shape, path = (160, 16, 512, 512), tmp_path / f"k.{ending}"  # 5.4 GB of complex64, 32 MB a slice
    if ending == "npy":
        array = np.lib.format.open_memmap(path, "w+", np.complex64, shape)
        array[80] = 1
        del array
    else:
        with h5py.File(path, "w") as file:
            array = file.create_dataset("kspace", shape, np.complex64, chunks=(1, 1, 512, 512))
            array[80] = 1
    done = subprocess.run([sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, check=True)
    slices, full, grown = done.stdout.split()
    assert (slices, full) == ("160", "True")
    assert float(grown) < 800  # MB


REAL = {
    "real_8coil_undersampled/cartesian_ksp.npy": (8, (230, 180), 8.0),
    "bart_pics_brain/ksp.cfl": (8, (230, 180), 7.9),
    "real_8coil_full/brain_alias_8ch.mat": (8, (320, 256), 256 / 168),
    "real_1coil_full/kspace_brain_1ch.mat": (1, (160, 220), 1.0),
}


@pytest.mark.parametrize("name", REAL)
def test_real_heads_lie_in_the_middle_of_the_picture(name: str) -> None:
    found, (coils, shape, acceleration) = open_kspace(real_data(f"mri/{name}")), REAL[name]
    assert (found.coils, found.shape, found.slices) == (coils, shape, 1)
    assert found.acceleration == pytest.approx(acceleration, rel=0.01)
    assert not any(found.centring.moved + found.centring.turned)
    x = torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(found.read(0), (1, 2))), (1, 2))
    rss = x.abs().square().sum(0).sqrt()
    rows, columns = (n // 16 for n in shape)
    corners = torch.cat([rss[:rows], rss[-rows:]])[:, [*range(columns), *range(-columns, 0)]].median()
    middle = rss[4 * rows : -4 * rows, 4 * columns : -4 * columns].median()
    assert float(corners) < 0.35 * float(middle)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["scan.h5", "scan.npy", "scan.mat"])
def test_a_named_pipe_of_kspace_is_refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(MetaoptError, match="is a pipe"):
        open_kspace(tmp_path / name)
