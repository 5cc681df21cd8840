"""Every command that writes a file leaves what it reads alone, and leaves nothing where it cannot write."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

import metaopt as mo
from metaopt.cli import main
from metaopt.data import write_fastmri, write_nifti
from metaopt.data.formats.hdf5_file import late_errors

from ..training import tiny

CG = ["--method", "cg", "--slices", "0:1", "--maps", "maps.npy"]
AXES = ["--axes", "slice row column", *CG[:4]]
# The ending of what a command writes; its arguments with OUT for that file; and what it reads.
COMMANDS = {
    "denoise": (".png", ["denoise", "in.png", "OUT", "--sigma", "25"], ["in.png"]),
    "upscale": (".png", ["upscale", "in.png", "OUT", "--scale", "2", "--steps", "1"], ["in.png"]),
    "inpaint": (".png", ["inpaint", "in.png", "mask.png", "OUT", "--steps", "1"], ["in.png", "mask.png"]),
    "infer": (
        "",
        ["infer", "m.uai", "--evidence", "e.evid", "--task", "MAR", "--out", "OUT"],
        ["m.uai", "e.evid"],
    ),
    "simulate": (".h5", ["mri", "simulate", "v.nii", "OUT", "--coils", "1"], ["v.nii"]),
    "reconstruct": (
        ".nii",
        ["mri", "reconstruct", "k.h5", "OUT", *CG, "--target", "v.nii", "--steps-out", "s.npz"],
        ["k.h5", "maps.npy", "v.nii"],
    ),
    "steps": (".npz", ["mri", "reconstruct", "k.npz", "o.nii", *AXES, "--steps-out", "OUT"], ["k.npz"]),
    "view": (".html", ["view", "r.npz", "--no-open", "--out", "OUT"], ["r.npz"]),
}
PLACES = [(name, read) for name, (_, _, reads) in COMMANDS.items() for read in reads]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    pixels = np.arange(63, dtype=np.uint8).reshape(7, 9)
    Image.fromarray(pixels).save("in.png")
    Image.fromarray(np.where(pixels < 9, 255, 0).astype(np.uint8)).save("mask.png")
    Path("m.uai").write_text("MARKOV 2 2 2 1 2 0 1 4 1 2 3 4")
    Path("e.evid").write_text("1 0 1")
    picture = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0)) + 0.5
    write_nifti("v.nii", picture)
    kspace = torch.fft.fftshift(torch.fft.fft2(picture, norm="ortho"), (1, 2))
    write_fastmri("k.h5", list(kspace[:, None]), (1, 1, 1), attributes={"noise": 0.01})
    np.savez("k.npz", kspace=kspace.numpy())
    np.save("maps.npy", np.ones((1, 16, 16), np.complex64))
    np.savez("r.npz", estimates_a=picture[None].expand(2, -1, -1, -1).numpy())
    return tmp_path


def run(name: str, out: object) -> int:
    return main([str(out) if word == "OUT" else word for word in COMMANDS[name][1]])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_writes_its_file_and_nothing_else(folder: Path, name: str) -> None:
    before = contents(folder)
    assert run(name, f"out{COMMANDS[name][0]}") == 0
    after = contents(folder)
    assert {path: after[path] for path in before} == before
    beside = {"s.npz"} if name == "reconstruct" else {"o.nii"} if name == "steps" else set()
    assert {Path(path).name for path in after.keys() - before} == {f"out{COMMANDS[name][0]}"} | beside


@pytest.mark.parametrize("link", ["name", "symbolic", "hard"])
@pytest.mark.parametrize(("name", "read"), PLACES)
def test_what_is_read_is_never_replaced_by_whatever_name(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, read: str, link: str
) -> None:
    ending = COMMANDS[name][0]
    out = folder / f"link{ending}"
    if link == "name":
        out = Path(os.path.join(".", "..", folder.name, read))
    elif link == "hard":
        os.link(read, out)
    else:
        out.symlink_to(folder / read)
    before = contents(folder)
    assert run(name, out) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    if out.name.endswith(ending):
        assert "is read, and would be lost; write to another file" in err
    assert contents(folder) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_an_output_that_is_a_folder_or_in_none_is_refused_before_work(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ending = COMMANDS[name][0]
    (folder / f"there{ending}").mkdir()
    before = sorted(folder.rglob("*"))
    for out, words in ((f"there{ending}", "is a folder"), (f"no/out{ending}", "does not exist; make it")):
        assert run(name, out) == 2
        err = capsys.readouterr().err
        assert words in err and err.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_on_a_full_disk_the_file_before_stays_and_nothing_is_left(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = folder / f"out{COMMANDS[name][0]}"
    out.write_bytes(b"before")
    before = contents(folder)
    monkeypatch.setattr(os, "fsync", full)
    assert run(name, out) == 2
    err = capfd.readouterr().err
    assert "No space left on device" in err and "Traceback" not in err
    assert contents(folder) == before and not list(folder.rglob("*.part"))


def test_hdf5_that_cannot_be_written_raises_the_error_of_the_disk_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with (
        pytest.raises(OSError, match="No space left") as caught,
        open("/dev/full", "r+b", buffering=0) as file,
        late_errors(file) as kept,
        h5py.File(kept, "w") as target,
    ):
        target["x"] = np.ones(10_000)
    assert caught.value.errno == errno.ENOSPC
    assert capfd.readouterr().err == ""


def test_weights_that_a_training_starts_from_are_not_where_it_writes(tmp_path: Path) -> None:
    recipe, weights = tiny.write_recipe(tmp_path), tiny.write_weights(tmp_path, kernels=[1])
    weights.rename(tmp_path / "weights.safetensors")
    (tmp_path / "tiny.json").rename(tmp_path / "weights.json")
    recipe.write_text(f"{recipe.read_text()}\nstart: {tmp_path / 'weights.safetensors'}\n")
    with pytest.raises(mo.MetaoptError, match="is read, and would be lost"):
        mo.training.run_recipe(recipe, tmp_path)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_null_character_in_a_name_is_a_sentence(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    with pytest.raises(SystemExit) as caught:
        run(name, f"a\0b{COMMANDS[name][0]}")
    assert caught.value.code == 2
    assert "holds a null character" in capsys.readouterr().err
