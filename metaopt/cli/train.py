"""``metaopt train`` trains by a recipe."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from .arguments import shown, whole_number


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of the program.
    """
    parser = commands.add_parser(
        "train",
        help="train by a recipe",
        description="Train by a recipe; run again after an interruption to go on.",
        epilog="examples:\n"
        "  metaopt train denoise_grey --data /path/to/data\n"
        "  metaopt train tiny.yaml --out runs/tiny --device cuda --num-workers 4",
    )
    parser.add_argument("recipe", metavar="RECIPE", help="a YAML file, or the name of a recipe of the package")
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path, help="where log, checkpoint and weights go (default: runs/RECIPE)"
    )
    parser.add_argument("--data", metavar="FOLDER", help="the folder that holds the data (default: METAOPT_DATA)")
    parser.add_argument(
        "--device", metavar="DEVICE", default="cpu", help="where the network is, such as cuda (default: %(default)s)"
    )
    parser.add_argument(
        "--num-workers",
        metavar="COUNT",
        type=whole_number,
        default=0,
        help="processes that draw batches ahead (default: %(default)s)",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from ..training import find_recipe, run_recipe

    if arguments.data:
        os.environ["METAOPT_DATA"] = arguments.data  # until this command ends
    recipe = find_recipe(arguments.recipe)
    folder = arguments.out or Path("runs") / recipe.stem
    try:
        result = run_recipe(recipe, folder, arguments.device, arguments.num_workers)
    except KeyboardInterrupt:
        resumes = (folder / "checkpoint.safetensors").exists()
        how = "run the same command again to go on from the last checkpoint" if resumes else "nothing is saved yet"
        raise KeyboardInterrupt(how) from None
    if os.environ.get("RANK", "0") != "0":  # under torchrun one process speaks for all
        return
    took = f"{result['updates']} updates in {result['minutes']:.1f} minutes"
    print(f"{took}; weights in {shown(folder)}/weights.safetensors")
