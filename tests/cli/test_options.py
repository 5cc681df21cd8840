"""Every option that takes a number refuses what is none, or none of its range, in one line and with status 2."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metaopt.cli import main
from metaopt.cli.arguments import memory, number, tolerance, whole_number
from metaopt.cli.program import make_parser
from metaopt.data import write_fastmri, write_nifti

from ..training import tiny

KSPACE, VOLUME = ["k.h5", "out.nii", "--method", "cg"], ["v.nii", "out.h5"]
PICTURES, MODEL = ["in.png", "out.png"], ["m.uai", "--task", "MAR"]
TYPES = (memory, number, tolerance, whole_number)
NO_NUMBERS = (*"nan NaN inf -inf infinity 1e400 -1e400 1e-400 text 0x10 1,5 -1 1_0 ٢".split(), "")

IMAGE = ["none.npz", "out.fits"]
SKY = ["none.fits", "out.npz", "--array", "atca"]  # tests/cli/test_radio.py tries what only a picture shows
RADIO = {
    "--bandwidth": ("0", "-1e-9", "9" * 400),
    "--cell": ("0", "9" * 400),
    "--channels": ("0", "2.5"),
    "--frequency": ("0", "9" * 400),
    "--hour-angle": ("9" * 400,),
    "--hours": ("-1e-9", "9" * 400),
    "--integration": ("0", "9" * 400),
    "--seed": ("2.5", "9" * 20),
    "--sefd": ("-1e-9", "9" * 400),
}

# The command and its other arguments, the option, and what of it is refused besides NO_NUMBERS.
OPTIONS = {
    ("denoise", "--sigma"): (PICTURES, ("0", "-0.0", "1e3", "5e-324")),
    ("denoise", "--steps"): ([*PICTURES, "--sigma", "25"], ("0", "2.5", "1e3")),
    ("upscale", "--scale"): (PICTURES, ("0", "1", "2.5", "9" * 18)),
    ("upscale", "--steps"): ([*PICTURES, "--scale", "2"], ("0", "2.5")),
    ("inpaint", "--steps"): (["in.png", "in.png", "out.png"], ("0", "2.5")),
    ("infer", "--sample"): ([*MODEL, "--evidence", "e.evid"], ("1", "0.0", "9" * 20)),
    ("infer", "--steps"): (MODEL, ("2.5", "9" * 20)),
    ("infer", "--memory"): (MODEL, ("0", "0.5", "0G", "4X", "1e30", "nanG", "infG")),
    ("infer", "--tolerance"): (MODEL, ("0", "-0.0")),
    ("train", "--num-workers"): (["tiny.yaml"], ("2.5", "9" * 20)),
    ("mri reconstruct", "--noise"): (KSPACE, ("0", "-0.0", "1e-300", "1e30", "1e300")),
    ("mri reconstruct", "--sets"): (KSPACE, ("0", "2.5", "9" * 20)),
    ("mri reconstruct", "--steps"): (KSPACE[:2], ("0", "2.5")),
    ("mri reconstruct", "--volume"): (KSPACE, ("0", "2.5", "9" * 20)),
    ("mri reconstruct", "--weight"): (KSPACE, ("9" * 400,)),
    ("mri simulate", "--acceleration"): (VOLUME, ("0", "0.5", "1e30")),
    ("mri simulate", "--center"): (VOLUME, ("-1e-9", "1.01", "1e30")),
    ("mri simulate", "--coils"): (VOLUME, ("0", "2.5", "257")),
    ("mri simulate", "--noise"): (VOLUME, ("-1e-9", "9" * 400)),
    ("mri simulate", "--seed"): (VOLUME, ("2.5", "9" * 20)),
    ("radio image", "--cell"): (IMAGE, ("0", "9" * 400)),
    ("radio image", "--planes"): (IMAGE, ("0", "2.5", "9" * 20)),
    ("radio image", "--robust"): (IMAGE, ("9" * 400,)),
    ("radio image", "--size"): (IMAGE, ("0", "15", "2.5", "9" * 18)),
    ("radio image", "--steps"): (IMAGE, ("0", "2.5")),
    ("radio image", "--weight"): ([*IMAGE, "--method", "tv"], ("9" * 400,)),
    ("radio image", "--window"): (IMAGE, ("2.5", "9" * 20)),
    ("radio info", "--window"): (["none.npz"], ("2.5", "9" * 20)),
    **{("radio simulate", option): (SKY, refused) for option, refused in RADIO.items()},
}
TAKEN = {("mri simulate", "--seed"): "-1"}  # every whole number is a seed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("options")
    Image.fromarray(np.full((7, 9), 255, np.uint8)).save(folder / "in.png")
    (folder / "m.uai").write_text("MARKOV 2 2 2 1 2 0 1 4 1 2 3 4")
    (folder / "e.evid").write_text("1 0 1")
    tiny.write_recipe(folder)
    picture = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)) + 0.5
    write_nifti(folder / "v.nii", picture)
    np.save(folder / "maps.npy", np.ones((1, 16, 16), np.complex64))
    write_fastmri(folder / "k.h5", list(torch.fft.fft2(picture)[:, None]), (1, 1, 1))
    return folder


def commands_of(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The parsers of all commands that have none below them, by their words."""
    below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for word, command in below[0].choices.items() if below else ():
        yield from commands_of(command, f"{name} {word}".strip())
    if not below:
        yield name, parser


