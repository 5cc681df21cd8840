"""Every acquisition of an ISMRMRD file ends where its counters say, and what is no picture is kept out of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from metaopt import MetaoptError
from metaopt.data import open_kspace
from metaopt.data.formats import mrd_index

from .test_kspace import kspace_of, picture

ismrmrd = pytest.importorskip("ismrmrd")
ROWS, COLUMNS, COILS = 48, 64, 4  # columns are oversampled twice
XML = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD" xmlns:new="urn:new">
<new:unknown/><acquisitionSystemInformation><receiverChannels>4</receiverChannels></acquisitionSystemInformation>
<encoding><encodedSpace><matrixSize><x>64</x><y>48</y><z>{z}</z></matrixSize>
<fieldOfView_mm><x>320</x><y>240</y><z>{fov}</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>32</x><y>40</y><z>{z}</z></matrixSize>
<fieldOfView_mm><x>160</x><y>200</y><z>{fov}</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>39</maximum><center>{centre}</center>
</kspace_encoding_step_1></encodingLimits><trajectory>{trajectory}</trajectory>
<parallelImaging><calibrationMode>{mode}</calibrationMode></parallelImaging></encoding></ismrmrdHeader>"""
USUAL = {"z": 1, "fov": 5, "centre": 24, "trajectory": "cartesian", "mode": "embedded"}


def acquisition(line: np.ndarray, row: int, flags: tuple[int, ...] = (), **head: Any) -> Any:
    """One line of k-space, (coils, samples), with its counters and flags."""
    made = ismrmrd.Acquisition.from_array(np.ascontiguousarray(line).astype(np.complex64))
    made.center_sample = head.pop("center_sample", line.shape[1] // 2)
    made.idx.kspace_encode_step_1 = row
    for flag in flags:
        made.setFlag(flag)
    for name, value in head.items():
        if hasattr(made.idx, name):
            setattr(made.idx, name, value)
        elif isinstance(value, tuple):
            getattr(made, name)[:] = value
        else:
            setattr(made, name, value)
    return made


def write(path: Path, acquisitions: list[Any], **header: Any) -> Path:
    with ismrmrd.Dataset(str(path), "dataset") as file:
        file.write_xml_header(XML.format(**(USUAL | header)).encode())
        for one in acquisitions:
            file.append_acquisition(one)
    return path


def lines(kspace: np.ndarray, **head: Any) -> list[Any]:
    return [acquisition(kspace[:, row], row, **head) for row in range(kspace.shape[1])]


def full() -> np.ndarray:
    return kspace_of(np.pad(picture(ROWS, COLUMNS // 2), ((0, 0), (16, 16))))


def test_flags_are_those_of_the_format() -> None:
    names = {name: value for name, value in vars(ismrmrd.constants).items() if name.startswith("ACQ_IS")}
    assert names["ACQ_IS_NOISE_MEASUREMENT"] == mrd_index.NOISE
    assert names["ACQ_IS_PARALLEL_CALIBRATION"] == mrd_index.CALIBRATION
    assert names["ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING"] == mrd_index.CALIBRATION_AND_IMAGING
    assert names["ACQ_IS_REVERSE"] == mrd_index.REVERSE
    assert set(mrd_index.IGNORED) | {19, 20, 21, 22} == set(names.values())


def test_oversampling_is_removed_and_the_rest_is_cropped_by_field_of_view(tmp_path: Path) -> None:
    found = open_kspace(write(tmp_path / "k.h5", lines(full())))
    assert (found.slices, found.coils, found.shape, found.picture_shape) == (1, COILS, (ROWS, 32), (40, 32))
    assert found.voxel == (5.0, 5.0, 5.0)
    y = found.read(0).numpy()
    x = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(y, (1, 2)), norm="ortho"), (1, 2))
    whole = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(full(), (1, 2)), norm="ortho"), (1, 2))
    np.testing.assert_allclose(x, whole[:, :, 16:48], atol=1e-5)
    assert found.crop(torch.from_numpy(x)).shape == (COILS, 40, 32)
    kept = open_kspace(tmp_path / "k.h5", keep_oversampling=True)
    np.testing.assert_allclose(kept.read(0).numpy(), full(), atol=1e-5)
    assert kept.picture_shape == (40, 32)


