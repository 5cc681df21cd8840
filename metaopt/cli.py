"""The command line: ``metaopt demo``, ``metaopt denoise``, ``metaopt train``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .core import MetaoptError


def _parser() -> Any:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(prog="metaopt", description="Unrolled algorithms that learn.", exit_on_error=True)
    commands = parser.add_subcommands(required=True)

    demo = ArgumentParser(description="Reconstruct three pictures with trained machines and write a page about it.")
    demo.add_argument("--out", type=Path, default=Path("demo"), help="folder for index.html (default: demo)")
    commands.add_subcommand("demo", demo, help="reconstruct three pictures and write a page about it")

    denoise = ArgumentParser(description="Remove Gaussian noise from a PNG, JPEG or TIFF file.")
    denoise.add_argument("input", type=Path, help="the noisy picture: grey or colour, 8 or 16 bit, any size")
    denoise.add_argument("output", type=Path, help="where the result goes; the ending says the format")
    denoise.add_argument("--sigma", type=float, required=True, help="standard deviation of the noise, of 255")
    denoise.add_argument("--weights", type=str, default="denoise_grey", help="shipped name or .safetensors file")
    denoise.add_argument("--steps", type=int, help="time-steps (default: as many as in training)")
    commands.add_subcommand("denoise", denoise, help="remove noise from a picture file")

    train = ArgumentParser(description="Train by a recipe; run again after an interruption to go on.")
    train.add_argument("recipe", type=str, help="a YAML file, or the name of a recipe that comes with the package")
    train.add_argument("--out", type=Path, help="folder for log, checkpoint and weights (default: runs/RECIPE)")
    train.add_argument("--data", type=str, help="folder with the data (default: METAOPT_DATA)")
    commands.add_subcommand("train", train, help="train by a recipe")
    return parser


def _demo(arguments: Any) -> None:
    from .applications.demo import run_demo

    run_demo(arguments.out)


def _denoise(arguments: Any) -> None:
    from .applications.denoising import denoise_file

    denoise_file(arguments.input, arguments.output, arguments.sigma, arguments.weights, arguments.steps)


def _train(arguments: Any) -> None:
    import os

    from .training import find_recipe, run_recipe

    if arguments.data:
        os.environ["METAOPT_DATA"] = arguments.data
    recipe = find_recipe(arguments.recipe)
    folder = arguments.out or Path("runs") / recipe.stem
    result = run_recipe(recipe, folder)
    print(f"{result['updates']} updates in {result['minutes']:.1f} minutes; weights in {folder}/weights.safetensors")


COMMANDS = {"demo": _demo, "denoise": _denoise, "train": _train}


def _say(message: Warning | str, *_: Any) -> None:
    print(f"metaopt: {message}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. A request that cannot be met is one sentence on stderr and exit status 2."""
    parsed = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _say
            COMMANDS[parsed.subcommand](parsed[parsed.subcommand])
    except MetaoptError as error:
        print(f"metaopt: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("metaopt: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