def test_the_table_has_every_option_that_takes_a_number() -> None:
    commands = list(commands_of(make_parser()))
    found = {
        (name, action.option_strings[0])
        for name, parser in commands
        for action in parser._actions
        if action.option_strings and action.type in TYPES
    }
    assert found == OPTIONS.keys()


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_what_is_no_number_of_the_range_is_one_line_and_status_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, option: str
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    others, refused = OPTIONS[command, option]
    for text in (*NO_NUMBERS, *refused):
        if text == TAKEN.get((command, option)):
            continue
        try:
            status = main([*command.split(), *others, option, text])
        except SystemExit as exit:  # by which argparse ends
            status = exit.code
        out, err = capsys.readouterr()
        assert (status, out, err.count("\n")) == (2, "", 1), (text, status, err)
        assert err.startswith("metaopt: ") and "fault of metaopt" not in err, (text, err)
    assert sorted(folder.rglob("*")) == before


RANGES = (
    "",
    "2",
    "-1:2",
    "2:1",
    "1:1",
    "4:",
    ":0",
    "0:9",
    "a:",
    "1e3:",
    "nan:",
    "1.5:2",
    "1:2:3",
    "0:1_0",
    "²:3",
    "٢:",
)
SELECTIONS = ("", "=1", "contrast", "contrast=", "contrast=-1", "contrast=1e3", "contrast=a", "contrast=²", "row=0")


@pytest.mark.parametrize(("option", "refused"), [("--slices", RANGES), ("--select", SELECTIONS)])
def test_what_is_no_range_and_no_entry_is_one_line_and_status_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str, refused: tuple
) -> None:
    monkeypatch.chdir(folder)
    for text in (*refused, "9" * 30, f"0:{'9' * 30}", f"{'9' * 5000}:", f"contrast={'9' * 5000}", "--"):
        try:
            status = main(["mri", "reconstruct", *KSPACE, f"{option}={text}"])
        except SystemExit as exit:
            status = exit.code
        out, err = capsys.readouterr()
        assert (status, out, err.count("\n")) == (2, "", 1), (text, status, err)
        assert "fault of metaopt" not in err and "invalid" not in err and len(err) < 300, (text, err)
    assert not (folder / "out.nii").exists()


@pytest.mark.filterwarnings("always::metaopt.MetaoptWarning")
def test_noise_above_every_picture_is_a_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    for noise, warns in (("0.01", False), ("1e4", True)):
        assert main(["mri", "reconstruct", *KSPACE, "--maps", "maps.npy", "--noise", noise]) == 0
        assert ("see whether the noise is in the units of k-space" in capsys.readouterr().err) == warns
        (folder / "out.nii").unlink()


def test_an_axis_that_is_selected_from_twice_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert main(["mri", "info", "k.h5", "--select", "contrast=0", "--select", "contrast=1"]) == 2
    assert "The same axis is selected from twice" in capsys.readouterr().err


def test_a_sample_without_evidence_is_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    for sample in ("0", "1", "-1"):
        assert main(["infer", *MODEL, "--sample", sample]) == 2
        assert capsys.readouterr().err.startswith(f"metaopt: Sample {sample} is one of a file of evidence, but none")


@pytest.mark.parametrize(
    ("command", "option", "text"),
    [
        ("infer", "--sample", "0"),
        ("infer", "--steps", "0"),
        ("infer", "--memory", "1.5k"),
        ("infer", "--memory", "500MiB"),
        ("infer", "--tolerance", "1e-300"),
        ("infer", "--tolerance", ".5"),
    ],
)
def test_what_is_a_number_of_the_range_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, option: str, text: str
) -> None:
    monkeypatch.chdir(folder)
    assert main([command, *OPTIONS[command, option][0], option, text]) == 0