def test_what_is_no_picture_is_kept_out_and_reversed_lines_are_turned_round(tmp_path: Path) -> None:
    right, noise = full(), np.random.default_rng(0).normal(size=(COILS, 500)) * (1 + 1j)
    wrong = [acquisition(99 * right[:, 3], 3, (flag,)) for flag in (20, 23, 24, 26, 27, 28, 29, 30, 31)]
    some = lines(right)
    for row in range(1, ROWS, 2):
        some[row] = acquisition(right[:, row, ::-1], row, (22,), center_sample=31)
    scan = [acquisition(noise, 0, (19,), sample_time_us=20.0), *wrong, *some[::-1]]
    for one in scan[1:]:
        one.sample_time_us = 5.0
    found = open_kspace(write(tmp_path / "k.h5", scan, mode="separate"), keep_oversampling=True)
    np.testing.assert_allclose(found.read(0).numpy(), right, atol=1e-5)
    np.testing.assert_allclose(found.noise.numpy(), 2 * noise, rtol=1e-6)  # 4 times the bandwidth
    said = " ".join(found.notes)
    assert all(word in said for word in ("navigator", "phase correction", "dummy", "calibration alone"))


def test_averages_are_averaged_and_contrasts_and_repetitions_are_never_mixed(tmp_path: Path) -> None:
    k = full()
    scan = [one for average in (1, 3) for one in lines(average * k, average=average)]
    scan += lines(10 * k, contrast=1) + lines(20 * k, contrast=1, repetition=1)
    path = write(tmp_path / "k.h5", scan)
    first = open_kspace(path, keep_oversampling=True)
    np.testing.assert_allclose(first.read(0).numpy(), 2 * k, atol=1e-4)
    assert any("2 of 'contrast', of which 0 is read" in note for note in first.notes)
    assert any("up to 2 times and are averaged" in note for note in first.notes)
    last = open_kspace(path, select={"contrast": 1, "repetition": 1}, keep_oversampling=True)
    np.testing.assert_allclose(last.read(0).numpy(), 20 * k, atol=1e-3)
    with pytest.raises(MetaoptError, match=r"has no contrast 5; there are: 0, 1\."):
        open_kspace(path, select={"contrast": 5})


def test_partial_fourier_and_partial_echo_leave_zeros_where_the_counters_say(tmp_path: Path) -> None:
    k = full()
    scan = [acquisition(k[:, row, 16:], row - 24 + 8, center_sample=16) for row in range(16, ROWS)]
    found = open_kspace(write(tmp_path / "k.h5", scan, centre=8))
    right = np.zeros_like(k)
    right[:, 16:, 16:] = k[:, 16:, 16:]
    assert found.shape == (ROWS, COLUMNS)  # a partial echo is not resampled
    np.testing.assert_allclose(found.read(0).numpy(), right, atol=1e-5)
    assert torch.equal(found.mask > 0, torch.from_numpy(right[0] != 0))
    assert found.partial_fourier == (pytest.approx(32 / 48), pytest.approx(48 / 64))


def test_a_volume_is_read_by_both_encoding_steps(tmp_path: Path) -> None:
    volume = np.stack([s * np.pad(picture(ROWS, 32), ((0, 0), (16, 16))) for s in (0, 1, 3, 2, 1, 0)])
    k = kspace_of(volume)
    scan = [one for plane in range(6) for one in lines(k[:, plane], kspace_encode_step_2=plane)]
    found = open_kspace(write(tmp_path / "k.h5", scan, z=6, fov=30), keep_oversampling=True)
    assert (found.dims, found.slices, found.shape) == (3, 1, (6, ROWS, COLUMNS))
    np.testing.assert_allclose(found.read(0).numpy(), k, atol=1e-4)


