"""``metaopt inpaint`` fills in missing pixels of a picture file."""

from __future__ import annotations

import argparse

from .arguments import add_files, add_network, say_written


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of the program.
    """
    parser = commands.add_parser(
        "inpaint",
        help="fill in missing pixels of a picture file",
        description="Fill in missing pixels of a PNG, JPEG or TIFF file. Needs the extra pictures.",
        epilog="example:\n  metaopt inpaint scratched.png scratches.png whole.png",
    )
    add_files(parser, "input", "mask", "output")
    add_network(parser, "restore_grey")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from ..applications.imaging import inpaint_file

    inpaint_file(arguments.input, arguments.mask, arguments.output, arguments.weights, arguments.steps)
    say_written(arguments.output)
