"""``metaopt airway measure`` measures the branches of an airway mask; here are the options of what is written, too."""

from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import say_written


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of ``metaopt airway``.
    """
    parser = commands.add_parser(
        "measure",
        help="measure the branches of an airway mask",
        description="Measure the branches of an airway mask: generation, side, length, diameter, area, taper, angle.",
        epilog="examples:\n  metaopt airway measure mask.nii.gz\n"
        "  metaopt airway measure mask.nii.gz --table branches.csv --tree tree.swc",
    )
    parser.add_argument(
        "mask", metavar="MASK", type=Path, help="the mask, .nii, .nii.gz or .nrrd, of 0 and one other value"
    )
    add_outputs(parser)
    parser.set_defaults(run=_run)


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add the options for the files of a tree.

    Args:
        parser: The parser of a command.
    """
    parser.add_argument(
        "--tree",
        metavar="TREE.swc",
        type=Path,
        help="the file for the centre lines with their radii, in mm of the scanner (RAS) (default: none)",
    )
    parser.add_argument(
        "--table",
        metavar="TABLE.csv",
        type=Path,
        help="the file for a table with a row for each branch (default: none)",
    )


def _run(arguments: argparse.Namespace) -> None:
    from ..applications.airway import measure_file, summarize

    print(summarize(measure_file(arguments.mask, arguments.table, arguments.tree)))
    for path in (arguments.tree, arguments.table):
        if path is not None:
            say_written(path)