def test_the_affine_is_that_computed_by_hand(tmp_path: Path) -> None:
    """Readout to the left, phase encoding to the front, slices upwards, 7 mm apart and measured out of order.

    LPS: read (1, 0, 0), phase (0, -1, 0), slice (0, 0, 1). In RAS a column is a step of 5 mm to -R, a row one of 5 mm
    to +A. Pixel (16, 20) of the 32 x 40 picture lies at the position (10, 20, -7) LPS = (-10, -20, -7) RAS, so that
    pixel 0 lies at R = -10 + 16 * 5 = 70 and A = -20 - 20 * 5 = -120.
    """
    turned = {"read_dir": (1.0, 0.0, 0.0), "phase_dir": (0.0, -1.0, 0.0), "slice_dir": (0.0, 0.0, 1.0)}
    heights, k = (0.0, -7.0, 7.0), full()
    scan = [
        one
        for counter, height in enumerate(heights)
        for one in lines((counter + 1) * k, slice=counter, position=(10.0, 20.0, height), **turned)
    ]
    found = open_kspace(write(tmp_path / "k.h5", scan))
    right = [[-5, 0, 0, 70], [0, 5, 0, -120], [0, 0, 7, -7], [0, 0, 0, 1]]
    np.testing.assert_allclose(found.affine.numpy(), right, atol=1e-6)
    assert found.voxel == (5.0, 5.0, 7.0)
    levels = [float(found.read(index).abs().max()) for index in range(3)]
    np.testing.assert_allclose(np.array(levels) / levels[1], [2, 1, 3], rtol=1e-5)  # from below to above
    assert any("sorted by their position" in note for note in found.notes)


def _no_header(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["dataset/xml"]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("scan", "header", "damage", "message"),
    [
        (lambda k: lines(k), {"trajectory": "spiral"}, None, "a spiral trajectory, but only Cartesian"),
        (lambda k: lines(k[:, :, :16]) + lines(k), {"z": 0}, None, "z is '0', but has to be a number above 0"),
        (lambda k: lines(k[:2]) + lines(k), {}, None, "acquisitions of 2 and 4 coils"),
        (lambda k: [acquisition(k[:, 0], 60)], {}, None, "its header says 48 lines"),
        (lambda k: [acquisition(np.tile(k[:, 0], 2), 0)], {}, None, "128 samples in acquisition 0"),
        (lambda k: [acquisition(k[:, 0, :40], 0, center_sample=5)], {}, None, "its header is inconsistent"),
        (lambda k: [acquisition(k[:, 0], 0, (19,))], {}, None, "no line of a picture in encoding 0"),
        (lambda k: lines(np.nan * k), {}, None, "values of slice 0 that are NaN"),
        (lambda k: lines(0 * k), {}, None, "holds only zeros in slice 0"),
        (lambda k: lines(k), {}, _no_header, "has no XML header"),
        (lambda k: lines(k), {}, _cut, "damaged, cut short"),
    ],
)
def test_what_contradicts_itself_is_refused(
    tmp_path: Path,
    scan: Callable[[np.ndarray], list[Any]],
    header: dict[str, Any],
    damage: Callable[[Path], None] | None,
    message: str,
) -> None:
    path = write(tmp_path / "k.h5", scan(full()), **header)
    if damage:
        damage(path)
    with pytest.raises(MetaoptError, match=message) as caught:
        open_kspace(path)
    assert str(caught.value).startswith(str(path))


