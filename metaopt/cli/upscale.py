"""``metaopt upscale`` enlarges a picture file."""

from __future__ import annotations

import argparse

from .arguments import add_files, add_network, say_written, whole_number


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of the program.
    """
    parser = commands.add_parser(
        "upscale",
        help="enlarge a picture file",
        description="Enlarge a PNG, JPEG or TIFF file. Needs the extra pictures.",
        epilog="example:\n  metaopt upscale small.png large.png --scale 3",
    )
    add_files(parser, "input", "output")
    parser.add_argument(
        "--scale",
        metavar="FACTOR",
        type=whole_number,
        required=True,
        help="how many times as many pixels a side, a whole number of at least 2 (required)",
    )
    add_network(parser, "restore_grey")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from ..applications.imaging import upscale_file

    upscale_file(arguments.input, arguments.output, arguments.scale, arguments.weights, arguments.steps)
    say_written(arguments.output)
