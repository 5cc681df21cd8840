"""The command line does what the library does, and answers bad input with a sentence and exit status 2."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metaopt.applications.imaging import denoise, denoise_file
from metaopt.cli import main
from metaopt.core import MetaoptError, MetaoptWarning
from metaopt.data import Picture, read_image, write_image
from metaopt.models import load
from metaopt.training.log import read_log
from metaopt.weights import shipped

from ..training import tiny


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    samples = np.random.default_rng(0).integers(0, 256, (7, 9), np.uint8)
    Image.fromarray(samples).save(tmp_path / "in.png")
    return tmp_path / "in.png"


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr, with nothing on stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("metaopt: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("channels", "alpha"), [(1, False), (3, False), (1, True), (3, True)])
def test_denoise_is_the_library_call_and_keeps_depth_colour_and_alpha(
    tmp_path: Path, weights: Path, ending: str, bits: int, channels: int, alpha: bool
) -> None:
    pixels = torch.rand(channels, 6, 9, generator=torch.Generator().manual_seed(0))
    opacity = torch.linspace(0.1, 1, 54).reshape(1, 6, 9) if alpha else None
    write_image(tmp_path / f"in.{ending}", Picture(pixels, bits, opacity))
    files = [str(tmp_path / f"{name}.{ending}") for name in ("in", "out")]
    assert main(["denoise", *files, "--sigma", "25", "--weights", str(weights), "--steps", "4"]) == 0
    given, out = (read_image(file) for file in files)
    expected = denoise(given.pixels, 25 / 255, load(weights), 4)
    assert out.bits == bits
    assert (out.pixels - expected).abs().max() <= 0.5001 / (2**bits - 1)
    assert (out.pixels - given.pixels).abs().max() > 0.01
    assert (out.alpha is None) == (not alpha)
    if alpha:
        assert torch.equal(out.alpha, given.alpha)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"in.{ending}", f"out.{ending}"]


def test_each_channel_is_a_grey_picture_and_the_trained_steps_are_the_default(weights: Path) -> None:
    pixels, net = torch.rand(3, 5, 8), load(weights)
    together = denoise(pixels, 10 / 255, net)
    assert torch.equal(together, torch.cat([denoise(c[None], 10 / 255, net, 3) for c in pixels]))
    assert not torch.equal(together, denoise(pixels, 20 / 255, net))
    assert together.min() >= 0
    assert together.max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (3, 2)])
def test_the_smallest_pictures_are_denoised(weights: Path, size: tuple[int, int]) -> None:
    assert torch.isfinite(denoise(torch.rand(1, *size), 25 / 255, load(weights))).all()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.png", None, "cannot be opened"),
        (".", None, "is a folder"),
        ("empty.png", b"", "is empty (0 bytes)"),
        ("text.png", b"this is a text", "is not an image"),
        ("cut.png", "cut", "damaged or cut short"),
    ],
)
def test_a_picture_that_cannot_be_read_is_a_sentence(
    tmp_path: Path, picture: Path, weights: Path, capsys: pytest.CaptureFixture[str], name: str, content: object,
    words: str,
) -> None:  # fmt: skip
    if content == "cut":
        content = picture.read_bytes()[:-30]
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    status = main(
        ["denoise", str(tmp_path / name), str(tmp_path / "out.png"), "--sigma", "25", "--weights", str(weights)]
    )
    assert status == 2
    assert words in sentence(capsys)
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("out.xyz", "does not say a format that can be written; end it in .png"),
        ("out", "does not say a format"),
        ("nowhere/out.png", "does not exist; make it first"),
        ("/proc/out.png", "cannot be written"),
        ("/dev/full/out.png", "does not exist"),
    ],
)
def test_an_output_that_cannot_be_is_a_sentence(
    tmp_path: Path, picture: Path, weights: Path, capsys: pytest.CaptureFixture[str], output: str, words: str
) -> None:
    status = main(["denoise", str(picture), str(tmp_path / output), "--sigma", "25", "--weights", str(weights)])
    assert status == 2
    assert words in sentence(capsys)
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sigma", "0"], "sigma must be a positive number of grey levels (of 255), but got 0.0"),
        (["--sigma=-1"], "sigma must be a positive number of grey levels (of 255), but got -1.0"),
        (["--sigma=nan"], "sigma must be a positive number of grey levels (of 255), but got nan"),
        (["--sigma", "inf"], "sigma must be a positive number of grey levels (of 255), but got inf"),
        (["--sigma", "25", "--steps", "0"], "steps must be at least 1, but got 0"),
        (["--sigma", "25", "--steps=-1"], "steps must be at least 1, but got -1"),
        (["--sigma", "25", "--weights", "nothing"], "There are no shipped weights 'nothing'; there are "),
        (["--sigma", "25", "--weights", "none.safetensors"], "There is no weight file none.safetensors"),
    ],
)
def test_a_request_that_cannot_be_met_is_a_sentence(
    tmp_path: Path, picture: Path, weights: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    usual = [] if "--weights" in options else ["--weights", str(weights)]
    assert main(["denoise", str(picture), str(tmp_path / "out.png"), *usual, *options]) == 2
    assert words in sentence(capsys)
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]


def test_weights_for_complex_pictures_are_refused_for_grey_ones(
    tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tiny.write_weights(tmp_path, is_complex=True)
    assert main(["denoise", str(picture), str(tmp_path / "o.png"), "--sigma", "5", "--weights", str(other)]) == 2
    assert "ComplexAsChannels updates complex x" in sentence(capsys)
    assert not (tmp_path / "o.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["restore"], "restore"),
        (["denoise", "a.png"], "required"),
        (["denoise", "a.png", "b.png", "--sigma", "abc"], "abc"),
        (["denoise", "a.png", "b.png", "--sigma", "5", "--steps", "abc"], "abc"),
        (["denoise", "a.png", "b.png", "--sigma", "5", "--steps", "2.5"], "2.5"),
        (["denoise", "a.png", "b.png", "--sigma", "5", "--strength", "5"], "--strength"),
        (["train"], "required"),
    ],
)
def test_a_command_line_that_cannot_be_parsed_exits_with_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err


def test_train_leads_to_weights_that_denoise_and_goes_on_after_an_interruption(
    tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny.write_recipe(tmp_path)
    assert main(["train", str(recipe), "--out", str(tmp_path / "whole")]) == 0
    printed = capsys.readouterr().out
    assert re.search(rf"6 updates in [\d.]+ minutes; weights in {tmp_path / 'whole'}/weights\.safetensors", printed)

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("metaopt.training.loop._Run.validate", interrupt)
        assert main(["train", str(recipe), "--out", str(tmp_path / "cut")]) == 130
    assert "metaopt: interrupted; run the same command again to go on from the last" in capsys.readouterr().err
    assert main(["train", str(recipe), "--out", str(tmp_path / "cut")]) == 0
    trained = [load(tmp_path / name / "weights.safetensors") for name in ("whole", "cut")]
    for a, b in zip(*(net.parameters() for net in trained), strict=True):
        assert torch.equal(a, b)
    logs = [[r["loss"] for r in read_log(tmp_path / name / "log.csv")] for name in ("whole", "cut")]
    assert logs[0] == logs[1]
    assert len(logs[0]) == 3
    arguments = ["denoise", str(picture), str(tmp_path / "out.png"), "--sigma", "25"]
    assert main([*arguments, "--weights", str(tmp_path / "whole" / "weights.safetensors")]) == 0
    assert read_image(tmp_path / "out.png").pixels.shape == (1, 7, 9)


def test_train_takes_its_data_from_where_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny.write_recipe(tmp_path)
    recipe.write_text(recipe.read_text().replace(str(tmp_path / "pictures"), "pictures"))
    monkeypatch.setenv("METAOPT_DATA", str(tmp_path / "nowhere"))
    assert main(["train", str(recipe), "--out", str(tmp_path / "a")]) == 2
    assert f"There is no {tmp_path}/nowhere/pictures" in sentence(capsys)
    assert main(["train", str(recipe), "--out", str(tmp_path / "a"), "--data", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("recipe", "out", "words"),
    [
        (
            "nothing",
            "out",
            "denoise_color, denoise_grey, learned_map, mri, optimizer_digits, optimizer_quadratics",
        ),
        ("broken.yaml", "out", "is not YAML"),
        ("tiny.yaml", "/proc/out", "/proc/out cannot be made"),
        ("tiny.yaml", "tiny.yaml", "tiny.yaml cannot be made"),
    ],
)
def test_a_training_that_cannot_begin_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recipe: str, out: str, words: str
) -> None:
    (tmp_path / "broken.yaml").write_text("model: [\n  1,\n")
    tiny.write_recipe(tmp_path)
    path = str(tmp_path / recipe) if recipe.endswith(".yaml") else recipe
    assert main(["train", path, "--out", str(tmp_path / out)]) == 2
    assert words in sentence(capsys)


@pytest.mark.parametrize(("rank", "lines"), [(None, 1), ("0", 1), ("1", 0)])
def test_under_torchrun_one_process_speaks_for_all(
    rank: str | None, lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("metaopt.training.run_recipe", lambda *_: {"updates": 3, "minutes": 0.1})
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    assert main(["train", "mri", "--out", "nowhere"]) == 0
    assert capsys.readouterr().out.count("\n") == lines


@pytest.mark.parametrize(("sigma", "warned"), [("60", True), ("0.5", True), ("55", False)])
def test_a_noise_level_of_no_training_is_served_with_a_sentence_that_says_the_range(
    tmp_path: Path, sigma: str, warned: bool
) -> None:
    """In a process of its own: pytest makes an error of every warning."""
    write_image(tmp_path / "a.png", Picture(torch.rand(1, 8, 9), 8, None))
    command = [sys.executable, "-m", "metaopt", "denoise", "a.png", "b.png", "--sigma", sigma]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    words = f"metaopt: The weights denoise_grey were trained for noise of 1 to 55 grey levels, not {sigma}; look at the"
    assert done.returncode == 0
    assert (tmp_path / "b.png").exists()
    assert done.stderr.startswith(words) if warned else done.stderr == ""
    assert done.stdout == f"Wrote b.png ({(tmp_path / 'b.png').stat().st_size} bytes).\n"


@pytest.mark.parametrize(("scale", "warned"), [("5", True), ("4", False)])
def test_a_scale_of_no_training_is_served_with_a_sentence_that_says_the_factors(
    tmp_path: Path, scale: str, warned: bool
) -> None:
    write_image(tmp_path / "a.png", Picture(torch.rand(1, 8, 9), 8, None))
    command = [sys.executable, "-m", "metaopt", "upscale", "a.png", "b.png", "--scale", scale]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    words = "metaopt: The weights restore_grey were trained to enlarge by 2, 3, 4, not by 5; look at the result twice."
    assert done.returncode == 0
    assert (tmp_path / "b.png").exists()
    assert done.stderr.strip() == (words if warned else "")


@pytest.mark.parametrize(
    "entries",
    [{"low": 10, "high": 20}, {"noise_levels": {"call": "metaopt.tasks.grey_levels", "low": 10, "high": 20}}],
    ids=["an earlier card", "a card of today"],
)
def test_a_level_outside_of_what_a_card_says_is_warned_of(tmp_path: Path, entries: dict[str, object]) -> None:
    weights = tiny.write_weights(tmp_path)
    card = json.loads(weights.with_suffix(".json").read_text())
    card["recipe"] = {"task": {"call": "metaopt.tasks.Denoising", **entries}}
    weights.with_suffix(".json").write_text(json.dumps(card))
    write_image(tmp_path / "a.png", Picture(torch.rand(1, 8, 9), 8, None))
    with pytest.warns(MetaoptWarning, match="trained for noise of 10 to 20 grey levels, not 25"):
        denoise_file(tmp_path / "a.png", tmp_path / "b.png", 25 / 255, str(weights))


GREY = ("denoise_color", "denoise_grey", "learned_map")
OTHERS = {"denoise": [n for n in shipped() if n not in GREY], "upscale": [n for n in shipped() if n != "restore_grey"]}


@pytest.mark.parametrize("name", [*OTHERS["denoise"], ""])
def test_weights_for_something_else_are_refused_with_the_names_of_those_that_fit(
    tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    files = [str(picture), str(tmp_path / "out.png")]
    assert main(["denoise", *files, "--sigma", "25", "--weights", name]) == 2
    said = sentence(capsys)
    assert (f"not to denoise; the shipped weights for that are {', '.join(GREY)}." if name else "''; there are") in said
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("command", [["upscale", "--scale", "2"], ["inpaint"]], ids=lambda command: command[0])
def test_every_command_checks_what_its_weights_are_for(
    tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    files = [str(picture)] * (2 if command[0] == "inpaint" else 1) + [str(tmp_path / "out.png")]
    for name in OTHERS["upscale"]:
        assert main([command[0], *files, *command[1:], "--weights", name]) == 2
        assert f"not to {command[0]}; the shipped weights for that are restore_grey." in sentence(capsys)


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_a_grey_picture_in_a_form_for_colours_is_denoised_as_the_grey_one(tmp_path: Path, mode: str) -> None:
    ramp = np.add.outer(np.arange(24), np.arange(30)).astype(np.uint8) * 4
    Image.fromarray(ramp).save(tmp_path / "grey.png")
    Image.fromarray(ramp).convert(mode).save(tmp_path / "colour.png")
    for name in ("grey", "colour"):
        denoise_file(tmp_path / f"{name}.png", tmp_path / f"{name}.out.png", 10 / 255)
    grey, colour = (read_image(tmp_path / f"{name}.out.png").pixels for name in ("grey", "colour"))
    assert colour.shape == (3, 24, 30) and torch.equal(colour, grey.expand(3, -1, -1))


def test_colours_that_nobody_sees_change_nothing_that_is_seen_and_stay(tmp_path: Path) -> None:
    pixels = 0.5 + 0.1 * torch.rand(3, 20, 26, generator=torch.Generator().manual_seed(0))
    alpha = torch.ones(1, 20, 26)
    alpha[..., 5:12, 8:20] = 0
    hidden = alpha[0] == 0
    found = []
    for i, colour in enumerate((0.0, 1.0)):
        write_image(tmp_path / f"{i}.png", Picture(torch.where(hidden, colour, pixels), 16, alpha))
        denoise_file(tmp_path / f"{i}.png", tmp_path / f"{i}.out.png", 10 / 255)
        found.append(read_image(tmp_path / f"{i}.out.png"))
        assert (found[i].pixels[:, hidden] == colour).all() and torch.equal(found[i].alpha, alpha)
    assert torch.equal(found[0].pixels[:, ~hidden], found[1].pixels[:, ~hidden])
    assert (found[0].pixels - pixels)[:, ~hidden].abs().max() < 0.1, "nothing of the black or the white"


def test_what_a_mask_has_under_its_alpha_is_not_marked(tmp_path: Path, picture: Path) -> None:
    alpha = torch.zeros(1, 7, 9)
    alpha[..., 2:4, 3:5] = 1
    write_image(tmp_path / "mask.png", Picture(torch.ones(1, 7, 9), 8, alpha))
    assert main(["inpaint", str(picture), str(tmp_path / "mask.png"), str(tmp_path / "out.png")]) == 0
    given, out = (read_image(tmp_path / name).pixels for name in ("in.png", "out.png"))
    changed = given != out
    assert changed.any() and not changed[alpha == 0].any()


def test_noise_in_grey_levels_is_refused_in_python(weights: Path) -> None:
    with pytest.raises(MetaoptError, match=r"units of pixels in \[0, 1\], but got 25.0; divide grey levels by 255"):
        denoise(torch.rand(1, 5, 8), 25.0, load(weights))


def test_bounds_of_another_task_are_no_noise_levels(tmp_path: Path) -> None:
    """Those of random projections are ratios."""
    weights = tiny.write_weights(tmp_path)
    tasks = [{"call": "metaopt.tasks.RandomProjections", "low": 0.1, "high": 0.5}, {"call": "metaopt.tasks.Denoising"}]
    task = {"call": "metaopt.tasks.Mixture", "tasks": tasks}
    card = json.loads(weights.with_suffix(".json").read_text()) | {"recipe": {"task": task}}
    weights.with_suffix(".json").write_text(json.dumps(card))
    write_image(tmp_path / "a.png", Picture(torch.rand(1, 8, 9), 8, None))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        denoise_file(tmp_path / "a.png", tmp_path / "b.png", 25 / 255, str(weights))


@pytest.mark.parametrize("entry", [["-m", "metaopt"], ["-m", "metaopt.cli"]])
def test_the_module_is_the_command(tmp_path: Path, entry: list[str]) -> None:
    command = [sys.executable, *entry, "denoise", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--sigma", "5"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        f"metaopt: {tmp_path}/a.png cannot be opened (No such file or directory); check its name and permissions.\n"
    )
