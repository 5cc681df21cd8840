"""``metaopt radio info`` says what a set of visibilities holds; here are the options of how it is read, too."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import whole_number

if TYPE_CHECKING:
    from ..data import VisibilitySet


def add(commands: argparse._SubParsersAction) -> None:
    """Add this command to the parser.

    Args:
        commands: The subparsers of ``metaopt radio``.
    """
    parser = commands.add_parser(
        "info",
        help="say what a set of visibilities holds",
        description="Say what a set of visibilities holds: rows, channels, phase centre, baselines, the largest cell "
        "size that is right, flags and noise.",
        epilog="examples:\n  metaopt radio info galaxy.ms\n  metaopt radio info galaxy.ms --field M31 --window 1",
    )
    add_reading(parser)
    parser.set_defaults(run=_run)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add the set of visibilities, and what may have to be said about it.

    Args:
        parser: The parser of a command.
    """
    add_choice(parser)
    parser.add_argument(
        "--coverage",
        action="store_true",
        help="look at baselines, flags and weights alone, where visibilities are missing (default: off)",
    )


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Add the set of visibilities, and the options that choose a part of it.

    Args:
        parser: The parser of a command.
    """
    parser.add_argument(
        "visibilities",
        metavar="VIS",
        type=Path,
        help="the set: a measurement set (folder, zarr), uvfits or NumPy .npz",
    )
    parser.add_argument(
        "--column",
        metavar="NAME",
        help="the column of a measurement set (default: CORRECTED_DATA where there is one, and DATA otherwise)",
    )
    parser.add_argument(
        "--window", metavar="NUMBER", type=whole_number, help="the spectral window (default: the only one)"
    )
    parser.add_argument("--field", metavar="NAME", help="the field, by number or name (default: the only one)")


def opened(arguments: argparse.Namespace) -> VisibilitySet:
    """Return what was found in the set.

    Args:
        arguments: Those of :func:`add_reading`.
    """
    from ..data import read_coverage, read_visibilities

    if arguments.coverage:
        return read_coverage(arguments.visibilities, arguments.window, arguments.field)
    return read_visibilities(arguments.visibilities, arguments.column, arguments.window, arguments.field)


def _run(arguments: argparse.Namespace) -> None:
    from ..applications.radio import describe

    print(describe(opened(arguments)).encode("utf-8", "backslashreplace").decode())
