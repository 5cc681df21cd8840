"""The command line: ``metaopt demo``, ``denoise``, ``upscale``, ``inpaint``, ``infer``, ``train``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .core import MetaoptError

FILES = {
    "input": "the picture: grey or colour, 8 or 16 bit, any size",
    "mask": "a picture of the same size, white where pixels are to be filled in",
    "output": "where the result goes; the ending says the format",
}


def _parser() -> Any:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(prog="metaopt", description="Unrolled algorithms that learn.", exit_on_error=True)
    commands = parser.add_subcommands(required=True)

    demo = ArgumentParser(description="Reconstruct three pictures with trained machines and write a page about it.")
    demo.add_argument("--out", type=Path, default=Path("demo"), help="folder for index.html (default: demo)")
    commands.add_subcommand("demo", demo, help="reconstruct three pictures and write a page about it")

    denoise = ArgumentParser(description="Remove Gaussian noise from a PNG, JPEG or TIFF file.")
    _add_files(denoise, "input", "output")
    denoise.add_argument("--sigma", type=float, required=True, help="standard deviation of the noise, of 255")
    _add_machine(denoise, None, "denoise_grey, or denoise_color for colour pictures")
    commands.add_subcommand("denoise", denoise, help="remove noise from a picture file")

    upscale = ArgumentParser(description="Enlarge a PNG, JPEG or TIFF file.")
    _add_files(upscale, "input", "output")
    upscale.add_argument("--scale", type=int, required=True, help="how many times as many pixels a side")
    _add_machine(upscale, "restore_grey")
    commands.add_subcommand("upscale", upscale, help="enlarge a picture file")

    inpaint = ArgumentParser(description="Fill in missing pixels of a PNG, JPEG or TIFF file.")
    _add_files(inpaint, "input", "mask", "output")
    _add_machine(inpaint, "restore_grey")
    commands.add_subcommand("inpaint", inpaint, help="fill in missing pixels of a picture file")

    infer = ArgumentParser(description="Marginals, log Z or the likeliest assignment of a model in a UAI file.")
    infer.add_argument("model", type=Path, help="the model, a .uai file (MARKOV or BAYES)")
    infer.add_argument("--evidence", type=Path, help="observed variables, a .evid file (default: none)")
    infer.add_argument("--task", type=str, required=True, help="MAR (marginals), PR (log10 Z) or MAP")
    infer.add_argument("--method", type=str, default="bp", help="bp, trw, mf, learned or exact (default: bp)")
    infer.add_argument("--out", type=Path, help="where the answer goes (default: standard output)")
    infer.add_argument("--steps", type=int, default=500, help="the most steps (default: 500)")
    infer.add_argument("--strict", action="store_true", help="exit with status 3 where the answer is not to be trusted")
    commands.add_subcommand("infer", infer, help="marginals, log Z or the likeliest assignment of a UAI model")

    train = ArgumentParser(description="Train by a recipe; run again after an interruption to go on.")
    train.add_argument("recipe", type=str, help="a YAML file, or the name of a recipe that comes with the package")
    train.add_argument("--out", type=Path, help="folder for log, checkpoint and weights (default: runs/RECIPE)")
    train.add_argument("--data", type=str, help="folder with the data (default: METAOPT_DATA)")
    train.add_argument("--device", type=str, default="cpu", help="where the network is, such as cuda (default: cpu)")
    train.add_argument("--num-workers", type=int, default=0, help="processes that draw batches ahead (default: 0)")
    commands.add_subcommand("train", train, help="train by a recipe")
    return parser


def _add_files(parser: Any, *names: str) -> None:
    for name in names:
        parser.add_argument(name, type=Path, help=FILES[name])


def _add_machine(parser: Any, weights: str | None, default: str | None = None) -> None:
    say = f"shipped name or .safetensors file (default: {default or weights})"
    parser.add_argument("--weights", type=str, default=weights, help=say)
    parser.add_argument("--steps", type=int, help="time-steps (default: as many as in training)")


def _demo(arguments: Any) -> None:
    from .applications.demo import run_demo

    run_demo(arguments.out)


def _denoise(arguments: Any) -> None:
    from .applications.pictures import denoise_file

    denoise_file(arguments.input, arguments.output, arguments.sigma, arguments.weights, arguments.steps)


def _upscale(arguments: Any) -> None:
    from .applications.pictures import upscale_file

    upscale_file(arguments.input, arguments.output, arguments.scale, arguments.weights, arguments.steps)


def _inpaint(arguments: Any) -> None:
    from .applications.pictures import inpaint_file

    inpaint_file(arguments.input, arguments.mask, arguments.output, arguments.weights, arguments.steps)


def _train(arguments: Any) -> None:
    import os

    from .training import find_recipe, run_recipe

    if arguments.data:
        os.environ["METAOPT_DATA"] = arguments.data
    recipe = find_recipe(arguments.recipe)
    folder = arguments.out or Path("runs") / recipe.stem
    result = run_recipe(recipe, folder, arguments.device, arguments.num_workers)
    if int(os.environ.get("RANK", "0")):  # under torchrun one process speaks for all
        return
    print(f"{result['updates']} updates in {result['minutes']:.1f} minutes; weights in {folder}/weights.safetensors")


def _infer(arguments: Any) -> int:
    from .applications.inference import infer_file

    answer, text = infer_file(
        arguments.model, arguments.evidence, arguments.task, arguments.method, arguments.out, arguments.steps
    )
    if arguments.out is None:
        print(text, end="")
    print(f"metaopt: {answer.verdict(arguments.task, arguments.method)}", file=sys.stderr)
    return 3 if arguments.strict and not answer.converged else 0


COMMANDS: dict[str, Callable[[Any], int | None]] = {
    "demo": _demo,
    "denoise": _denoise,
    "upscale": _upscale,
    "inpaint": _inpaint,
    "infer": _infer,
    "train": _train,
}


def _say(message: Warning | str, *_: Any) -> None:
    print(f"metaopt: {message}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. A request that cannot be met is one sentence on stderr and exit status 2."""
    parsed = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _say
            return COMMANDS[parsed.subcommand](parsed[parsed.subcommand]) or 0
    except MetaoptError as error:
        print(f"metaopt: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("metaopt: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
