"""Restoring pictures: whole or in pieces, in memory or from the command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import metaopt as mo
from metaopt.applications.imaging import LUMINANCE, denoise, inpaint, upscale
from metaopt.cli import main
from metaopt.data import Picture, read_image, write_image
from metaopt.models import load
from metaopt.tasks import shrinking

from ..scale.networks import random_rim
from ..training import tiny


def holes(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.3


def pixels(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("cell", [{"stride": 2}, {"kernels": [3, 1], "stride": 2, "scales": [2]}], ids=str)
@pytest.mark.parametrize("factor", [2, 3])
def test_a_picture_enlarged_in_pieces_is_the_whole(cell: dict[str, Any], factor: int) -> None:
    net, small = random_rim(**cell), pixels(1, 90, 47)
    whole, pieces = (upscale(small, factor, net, tile=tile) for tile in (1000, 24))
    assert whole.shape == (1, 90 * factor, 47 * factor)
    assert (whole - pieces).abs().max() <= 1e-12
    assert whole.std() > 0.01


def test_a_picture_filled_in_in_pieces_is_the_whole_and_what_is_known_stays() -> None:
    net, picture, missing = random_rim(stride=2), pixels(2, 70, 131), holes(70, 131)
    whole, pieces = (inpaint(picture, missing, net, tile=tile) for tile in (1000, 24))
    assert (whole - pieces).abs().max() <= 1e-12
    assert torch.equal(whole[:, ~missing], picture[:, ~missing])
    hidden = torch.where(missing, 0.0, picture)
    assert torch.equal(inpaint(hidden, missing, net), whole), "nothing is known of what is missing"
    assert (whole[:, missing] - picture[:, missing]).abs().mean() > 0.01


def test_a_large_float64_picture_in_tiles_is_the_whole() -> None:
    """Larger than a tile of the command line; the shipped network itself."""
    net, picture = load("denoise_grey").double(), pixels(1, 40, 1500)
    whole, pieces = (denoise(picture, 25 / 255, net, steps=2, tile=tile) for tile in (2000, 768))
    assert (whole - pieces).abs().max() <= 1e-12


def test_before_training_what_is_enlarged_is_the_adjoint() -> None:
    net, small = mo.models.rim(hidden=2, steps=2).double(), pixels(1, 6, 5)
    for parameter in net.algorithm.update.module.head.parameters():
        torch.nn.init.zeros_(parameter)
    expected = shrinking((12, 10), 2, dtype=torch.float64).adjoint(2 * small[None])[0]
    torch.testing.assert_close(upscale(small, 2, net), expected.clamp(0, 1), rtol=0, atol=1e-14)


def test_of_a_colour_picture_only_the_luminance_is_the_networks() -> None:
    net, small = random_rim(stride=2), 0.4 + 0.2 * pixels(3, 20, 18)
    large, smooth = (
        upscale(small, 2, net),
        F.interpolate(small[None], scale_factor=2, mode="bicubic", antialias=True)[0],
    )
    grey, before = (torch.tensordot(LUMINANCE.double(), x, 1) for x in (large, smooth))
    inside = ((large > 0) & (large < 1)).all(0)
    assert inside.float().mean() > 0.3
    torch.testing.assert_close((large - grey)[:, inside], (smooth - before)[:, inside], rtol=0, atol=1e-12)
    alone = upscale(torch.tensordot(LUMINANCE.double(), small, 1)[None], 2, net)[0]
    torch.testing.assert_close(grey[inside], alone[inside], rtol=0, atol=1e-12)


def test_a_network_for_colour_sees_the_channels_together() -> None:
    torch.manual_seed(0)
    net = mo.models.rim(channels=3, hidden=4, stride=2, steps=2).double()
    picture = pixels(3, 31, 20)
    expected = net(mo.InverseProblem(mo.operators.Identity(), picture[None], torch.tensor(25 / 255))).final[0]
    torch.testing.assert_close(denoise(picture, 25 / 255, net), expected.detach().clamp(0, 1), rtol=0, atol=1e-14)
    with pytest.raises(mo.MetaoptError, match="for pictures of 3 channels, but this one has 1"):
        denoise(picture[:1], 25 / 255, net)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A 16-bit colour picture with alpha, a mask of its size, and weights."""
    picture = Picture(pixels(3, 9, 14).float(), 16, pixels(1, 9, 14).float())
    write_image(tmp_path / "in.png", picture)
    write_image(tmp_path / "mask.png", Picture(holes(9, 14)[None].float(), 8, None))
    tiny.write_weights(tmp_path)
    names = {"in": "in.png", "mask": "mask.png", "out": "out.png", "weights": "tiny.safetensors"}
    return {key: str(tmp_path / name) for key, name in names.items()}


def test_upscale_is_the_library_call_and_keeps_depth_colour_and_alpha(files: dict[str, str]) -> None:
    assert main(["upscale", files["in"], files["out"], "--scale", "3", "--weights", files["weights"]]) == 0
    given, found = read_image(files["in"]), read_image(files["out"])
    assert found.pixels.shape == (3, 27, 42)
    assert found.bits == 16
    assert found.alpha is not None and found.alpha.shape == (1, 27, 42)
    expected = upscale(given.pixels, 3, load(files["weights"]))
    torch.testing.assert_close(found.pixels, expected, rtol=0, atol=1 / 65535)


