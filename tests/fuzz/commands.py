"""Every command with arguments at random: it ends with 0, 1, 2 or 3, and says what is wrong in a line."""

from __future__ import annotations

import contextlib
import io
import os
import random
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np

from metaopt.cli import main

from ..training import tiny
from . import readers
from .mutations import NUMBERS, mutated

COMMANDS = ("denoise", "upscale", "inpaint", "infer", "train", "data", "doctor", "demo", "view", "restore", "")
OPTIONS = (
    "--sigma --scale --weights --steps --task --method --evidence --out --strict --data --device --num-workers --help "
    "--axes --no-open --version --to list -- -x --sigma=5 --scale=2 --task=MAR --task=PR --task=MAP --steps=2 "
    "--method=bp"
).split()
VALUES = [number.decode("latin1") for number in NUMBERS[:-1] if b"\0" not in number]
VALUES += [
    "",
    " ",
    "a\nb",
    "\udcff",
    "/dev/null",
    "/proc/self/mem",
    ".",
    "/",
    "nowhere/x.png",
    "x" * 300,
    "MAR",
    "bp",
    "mf",
]
VALUES += ["restore_grey", "learned_bp", "optimizer_digits", "denoise_grey", "cuda:99", "meta", "exact", "cpu"]
MADE = ("p.png", "q.png", "f", "e", "tiny.yaml", "tiny.safetensors", "tiny.json", "r.npz")
FILES = (*MADE, "out.png", "out.tif", "out.txt", "out.html")


def make(folder: Path, draw: random.Random) -> None:
    """Files of all kinds that the commands read; one of them is damaged."""
    readers.picture("png").make(folder)
    (folder / "p.png").rename(folder / "q.png")
    readers.picture("png", 8, 1).make(folder)
    (folder / "f").write_text(readers.MODEL)
    (folder / "e").write_text("1 0 1\n")
    tiny.write_recipe(folder)
    tiny.write_weights(folder)
    np.savez(folder / "r.npz", **readers.RESULT)
    name = draw.choice(MADE)
    (folder / name).write_bytes(mutated((folder / name).read_bytes(), draw))


def words(draw: random.Random) -> list[str]:
    """Arguments of which some fit the command."""
    command = draw.choice(COMMANDS)
    usual = {
        "denoise": ["p.png", "out.png", "--sigma", "25", "--weights", "tiny.safetensors", "--steps", "2"],
        "upscale": ["p.png", "out.png", "--scale", "2", "--steps", "1"],
        "inpaint": ["p.png", "p.png", "out.png", "--steps", "1"],
        "infer": ["f", "--task", "MAR", "--method", "bp", "--evidence", "e", "--steps", "20"],
        "train": ["tiny.yaml", "--out", "run"],
        "data": ["list", "set5"],
        "view": ["r.npz", "--out", "out.html", "--no-open"],
        "demo": ["--out", "p.png/x"],
    }.get(command, [])
    given = list(usual)
    for _ in range(draw.choice((0, 1, 1, 2, 4))):
        at = draw.randrange(len(given) + 1)
        new = draw.choice((draw.choice(OPTIONS), draw.choice(VALUES), draw.choice(FILES)))
        if given and draw.random() < 0.7:
            given[min(at, len(given) - 1)] = new
        else:
            given.insert(at, new)
    if command == "demo" and "p.png/x" not in given:  # it would take minutes
        given.append("--nothing")
    if "fetch" in given:  # it would ask the network
        given = ["list"]
    return [*([command] if command else []), *given]


def attempt(draw: random.Random) -> str | None:
    """Run one command. What is wrong with how it ends, or None."""
    out, err = io.StringIO(), io.StringIO()
    before, environment = Path.cwd(), dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), draw)
        given = words(draw)
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _quick():
                status = main(given)
        except SystemExit as stop:
            status = stop.code
        except BaseException as error:
            return f"{given}: {type(error).__name__}: {error!s:.300}"
        finally:
            os.chdir(before)
    said = err.getvalue()
    if status not in (0, 1, 2, 3) or "Traceback" in said or "a fault of metaopt" in said:
        return f"{given}: status {status}: {said[-300:]}"
    if status == 2 and given and not said.splitlines()[-1].startswith(("metaopt: ", "what to do", "  ")):
        return f"{given}: its last line is {said.splitlines()[-1]!r:.200}"
    return f"{given}: it changed the environment" if dict(os.environ) != environment else None


def _quick() -> contextlib.AbstractContextManager:
    """Without the demonstration, which takes minutes, and without a browser."""
    stack = contextlib.ExitStack()
    stack.enter_context(mock.patch("metaopt.applications.demo.run_demo", return_value=None))
    stack.enter_context(mock.patch("webbrowser.open", return_value=True))
    return stack