def test_a_compressed_scan_is_the_same_scan(tmp_path: Path) -> None:
    path = write(tmp_path / "k.h5", lines(full()))
    with h5py.File(path) as file, h5py.File(tmp_path / "small.h5", "w") as copy:
        copy["dataset/xml"] = file["dataset/xml"][()]
        data = file["dataset/data"]
        copy.create_dataset("dataset/data", data=data[()], dtype=data.dtype, chunks=(5,), compression="gzip")
        copy.create_dataset("other/data", data=data[()], dtype=data.dtype, chunks=(5,))
        copy["other/xml"] = file["dataset/xml"][()]
    with pytest.raises(MetaoptError, match=r"several scans \(dataset, other\); say which by variable="):
        open_kspace(tmp_path / "small.h5")
    for name in ("dataset", "other"):
        found = open_kspace(tmp_path / "small.h5", variable=name)
        assert torch.equal(found.read(0), open_kspace(path).read(0))


MEASURED = """
import h5py, resource, sys
from metaopt.data import open_kspace
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
before = peak()
found = open_kspace(sys.argv[1], keep_oversampling=True)
found.read(50)
print(found.slices, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured in Linux' units")
def test_a_slice_is_read_without_the_samples_of_the_others(tmp_path: Path) -> None:
    line = np.ones((16, 4096))
    scan = [acquisition(line, 24 + row, slice=number) for number in range(100) for row in range(2)]  # 105 MB
    path = write(tmp_path / "k.h5", scan)
    with h5py.File(path, "a") as file:
        file["dataset/xml"][0] = file["dataset/xml"][0].replace(b"<x>64</x>", b"<x>4096</x>")
    run = [sys.executable, "-c", MEASURED, str(path)]
    slices, grown = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    assert slices == "100"
    assert float(grown) < 110  # of which two copies of a slice of 48 lines, and its counters, are 70


TOOL, RECON = "ismrmrd_generate_cartesian_shepp_logan", "ismrmrd_recon_cartesian_2d"


@pytest.mark.skipif(not shutil.which(TOOL), reason=f"{TOOL} (Debian's ismrmrd-tools) is not installed")
@pytest.mark.parametrize(("oversampling", "coils"), [(2, 4), (1, 3)])
def test_the_picture_is_that_of_the_reconstruction_of_ismrmrd_itself(
    tmp_path: Path, oversampling: int, coils: int
) -> None:
    command = [TOOL, "-m", "64", "-c", str(coils), "-O", str(oversampling), "-n", "0.01", "-o", "k.h5"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    found = open_kspace(tmp_path / "k.h5")
    y = found.read(0)
    x = torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(y, (1, 2)), norm="ortho"), (1, 2))
    ours = found.crop(x.abs().square().sum(0).sqrt()).double().numpy()
    subprocess.run([RECON, "k.h5"], cwd=tmp_path, check=True, capture_output=True)
    with h5py.File(tmp_path / "k.h5") as file:
        theirs = file["dataset/cpp/data"][()].squeeze().astype(float)
    scale = (ours * theirs).sum() / (theirs**2).sum()
    np.testing.assert_allclose(ours, scale * theirs, atol=1e-4 * ours.max())


@pytest.mark.skipif(not shutil.which(TOOL), reason=f"{TOOL} (Debian's ismrmrd-tools) is not installed")
def test_acceleration_calibration_noise_and_repetitions_of_ismrmrd_itself_are_found(tmp_path: Path) -> None:
    command = [TOOL, *"-m 64 -c 4 -r 2 -a 2 -w 16 -n 0.01 -C -o k.h5".split()]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    first, second = (open_kspace(tmp_path / "k.h5", select={"repetition": n}) for n in (0, 1))
    rows = {n: set(np.flatnonzero(found.mask[:, 0])) for n, found in enumerate((first, second))}
    assert rows == {n: set(range(n, 64, 2)) | set(range(24, 40)) for n in (0, 1)}
    assert first.acceleration == 64 / 40
    assert first.calibration[0].start <= 24 and first.calibration[0].stop >= 40
    assert first.read_calibration(0).shape[1:] == (17, 64)
    assert float(first.noise.real.std()) == pytest.approx(0.01, rel=0.1)