def test_inpaint_is_the_library_call_and_keeps_what_is_known_to_the_bit(files: dict[str, str]) -> None:
    command = ["inpaint", files["in"], files["mask"], files["out"], "--weights", files["weights"], "--steps", "2"]
    assert main(command) == 0
    given, found, missing = read_image(files["in"]), read_image(files["out"]), holes(9, 14)
    assert torch.equal(found.pixels[:, ~missing], given.pixels[:, ~missing])
    assert found.alpha is not None and given.alpha is not None and torch.equal(found.alpha, given.alpha)
    expected = inpaint(given.pixels, missing, load(files["weights"]), 2)
    torch.testing.assert_close(found.pixels, expected, rtol=0, atol=1 / 65535)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["upscale", "{in}", "{out}", "--scale", "1"], "scale must be a whole number of at least 2, but got 1"),
        (["upscale", "{in}", "{out}", "--scale", "-2"], "scale must be a whole number of at least 2, but got -2"),
        (["upscale", "{in}", "{out}", "--scale", "2", "--steps", "0"], "steps must be at least 1"),
        (["upscale", "{in}", "{out}.doc", "--scale", "2"], "does not say a format that can be written"),
        (["upscale", "{in}", "{out}", "--scale", "99999"], "enlarged by 99999 has more than 80 million pixels"),
        (["inpaint", "{in}", "{in}", "{out}.jpg"], "holds no transparency"),
        (["inpaint", "{in}", "missing.png", "{out}"], "missing.png cannot be opened"),
        (["inpaint", "{in}", "{small}", "{out}"], "has 14 x 8 pixels, but .*in.png has 14 x 9; both must be of one"),
        (["inpaint", "{in}", "{black}", "{out}"], "marks nothing to fill in"),
        (["inpaint", "{in}", "{white}", "{out}"], "marks every pixel as missing"),
    ],
)
def test_what_cannot_be_restored_is_a_sentence(
    command: list[str], words: str, files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, mask in {"small": holes(8, 14), "black": torch.zeros(9, 14), "white": torch.ones(9, 14)}.items():
        files[name] = str(tmp_path / f"{name}.png")
        write_image(files[name], Picture(mask[None].float(), 8, None))
    assert main([part.format(**files) for part in command] + ["--weights", files["weights"]]) == 2
    error = capsys.readouterr().err
    assert error.startswith("metaopt: ") and error.count("\n") == 1
    assert re.search(words, error), error
    assert not list(tmp_path.glob("out*")), "nothing half-written"


def test_a_picture_of_100_000_pixels_width_is_served(files: dict[str, str], tmp_path: Path) -> None:
    write_image(tmp_path / "in.png", Picture(torch.rand(1, 2, 100_000), 8, None))
    assert main(["denoise", files["in"], files["out"], "--sigma", "5", "--weights", files["weights"]]) == 0
    assert read_image(files["out"]).pixels.shape == (1, 2, 100_000)


PICTURE = torch.rand(1, 8, 9)
BAD: dict[str, tuple[Any, str]] = {
    "nothing": (lambda net: denoise(None, 0.1, net), "A picture must be a real floating-point tensor"),
    "bytes": (lambda net: denoise(torch.zeros(1, 8, 9, dtype=torch.uint8), 0.1, net), "A picture must be a real"),
    "grey levels": (lambda net: denoise(200 * PICTURE, 0.1, net), r"pixels in \[0, 1\], .*; divide grey levels by 255"),
    "no pixels": (lambda net: denoise(torch.zeros(1, 0, 9), 0.1, net), "A picture has pixels"),
    "a list as noise": (lambda net: denoise(PICTURE, [0.1], net), "noise must be a finite number"),
    "no network": (lambda net: denoise(PICTURE, 0.1, "denoise_grey"), "metaopt.models.load gives one"),
    "half a step": (lambda net: denoise(PICTURE, 0.1, net, 1.5), "steps must be at least 1"),
    "no tile": (lambda net: denoise(PICTURE, 0.1, net, tile=None), "side of a tile must be a whole number"),
    "half a factor": (lambda net: upscale(PICTURE, 2.5, net), "The scale must be a whole number of at least 2"),
    "no mask": (lambda net: inpaint(PICTURE, None, net), "mask of missing pixels must be a tensor"),
    "complex weights": (lambda net: denoise(PICTURE, 0.1, load("mri")), "mri are for complex x"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_picture_noise_or_network_is_a_sentence(case: str) -> None:
    call, words = BAD[case]
    with pytest.raises(mo.MetaoptError, match=words):
        call(mo.models.rim(hidden=2, steps=1))


def test_a_dark_picture_is_denoised_like_the_bright_one_in_one_piece_or_many() -> None:
    """By itself a tile, or a channel, would be measured otherwise."""
    net, x = load("denoise_grey"), 0.005 * torch.linspace(0, 1, 60).expand(3, 40, 60)
    noisy = x + 4e-4 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    whole = denoise(noisy, 4e-4, net, 2)
    assert (whole - x).square().mean() < 0.3 * (noisy.clamp(0, 1) - x).square().mean()
    assert (denoise(noisy, 4e-4, net, 2, tile=24) - whole).abs().max() < 1e-7
