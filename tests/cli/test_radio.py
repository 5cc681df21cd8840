"""The commands of radio astronomy simulate visibilities, say what sets hold, and refuse bad input in a sentence."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from metaopt import data
from metaopt import operators as ops
from metaopt.cli import main
from metaopt.data import SkyPicture, write_sky_picture

pytest.importorskip("astropy")
pytest.importorskip("casacore")
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
