"""The commands of radio astronomy simulate visibilities, say what sets hold, and refuse bad input in a sentence."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch

from metaopt import data
from metaopt import operators as ops
from metaopt.cli import main
from metaopt.data import SkyPicture, write_sky_picture

pytest.importorskip("astropy")
pytest.importorskip("casacore")
pytest.importorskip("zarr")
CELL = math.radians(1.0 / 3600)


def run(*arguments: object) -> int:
    return main(["radio", *map(str, arguments)])


@pytest.fixture
def sky(tmp_path: Path) -> Path:
    pixels = torch.zeros(1, 32, 32)
    pixels[0, 20, 9] = 1.0
    write_sky_picture(tmp_path / "sky.fits", SkyPicture(pixels, CELL, (1.0, -0.6)))
    return tmp_path / "sky.fits"


@pytest.mark.parametrize("name", ["out.ms", "out.npz"])
def test_simulated_visibilities_are_those_of_the_picture(name: str, sky: Path, tmp_path: Path) -> None:
    out = tmp_path / name
    options = ["--array", "atca", "--hours", 0.5, "--channels", 2, "--frequency", 2100, "--sefd", 0]
    assert run("simulate", sky, out, *options) == 0
    found = data.read_visibilities(out)
    one = found.read()
    assert found.direction == pytest.approx((1.0, -0.6))
    assert (found.frequency / 1e6).tolist() == pytest.approx([2084, 2116])
    assert len(one.uvw) == 30 * 15
    operator = ops.visibility_operator(one.uvw, found.frequency, (32, 32), CELL)
    pixels = data.read_sky_picture(sky).pixels[None]
    torch.testing.assert_close(one.visibilities, operator(pixels)[0].to(torch.complex64), rtol=0, atol=1e-5)


def test_info_says_what_a_set_holds(sky: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("simulate", sky, tmp_path / "a.ms", "--array", "atca", "--hours", 0.1)
    one = data.read_visibilities(tmp_path / "a.ms").read()
    largest = math.degrees(ops.largest_cell(one.uvw, torch.tensor([2.1e9]))) * 3600
    capsys.readouterr()
    assert run("info", tmp_path / "a.ms") == 0
    said = capsys.readouterr().out
    for words in (
        "90 rows x 1 channels, 100.0 %",
        "antennas: 6",
        f"largest cell: {largest:.4g}",
        "declination -34.377",
    ):
        assert words in said
    noise = float((1 / one.weights.double().sum()) ** 0.5)
    assert f"thermal noise: {noise:.4g} Jy/beam" in said


def test_baselines_flags_and_weights_are_taken_from_another_set(sky: Path, tmp_path: Path) -> None:
    run("simulate", sky, tmp_path / "a.npz", "--array", "atca", "--hours", 0.1)
    one = data.read_visibilities(tmp_path / "a.npz").read()
    one.weights[7] = 0
    data.write_visibilities(tmp_path / "b.npz", [one], torch.tensor([2.0e9]), (0.3, 0.2))
    assert run("simulate", sky, tmp_path / "c.npz", "--like", tmp_path / "b.npz") == 0
    found = data.read_visibilities(tmp_path / "c.npz")
    assert (found.direction, found.frequency.tolist()) == ((0.3, 0.2), [2.0e9])
    assert torch.equal(found.read().weights, one.weights)
    assert torch.equal(found.read().uvw, one.uvw)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--array", "vla"], "no array 'vla'; those known are vla-a"),
        (["--array", "atca", "--cell", "60"], "too coarse for the longest baseline"),
        (["--array", "atca", "--channels", "0"], "channels"),
        (["--array", "atca", "--bandwidth", "9000"], "reaches below 0"),
        (["--array", "atca", "--hour-angle", "11"], "no two stations see it"),
        (["--array", "atca", "--like", "nothing.ms"], "nothing.ms does not exist"),
    ],
)
def test_what_cannot_be_simulated_is_a_sentence_and_leaves_nothing(
    options: list[str], words: str, sky: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("simulate", sky, tmp_path / "out.ms", *options) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["sky.fits"]


def test_other_endings_and_sets_that_are_there_are_refused(
    sky: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.ms").mkdir()
    for name, words in (("a.txt", "neither in .ms nor in .npz"), ("a.ms", "exists already")):
        assert run("simulate", sky, tmp_path / name, "--array", "atca") == 2
        assert words in capsys.readouterr().err
    assert run("info", tmp_path / "none.ms") == 2
    assert "does not exist" in capsys.readouterr().err


def test_a_picture_is_made_of_visibilities_and_its_numbers_are_said(
    sky: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("simulate", sky, tmp_path / "a.ms", "--array", "atca", "--hours", 1, "--channels", 2, "--sefd", 2e4)
    capsys.readouterr()
    options = ["--size", 32, "--cell", 1, "--planes", 1, "--method", "nnls"]
    assert run("image", tmp_path / "a.ms", tmp_path / "a.fits", *options) == 0
    said = capsys.readouterr().out
    for words in ("1 picture of 32 x 32 cells of 1 arcseconds, in Jy/pixel", "of the noise (1 is ideal)", "a.fits ("):
        assert words in said
    picture = data.read_sky_picture(tmp_path / "a.fits")
    assert picture.direction == pytest.approx((1.0, -0.6))
    row, column = divmod(int(picture.pixels.argmax()), 32)
    assert (abs(row - 20) <= 1, column) == (True, 9)  # an array from east to west resolves less to the north
    assert float(picture.pixels.sum()) == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "rim", "--weights", "nothing.safetensors"], "nothing.json"),
        (["--method", "clean", "--cell", "10"], "too coarse for the longest baseline"),
        (["--method", "dirty", "--channels", "3:9"], "channels 0 to 1, so 3:9 are none"),
        (["--method", "tv", "--planes", "3"], "cannot be shared out evenly"),
        (["--method", "nothing"], "no method 'nothing'"),
        (["--workers", "processes:none"], "processes:4"),
        (["--field", "M31"], "no data of field 'M31'; its fields are 0"),
        (["--window", "4"], "no data of spectral window 4; its windows are 0"),
        (["--column", "MODEL_DATA"], "no column 'MODEL_DATA'; those of visibilities are DATA"),
    ],
)
def test_what_cannot_be_imaged_is_a_sentence_and_leaves_nothing(
    options: list[str], words: str, sky: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("simulate", sky, tmp_path / "a.ms", "--array", "atca", "--hours", 0.1, "--channels", 2)
    capsys.readouterr()
    assert run("image", tmp_path / "a.ms", tmp_path / "a.fits", "--size", 32, *options) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1, said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ms", "sky.fits"]


def test_an_interruption_says_how_to_go_on(
    sky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    run("simulate", sky, tmp_path / "a.npz", "--array", "atca", "--hours", 0.1)
    module = sys.modules["metaopt.applications.radio.image_file"]  # the package has a function of this name
    monkeypatch.setattr(module, "write_sky_picture", interrupted)
    options = ["--size", 32, "--cell", 1, "--method", "dirty"]
    assert run("image", tmp_path / "a.npz", tmp_path / "a.fits", *options) == 130
    assert "a.fits is not written yet, and the same command goes on where it was" in capsys.readouterr().err
    monkeypatch.undo()
    assert run("image", tmp_path / "a.npz", tmp_path / "a.fits", *options) == 0
