"""``metaopt denoise`` removes noise from a picture file."""

from __future__ import annotations

import argparse

from .arguments import add_files, add_network, number, say_written


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of the program.
    """
    parser = commands.add_parser(
        "denoise",
        help="remove noise from a picture file",
        description="Remove Gaussian noise from a PNG, JPEG or TIFF file. Needs the extra pictures.",
        epilog="example:\n  metaopt denoise noisy.png clean.png --sigma 25",
    )
    add_files(parser, "input", "output")
    parser.add_argument(
        "--sigma",
        metavar="NUMBER",
        type=number,
        required=True,
        help="standard deviation of the noise, in grey levels of 255 (required)",
    )
    add_network(parser, None, "denoise_grey, or denoise_color for a colour picture")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from ..applications.imaging import denoise_file
    from ..problems.noise import from_grey_levels

    noise = from_grey_levels(arguments.sigma)
    denoise_file(arguments.input, arguments.output, noise, arguments.weights, arguments.steps)
    say_written(arguments.output)
