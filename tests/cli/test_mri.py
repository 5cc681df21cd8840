"""The commands of MRI lead from a volume to its picture, go on after an interruption, and refuse bad input."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest

from metaopt.applications.mri import Settings, reconstruct
from metaopt.applications.mri.masks import MASKS
from metaopt.applications.mri.partial import resumable
from metaopt.cli import main
from metaopt.data import open_kspace, write_nifti

from ..applications.mri.volumes import AFFINE, head, simulated

FILES = importlib.import_module("metaopt.applications.mri.reconstruct_file")  # its name is the function's, too
FILL = FILES.fill


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("scan"), 4)


Change = Callable[[np.ndarray], np.ndarray]


def run(*arguments: object) -> int:
    return main(["mri", *map(str, arguments)])


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_reconstruct_writes_the_pictures_of_the_library_at_their_place(scan: Path, tmp_path: Path) -> None:
    out, steps = tmp_path / "out.nii.gz", tmp_path / "out.npz"
    options = ["--method", "zero", "--slices", "1:3", "--check", "--steps-out", steps]
    assert run("reconstruct", scan, out, *options) == 0
    found = nibabel.load(out)
    expected = reconstruct(open_kspace(scan), Settings("zero"), slices=(1, 3))
    assert np.allclose(found.get_fdata().transpose(2, 1, 0), expected.pictures.numpy(), rtol=1e-5)
    assert np.allclose(found.affine @ [0, 0, -1, 1], AFFINE.numpy()[:, 3])
    with np.load(steps) as kept:
        assert kept["estimates_zero"].shape == (1, 2, 96, 96)
        assert np.allclose(kept["target"], 100 * head()[1:3].numpy())
        assert kept["mask"].dtype == np.uint8
        assert np.allclose(kept["spacing"], [3, 1.5, 1.5])
        assert len(set(str(kept["axes"]))) == 3
    assert not hidden(tmp_path)


def test_check_names_the_worst_slice_by_its_number_in_the_file_and_none_where_there_is_one(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kspace, levels = open_kspace(scan), []
    for slices in ("2:3", "1:3"):
        assert run("reconstruct", scan, tmp_path / "o.nii", "--method", "cg", "--slices", slices, "--check") == 0
        levels.append(capsys.readouterr().out.splitlines()[1].partition("What the pictures leave of the data: ")[2])
    one = float(reconstruct(kspace, Settings("cg"), slices=(2, 3)).residual)
    both = reconstruct(kspace, Settings("cg"), slices=(1, 3)).residual
    worst = 1 + int(both.argmax())
    assert levels[0] == f"{one:.3g} of the noise (1 is ideal)."
    assert levels[1].endswith(
        f"of the noise (1 is ideal), and {float(both.max()):.3g} in slice {worst}, the worst of 2."
    )


def test_a_size_of_voxels_that_nobody_knows_is_not_written(tmp_path: Path) -> None:
    picture = np.outer(np.hanning(20), np.hanning(24))
    np.save(tmp_path / "k.npy", np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(picture))).astype(np.complex64))
    options = ["--method", "zero", "--axes", "row column", "--steps-out", tmp_path / "steps.npz"]
    assert run("reconstruct", tmp_path / "k.npy", tmp_path / "out.nii", *options) == 0
    with np.load(tmp_path / "steps.npz") as kept:
        assert "estimates_zero" in kept and "spacing" not in kept and "axes" not in kept


def test_info_says_what_was_simulated(scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("info", scan) == 0
    text = capsys.readouterr().out
    for said in ("96 x 96 points, 4 coils, 3 slices", "acceleration 3", "1.5 x 1.5 mm", "noise:", "calibration:"):
        assert said in text
    assert max(map(len, text.splitlines()[1:])) <= 100


@pytest.mark.parametrize("mask", MASKS)
def test_a_mask_of_each_kind_is_drawn_told_by_info_and_reconstructed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mask: str
) -> None:
    volume, picture = tmp_path / "head.nii", head(1, 48)
    write_nifti(volume, 100 * picture)
    options = ["--acceleration", "2.5", "--coils", "4", "--noise", "0.005", "--mask", mask]
    for name, seed in (("k.h5", 3), ("again.h5", 3), ("other.h5", 4)):
        assert run("simulate", volume, tmp_path / name, *options, "--seed", seed) == 0
    capsys.readouterr()
    masks = [open_kspace(tmp_path / name).mask.numpy() for name in ("k.h5", "again.h5", "other.h5")]
    assert np.array_equal(masks[0], masks[1]) and not np.array_equal(masks[0], masks[2])
    columns = "columns" in mask or mask == "equispaced"
    assert masks[0].sum() == (48 * round(48 / 2.5) if columns else round(48 * 48 / 2.5))
    assert run("info", tmp_path / "k.h5") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert ("whole lines at some columns" if columns else "single points") in text
    assert f"acceleration {masks[0].size / masks[0].sum():.3g}" in text
    assert f"from head.nii with the mask {mask}, so that nothing here was measured" in text
    assert ("k-space is sampled over 62% along column" in text) == (mask == "partial")
    assert run("reconstruct", tmp_path / "k.h5", tmp_path / "o.nii", "--method", "cg") == 0
    found = nibabel.load(tmp_path / "o.nii").get_fdata().T / 100
    assert np.linalg.norm(found - picture.numpy()) < 0.2 * np.linalg.norm(picture.numpy())


@pytest.mark.parametrize("mask", MASKS)
def test_maps_of_several_coils_can_be_computed_at_a_high_acceleration(tmp_path: Path, mask: str) -> None:
    write_nifti(tmp_path / "head.nii", 100 * head(1, 64))
    options = ["--acceleration", "6", "--coils", "4", "--noise", "0.005", "--mask", mask]
    assert run("simulate", tmp_path / "head.nii", tmp_path / "k.h5", *options) == 0
    found = open_kspace(tmp_path / "k.h5")
    assert found.acceleration == pytest.approx(6, rel=0.05)
    assert run("reconstruct", tmp_path / "k.h5", tmp_path / "o.nii", "--method", "cg") == 0
    assert nibabel.load(tmp_path / "o.nii").get_fdata().max() > 50


@pytest.mark.parametrize("mask", ["gaussian", "equispaced"])
def test_the_middle_is_sampled_in_full_as_far_as_is_asked(tmp_path: Path, mask: str) -> None:
    write_nifti(tmp_path / "head.nii", 100 * head(1, 48))
    found = []
    for center in (0.0, 0.25):
        options = ["--acceleration", "2.5", "--coils", "1", "--mask", mask, "--center", center]
        assert run("simulate", tmp_path / "head.nii", tmp_path / "k.h5", *options) == 0
        found.append(open_kspace(tmp_path / "k.h5").mask.numpy())
    if mask == "equispaced":
        assert found[1][:, 18:30].all() and not found[0][:, 18:30].all()
    else:
        square = np.add.outer(np.square(np.arange(-24, 24)), np.square(np.arange(-24, 24)))
        assert found[1][square <= 12**2].all() and not found[0][square <= 12**2].all()
    assert found[0].sum() == found[1].sum()


def interrupted(after: int, error: BaseException) -> Callable[..., Iterator[int]]:
    def fill(*arguments: Any) -> Iterator[int]:
        for count, some in enumerate(FILL(*arguments), start=1):
            yield some
            if count == after:
                raise error

    return fill


def counted(made: list[int]) -> Callable[..., Iterator[int]]:
    def fill(*arguments: Any) -> Iterator[int]:
        for some in FILL(*arguments):
            made.append(some)
            yield some

    return fill


def test_an_interrupted_run_goes_on_and_gives_what_one_run_gives(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, out, made = tmp_path / "whole.nii", tmp_path / "out.nii", []
    assert run("reconstruct", scan, whole, "--method", "cg") == 0
    monkeypatch.setattr(FILES, "fill", interrupted(2, KeyboardInterrupt()))
    assert run("reconstruct", scan, out, "--method", "cg") == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert not out.exists()
    monkeypatch.setattr(FILES, "fill", counted(made))
    assert run("reconstruct", scan, out, "--method", "cg") == 0
    assert made == [1]
    assert out.read_bytes() == whole.read_bytes()
    assert not hidden(tmp_path)


def test_other_settings_do_not_use_what_was_interrupted(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, out = [], tmp_path / "out.nii"
    monkeypatch.setattr(FILES, "fill", interrupted(2, KeyboardInterrupt()))
    assert run("reconstruct", scan, out, "--method", "cg") == 130
    monkeypatch.setattr(FILES, "fill", counted(made))
    assert run("reconstruct", scan, out, "--method", "cg", "--weight", "30") == 0
    assert made == [1, 1, 1]


def test_a_second_run_that_writes_the_same_file_is_told_what_the_first_does(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.nii"
    with resumable(out, 3, {}):
        assert run("reconstruct", scan, out, "--method", "cg") == 2
    said = capsys.readouterr().err
    assert f"process {os.getpid()} on" in said
    assert "reconstructs out.nii and keeps its planes there; wait until it ends, end it, or write to another" in said
    assert "trains" not in said


def test_an_error_in_the_middle_leaves_nothing_behind(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FILES, "fill", interrupted(1, RuntimeError("broken")))
    assert run("reconstruct", scan, tmp_path / "out.nii", "--method", "cg") == 2
    assert not list(tmp_path.iterdir())


def _cut(y: np.ndarray) -> np.ndarray:
    y[..., 48, 47:50] = 0
    return y


def changed(scan: Path, folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    with h5py.File(scan) as file:
        y = change(file["kspace"][:])
    np.save(folder / "changed.npy", y)
    return folder / "changed.npy"


WRONG: dict[str, tuple[list[str], str]] = {
    "missing file": (["{dir}/none.h5", "{dir}/o.nii"], "does not exist"),
    "other file": (["{dir}/text.h5", "{dir}/o.nii"], "known format"),
    "ending": (["{scan}", "{dir}/o.png"], ".nii"),
    "folder": (["{scan}", "{dir}/none/o.nii"], "does not exist"),
    "slices": (["{scan}", "{dir}/o.nii", "--slices", "2:9"], "There are 3 slices"),
    "no slices": (["{scan}", "{dir}/o.nii", "--slices", "2:2"], "There are 3 slices"),
    "range": (["{scan}", "{dir}/o.nii", "--slices", "2"], "range of slices"),
    "volume": (["{scan}", "{dir}/o.nii", "--volume", "0"], "no volumes"),
    "mask shape": (["{scan}", "{dir}/o.nii", "--mask", "{dir}/mask.npy"], "(96, 96)"),
    "mask values": (["{scan}", "{dir}/o.nii", "--mask", "{dir}/twos.npy"], "zeros and ones"),
    "mask file": (["{scan}", "{dir}/o.nii", "--mask", "{scan}"], ".npy"),
    "maps": (["{scan}", "{dir}/o.nii", "--maps", "{dir}/mask.npy"], "(4, 96, 96)"),
    "noise nan": (["{scan}", "{dir}/o.nii", "--noise", "nan"], "noise"),
    "noise 0": (["{scan}", "{dir}/o.nii", "--noise", "0"], "noise"),
    "method": (["{scan}", "{dir}/o.nii", "--method", "magic"], "rim, cs, tv, cg, zero"),
    "steps": (["{scan}", "{dir}/o.nii", "--method", "zero", "--steps", "3"], "no steps"),
    "weight": (["{scan}", "{dir}/o.nii", "--weight", "3"], "has no weight"),
    "network": (["{scan}", "{dir}/o.nii", "--weights", "denoise_grey"], "mri"),
    "target alone": (["{scan}", "{dir}/o.nii", "--target", "{scan}"], "--steps-out"),
    "steps file": (["{scan}", "{dir}/o.nii", "--steps-out", "{dir}/o.txt"], ".npz"),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG.values(), ids=WRONG.keys())
def test_reconstruct_refuses_in_a_line_and_leaves_nothing(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    (tmp_path / "text.h5").write_text("no k-space")
    np.save(tmp_path / "mask.npy", np.ones((5, 7)))
    np.save(tmp_path / "twos.npy", np.full((96, 96), 2))
    before = sorted(tmp_path.iterdir())
    filled = [text.format(dir=tmp_path, scan=scan) for text in arguments]
    try:
        status = run("reconstruct", *filled)
    except SystemExit as end:
        status = end.code
    err = capsys.readouterr().err
    assert status == 2
    assert said in err
    assert err.count("\n") == 1
    assert "fault of metaopt" not in err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("change", "said"),
    [(lambda y: 0 * y, "only zeros"), (lambda y: y * np.nan, "NaN"), (_cut, "--method zero")],
    ids=["zeros", "nan", "no calibration region"],
)
def test_kspace_that_cannot_be_used_is_refused(
    scan: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[np.ndarray], np.ndarray],
    said: str,
) -> None:
    path = changed(scan, tmp_path, change)
    axes = ["--axes", "slice coil row column", "--noise", "1"]
    assert run("reconstruct", path, tmp_path / "o.nii", *axes) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "o.nii").exists()
    assert not hidden(tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--acceleration", "0.5"], "acceleration"),
        (["--acceleration", "5000"], "acceleration"),
        (["--coils", "0"], "coils"),
        (["--noise", "nan"], "noise"),
        (["--noise", "-1"], "noise"),
        (["--mask", "rings"], "gaussian, poisson, radial, spiral, partial, gaussian-columns, columns, equispaced"),
        (["--center", "1.5"], "centre"),
        (["--center", "nan"], "centre"),
        (["--center", "0.9"], "lower the center_fraction or the acceleration"),
        (["--center", "0.9", "--mask", "equispaced"], "lower the center_fraction or the acceleration"),
        (["--acceleration", "90", "--mask", "columns"], "hardly a sample"),
    ],
)
def test_simulate_refuses_in_a_line(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert run("simulate", scan.parent / "head.nii", tmp_path / "k.h5", *options) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())
    assert run("simulate", tmp_path / "none.nii", tmp_path / "k.h5") == 2
    assert run("simulate", scan.parent / "head.nii", tmp_path / "k.png") == 2
    assert run("simulate", scan.parent / "head.nii", tmp_path / "none" / "k.h5") == 2
