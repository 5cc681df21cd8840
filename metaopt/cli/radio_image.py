"""``metaopt radio image`` makes pictures of visibilities."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import add_network, bounds, going_on, index, number, say_written, whole_number
from .radio_info import add_choice

if TYPE_CHECKING:
    from ..applications.radio import Imaged


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of ``metaopt radio``.
    """
    parser = commands.add_parser(
        "image",
        help="make pictures of visibilities",
        description="Make pictures of visibilities, one for each channel or for each of --planes, and write them as "
        "FITS: in Jy/pixel by rim, tv and nnls, and in Jy/beam by clean (restored) and dirty. Memory is that of one "
        "picture for each worker. An interrupted run goes on where it was if the same command is given again.",
        epilog="examples:\n"
        "  metaopt radio image galaxy.ms galaxy.fits --planes 1 --size 1024\n"
        "  metaopt radio image line.ms cube.fits --method tv --channels 100:164 --workers 4\n"
        "  metaopt radio image galaxy.uvfits dirty.fits --method dirty --weighting briggs --robust -0.5",
    )
    add_choice(parser)
    parser.add_argument("output", metavar="OUT", type=Path, help="the file to write, .fits")
    parser.add_argument(
        "--method",
        metavar="{rim,clean,tv,nnls,dirty}",
        default="clean",
        help="rim: a trained network; clean: multi-scale CLEAN; tv: small total variation and nothing negative; nnls: "
        "nothing negative; dirty: the dirty picture (default: %(default)s)",
    )
    _add_pictures(parser)
    add_network(parser, "radio")
    parser.add_argument(
        "--weight",
        metavar="NUMBER",
        type=number,
        help="how smooth pictures of tv are, over the root of the sum of the weights (default: 0.3)",
    )
    parser.add_argument(
        "--workers",
        metavar="WORKERS",
        type=_workers,
        help="a number of threads, processes:N, or the address of a dask scheduler (default: one picture after the "
        "other)",
    )
    parser.set_defaults(run=_run)


def _add_pictures(parser: argparse.ArgumentParser) -> None:
    """Add what says which pictures are made."""
    parser.add_argument(
        "--size", metavar="PIXELS", type=whole_number, default=512, help="pixels along a side (default: %(default)s)"
    )
    parser.add_argument(
        "--cell",
        metavar="ARCSEC",
        type=number,
        help="size of a pixel in arcseconds (default: a third of the largest that is right)",
    )
    parser.add_argument(
        "--channels",
        metavar="A:B",
        type=_range,
        default=(None, None),
        help="channels A up to, but without, B, from 0, or one channel (default: all)",
    )
    parser.add_argument(
        "--planes",
        metavar="COUNT",
        type=whole_number,
        help="pictures, over which the channels are shared out evenly; 1 joins all (default: one for each channel)",
    )
    parser.add_argument(
        "--weighting",
        metavar="{natural,uniform,briggs}",
        default="natural",
        help="of clean and dirty: which baselines count (default: %(default)s)",
    )
    parser.add_argument(
        "--robust",
        metavar="NUMBER",
        type=number,
        default=0.0,
        help="of briggs: from -2, nearly uniform, to 2, nearly natural (default: 0)",
    )


def _range(text: str) -> tuple[int | None, int | None]:
    try:
        return bounds(text) if ":" in text else (index(text), index(text) + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is no channel and no range, as 7, 10:20, 10: or :20") from None


def _workers(text: str) -> int | str:
    return text if ":" in text else whole_number(text)


def _run(arguments: argparse.Namespace) -> int:
    from ..applications.radio import Imaging, Request, Source, image_file

    settings = Imaging(
        arguments.method,
        arguments.weighting,
        arguments.robust,
        arguments.weights,
        arguments.steps,
        arguments.weight,
    )
    cell = None if arguments.cell is None else math.radians(arguments.cell / 3600)
    request = Request(arguments.size, cell, arguments.channels, arguments.planes, arguments.workers)
    source = Source(arguments.visibilities, arguments.column, arguments.window, arguments.field)
    with going_on(arguments.output):
        made = image_file(source, arguments.output, request, settings)
    _say(made)
    say_written(arguments.output)
    return 0


def _say(made: Imaged) -> None:
    """Print what was made, and how well it explains the data."""
    count, height, width = made.shape
    unit = {"JY/PIXEL": "Jy/pixel", "JY/BEAM": "Jy/beam"}[made.unit]
    print(
        f"{count} picture{'s' if count > 1 else ''} of {height} x {width} cells of "
        f"{math.degrees(made.cell) * 3600:.4g} arcseconds, in {unit}."
    )
    seen = [fact for fact in made.facts if not fact.blank]
    if seen[0].beam is not None:
        major, minor, angle = (math.degrees(value) for value in seen[0].beam)
        where = " of the first" if count > 1 and len({fact.beam for fact in seen}) > 1 else ""
        print(f"Beam{where}: {major * 3600:.4g} x {minor * 3600:.4g} arcseconds at {angle:.0f} degrees.")
    levels = [fact.misfit for fact in seen if fact.misfit is not None]
    if not levels:
        return
    overall = math.sqrt(sum(level**2 for level in levels) / len(levels))
    worst = f", and {max(levels):.3g} in the worst picture" if len(levels) > 1 else ""
    print(f"What the pictures leave of the data: {overall:.3g} of the noise (1 is ideal){worst}.")
